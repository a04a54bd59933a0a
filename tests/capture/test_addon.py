"""The addon records what stands on the scrubbed flow, and refuses where recording is a condition and impossible."""

import dataclasses
from dataclasses import replace

import pytest
from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.test import tflow, tutils
from mitmproxy.websocket import WebSocketData

from headgate.capture.addon import Capture
from headgate.capture.connection import TIMES, Close
from headgate.capture.record import Mode
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store
from headgate.model import Request, denied, malformed, unauthenticated

PATIENCE = 20.0
REQUEST = Request("GET", "http", "customers.internal", 80, "/v1/customers/1")


class Hand:
    """Stands in for a writer: takes records, or does not."""

    def __init__(self, *, healthy=True, ready=True, takes=True):
        self.healthy, self.ready, self.takes = healthy, ready, takes
        self.records = []

    def put(self, record):
        if self.takes:
            self.records.append(record)
        return self.takes


@pytest.fixture
def flow():
    made = tflow.tflow(req=tutils.treq(path=b"/v1/customers/1?fields=name"), resp=tutils.tresp(content=b"[PERSON]"))
    made.response.timestamp_end = 1_800_000_000.5
    return made


def capture(flow, exchange, writer, *, mode="masked", on_error="refuse", claims=()):
    return Capture({flow.id: exchange}, writer, lambda: mode, lambda: on_error, lambda _exchange: claims)


FAILING = {"healthy": False, "ready": False}
NEARLY_FULL = {"ready": False}


# -- what is recorded -------------------------------------------------------------------------------------------------


def test_a_response_is_recorded_as_it_stands_on_the_flow(flow, exchange):
    hand, judged = Hand(), exchange()
    capture(flow, judged, hand, claims=("/tenant/id",)).response(flow)
    (record,) = hand.records
    assert judged.recorded
    assert judged.refusal is None
    assert (record.flow_id, record.decision_id, record.status) == (flow.id, judged.decision_id, 200)
    assert (record.line.method, record.line.host, record.line.target) == (
        b"GET",
        "customers.internal",
        b"/v1/customers/1?fields=name",
    )
    assert record.request.headers == flow.request.headers.fields
    assert record.response.body is flow.response.raw_content, "bodies are referred to, not copied"
    assert (record.ended, record.claims, record.error) == (1_800_000_000.5, ("/tenant/id",), None)


def test_it_reaches_the_file(flow, exchange, start, state):
    writer, judged = start(), exchange()
    capture(flow, judged, writer).response(flow)
    assert writer.flush(PATIENCE)
    assert Store(state).entry(flow.id).response.body == b"[PERSON]"


def test_a_refused_request_is_recorded_with_the_status_its_caller_gets(flow, exchange):
    hand = Hand()
    capture(flow, exchange(refusal=denied("rule-denies", rule="no")), hand).response(flow)
    assert (hand.records[0].status, hand.records[0].refusal.rule) == (403, "no")


def test_a_request_that_hygiene_refused_is_recorded_as_it_came(flow, exchange):
    hand = Hand()
    unjudged = exchange(request=None, principal=None, target=None, decision=None, bundle=None)
    capture(flow, unjudged, hand).response(flow)
    record = hand.records[0]
    assert (record.line.host, record.line.port, record.principal) == (flow.request.host, flow.request.port, None)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Client disconnected.", "client-disconnected"),
        (flows.Error.KILLED_MESSAGE, "killed"),
        ("Invalid header line: b'Set-Cookie: s3cr3t'", "connection-failed"),
    ],
)
def test_a_connection_that_fails_is_recorded_without_what_the_message_quotes(message, told, flow, exchange):
    hand = Hand()
    flow.response, flow.error = None, flows.Error(message, 1_800_000_001.0)
    capture(flow, exchange(), hand).error(flow)
    record = hand.records[0]
    assert (record.error, record.ended, record.status, record.response) == (told, 1_800_000_001.0, None, None)
    assert "s3cr3t" not in str(record)


