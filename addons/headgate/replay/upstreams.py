"""An upstream for a test that answers from a recording, and the recording itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from headgate.errors import HeadgateError
from headgate.replay.asked import Matching
from headgate.replay.flowdb import FlowDb
from headgate.replay.matching import Miss, Recordings
from headgate.replay.places import RECORDING
from headgate.replay.projects import Project
from headgate.replay.responder import Responder


def recording(project: Project, name: str) -> FlowDb:
    """flows/NAME.db, or the file that `name` is the path of."""
    path = project.root / name if name.endswith(RECORDING) else project.flows / f"{name}{RECORDING}"
    return FlowDb(Path(path))


class ReplayUpstream:
    """Serves the answers of one recording until it is closed; see the fixture `replay_upstream`."""

    def __init__(
        self,
        flows: FlowDb,
        *,
        headers: Iterable[str] = (),
        ignore_query: Iterable[str] = (),
        ignore_json: Iterable[str] = (),
        repeat: bool = False,
    ) -> None:
        matching = Matching(
            host=False,  # a test's upstream has another than the recorded one
            headers=frozenset(name.lower() for name in headers),
            ignore_query=frozenset(ignore_query),
            ignore_json=tuple(ignore_json),
            repeat=repeat,
        )
        self.flows = flows
        try:
            self._recordings = Recordings(flows.walk(), flows.fetch, matching)
        except ValueError as error:
            raise HeadgateError(f"`ignore_json`: {error}") from None
        self._responder = Responder(self._recordings)
        self.url, self.port = self._responder.url, self._responder.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def misses(self) -> list[Miss]:
        """What no recording answered, in order: `reason` (used-up, different, nothing-recorded), `text`, `nearest`,
        `fields`."""
        return [miss for _, miss in sorted(self._responder.misses.items())]

    @property
    def served(self) -> int:
        """How many requests were answered."""
        return self._responder.served

    def close(self) -> None:
        self._responder.close()
        self._recordings.close()
