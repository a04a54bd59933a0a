"""A guarded proxy as a process of its own: what pytest-mitmproxy promises, on every platform.

It is started through one of the doors (`mitmdump -s addons/chain.py`, `mitmweb -s`, `headgate run`, `headgate web`) on
a free port, with rules and a state folder of its own.
"""

import contextlib
import copy
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from tests.e2e.canary import found_in, remember, unpacked
from tests.e2e.output import PATIENCE, Output
from tests.e2e.window import PASSWORD, Window
from tests.e2e.wire import received

from headgate.cli.main import main
from headgate.identity.development import DevelopmentKey

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
CHAIN = ROOT / "addons/chain.py"
BIN = Path(sys.executable).parent
COMMANDS = {
    "mitmdump": [str(BIN / "mitmdump"), "-s", str(CHAIN)],
    "mitmweb": [str(BIN / "mitmweb"), "-s", str(CHAIN)],
    "headgate run": [str(BIN / "headgate"), "run"],
    "headgate web": [str(BIN / "headgate"), "web"],
}
DOORS = tuple(COMMANDS)
"""Every way in which the guard is started."""

FAULT_DOORS = ("mitmdump", "mitmweb", "headgate run")
"""The doors through which every fault is tried; the rest is tried through one of them."""

FIRST, LAST = 20_000, 32_000
PORTS = itertools.cycle(range(FIRST + os.getpid() * 61 % (LAST - FIRST), LAST))
"""Each test process looks from somewhere else on."""

RULES = {
    "bundle.yaml": "name: test\nversion: 1.0.0\n",
    "identity.yaml": "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n",
    "targets.yaml": "targets:\n  - {name: api, hosts: [127.0.0.1, localhost], environment: dev}\nunknown: refuse\n",
    "policy.yaml": (
        "rules:\n"
        "  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}\n"
        "  - {id: nobody-deletes, effect: deny, match: {method: DELETE}, message: Nothing is deleted here.}\n"
    ),
    "masking.yaml": (
        "masks:\n"
        "  - id: personal-data\n"
        "    match: {target: api}\n"
        '    fields: ["$..ssn", "header:X-Account-Email", "query:token"]\n'
        "    detect: [EMAIL_ADDRESS, CREDIT_CARD]\n"
    ),
}


