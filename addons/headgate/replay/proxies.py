"""A proxy for a test: started as a person would start it, with nothing of its own that another one has."""

import re
import shutil
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from headgate.errors import HeadgateError
from headgate.proxy.process import HEADGATE, Process
from headgate.replay import devtokens

READY = 60.0
"""Seconds a proxy may take to start; it takes three or four."""

LISTENS = r"[Pp]roxy.* listening at .*:(\d+)"
GUARDS = "headgate guards"


class RunningProxy:
    """`headgate run` on a free port. HeadgateError with what it said when it does not start.

    `url`, `port` and `ca` (the certificate authority whose certificates it shows, as PEM) are for clients; `folder` and
    `state` (the state folder, for `headgate flows list --state`) for looking at what it has left.
    """

    def __init__(
        self,
        folder: Path,
        rules: Path,
        upstream: str | None = None,
        options: Sequence[str] = (),
        *,
        mode: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.rules, self.state = folder, rules, folder / "state"
        self.ca = folder / "mitmproxy" / "mitmproxy-ca-cert.pem"
        folder.mkdir(parents=True, exist_ok=True)
        mode = mode or (f"reverse:{upstream}" if upstream else "regular")
        command = ["run", "--mode", mode, "--listen-host", "127.0.0.1", "--listen-port", "0"]
        places = {"headgate_rules": rules, "headgate_state": self.state, "confdir": self.ca.parent}
        command += [part for name, path in places.items() for part in ("--set", f"{name}={path}")]
        command += ["--set", "headgate_admin=", *options]  # its usual port may be another proxy's
        self._process = Process("the proxy", [*HEADGATE, *command], folder, environment)
        try:
            self.port = int(self._process.wait_for(LISTENS, READY)[1])
            self._process.wait_for(GUARDS, READY)
        except BaseException:
            self.stop()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What it has left goes, too, once nobody can look at it any more."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def log(self) -> str:
        """All that it has printed so far; of a very long log the end."""
        return self._process.text

    def wait_for(self, pattern: str, seconds: float = 10.0) -> re.Match[str]:
        """The first line of the log, past or to come, in which this expression is found; HeadgateError for none."""
        return self._process.wait_for(pattern, seconds)

    def token(self, **said: Any) -> str:
        """A development token that it believes; takes what the fixture `mint_token` takes."""
        return devtokens.mint(self.state, **said)

    def ssl_context(self) -> ssl.SSLContext:
        """For clients: trusts the certificates that it makes, and no others."""
        if not self.ca.is_file():
            raise HeadgateError(f"`{self.ca}` is not there: the proxy has ended, or made no certificate authority")
        return ssl.create_default_context(cafile=str(self.ca))

    def stop(self) -> int:
        """End it as Ctrl-C would, and return its exit code; what it left stays until the session ends."""
        return self._process.stop()
