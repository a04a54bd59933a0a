"""The audit log at the door: one decision and one outcome of everything, before it goes on, and nothing else to read.

One proxy serves plain requests, streams, WebSockets and tunnels; others are strict, lose their log, are killed or told
to speak to somebody. Each log verifies in the end.
"""

import contextlib
import hmac
import json
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from tests.e2e.agent import opened
from tests.e2e.canary import CANARY, EMAIL, found_in
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import SCRIPTS, Proxy, free_port, write_rules
from tests.e2e.sockets import SocketUpstream, asking, open_on
from tests.e2e.streams import CHUNKED, CUT, EVENTS, Listener, StreamUpstream
from tests.e2e.upstream import Reply, Upstream

from headgate.audit.store import AuditStore
from headgate.cli.main import main

Leaf = dict[str, Any]

KILLS = int(os.environ.get("HEADGATE_KILLS", "10"))
"""How often a proxy is killed under load; the writer alone is killed far more often (tests/audit)."""

NO_MASKS = "masks: []\n"


def leaves(proxy: Proxy, kind: str = "") -> list[Leaf]:
    """The entries of the log, once everything so far is written."""
    if proxy.process.poll() is None and proxy.peeks:
        proxy.settle()
    return [
        dict(entry.leaf) for entry in AuditStore(proxy.state).entries() if entry.leaf and kind in entry.leaf["kind"]
    ]


def exchanges(proxy: Proxy) -> dict[str, tuple[Leaf, Leaf]]:
    """Decision and outcome of each exchange, of which there is exactly one, in this order."""
    found: dict[str, list[Leaf]] = {}
    for leaf in leaves(proxy):
        if leaf["kind"] in ("decision", "outcome"):
            found.setdefault(leaf["decision_id"], []).append(leaf)
    for told in found.values():
        assert [leaf["kind"] for leaf in told] == ["decision", "outcome"], told
    return {name: (told[0], told[1]) for name, told in found.items()}


def new(proxy: Proxy, before: dict[str, Any]) -> list[tuple[Leaf, Leaf]]:
    return [pair for name, pair in exchanges(proxy).items() if name not in before]


def verified(state: Path, *options: str) -> Leaf:
    done = CliRunner().invoke(main, ["audit", "verify", "--json", "--state", str(state), *options])
    assert done.exit_code == 0, done.output
    report: Leaf = json.loads(done.stdout)
    return report


def reason(outcome: Leaf) -> str | None:
    return outcome["refusal"]["reason"] if outcome["refusal"] else None


@pytest.fixture(scope="module")
def streams() -> Iterator[StreamUpstream]:
    server = StreamUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sockets() -> Iterator[SocketUpstream]:
    server = SocketUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, streams: StreamUpstream, sockets: SocketUpstream) -> Proxy:
    """It listens for each upstream on a port of its own, and as a forward proxy."""
    upstream.forget()
    more = [word for url in (streams.url, sockets.url) for word in ("--mode", f"reverse:{url}@{free_port()}")]
    scripts = [SCRIPTS / "sabotage.py", SCRIPTS / "hurry.py"]
    proxy = proxies(
        *more, "--mode", f"regular@{free_port()}", mode=f"reverse:{upstream.url}@{free_port()}", scripts_after=scripts
    )
    proxy.ready()
    proxy.output.wait_for("sabotage is in place")
    return at(proxy, upstream.url).warm()


def at(proxy: Proxy, url: str) -> Proxy:
    """The same process, by the listener for this upstream."""
    return proxy.by(f"reverse proxy to {url}")


# -- one of each ------------------------------------------------------------------------------------------------------