def write_rules(folder: Path, **changed: str) -> Path:
    """The rules of these tests, with whole files replaced: `write_rules(folder, policy="...")`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**RULES, **{f"{name}.yaml": text for name, text in changed.items()}}.items():
        (folder / name).write_text(text)
    return folder


class Proxy:
    """One running guard. `stop()` ends it by its process id."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        door: str = "mitmdump",
        mode: str | None = None,
        scripts_before: Iterable[Path] = (),
        scripts_after: Iterable[Path] = (),
        rules: Path | None = None,
        state: Path | None = None,
        chain: Path = CHAIN,
        environment: dict[str, str] | None = None,
        port: int = 0,
        peek: bool = True,
        admin: str = "",
    ) -> None:
        self.folder, self.door, self.peeks = folder, door, peek
        folder.mkdir(parents=True, exist_ok=True)
        self.rules = rules or write_rules(folder / "rules")
        self.state = state or folder / "state"
        self.saved = folder / "saved.mitm"
        self.web_port = free_port() if door.endswith("web") else 0
        after = [*scripts_after, SCRIPTS / "peek.py"] if peek else [*scripts_after]
        command = [str(chain) if word == str(CHAIN) else word for word in COMMANDS[door]]
        where = command.index("-s") if "-s" in command else len(command)
        command[where:where] = [word for script in scripts_before for word in ("-s", str(script))]
        command += [word for script in after for word in ("-s", str(script))]
        command += ["--set", f"headgate_rules={self.rules}", "--set", f"headgate_state={self.state}"]
        command += ["--set", f"headgate_admin={admin}"]
        command += ["--set", f"confdir={folder / 'conf'}", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
        command += ["-w", str(self.saved), *(["--mode", mode] if mode else [])]
        if self.web_port:
            command += ["--no-web-open-browser", "--web-port", str(self.web_port), "--set", f"web_password={PASSWORD}"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HOME": str(folder), **(environment or {})}
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",  # paths are shown as the bytes they came in
        )
        self.output = Output(self.process.stdout)
        self.port = 0

    def ready(self) -> "Proxy":
        """Wait until it listens and says so."""
        found = self.output.wait_for(r"listening at (?:127\.0\.0\.1|\[::1\]|\*):(\d+)")
        self.port = int(found[0])
        self.output.wait_for(r"headgate guards")
        return self

    def warm(self, path: str = "/customers/7") -> "Proxy":
        """Wait until its maskers have started, too: the first answer that needs them may come too early for them."""
        self.ready()
        deadline = time.monotonic() + PATIENCE
        while (answered := self.get(path)).status_code != 200:
            assert answered.json()["reason"] == "masking-too-slow", answered.text
            assert time.monotonic() < deadline, "no masker has started"
        return self

    def by(self, words: str) -> "Proxy":
        """The same process, by the listener that it announces in these words."""
        other = copy.copy(self)
        other.port = int(self.output.wait_for(rf"{words}.*listening at 127\.0\.0\.1:(\d+)")[0])
        return other

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def window(self) -> Window:
        """mitmweb's API."""
        return Window(self.web_port)

    # -- requests -----------------------------------------------------------------------------------------------------

    def token(self, **claims: Any) -> str:
        """A token of the development provider: by default a person in group `support`, environment `dev`."""
        return mint(self.state, **claims)

    def get(self, path: str, **keywords: Any) -> httpx.Response:
        return self.request("GET", path, **keywords)

    def request(self, method: str, path: str, *, token: str | None = "", **keywords: Any) -> httpx.Response:
        """A request on a connection of its own, with a good token; with `token=None` without any."""
        headers = dict(keywords.pop("headers", {}))
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token or self.token()}")
        with httpx.Client(trust_env=False, timeout=PATIENCE, verify=False) as client:  # noqa: S501 - plain HTTP
            return client.request(method, self.url + path, headers=headers, **keywords)

    def written(self, method: str, target: str, *fields: str, token: str | None = "", body: bytes = b"") -> bytes:
        """A request as bytes, with a good token and a Host unless `fields` bring one."""
        lines = [f"{method} {target} HTTP/1.1", *fields]
        if not any(line.lower().startswith("host:") for line in fields):
            lines.append(f"Host: 127.0.0.1:{self.port}")
        if token is not None:
            lines.append(f"Authorization: Bearer {token or self.token()}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def raw(self, data: bytes) -> bytes:
        """What comes back for bytes as they are, until the proxy closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return received(connection)

    def hang_up(self, connection: socket.socket) -> None:
        """Close a connection, and wait until the proxy is done with it."""
        port = connection.getsockname()[1]
        connection.close()
        self.output.wait_for(rf"\[127\.0\.0\.1:{port}\] client disconnect")

    def headgate(self, *arguments: str) -> str:
        """What `headgate ARGUMENTS` says of this proxy's state."""
        done = CliRunner().invoke(main, [*arguments, "--state", str(self.state)])
        assert done.exit_code == 0, done.output
        return done.output

    # -- what it shows ------------------------------------------------------------------------------------------------

    def flows(self, *arguments: str) -> Any:
        """`headgate flows ARGUMENTS --json`, once everything so far is written."""
        if self.process.poll() is None:
            self.settle()
        done = CliRunner().invoke(main, ["flows", *arguments, "--state", str(self.state), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def everything_shown(self) -> bytes:
        """All that this proxy shows and has left for others to read: log, mitmweb's API, `-w` file, capture."""
        parts = [self.output.text.encode()]
        if self.web_port and self.process.poll() is None:
            parts.append(self.window.everything())
        parts += [path.read_bytes() for path in (self.saved, *sorted(self.state.glob("*.db*"))) if path.exists()]
        if (self.state / "capture.db").exists():
            parts += unpacked(self.state / "capture.db")
        return b"\n".join(parts)

    # -- its end ------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until the guard has forgotten every flow and connection and its record is written (scripts/peek.py)."""
        before = len(self.output.lines)  # an earlier connection may have had the same port
        with self.connect() as connection:
            port = connection.getsockname()[1]
        self.output.wait_for(rf"peek: {port} has gone, nothing held, written: True\.", after=before)

    def finish(self) -> None:
        """End it, and see that nothing is left in memory and no secret anywhere."""
        if self.process.poll() is None:
            if self.peeks:
                self.settle()
            shown = self.everything_shown()
            assert self.stop() == 0, self.output.text
            assert not (leaked := found_in(shown + self.everything_shown())), leaked

    def stop(self) -> int:
        """End it as a person would, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(20)
        self.output.wait_for_end()
        return code

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code of a proxy that ends by itself."""
        code = self.process.wait(seconds)
        self.output.wait_for_end()
        return code


def mint(state: Path, **claims: Any) -> str:
    given = {
        "sub": "ana",
        "kind": "human",
        "groups": ["support"],
        "env": "dev",
        "aud": "headgate-dev",
        **claims,
    }
    return remember(DevelopmentKey.open(state).mint(given, now=time.time()))


def free_port() -> int:
    """A port nobody listens on, below those that systems give to connections: it stays free until it is used."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
