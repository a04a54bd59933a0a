"""The demo's set: sample API, sample identity provider, bundle and proxy, put up from nothing and taken down again.

Everything it writes is in one folder, `.headgate-demo`, remade at each run and ignored by git wherever it is.
"""

import fcntl
import shutil
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.demo.api import SampleApi
from headgate.demo.callers import CALLERS
from headgate.demo.provider import SampleProvider
from headgate.demo.rules import write_bundle
from headgate.errors import HeadgateError
from headgate.proxy.process import HEADGATE, Process

FOLDER = ".headgate-demo"
READY = 60.0
"""Seconds the proxy may take to start; it takes three or four."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A demo that is up."""

    folder: Path
    api: SampleApi
    provider: SampleProvider
    proxy: Process
    port: int
    web: str | None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def rules(self) -> Path:
        return self.folder / "rules"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def stage(
    folder: Path, clock: Callable[[], float], *, web: bool = False, ports: tuple[int, int] = (0, 0)
) -> Generator[Stage]:
    """Put everything up in `folder`; HeadgateError says what could not be. `web` starts mitmweb, not mitmdump; `ports`
    are those of the sample API and the provider, 0 for any."""
    with ExitStack() as down:
        down.enter_context(_fresh(folder))
        api = down.enter_context(closing(SampleApi(ports[0])))
        provider = down.enter_context(closing(SampleProvider(clock, CALLERS, ports[1])))
        rules = write_bundle(folder / "rules", api.port, provider.jwks_url)
        command = ("web", "--no-web-open-browser", "--web-port", str(free_port())) if web else ("run",)
        options = ("--mode", f"reverse:{api.url}", "--listen-host", "127.0.0.1", "--listen-port", "0")
        places = {"headgate_rules": rules, "headgate_state": folder / "state", "confdir": folder / "mitmproxy"}
        settings = [part for name, path in places.items() for part in ("--set", f"{name}={path}")]
        settings += ["--set", "headgate_admin="]  # its usual port may be another proxy's
        proxy = Process("the proxy", [*HEADGATE, *command, *options, *settings])
        down.callback(proxy.stop)
        port = int(proxy.wait_for(r"[Pp]roxy.* listening at .*:(\d+)", READY)[1])
        proxy.wait_for("headgate guards", READY)
        address = proxy.wait_for(r"[Ww]eb server listening at (\S+)", READY)[1] if web else None
        if not provider.asked.wait(READY):
            raise HeadgateError("the proxy never fetched the keys of the sample identity provider")
        yield Stage(folder, api, provider, proxy, port, address)


@contextmanager
def _fresh(folder: Path) -> Generator[None]:
    """The folder, empty, for this run alone."""
    try:
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HeadgateError(f"another demo runs in `{folder}`: end it, or start this one elsewhere") from None
            for name in ("rules", "state", "mitmproxy"):
                if (folder / name).exists():
                    shutil.rmtree(folder / name)
            (folder / ".gitignore").write_text("*\n")
            yield
    except OSError as error:
        raise HeadgateError(f"the folder `{folder}` cannot be used: {(error.strerror or 'unknown').lower()}") from None


def free_port() -> int:
    """A port that was free a moment ago; for programs that cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