def test_what_is_worked_out_later_travels_with_the_record_and_counts_what_it_holds(flow, exchange):
    def later():
        return "{}"

    hand, asked = Hand(), dataclasses.replace(REQUEST, body=b"x" * 700)
    capture(flow, exchange(request=asked, nearest=later, trace_id="ab", trace_link="cd"), hand).response(flow)
    record = hand.records[0]
    assert (record.nearest, record.held, record.trace_id, record.trace_link) == (later, 700, "ab", "cd")
    capture(flow, exchange(request=asked), hand).response(flow)
    assert (hand.records[1].nearest, hand.records[1].held) == (None, 0)


def test_a_failed_stage_is_named(flow, exchange):
    hand = Hand()
    capture(flow, exchange(error="KeyError"), hand).response(flow)
    assert hand.records[0].error == "KeyError"


def test_a_flow_is_recorded_once(flow, exchange):
    hand = Hand()
    stage = capture(flow, exchange(), hand)
    stage.response(flow)
    stage.error(flow)
    assert len(hand.records) == 1


def test_the_times_of_the_stages_are_those_at_the_time(flow, exchange):
    hand, judged = Hand(), exchange()
    capture(flow, judged, hand).response(flow)
    judged.stage_us["later"] = 1
    assert "later" not in hand.records[0].stage_us


@pytest.mark.parametrize("why", ["metadata", "not masked"])
def test_without_masking_or_on_request_only_metadata_is_kept(why, flow, exchange):
    hand = Hand()
    capture(flow, exchange(masked=why != "not masked"), hand, mode="masked" if why == "not masked" else why).response(
        flow
    )
    record = hand.records[0]
    assert record.mode is Mode.METADATA
    assert record.request.headers == record.response.headers == ()
    assert record.request.body == record.response.body == b""
    assert record.response.size == len(b"[PERSON]")


def test_off_records_nothing_and_refuses_nothing(flow, exchange):
    hand, judged = Hand(**FAILING), exchange()
    stage = capture(flow, judged, hand, mode="off")
    stage.requestheaders(flow)
    stage.response(flow)
    assert (hand.records, judged.recorded, judged.refusal) == ([], False, None)


# -- when recording is impossible -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state_of_writer", [FAILING, NEARLY_FULL], ids=["failing", "nearly full"])
@pytest.mark.parametrize(("on_error", "refused"), [("refuse", True), ("continue", False)])
def test_a_request_is_refused_before_it_goes_on_unless_told_to_continue(
    state_of_writer, on_error, refused, flow, exchange
):
    judged = exchange()
    capture(flow, judged, Hand(**state_of_writer), on_error=on_error).requestheaders(flow)
    assert (judged.refusal is not None) is refused
    if judged.refusal:
        assert (judged.refusal.status, judged.refusal.reason) == (503, "capture-unavailable")


def test_a_request_goes_on_while_recording_works(flow, exchange):
    judged = exchange()
    capture(flow, judged, Hand()).requestheaders(flow)
    assert judged.refusal is None


def test_a_response_is_refused_while_the_writer_fails_and_the_record_says_so(flow, exchange):
    hand, judged = Hand(**FAILING), exchange()
    capture(flow, judged, hand).response(flow)
    assert judged.refusal.reason == "capture-unavailable"
    assert (hand.records[0].status, hand.records[0].refusal, hand.records[0].response) == (503, judged.refusal, None)


@pytest.mark.parametrize(("on_error", "refused"), [("refuse", True), ("continue", False)])
@pytest.mark.parametrize("mode", ["masked", "off"])
def test_a_response_does_not_begin_to_flow_while_the_writer_fails(on_error, refused, mode, flow, exchange):
    hand, judged = Hand(**FAILING), exchange()
    capture(flow, judged, hand, on_error=on_error, mode=mode).keep(flow)
    assert (judged.refusal is not None, hand.records) == (refused and mode != "off", [])
    well = exchange()
    capture(flow, well, Hand(**NEARLY_FULL)).keep(flow)
    assert well.refusal is None


def test_what_is_not_on_the_flow_counts_to_its_size(flow, exchange):
    hand = Hand()
    capture(flow, exchange(), hand).closed(flow, 0, 1000)
    assert hand.records[0].response.size == len(flow.response.raw_content) + 1000


