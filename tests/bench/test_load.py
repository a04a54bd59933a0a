"""The load generator and the upstream: what they send, count and survive. Nothing here is timed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.bench.load import END, Caller, Plan, Tally, report
from headgate.bench.traffic import ask, measured, pinned
from headgate.bench.upstream import Fixed, answer
from headgate.errors import HeadgateError
from headgate.proxy.process import Process

REQUEST = "GET /v1/fields/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


def caller(*requests: str) -> tuple[Caller, Tally, Wire]:
    tally, wire = Tally([request.encode() for request in requests], counting=True), Wire()
    connection = Caller(tally)
    connection.connection_made(wire)
    return connection, tally, wire


def test_the_next_request_is_sent_when_the_whole_answer_is_there() -> None:
    connection, tally, wire = caller(REQUEST)
    reply = answer(b'{"a": 1}')
    for at in range(len(reply) - 1):
        connection.data_received(reply[at : at + 1])
    assert (len(wire.written), tally.latencies) == (1, [])
    connection.data_received(reply[-1:])
    assert len(wire.written) == 2
    assert tally.statuses == {"200": 1}


def test_an_answer_without_a_body_counts_too() -> None:
    connection, tally, _ = caller(REQUEST)
    connection.data_received(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    assert tally.statuses == {"401": 1}


def test_connections_take_the_requests_in_turn() -> None:
    connection, _, wire = caller("a", "b", "c")
    for _ in range(3):
        connection.data_received(answer(b"{}"))
    assert sorted(wire.written[:3]) == [b"a", b"b", b"c"]


def test_the_upstream_answers_each_request_once_however_they_are_cut() -> None:
    wire, reply = Wire(), answer(b"{}")
    connection = Fixed(reply, iter([]))
    connection.connection_made(wire)
    connection.data_received(REQUEST.encode()[:20])
    assert wire.written == []
    connection.data_received(REQUEST.encode()[20:] + REQUEST.encode())
    assert b"".join(wire.written) == reply * 2
    assert reply.endswith(END + b"{}")


def test_large_answers_are_documents_in_turn() -> None:
    wire, documents = Wire(), [answer(b"1"), answer(b"2")]
    connection = Fixed(b"", iter(documents))
    connection.connection_made(wire)
    connection.data_received(b"GET /v1/large/1 HTTP/1.1\r\n\r\nGET /v1/unmasked/1 HTTP/1.1\r\n\r\n")
    assert wire.written == documents


def test_a_report_tells_rate_and_latencies() -> None:
    told = report(Tally([b""], latencies=[0.001] * 99 + [0.2]), 2.0, 0.1)
    assert (told.rate, told.p50_ms, told.p99_ms) == (50.0, 1.0, 200.0)


def test_a_round_in_which_nothing_was_answered_is_a_report_too() -> None:
    assert report(Tally([b""]), 1.0, 0.0).rate == 0.0


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, int]]:
    folder = tmp_path_factory.mktemp("upstream")
    bodies = [folder / "body.json", folder / "large.ndjson"]
    for body in bodies:
        body.write_bytes(b'{"a": 1}')
    with ExitStack() as down:
        command = [sys.executable, "-P", "-m", "headgate.bench.upstream", *map(str, bodies)]
        process = Process("the upstream", command)
        down.callback(process.stop)
        yield process, int(process.wait_for(r"listening at (\d+)", 30)[1])


def test_a_round_counts_what_was_answered(upstream: tuple[Process, int]) -> None:
    process, port = upstream
    found = measured(Plan(port, [REQUEST], connections=2, seconds=0.1, warm=0.0), process.pid, process.pid)
    assert found.report.answered > 0
    assert found.report.statuses == {"200": found.report.answered}
    assert found.server_busy is None or found.server_busy >= 0


def test_a_round_with_other_answers_is_an_error(upstream: tuple[Process, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that refuses everything would be fast: such a figure must not come out."""
    process, port = upstream
    plan = Plan(port, [REQUEST], connections=1, seconds=0.1, warm=0.0)
    refused = ask(plan)
    monkeypatch.setattr("headgate.bench.traffic.ask", lambda _: type(refused)(9, 0.1, {"401": 9}, 1.0, 1.0, 0.1))
    with pytest.raises(HeadgateError, match="401"):
        measured(plan, process.pid, process.pid)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HeadgateError, match="load generator failed"):
        ask(Plan(1, [REQUEST], connections=1, seconds=0.1, warm=0.0))


def test_a_pinned_program_gets_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text("import json, os, sys\nprint(json.dumps([sys.argv[1:], __name__]))\n")
    command = pinned([sys.executable, "-P", "-m", "shown", "a", "b"], 0)
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout or "null") == [["a", "b"], "__main__"], done.stderr
    assert pinned([sys.executable, "-P", "-m", "shown"], None) == [sys.executable, "-P", "-m", "shown"]
