"""What a replay is made of: frozen moments, the stage in the place of identity, the wire, a lock on the network."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from tests.replay.recordings import ANA, JSON, NOW, flow, recorded

from headgate.bundle.load import Bundle, load_bundle
from headgate.capture.entries import Entry
from headgate.errors import HeadgateError
from headgate.model import Exchange
from headgate.policy.limits import Limit, Rate
from headgate.replay.frozen import Frozen, Moments, frozen_of
from headgate.replay.offline import Leaves, nothing_leaves
from headgate.replay.replaying import Plan, Rules, State, replayed
from headgate.replay.runner import Upstream
from headgate.replay.sending import NotSent, on_wire
from headgate.replay.standin import HEADER, Slot, Slots, StandIn

RULES = {
    "bundle.yaml": "name: test\nversion: 1.0.0\n",
    "targets.yaml": "targets:\n  - {name: api, hosts: [api.internal], environment: dev}\nunknown: refuse\n",
    "policy.yaml": "rules:\n  - {id: support-may, effect: allow, match: {principal: {groups: [support]}}}\n",
    "identity.yaml": "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n",
    "masking.yaml": "masks: []\n",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("rules")
    for name, text in RULES.items():
        (folder / name).write_text(text)
    return load_bundle(folder)


# -- a moment ----------------------------------------------------------------------------------------------------------


def frozen(bundle: Bundle, entry: Entry | None = None) -> Frozen:
    found = frozen_of(entry or flow(), bundle)
    assert found is not None
    return found


def test_caller_source_time_and_signals_are_those_of_the_recording(bundle: Bundle) -> None:
    found = frozen(bundle, replace(flow(3), signals=["incident"]))
    assert (found.principal.id, found.principal.groups) == ("ana", frozenset({"support"}))
    assert (found.source, found.at, found.signals) == ("10.0.0.1", NOW + 3, frozenset({"incident"}))
    assert frozen(bundle, replace(flow(), signals=None)).signals is None


def test_what_of_a_request_is_not_as_it_was_is_said(bundle: Bundle) -> None:
    sent = recorded((*JSON, ("X-Mail", "[EMAIL_ADDRESS]")), b'{"a"', size=900)
    entry = flow(0, "POST", query="token=[redacted]", sent=sent, got=recorded(JSON, b"[1", size=7), signals=None)
    notes = " ".join(frozen(bundle, entry).notes)
    for words in ("query", "`x-mail`", "cut after 4 of 900 bytes", "answer was cut", "signals were not recorded"):
        assert words in notes
    assert frozen(bundle, flow()).notes == ()


def test_nothing_is_frozen_of_a_flow_that_nobody_has_identified(bundle: Bundle) -> None:
    assert frozen_of(replace(flow(), principal=None), bundle) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": {**ANA, "kind": "demigod"}},
        {"principal": {"id": "ana"}},
        {"principal": {**ANA, "groups": 7}},
        {"limits": [{"id": "r"}]},
        {"limits": ["x"]},
    ],
    ids=["kind", "fields", "groups", "limit", "limits"],
)
def test_a_recording_of_another_shape_is_damaged_and_no_more(changes: dict[str, Any], bundle: Bundle) -> None:
    with pytest.raises(HeadgateError, match="damaged"):
        frozen_of(replace(flow(), **changes), bundle)


def limit(name: str) -> Limit:
    found = object.__new__(Limit)
    for field, value in {"id": name, "rate": Rate(10, 60), "burst": 10, "enforced": True}.items():
        object.__setattr__(found, field, value)
    return found


def test_limits_say_what_they_said_then_and_new_ones_have_everything_left(bundle: Bundle) -> None:
    uses = [{"id": "spent", "remaining": 0, "exhausted": True}, {"id": "left", "remaining": 3, "exhausted": False}]
    moments, due = Moments(), [(limit(name), ()) for name in ("spent", "left", "new")]
    moment = frozen(bundle, replace(flow(), limits=uses))
    said = moments.during(moment, lambda: [moments.spend(due, NOW) for _ in range(2)])
    assert said[0] == said[1]  # nothing is spent
    assert [(one.remaining, one.exhausted) for one in said[0].standings] == [(0, True), (3, False), (9, False)]


def test_outside_of_a_judgement_there_is_no_time(bundle: Bundle) -> None:
    moments = Moments()
    assert moments.during(frozen(bundle), moments.now) == NOW
    for ask in (moments.now, moments.signals):
        with pytest.raises(HeadgateError):
            ask()


# -- the stage in the place of identity --------------------------------------------------------------------------------


class Door:
    """The stage with one flow at a time; `upstream` is where its listener leads."""

    def __init__(self, bundle: Bundle, **more: Any) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self.slots = Slots()
        self.stage = StandIn(self.exchanges, self.slots, bundle, ("127.0.0.1", 9000), **more)

    def expect(self, word: bytes, moment: Frozen) -> None:
        self.slots.expect(word, Slot("01A", moment, Mock()))

    def send(self, *fields: tuple[bytes, bytes], host: str = "127.0.0.1", name: str = "f1") -> tuple[Any, Exchange]:
        headers = SimpleNamespace(fields=((b"Host", b"api.internal"), *fields))
        data = SimpleNamespace(
            method=b"GET", path=b"/v1/customers/7", headers=headers, authority=b"", http_version=b"HTTP/1.1",
            host=host, port=9000,
        )  # fmt: skip
        client = SimpleNamespace(sockname=("127.0.0.1", 4711))
        sent = SimpleNamespace(id=name, request=SimpleNamespace(data=data, headers={}), client_conn=client)
        self.exchanges[name] = exchange = Exchange("01X", 0.0)
        self.stage.requestheaders(sent)
        return sent, exchange


@pytest.fixture
def door(bundle: Bundle) -> Door:
    return Door(bundle)


def reason(exchange: Exchange) -> str | None:
    return exchange.refusal.reason if exchange.refusal else None


def test_a_request_that_names_its_recording_is_judged_as_then(door: Door, bundle: Bundle) -> None:
    door.expect(b"word", frozen(bundle))
    sent, exchange = door.send((HEADER.title(), b"word"))
    assert exchange.refusal is None
    assert exchange.request is not None
    assert (exchange.request.scheme, exchange.request.host, exchange.request.port) == ("https", "api.internal", 443)
    assert (exchange.principal, exchange.source, exchange.started) == (frozen(bundle).principal, "10.0.0.1", NOW)
    assert all(name.lower() != HEADER for name, _ in sent.request.data.headers.fields)


@pytest.mark.parametrize(
    "fields",
    [(), ((HEADER, b"other"),), ((HEADER, b""),), ((HEADER, b"word"), (HEADER, b"word"))],
    ids=["no word", "another word", "an empty word", "two words"],
)
def test_nobody_else_is_anybody(fields: tuple[tuple[bytes, bytes], ...], door: Door, bundle: Bundle) -> None:
    door.expect(b"word", frozen(bundle))
    _, exchange = door.send(*fields)
    assert (reason(exchange), exchange.principal, exchange.request) == ("not-a-replay", None, None)


def test_a_word_counts_once(door: Door, bundle: Bundle) -> None:
    door.expect(b"word", frozen(bundle))
    assert reason(door.send((HEADER, b"word"))[1]) is None
    assert reason(door.send((HEADER, b"word"), name="f2")[1]) == "not-a-replay"


def test_bytes_that_would_go_elsewhere_are_refused(door: Door, bundle: Bundle) -> None:
    door.expect(b"word", frozen(bundle))
    assert reason(door.send((HEADER, b"word"), host="192.0.2.1")[1]) == "not-a-replay"


def test_a_tunnel_is_refused(door: Door) -> None:
    door.exchanges["t"] = Exchange("01X", 0.0)
    door.stage.http_connect(SimpleNamespace(id="t"))
    assert reason(door.exchanges["t"]) == "not-a-replay"


@pytest.mark.parametrize(
    ("field", "expected"),
    [((b"Host", b"other.example"), "duplicate"), ((b"X-HTTP-Method-Override", b"DELETE"), "override")],
    ids=["two hosts", "another method"],
)
def test_hygiene_looks_at_the_recorded_fields(
    field: tuple[bytes, bytes], expected: str, door: Door, bundle: Bundle
) -> None:
    door.expect(b"word", frozen(bundle))
    _, exchange = door.send((HEADER, b"word"), field)
    assert exchange.refusal is not None
    assert exchange.refusal.slug == "malformed-request"
    assert expected in exchange.refusal.reason or "host" in exchange.refusal.reason


def test_only_a_responder_is_told_which_flow_asks(bundle: Bundle) -> None:
    for named in (True, False):
        door = Door(bundle, named=named)
        door.expect(b"word", frozen(bundle))
        sent, _ = door.send((HEADER, b"word"))
        door.stage.vouch(sent)
        assert ("01A" in sent.request.headers.values()) is named


# -- the wire ----------------------------------------------------------------------------------------------------------


def test_a_request_goes_as_recorded_but_for_what_belongs_to_a_connection() -> None:
    headers = (
        ("Host", "api.internal"), ("Connection", "keep-alive"), ("Content-Length", "900"), ("Traceparent", "00-1-2-01"),
        ("X-Name", "caf\udce9"), ("Transfer-Encoding", "chunked"), ("X-Assertion", "[redacted]"),
    )  # fmt: skip
    wire = on_wire(flow(0, "POST", query="a=1", sent=recorded(headers, b"{}")), {"x-assertion"})
    assert (wire.method, wire.target, wire.body) == (b"POST", b"/v1/customers/7?a=1", b"{}")
    assert wire.fields == ((b"Host", b"api.internal"), (b"X-Name", b"caf\xe9"), (b"Content-Length", b"2"))


def test_a_request_without_a_host_field_names_the_host_it_went_to() -> None:
    assert on_wire(flow(sent=recorded((("accept", "*/*"),)))).fields[0] == (b"Host", b"api.internal")


@pytest.mark.parametrize(
    "entry",
    [flow(path="http://evil.example/"), flow(method="GÉT"), flow(sent=recorded((("é", "1"),)))],
    ids=["an absolute target", "a method", "a name"],
)
def test_what_is_no_request_is_not_sent(entry: Entry) -> None:
    with pytest.raises(NotSent):
        on_wire(entry)


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://a/path", "http://u:p@a", "http://a?b", "a:1", "http://[", "http://é.example"]
)
def test_an_upstream_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(HeadgateError, match="is no upstream; accepted"):
        Upstream(url)


def test_an_upstream_is_dialled_where_its_url_says() -> None:
    assert (Upstream("https://staging.example").address, Upstream("http://127.0.0.1:9000/").address) == (
        ("staging.example", 443),
        ("127.0.0.1", 9000),
    )


# -- nothing leaves ----------------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as planted:
        planted.settimeout(0.1)
        yield planted


def test_offline_no_connection_is_opened_but_to_ports_that_are_named(listener: socket.socket) -> None:
    address = listener.getsockname()
    with nothing_leaves() as ports:
        for place in (address, ("192.0.2.1", 80)):
            with pytest.raises(Leaves):
                socket.create_connection(place, timeout=1)
        with pytest.raises(TimeoutError):
            listener.accept()
        ports.add(address[1])
        socket.create_connection(address, timeout=5).close()
    socket.create_connection(address, timeout=5).close()


def test_offline_no_name_is_looked_up() -> None:
    with nothing_leaves():
        for look in (socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80)):
            with pytest.raises(Leaves):
                look("headgate.test")


def test_offline_asyncio_and_datagrams_do_not_leave_either(listener: socket.socket) -> None:
    async def dial() -> None:
        await asyncio.open_connection(*listener.getsockname())

    with nothing_leaves(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(Leaves):
            asyncio.run(dial())
        with pytest.raises(Leaves):
            datagrams.sendto(b"x", ("192.0.2.1", 53))


# -- one after the other -----------------------------------------------------------------------------------------------


class Chained:
    """Notes how many requests are under way at once; none of them ends before so many are."""

    def __init__(self, together: int = 1) -> None:
        self.under_way = self.most = 0
        self.sent: list[str] = []
        self._barrier = asyncio.Barrier(together)

    async def replay(self, name: str, request: Any, frozen: Frozen, seconds: float) -> Any:
        del request, frozen, seconds
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.sent.append(name)
        await self._barrier.wait()
        self.under_way -= 1
        raise TimeoutError


def outcomes(entries: Iterator[Entry] | list[Entry], plan: Plan) -> list[Any]:
    async def collect() -> list[Any]:
        return [one async for one in replayed(entries, plan)]

    return asyncio.run(collect())


@pytest.mark.parametrize("jobs", [1, 3])
def test_outcomes_come_in_order_with_no_more_under_way_than_asked_for(jobs: int, bundle: Bundle) -> None:
    chained, entries = Chained(together=jobs), [flow(n) for n in range(12)]
    found = outcomes(iter(entries), Plan(bundle, chained, Rules(), jobs=jobs))
    assert [one.decision_id for one in found] == [entry.summary.decision_id for entry in entries]
    assert {one.state for one in found} == {State.FAILED}
    assert chained.most == jobs


def test_recordings_are_read_as_they_are_needed(bundle: Bundle) -> None:
    chained, ahead = Chained(), []

    def entries() -> Iterator[Entry]:
        for n in range(50):
            ahead.append(n - len(chained.sent))
            yield flow(n)

    outcomes(entries(), Plan(bundle, chained, Rules(), jobs=4))
    assert max(ahead) <= 4


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (flow(kind="websocket"), "websocket"),
        (flow(status=101), "websocket"),
        (flow(sent=recorded((("Upgrade", "WebSocket"),))), "websocket"),
        (flow(kind="tcp"), "not-http"),
        (flow(method="CONNECT"), "not-http"),
        (flow(sent=recorded(None)), "metadata-only"),
        (replace(flow(), principal=None), "nobody-identified"),
        (flow(path="http://evil.example/"), "not-sendable: its target is no path"),
    ],
    ids=["websocket", "switched", "upgrade", "tcp", "tunnel", "metadata", "nobody", "target"],
)
def test_what_cannot_be_replayed_is_skipped_and_said_to_be(entry: Entry, why: str, bundle: Bundle) -> None:
    chained = Chained()
    (found,) = outcomes([entry], Plan(bundle, chained, Rules()))
    assert (found.state, found.why, chained.sent) == (State.SKIPPED, why, [])


def test_a_damaged_recording_fails_and_the_next_goes_on(bundle: Bundle) -> None:
    chained = Chained()
    broken = [replace(flow(), principal={"id": 1}), replace(flow(), rules=[{}]), replace(flow(), masks=[3])]
    found = outcomes([*broken, flow(9)], Plan(bundle, chained, Rules()))
    assert [("damaged" in (one.why or ""), one.state) for one in found[:3]] == [(True, State.FAILED)] * 3
    assert chained.sent == [flow(9).summary.decision_id]


def test_recordings_that_cannot_be_read_on_end_in_a_line(bundle: Bundle) -> None:
    def entries() -> Iterator[Entry]:
        yield flow()
        raise TypeError("a value of a hostile file")

    with pytest.raises(HeadgateError, match="the recordings are damaged: TypeError"):
        outcomes(entries(), Plan(bundle, Chained(), Rules()))


def test_the_stage_in_the_place_of_identity_is_no_part_of_a_proxy() -> None:
    """No module of the proxy, and no option of it, knows of it."""
    package = Path(__file__).parents[2] / "addons/headgate"
    parts = [*package.glob("proxy/*.py"), *package.glob("identity/*.py"), package.parent / "chain.py"]
    assert len(parts) > 20
    assert not [path for path in parts if "standin" in path.read_text() or "replay.runner" in path.read_text()]