def test_a_response_that_came_while_the_queue_was_nearly_full_still_goes_out(flow, exchange):
    judged = exchange()
    capture(flow, judged, Hand(**NEARLY_FULL)).response(flow)
    assert (judged.recorded, judged.refusal) == (True, None)


@pytest.mark.parametrize(("on_error", "refused"), [("refuse", True), ("continue", False)])
def test_a_response_whose_record_is_not_taken(on_error, refused, flow, exchange):
    judged = exchange()
    capture(flow, judged, Hand(takes=False), on_error=on_error).response(flow)
    assert not judged.recorded
    assert (judged.refusal is not None) is refused


def test_a_refusal_that_stands_is_not_replaced(flow, exchange):
    refusal = denied("rule-denies")
    judged = exchange(refusal=refusal)
    stage = capture(flow, judged, Hand(healthy=False, ready=False, takes=False))
    stage.requestheaders(flow)
    stage.response(flow)
    assert judged.refusal is refusal


# -- messages of WebSockets -------------------------------------------------------------------------------------------

SAID = Spoken("01J", "flow", 0, 1_800_000_000.0, True, "text", b"hello", 5)


@pytest.mark.parametrize(
    ("mode", "taken"), [("masked", [SAID]), ("sealed", [SAID]), ("metadata", [replace(SAID, full=False)]), ("off", [])]
)
def test_a_message_is_handed_over_as_far_as_it_is_to_be_kept(mode, taken, flow, exchange):
    hand, judged = Hand(), exchange()
    capture(flow, judged, hand, mode=mode).said(judged, SAID)
    assert (hand.records, judged.refusal) == (taken, None)


@pytest.mark.parametrize("trouble", [{"takes": False}, FAILING], ids=["full", "failing"])
@pytest.mark.parametrize(("on_error", "refused"), [("refuse", True), ("continue", False)])
def test_a_message_that_cannot_be_kept_ends_the_socket_unless_told_to_continue(
    trouble, on_error, refused, flow, exchange
):
    judged = exchange()
    capture(flow, judged, Hand(**trouble), on_error=on_error).said(judged, SAID)
    assert (judged.refusal is not None) is refused
    if judged.refusal:
        assert judged.refusal.reason == "capture-unavailable"


def test_a_websocket_is_recorded_as_one_with_how_it_ended(flow, exchange):
    hand = Hand()
    flow.websocket = WebSocketData(close_code=1000, closed_by_client=True)
    capture(flow, exchange(), hand).closed(flow, 5, 0)
    (record,) = hand.records
    assert (record.kind, record.connection.close) == ("websocket", Close(1000, True))


# -- connections and what rules read ----------------------------------------------------------------------------------


def test_who_was_at_the_ends_and_when_is_gathered(flow, exchange):
    hand = Hand()
    flow.client_conn.tls_version, flow.client_conn.alpn, flow.client_conn.sni = "TLSv1.3", b"h2", "api.internal"
    flow.server_conn.peername, flow.server_conn.via = ("10.0.0.8", 443), ("http", ("proxy", 3128))
    capture(flow, exchange(signals=frozenset({"freeze"})), hand).response(flow)
    (record,) = hand.records
    client, upstream, times, close = record.connection
    assert (record.kind, record.signals, close) == ("http", {"freeze"}, None)
    assert (client.address, client.port, client.tls, client.alpn, client.sni) == (
        *flow.client_conn.peername[:2],
        "TLSv1.3",
        b"h2",
        "api.internal",
    )
    assert (upstream.address, upstream.port, upstream.via) == ("10.0.0.8", 443, "http://proxy:3128")
    told = dict(zip(TIMES, times, strict=True))
    assert told["connected"] == flow.server_conn.timestamp_tcp_setup
    assert (told["request_start"], told["response_end"]) == (flow.request.timestamp_start, 1_800_000_000.5)


