"""The addon records what stands on the scrubbed flow, and refuses where recording is a condition and impossible."""

import dataclasses

import pytest
from mitmproxy import flow as flows
from mitmproxy.test import tflow, tutils

from headgate.capture.addon import Capture
from headgate.capture.record import Mode
from headgate.capture.store import Store
from headgate.model import Request, denied

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