def test_each_request_has_its_decision_and_its_outcome_whatever_became_of_it(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/odd"] = Reply(b"c4n4ry", headers={"Content-Type": "image/png"})
    upstream.replies["/broken"] = Reply(raw=b"", then="reset")
    before = exchanges(proxy)
    proxy.get("/customers/7")
    proxy.get("/customers/7", token=None)
    proxy.request("DELETE", "/customers/7")
    proxy.get("/a/%2e%2e/b")
    proxy.get("/odd")
    proxy.get("/broken")
    for length, token in ((2_000_000, None), (20_000_000, "")):
        connection = proxy.connect()
        connection.sendall(proxy.written("POST", "/upload", f"Content-Length: {length}", token=token))
        proxy.hang_up(connection)
    told = [
        (decided["effect"], ended["status"], reason(ended), ended["error"]) for decided, ended in new(proxy, before)
    ]
    assert told == [
        ("allow", 200, None, None),
        ("deny", 401, "no-token", None),
        ("deny", 403, "denied-by-rule", None),
        ("deny", 400, "path-dot-segment", None),
        ("allow", 502, "content-type-not-maskable", None),
        ("allow", None, None, "connection-failed"),
        ("deny", 401, "no-token", "killed"),
        ("allow", None, None, "connection-failed"),  # longer than a body may be
    ]


def test_a_decision_says_who_what_and_why(proxy: Proxy) -> None:
    details = proxy.request("DELETE", f"/customers/7?token={CANARY}").json()
    decided, ended = exchanges(proxy)[details["decision_id"]]
    assert decided["principal"]["id"] == "ana"
    assert (decided["target"], decided["bundle"]["name"]) == ("api", "test")
    assert [rule["id"] for rule in decided["rules"]] == ["nobody-deletes"]
    assert decided["request"]["path"] == "/customers/7"
    assert decided["request"]["query_names"] == ["token"]
    assert ended["bytes"] > 0


def test_an_outcome_counts_what_was_masked_and_what_the_caller_got(proxy: Proxy) -> None:
    before = exchanges(proxy)
    answer = proxy.get("/customers/7")
    ((_, ended),) = new(proxy, before)
    assert {mask["location"] for mask in ended["masks"]} >= {"/ssn", "/contact/email", "header:x-account-email"}
    assert ended["bytes"] == len(answer.content)


def test_a_caller_that_leaves_while_the_upstream_thinks_is_told(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/slow"] = Reply(raw=b"", then="hold")
    before = exchanges(proxy)
    connection = proxy.connect()
    connection.sendall(proxy.written("GET", "/slow"))
    assert upstream.arrived.wait(PATIENCE)
    proxy.hang_up(connection)
    ((decided, ended),) = new(proxy, before)
    assert (decided["effect"], ended["status"], ended["error"]) == ("allow", None, "client-disconnected")


def test_a_stream_has_its_outcome_at_its_end(proxy: Proxy, streams: StreamUpstream) -> None:
    through, before = at(proxy, streams.url), exchanges(proxy)
    with through.connect() as connection:
        listener, speaker = Listener(connection, through.written("GET", "/events")), streams.next()
        speaker.head(EVENTS, CHUNKED)
        speaker.say('data: {"a": "hello"}\n\n')
        listener.hear("hello")
        speaker.end()
        listener.hear_end()
    ((decided, ended),) = new(proxy, before)
    assert (decided["effect"], ended["status"]) == ("allow", 200)
    assert ended["bytes"] >= len('data: {"a": "hello"}')


def test_a_stream_that_is_cut_off_says_why(proxy: Proxy, streams: StreamUpstream) -> None:
    through, before = at(proxy, streams.url), exchanges(proxy)
    with through.connect() as connection:
        token = proxy.token(sub="eve", jti="t-audit")
        listener, speaker = Listener(connection, through.written("GET", "/events", token=token)), streams.next()
        speaker.head(EVENTS, CHUNKED)
        speaker.say('data: {"a": 1}\n\n')
        listener.hear("data:")
        proxy.headgate("sessions", "revoke", "--token", "t-audit")
        assert listener.hear_end() == CUT
        speaker.hear_end()
    ((decided, ended),) = new(proxy, before)
    assert (decided["effect"], reason(ended), ended["error"]) == ("allow", "revoked", "cut-off")
    assert [act["act"] for act in leaves(proxy, "act") if act["kind"] == "act"][-1] == "revoked"


def test_a_websocket_has_its_outcome_when_it_is_closed(proxy: Proxy, sockets: SocketUpstream) -> None:
    through, before = at(proxy, sockets.url), exchanges(proxy)
    host = f"127.0.0.1:{through.port}"
    with through.connect() as connection:
        opening = open_on(connection, asking("/chat", host, f"Authorization: Bearer {proxy.token()}"))
        assert opening.status == 101, opening.body
        client, server = opening.peer, sockets.next()
        server.text("[1]")
        assert client.hear() == "[1]"
        client.close()
        client.hear_end()
    with through.connect() as connection:
        assert open_on(connection, asking("/chat", host)).status == 401
    (opened_pair, refused) = new(proxy, before)
    assert (opened_pair[0]["effect"], opened_pair[1]["status"], opened_pair[1]["bytes"]) == ("allow", 101, 3)
    assert (refused[0]["effect"], refused[1]["status"]) == ("deny", 401)


def test_tunnels_are_told_too(proxy: Proxy, upstream: Upstream) -> None:
    forward, before = proxy.by(r"HTTP\(S\) proxy"), exchanges(proxy)
    assert opened(forward, f"127.0.0.1:{upstream.port}").status == 200
    assert opened(forward, f"127.0.0.1:{upstream.port}", token=None).status == 407
    (allowed, refused) = new(proxy, before)
    assert (allowed[0]["effect"], allowed[0]["request"]["method"]) == ("allow", "CONNECT")
    assert (refused[0]["effect"], refused[1]["status"]) == ("deny", 407)


@pytest.mark.parametrize(
    ("stage", "hook", "kind", "status"),
    [
        ("audit", "requestheaders", "ValueError", 503),
        ("audit", "request", "ValueError", 503),
        ("audit", "request", "CancelledError", 503),
        ("audit", "request", "does-nothing", 503),
        ("policy", "request", "ValueError", 503),
        ("masking", "response", "ValueError", 502),
        ("masking", "response", "later-cancelled", 502),
        ("capture", "response", "CancelledError", 502),
    ],
)
def test_a_stage_that_fails_leaves_one_of_each_and_nothing_passes(
    proxy: Proxy, upstream: Upstream, stage: str, hook: str, kind: str, status: int
) -> None:
    before = exchanges(proxy)
    answer = proxy.get("/customers/7", headers={"X-Fault": f"{stage} {hook} {kind}"})
    assert answer.status_code == status
    assert bool(upstream.seen) is (hook == "response")
    ((_, ended),) = new(proxy, before)
    assert (ended["status"], reason(ended)) == (status, answer.json()["reason"])


def test_what_was_captured_and_what_was_logged_are_the_same_exchanges(proxy: Proxy) -> None:
    """But for tunnels that were opened, which are not captured, and what capture was made to fail for."""
    captured = {flow["decision_id"] for flow in proxy.flows("list", "--limit", "1000")}
    told = exchanges(proxy)
    beside = {name for name, (said, ended) in told.items() if is_tunnel(said) or reason(ended) == "capture-failed"}
    assert set(told) - beside <= captured <= set(told)
    assert captured


def is_tunnel(decided: Leaf) -> bool:
    return bool(decided["request"]) and decided["request"]["method"] == "CONNECT"


def test_no_secret_of_a_path_a_query_or_an_error_is_in_the_log(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/odd"] = Reply(raw=b"HTTP/1.1 200 OK\r\nX-c4n4ry\r\n\r\n", then="close")
    for path in (f"/odd?token={CANARY}", f"/{CANARY}.mary@example.org/7", f"/a?e={CANARY}.mary@example.org"):
        proxy.request("POST", path, headers={"X-Note": EMAIL, "Cookie": f"a={CANARY}"}, content=CANARY)
    proxy.settle()
    with closing(sqlite3.connect(proxy.state / "audit.db")) as log:
        shown = "\n".join(str(body) for (body,) in log.execute("select body from entries"))
    assert not found_in(shown.encode())


# -- the proxy itself -------------------------------------------------------------------------------------------------


def test_rules_are_told_before_they_decide_anything_and_refused_ones_too(proxies: Start, upstream: Upstream) -> None:
    proxy = proxies(mode=f"reverse:{upstream.url}").ready()
    (proxy.rules / "bundle.yaml").write_text("name: test\nversion: 1.0.1\n")
    proxy.output.wait_for("1.0.1.* are in force")
    proxy.get("/customers/7", token=None)
    lines = len(proxy.output.lines)
    (proxy.rules / "policy.yaml").write_text("rules: nonsense\n")
    proxy.output.wait_for("the changed rules cannot be used", after=lines)
    told = leaves(proxy)
    kinds = [leaf["kind"] for leaf in told]
    assert kinds == ["start", "activation", "activation", "decision", "outcome", "activation"]
    start, first, second, decided, _, refused = told
    assert (start["options"]["capture"], start["bundle"]["version"]) == ("masked", "1.0.0")
    assert (first["how"], first["bundle"]["version"]) == ("folder", "1.0.0")
    assert (second["how"], second["bundle"]["sha256"]) == ("folder", decided["bundle"]["sha256"])
    assert (refused["how"], "policy.yaml" in refused["note"]) == ("refused", True)


def test_a_proxy_that_is_stopped_says_what_was_under_way(proxies: Start, upstream: Upstream) -> None:
    proxy = proxies(mode=f"reverse:{upstream.url}").ready()
    upstream.replies["/slow"] = Reply(raw=b"", then="hold")
    with proxy.connect() as connection:
        connection.sendall(proxy.written("GET", "/slow"))
        assert upstream.arrived.wait(PATIENCE)
        assert proxy.stop() == 0
    *_, decided, ended, stopped = leaves(proxy)
    assert (decided["effect"], ended["decision_id"]) == ("allow", decided["decision_id"])
    assert (ended["status"], ended["error"], stopped["kind"]) == (None, "proxy-stopped", "stop")
    report = verified(proxy.state)
    assert (report["tail"], report["crashes"]) == (None, [])


# -- strict -----------------------------------------------------------------------------------------------------------


def unmasked(folder: Path) -> Path:
    """Rules without masks, for which nobody has to wait."""
    return write_rules(folder / "rules", masking=NO_MASKS)


class Looking:
    """An upstream that looks into the log when a request arrives: is its decision there?"""

    def __init__(self) -> None:
        self.log: Path | None = None
        self.found: list[bool] = []

        def look(path: str) -> None:
            assert self.log
            with closing(sqlite3.connect(f"file:{self.log}?mode=ro", uri=True)) as log:
                sql = "select count(*) from entries where json_extract(body, '$.request.path') = ?"
                self.found.append(log.execute(sql, [path]).fetchone() == (1,))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                look(self.path)
                self.send_response_only(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def looking() -> Iterator[Looking]:
    made = Looking()
    yield made
    made.server.shutdown()
    made.server.server_close()


STRICT = ("--set", "headgate_audit_strict=true")


def test_with_strict_no_request_reaches_the_upstream_before_its_decision_is_on_disk(
    proxies: Start, looking: Looking, tmp_path: Path
) -> None:
    proxy = proxies(*STRICT, mode=f"reverse:{looking.url}", rules=unmasked(tmp_path)).ready()
    looking.log = proxy.state / "audit.db"
    answers: list[httpx.Response] = []
    with ThreadsOf(4) as threads:
        for worker in range(4):
            threads.start(lambda worker=worker: answers.extend(proxy.get(f"/w{worker}/n{n}") for n in range(10)))
    assert [answer.text for answer in answers if answer.status_code != 200] == []
    assert looking.found == [True] * 40


class ThreadsOf:
    """Threads that have ended when the block does; what fails in one fails there."""

    def __init__(self, most: int) -> None:
        self.most, self.threads, self.errors = most, list[threading.Thread](), list[Exception]()

    def start(self, work: Any) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - it is raised where the threads are waited for
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

    def __enter__(self) -> "ThreadsOf":
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
        if self.errors:
            raise self.errors[0]


# -- without a log ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def unwritable(proxy: Proxy) -> Iterator[None]:
    """The log is no database meanwhile; returns once the proxy has noticed, and ends once it writes again."""
    proxy.settle()
    before, database = len(proxy.output.lines), proxy.state / "audit.db"
    aside = database.rename(proxy.state / "aside.db")
    database.write_text("this is no database, and long enough for somebody to notice that it is none\n" * 100)
    proxy.get("/orders", token=None)  # the first that cannot be written tells the writer
    proxy.output.wait_for(r"the audit log .* cannot be written", after=before)
    yield
    database.unlink()
    aside.rename(database)
    proxy.output.wait_for(r"the audit log .* is written again", after=before)


@pytest.mark.parametrize("options", [(), STRICT, (*STRICT, "--set", "headgate_on_capture_error=continue")])
def test_while_the_log_cannot_be_written_requests_are_refused(
    proxies: Start, upstream: Upstream, options: tuple[str, ...]
) -> None:
    upstream.forget()
    proxy = proxies(*options, mode=f"reverse:{upstream.url}").warm()
    with unwritable(proxy):
        upstream.forget()
        answer = proxy.get("/customers/7")
        assert (answer.status_code, answer.json()["reason"]) == (503, "audit-unavailable")
        assert upstream.connections == 0
    assert proxy.get("/customers/7").status_code == 200
    told = exchanges(proxy)
    assert reason(told[answer.json()["decision_id"]][1]) == "audit-unavailable"
    verified(proxy.state)


def test_where_the_operator_says_so_requests_go_on_and_are_logged_later(proxies: Start, upstream: Upstream) -> None:
    upstream.forget()
    proxy = proxies("--set", "headgate_on_capture_error=continue", mode=f"reverse:{upstream.url}").warm()
    before = exchanges(proxy)
    with unwritable(proxy):
        assert proxy.get("/customers/7").status_code == 200
    assert [ended["status"] for _, ended in new(proxy, before)] == [401, 200]
    verified(proxy.state)


# -- killed -----------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_no_answer_was_given_whose_decision_is_missing(
    upstream: Upstream, attempt: Start, tmp_path: Path
) -> None:
    """Killed after a random number of answers, while others are under way; each start goes on with the same log."""
    upstream.forget()
    rules, chance = unmasked(tmp_path), random.Random(6)  # noqa: S311 - the same moments each time
    answered: set[str] = set()
    for round_ in range(KILLS):
        proxy = attempt(*STRICT, mode=f"reverse:{upstream.url}", rules=rules).ready()
        enough, wanted, token = threading.Event(), chance.randrange(1, 60), proxy.token()
        count = iter(range(wanted))

        def load(worker: int, *, proxy: Proxy, round_: int, token: str, count: Any, enough: Any) -> None:
            with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False, base_url=proxy.url) as client:
                for n in range(10_000):
                    path = f"/k{round_}/w{worker}/n{n}"
                    if client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200:
                        answered.add(path)
                    if next(count, None) is None:
                        enough.set()

        with ThreadsOf(4) as threads:
            for worker in range(4):
                given = {"proxy": proxy, "round_": round_, "token": token, "count": count, "enough": enough}
                threads.start(lambda worker=worker, given=given: load(worker, **given))
            assert enough.wait(PATIENCE)
            os.kill(proxy.process.pid, signal.SIGKILL)
            proxy.wait()
    logged = [dict(entry.leaf) for entry in AuditStore(proxy.state).entries(kinds=("decision",)) if entry.leaf]
    assert len(answered) > KILLS
    assert answered <= {leaf["request"]["path"] for leaf in logged}
    assert len(verified(proxy.state)["crashes"]) == KILLS - 1
    with closing(sqlite3.connect(proxy.state / "capture.db")) as capture:
        assert capture.execute("pragma integrity_check").fetchone() == ("ok",)


# -- who watches ------------------------------------------------------------------------------------------------------


class Watching:
    """A webhook's receiver."""

    def __init__(self) -> None:
        self.events: list[Leaf] = []
        self.signed: list[bool] = []
        self.key = b"k" * 32

        def keep(signature: str, body: bytes) -> None:
            time, _, hexadecimal = signature.removeprefix("t=").partition(",v1=")
            expected = hmac.digest(self.key, time.encode() + b"." + body, "sha256").hex()
            self.signed.append(hmac.compare_digest(expected, hexadecimal))
            self.events += json.loads(body)["events"]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                keep(self.headers["Headgate-Signature"], self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_who_watches_is_told_of_everything_that_is_in_the_log(
    proxies: Start, upstream: Upstream, watching: Watching
) -> None:
    upstream.forget()
    hook = ("--set", f"headgate_events=stdout,{watching.url}", "--set", "headgate_events_key=env:HOOK")
    proxy = proxies(*hook, mode=f"reverse:{upstream.url}", environment={"HOOK": watching.key.decode()}).ready()
    proxy.get("/customers/7", token=None)
    proxy.request("DELETE", f"/customers/7?token={CANARY}", headers={"X-Note": EMAIL})
    assert proxy.stop() == 0
    printed = [json.loads(line) for line in proxy.output.lines if line.startswith('{"')]
    logged = leaves(proxy)
    for told in (printed, watching.events):
        assert [event for event in told if event["kind"] != "checkpoint"] == logged
        (checkpoint,) = [event for event in told if event["kind"] == "checkpoint"]
        assert checkpoint["note"].splitlines()[1] == str(len(logged))
    assert all(watching.signed)
    assert not found_in(json.dumps(watching.events).encode())
    kept = proxy.folder / "kept.jsonl"
    kept.write_text("".join(json.dumps(event) + "\n" for event in watching.events))
    assert verified(proxy.state, "--checkpoint", str(kept))["given"] == 1


def test_a_webhook_that_is_down_holds_up_neither_requests_nor_the_end(proxies: Start, upstream: Upstream) -> None:
    upstream.forget()
    hook = ("--set", f"headgate_events=http://127.0.0.1:{free_port()}/in", "--set", "headgate_events_key=env:HOOK")
    proxy = proxies(*hook, mode=f"reverse:{upstream.url}", environment={"HOOK": "k" * 32}).warm()
    assert proxy.get("/customers/7").status_code == 200
    assert proxy.stop() == 0
    assert "events cannot be delivered to the webhook at 127.0.0.1" in proxy.output.text
    assert "events were not delivered to the webhook at 127.0.0.1" in proxy.output.text
    verified(proxy.state)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("headgate_events=carrier-pigeon", "`carrier-pigeon` is unknown"),
        ("headgate_events=https://siem.example/in", "must name the secret that signs"),
    ],
)
def test_options_that_cannot_be_are_refused_at_the_start(attempt: Start, options: str, says: str) -> None:
    proxy = attempt("--set", options, mode="regular")
    assert proxy.wait() == 1
    assert says in proxy.output.text