def test_of_an_upstream_that_was_never_reached_nothing_is_said(flow, exchange):
    hand = Hand()
    flow.server_conn.timestamp_tcp_setup = None
    capture(flow, exchange(), hand).response(flow)
    assert hand.records[0].connection.upstream is None


def test_a_flow_of_another_type_is_on_the_record_as_refused(exchange):
    hand, other = Hand(), tflow.ttcpflow()
    judged = exchange(request=None, principal=None, target=None, decision=None, masked=False)
    judged.refusal = malformed("not-http")
    Capture({}, hand, lambda: "masked", lambda: "refuse").refused(other, judged)
    (record,) = hand.records
    assert (record.kind, record.refusal.reason, record.line.host) == ("tcp", "not-http", "address")
    assert (record.request.body, record.response, judged.recorded) == (b"", None, True)


# -- originals --------------------------------------------------------------------------------------------------------


def masked(flow):
    """As masking leaves it."""
    flow.request.path, flow.request.content = "/[REDACTED]", b"[REDACTED]"
    flow.request.headers["x-note"] = "[REDACTED]"


@pytest.fixture
def upstream_said():
    return tutils.tresp(content=b"s3cr3t answer", headers=http.Headers(((b"x-note", b"s3cr3t"),)))


def test_an_original_is_what_travelled_before_masking(flow, exchange, upstream_said):
    hand, judged = Hand(), exchange(masked=False)
    stage = capture(flow, judged, hand, mode="sealed")
    flow.request.content = b"s3cr3t question"
    stage.request(flow)
    masked(flow)
    judged.withheld = upstream_said
    stage.before_masking(flow)
    upstream_said.content = b"[REDACTED]"
    judged.masked = True
    stage.response(flow)
    (record,) = hand.records
    original = record.original
    assert (original.line.target, original.request.body) == (b"/v1/customers/1?fields=name", b"s3cr3t question")
    assert (original.status, original.response.body) == (200, b"s3cr3t answer")
    assert original.response.headers == ((b"x-note", b"s3cr3t"),)
    assert (record.mode, record.request.body) == (Mode.MASKED, b"[REDACTED]")
    assert judged.original is None, "once it is handed over, nothing holds it any more"


def test_of_a_refused_request_there_is_an_original_without_an_answer(flow, exchange):
    hand, judged = Hand(), exchange(masked=False, refusal=denied("rule-denies"))
    stage = capture(flow, judged, hand, mode="sealed")
    stage.before_masking(flow)
    masked(flow)
    judged.masked = True
    stage.response(flow)
    original = hand.records[0].original
    assert (original.line.target, original.status, original.response) == (b"/v1/customers/1?fields=name", None, None)


def test_of_a_caller_whom_nobody_has_identified_there_is_none(flow, exchange):
    hand, judged = Hand(), exchange(masked=False, principal=None, refusal=unauthenticated("expired"))
    stage = capture(flow, judged, hand, mode="sealed")
    stage.before_masking(flow)
    judged.masked = True
    stage.response(flow)
    assert hand.records[0].original is None


def test_what_has_been_masked_is_never_taken_for_an_original(flow, exchange):
    hand, judged = Hand(), exchange(masked=True)
    stage = capture(flow, judged, hand, mode="sealed")
    stage.before_masking(flow)
    stage.response(flow)
    assert hand.records[0].original is None


def test_of_a_response_that_flows_the_original_has_the_head(flow, exchange, upstream_said):
    hand, judged = Hand(), exchange(masked=False)
    stage = capture(flow, judged, hand, mode="sealed")
    stage.request(flow)
    upstream_said.data.content, judged.withheld = None, upstream_said
    stage.keep(flow)
    judged.masked = True
    stage.closed(flow, 0, 10)
    response = hand.records[0].original.response
    assert (response.headers[0], response.body) == ((b"x-note", b"s3cr3t"), None)


@pytest.mark.parametrize("mode", ["masked", "metadata", "off"])
def test_where_none_is_to_be_kept_none_is_referred_to(mode, flow, exchange):
    hand, judged = Hand(), exchange()
    capture(flow, judged, hand, mode=mode).response(flow)
    assert judged.original is None
    assert all(record.original is None for record in hand.records)
