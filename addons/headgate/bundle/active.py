"""The rules in force: the last good bundle, replaced whole when its folder changes.

The folder is watched by what `stat` says, off the event loop. A change counts once two looks in a row have found it
unchanged, so that files which are still being written are not taken up. A folder that cannot be used, or is gone,
changes nothing: the last good bundle stays, and `problem` says why. That is reported once for each different report. It
is tried again now and then: what was missing may lie beside the folder, such as a secret or a state that was locked.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from headgate.bundle.load import Bundle, label, load_bundle
from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

LOOKS = 3
"""How often the folder is looked at in one interval: to see a change, and twice to see that it has come to rest."""

AGAIN = 30
"""How many intervals after rules were refused they are tried again, unchanged as they are."""

Signature = tuple[tuple[str, int, int, int, int], ...]


class ActiveBundle:
    """`current` is one reference, replaced at once: whoever took it keeps a whole bundle."""

    def __init__(
        self,
        folder: Path,
        load: Callable[[Path], Bundle] = load_bundle,
        prepare: Callable[[Bundle], None] = lambda _: None,
    ) -> None:
        """`prepare` has the last word on a bundle before it comes into force: what it raises refuses the bundle. It may
        wait for a disk, and is called in a thread while the proxy runs."""
        self.current: Bundle | None = None
        self.problem: HeadgateError | None = None
        self._folder, self._load, self._prepare = folder, load, prepare
        self._seen: Signature = ()

    def load_now(self, before: Callable[[], None] = lambda: None) -> Bundle:
        """Load the folder and put it in force; HeadgateError, and nothing changed, if it cannot be used.

        `before` is called once the rules as such are good, and before they are prepared."""
        seen = self._signature()
        bundle = self._load(self._folder)
        before()
        self._prepare(bundle)
        self.current, self.problem, self._seen = bundle, None, seen
        return bundle

    async def follow(self, interval: float = 1.0, changed: Callable[[Bundle], None] | None = None) -> None:
        """Until cancelled: have each change of the folder in force within about `interval` seconds.

        `changed` is called on the event loop with each bundle, after it has come into force.
        """
        looks: deque[Signature] = deque(maxlen=LOOKS)
        refused = 0  # how many looks ago
        while True:
            await asyncio.sleep(interval / LOOKS)
            now = await asyncio.to_thread(self._signature)
            looks.append(now)
            refused = refused + 1 if self.problem else 0
            due = now != self._seen or refused >= AGAIN * LOOKS
            if due and looks.count(now) == LOOKS:
                refused = 0
                bundle = await self._replaced()
                if bundle is not None and changed:
                    changed(bundle)

    async def _replaced(self) -> Bundle | None:
        """The new bundle, in force; None when it cannot be used and the last good one stays."""
        self._seen = await asyncio.to_thread(self._signature)
        try:
            bundle = await asyncio.to_thread(self._load, self._folder)
            await asyncio.to_thread(self._prepare, bundle)
        except HeadgateError as error:
            if str(error) != str(self.problem):
                log.warning("the changed rules cannot be used, the last good ones stay in force:\n%s", error)
            self.problem = error
            return None
        self.current, self.problem = bundle, None
        log.info("rules `%s` %s are in force", bundle.name, label(bundle))
        return bundle

    def _signature(self) -> Signature:
        """What tells one state of the folder from another; it also covers files that a broken bundle would need."""
        paths = set(self.current.files) if self.current else set()
        for root, folders, names in self._folder.walk():
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths.update(root / name for name in (*folders, *names) if not name.startswith("."))
        return tuple(_stat(path) for path in sorted(paths))


def _stat(path: Path) -> tuple[str, int, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0, 0
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
