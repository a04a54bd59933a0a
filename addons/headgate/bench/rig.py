"""What the chain is measured on: an upstream, bare mitmdump, the chain, and the chain that records nothing.

All are up at the same time, each on a port of its own; the ones that are not being asked wait and cost nothing.
"""

import socket
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.bench.bundle import BODY, DETECT_PATH, PATHS, requests, write_bundle
from headgate.bench.documents import documents
from headgate.bench.load import Plan, Report
from headgate.bench.machine import aside
from headgate.bench.traffic import ask, pinned
from headgate.demo.provider import Signer
from headgate.demo.stage import free_port
from headgate.errors import HeadgateError
from headgate.proxy.process import HEADGATE, Process

MITMDUMP = (sys.executable, "-P", "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()")
RULES = 100
CALLERS = 32
LARGE = 10_000
DOCUMENTS = 400
"""Bytes of a large answer, and how many different ones there are."""

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """Something that answers HTTP on `port`."""

    process: Process
    port: int


@dataclass(frozen=True, slots=True)
class Rig:
    """All that is up; `requests` are by path, the same for every proxy."""

    upstream: Server
    bare: Server
    chain: Server
    unrecorded: Server
    requests: Mapping[str, list[str]]
    state: Path


@contextmanager
def rig(folder: Path, clock: Callable[[], float]) -> Generator[Rig]:
    """Put everything up; HeadgateError says what could not be."""
    signer = Signer(clock)
    with ExitStack() as down:
        (folder / "body.json").write_bytes(BODY)
        (folder / "large.ndjson").write_text("\n".join(documents(LARGE, 1, DOCUMENTS, 0)), encoding="utf-8")
        bodies = [str(folder / name) for name in ("body.json", "large.ndjson")]
        behind = [sys.executable, "-P", "-m", "headgate.bench.upstream", *bodies]
        process = _start(down, "the upstream", pinned(behind, aside()))
        upstream = Server(process, int(process.wait_for(r"listening at (\d+)", READY_SECONDS)[1]))
        rules = write_bundle(folder / "rules", upstream.port, signer, RULES)

        def proxy(name: str, command: tuple[str, ...], settings: Mapping[str, object]) -> Server:
            port = free_port()
            options = ["-q", "--mode", f"reverse:http://127.0.0.1:{upstream.port}", "--listen-host", "127.0.0.1"]
            options += ["--listen-port", str(port), "--set", f"confdir={folder / 'mitmproxy'}"]
            options += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
            return Server(_start(down, name, [*command, *options]), port)

        chain_settings = {"headgate_rules": rules, "headgate_state": folder / "state", "headgate_admin": ""}
        silent_settings = {**chain_settings, "headgate_state": folder / "silent", "headgate_capture": "off"}
        bare = proxy("bare mitmdump", MITMDUMP, {})
        chain = proxy("the chain", (*HEADGATE, "run"), chain_settings)
        unrecorded = proxy("the chain without a record", (*HEADGATE, "run"), silent_settings)
        # Host is the upstream's own address: bare mitmdump would rewrite it, the chain forwards what it judged
        by_path = {path: requests(signer, path, CALLERS, upstream.port) for path in PATHS}
        up = Rig(upstream, bare, chain, unrecorded, by_path, folder / "state")
        for server in (bare, chain, unrecorded):
            _until_it_answers(server, by_path[DETECT_PATH])
        yield up


def _start(down: ExitStack, name: str, command: list[str]) -> Process:
    process = Process(name, command)
    down.callback(process.stop)
    return process


def _until_it_answers(server: Server, asked: list[str]) -> None:
    """Until a request comes back with 200: the port is open, rules and keys are loaded, the maskers are ready."""
    end = time.monotonic() + READY_SECONDS
    report: Report | None = None
    while time.monotonic() < end and server.process.running:
        if _listens(server.port):
            report = ask(Plan(server.port, asked[:1], connections=1, seconds=0.1, warm=0.0))
            if set(report.statuses) == {"200"}:
                return
        time.sleep(0.1)
    got = f"answers {report.statuses}" if report else "does not answer"
    raise HeadgateError(f"{server.process.name} {got}" if server.process.running else server.process.obituary())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
