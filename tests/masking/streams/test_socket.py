"""Messages of a WebSocket: each goes on by itself, and values are found over several."""

import json

import pytest
from tests.masking.streams.chunks import PLANTED

from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing
from headgate.masking.streams import open_socket


def _delta(text: str) -> bytes:
    return json.dumps({"type": "response.text.delta", "delta": text}).encode()


@pytest.mark.parametrize("message", [b"", b" ", b"hello 42", b"42", b"null", b'{"a" :1.50}', b'"x"', "\u00e9".encode()])
def test_a_message_with_nothing_to_mask_passes_byte_by_byte(plan: Plan, detector: Detect, message: bytes) -> None:
    assert open_socket(plan, detector).feed(message) == message
    assert open_socket(plan, detector).messages(message) == [message]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"ana@example.com", b"[EMAIL_ADDRESS]"),
        (b'{"ssn": "536904399"}', b'{"ssn": "[US_SSN]"}'),
        (b'"ana@example.com"', b'"[EMAIL_ADDRESS]"'),
        (b"4111111111111111", b"[CREDIT_CARD]"),
    ],
)
def test_a_message_is_masked(plan: Plan, detector: Detect, message: bytes, expected: bytes) -> None:
    socket = open_socket(plan, detector)
    assert socket.feed(message) == expected
    assert sum(socket.counts.values()) == 1


@pytest.mark.parametrize("value", PLANTED)
def test_no_value_goes_on_whole_over_two_messages(plan: Plan, detector: Detect, value: str) -> None:
    for at in range(1, len(value)):
        for make in (_delta, str.encode):
            socket = open_socket(plan, detector)
            first, second = make(f"it is {value[:at]}"), make(f"{value[at:]} and")
            said = socket.feed(first) + socket.feed(second)
            if make is _delta:
                assert value[at:].encode() not in said.partition(b"}")[2]
            assert value.encode() not in said


@pytest.mark.parametrize("value", PLANTED)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_with_more_messages_nothing_of_a_value_goes_on(plan: Plan, detector: Detect, value: str, size: int) -> None:
    socket, text = open_socket(plan, detector), f"it is {value} and more"
    out = [message for at in range(0, len(text), size) for message in socket.messages(_delta(text[at : at + size]))]
    out += socket.messages(b'{"type": "response.text.done"}')
    assert out[-1] == b'{"type": "response.text.done"}'
    said = "".join(json.loads(message).get("delta", "") for message in out)
    assert said.startswith("it is [")
    assert said.endswith("] and more")
    assert socket.end() == []


def test_what_is_held_back_can_be_had_at_the_end(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    assert socket.messages(_delta("hello there")) == [_delta("hello ")]
    assert socket.end() == [_delta("there")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [(b"\xff", "charset-wrong"), (b"a\0", "not-text"), (b"x" * (1 << 21), "record-too-long")],
)
def test_a_message_that_cannot_be_masked_ends_the_socket(
    plan: Plan, detector: Detect, message: bytes, reason: str
) -> None:
    socket = open_socket(plan, detector)
    for sent in (message, b"hello"):
        with pytest.raises(CannotMask, match=reason):
            socket.feed(sent)


def test_fields_cannot_be_looked_for_in_a_text() -> None:
    plan = Plan(paths=(("$.a.b", Operator.REDACT),))
    assert open_socket(plan, detect_nothing).feed(b'{"a": {"b": "x"}}') == b'{"a": {"b": "[REDACTED]"}}'
    with pytest.raises(CannotMask, match="fields-in-text"):
        open_socket(plan, detect_nothing).feed(b"hello")


def test_what_needs_a_language_model_is_refused() -> None:
    with pytest.raises(CannotMask, match="language-model-on-stream"):
        open_socket(Plan(detect=(Wanted("PERSON", Operator.REDACT),)), detect_nothing)
