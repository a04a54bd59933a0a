"""What masks a response that flows, for its caller and for recorders; the streams themselves have their own tests."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from headgate.masking.detection.budget import Budget
from headgate.masking.due import NOTHING, Due
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted
from headgate.masking.record import LARGEST
from headgate.masking.response import Received
from headgate.masking.streaming import StreamMask, flows, waits
from headgate.model import MaskCount

EVENTS = (b"content-type", b"text/event-stream")
LINES = (b"content-type", b"application/x-ndjson")
SSN = Plan(paths=(("$..ssn", Operator.REDACT),))
NAMED = Plan(headers=(("x-name", Operator.REDACT),))
DETECTING = Plan(detect=(Wanted("NAME", Operator.REDACT),))
SECRET, MASKED = b'data: {"ssn": "mary", "n": 1}\n\n', b'data: {"ssn": "[REDACTED]", "n": 1}\n\n'


def received(*headers: tuple[bytes, bytes], method: str = "GET", status: int = 200) -> Received:
    return Received(method, status, headers or (EVENTS,), b"")


class Detectors:
    """Makes detectors that find `mary`, each with a budget of its own; `made` counts them."""

    def __init__(self, units: int = 1000) -> None:
        self.units, self.made = units, 0

    def __call__(self, plan: Plan) -> Detect:
        assert plan == DETECTING
        self.made += 1
        budget = Budget(self.units)

        def detect(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
            budget.spend(sum(len(leaf.text) for leaf in leaves))
            return [[Span("NAME", at, at + 4, 1.0)] if (at := leaf.text.find("mary")) >= 0 else [] for leaf in leaves]

        return detect


def opened(due: Due, *headers: tuple[bytes, bytes], detectors: Detectors | None = None) -> StreamMask:
    return StreamMask(due, received(*headers), detectors or Detectors())


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (received(), True),
        (received(LINES), True),
        (received(status=500), True),
        (received(method="HEAD"), False),
        (received(status=101), False),
        (received(status=204), False),
        (received(status=205), False),
        (received(status=304), False),
        (received((b"content-type", b"application/json")), False),
        (received((b"x", b"y")), False),
    ],
)
def test_what_has_a_body_of_such_a_type_flows(head: Received, expected: bool) -> None:
    assert flows(head) == expected


@pytest.mark.parametrize("held_back", [replace(SSN, streams=False), Plan(detect=(Wanted("PERSON", Operator.NULL),))])
def test_lines_that_may_not_flow_are_masked_as_a_whole_and_events_are_not(held_back: Plan) -> None:
    due = Due(held_back, held_back)
    assert waits(due, received(LINES))
    assert not waits(due, received(EVENTS))
    assert not waits(Due(None, held_back), received(LINES)), "its caller is excepted"
    with pytest.raises(CannotMask):
        opened(due)


def test_a_text_that_may_hold_fields_is_masked_as_a_whole() -> None:
    text = received((b"content-type", b"text/plain"))
    assert waits(Due(SSN, SSN), text)
    assert not waits(Due(DETECTING, DETECTING), text)
    passing = replace(SSN, pass_types=frozenset({"text/plain"}))
    assert not waits(Due(passing, passing), text)


def test_one_stream_masks_for_both_where_the_same_is_due() -> None:
    mask = opened(Due(SSN, SSN), EVENTS, (b"content-length", b"99"), (b"etag", b"x"), (b"set-cookie", b"a=mary"))
    assert mask.headers == (EVENTS, (b"set-cookie", b"a=mary"), (b"Cache-Control", b"private, no-store"))
    assert mask.feed(SECRET[:12]) == b""
    assert mask.feed(SECRET[12:]) + mask.end() == MASKED
    assert mask.masks == (MaskCount("/ssn", "field", "redact", 1),)
    headers, text, missing = mask.shown()
    assert (dict(headers)[b"set-cookie"], text, missing) == (b"a=[redacted]", MASKED, 0)


def test_headers_are_masked_where_the_body_is_not() -> None:
    length = (b"content-length", b"2")
    mask = opened(Due(NAMED, NAMED), EVENTS, (b"x-name", b"mary"), length)
    assert mask.headers[:3] == (EVENTS, (b"x-name", b"[REDACTED]"), length)
    assert mask.feed(b"mary") == b"mary"
    assert mask.masks == (MaskCount("header:x-name", "field", "redact", 1),)


def test_nothing_due_changes_nothing_but_what_is_shown() -> None:
    mask = opened(NOTHING)
    assert mask.headers == (EVENTS,)
    assert mask.feed(b'data: {"token": "mary"}\n\n') == b'data: {"token": "mary"}\n\n'
    assert mask.shown()[1] == b'data: {"token": "[redacted]"}\n\n'


def test_what_may_vary_by_caller_is_not_cached() -> None:
    assert opened(Due(varies=True)).headers[-1] == (b"Cache-Control", b"private, no-store")


def test_an_excepted_callers_record_is_masked_by_a_stream_of_its_own() -> None:
    mask = opened(Due(None, SSN, varies=True), EVENTS, (b"etag", b"x"))
    assert mask.feed(SECRET) + mask.end() == SECRET
    assert mask.masks == ()
    headers, text, missing = mask.shown()
    assert (text, missing, dict(headers).get(b"etag")) == (MASKED, 0, None)
    assert b"etag" in dict(mask.headers)


def test_a_record_that_fails_is_without_text_and_does_not_end_the_stream() -> None:
    mask = opened(Due(None, SSN))
    bad = b"data: mary \xff\n\n"
    for data in (SECRET, bad, SECRET):
        assert mask.feed(data) == data
    assert mask.end() == b""
    _, text, missing = mask.shown()
    assert (text, missing > 0) == (b"", True)


def test_a_record_that_cannot_begin_has_neither_headers_nor_text() -> None:
    model = Plan(detect=(Wanted("PERSON", Operator.NULL),))
    mask = opened(Due(None, model), EVENTS, (b"x-name", b"mary"))
    assert mask.feed(SECRET) == SECRET
    assert mask.shown() == ((), b"", len(SECRET))
    assert mask.head == ()


def test_the_callers_failing_ends_the_stream() -> None:
    mask = opened(Due(SSN, SSN))
    with pytest.raises(CannotMask, match="charset-wrong"):
        mask.feed(b"data: mary \xff\n\n")
    with pytest.raises(CannotMask):
        mask.feed(SECRET)


def test_a_part_of_a_response_is_not_masked() -> None:
    with pytest.raises(CannotMask, match="partial-response"):
        StreamMask(Due(SSN, SSN), received(status=206), Detectors())
    assert StreamMask(NOTHING, received(status=206), Detectors()).feed(b"x") == b"x"


def test_each_chunk_has_a_budget_of_its_own() -> None:
    detectors = Detectors(units=100)
    mask = opened(Due(DETECTING, DETECTING), detectors=detectors)
    for _ in range(10):
        assert b"[NAME]" in mask.feed(b"data: it is mary " + b"." * 40 + b"\n\n")
    assert detectors.made >= 10
    with pytest.raises(CannotMask, match="detection-too-slow"):
        mask.feed(b"data: it is mary " + b"." * 400 + b"\n\n")


def test_no_more_of_it_is_kept_than_a_record_has() -> None:
    mask = opened(NOTHING)
    for _ in range(40):
        mask.feed(b"x" * 64 * 1024)
    _, text, missing = mask.shown()
    assert (len(text), missing) == (LARGEST, 40 * 64 * 1024 - LARGEST)


def test_it_knows_whether_the_same_is_still_due() -> None:
    mask = opened(Due(SSN, SSN))
    assert mask.applies(Due(Plan(paths=SSN.paths), SSN, request=SSN, varies=True))
    assert not mask.applies(Due(None, SSN))
    assert not mask.applies(Due(SSN, DETECTING))
