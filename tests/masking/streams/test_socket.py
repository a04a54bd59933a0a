"""Messages of a WebSocket: each goes on by itself, and values are found over several."""

import json
from dataclasses import replace

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
    plan = Plan(paths=(("$..b", Operator.REDACT),))
    assert open_socket(plan, detect_nothing).feed(b'{"a": {"b": "x"}}') == b'{"a": {"b": "[REDACTED]"}}'
    with pytest.raises(CannotMask, match="fields-in-text"):
        open_socket(plan, detect_nothing).feed(b"hello")


def test_what_needs_a_language_model_is_refused() -> None:
    with pytest.raises(CannotMask, match="language-model-on-stream"):
        open_socket(Plan(detect=(Wanted("PERSON", Operator.REDACT),)), detect_nothing)


def test_the_mark_that_ends_a_stream_of_events_ends_texts_here_too(plan: Plan, detector: Detect) -> None:
    socket = open_socket(replace(plan, paths=(("$..ssn", Operator.REDACT),)), detector)
    assert socket.messages(_delta("hello there")) == [_delta("hello ")]
    assert socket.messages(b"[DONE]") == [_delta("there"), b"[DONE]"]


def test_after_a_pause_words_go_on_and_what_is_no_whole_document_does_not(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    assert socket.messages(_delta("hello there")) == [_delta("hello ")]
    arguments = b'{"type": "response.arguments.delta", "item_id": "7", "arguments": {"delta": "%s"}}'
    assert socket.messages(arguments % b'{\\"to\\": ') == [arguments % b""]
    assert socket.pause() == [_delta("there")]
    assert (socket.pause(), socket.waits) == ([], True)
    assert socket.messages(_delta(", and you")) == [_delta(", and ")]
    socket.messages(arguments % b"1}")
    assert (socket.pause(), socket.waits) == ([_delta("you"), arguments % b'{\\"to\\": 1}'], False)


def test_of_what_is_split_by_a_pause_the_rest_is_masked(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    socket.messages(_delta("pay 4111 1111 "))
    assert socket.pause() == [_delta("4111 1111 ")]
    out = [*socket.messages(_delta("1111 1111 now")), *socket.end()]
    assert "".join(json.loads(message)["delta"] for message in out) == "[CREDIT_CARD] now"


WORDS = "word " * 2000


def test_a_long_text_is_for_somebody_else_but_for_what_crosses_its_seams(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    assert socket.messages(b"it is 4111 1111") == [b"it is 4111 1111"]
    aside = socket.aside(f"1111 1111 {WORDS} or 5555 5555".encode())
    assert aside == ([], b"[CREDIT_CARD]", f" {WORDS} or 5555 5555".encode())
    assert socket.messages(b" 5555 4444.") == [b"[CREDIT_CARD]."]


def test_a_long_piece_of_a_text_is_for_nobody_else(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    assert socket.aside(_delta(WORDS)) is None
    for message in (b"hello ", b"my ", b"dear "):
        socket.messages(message)
    assert socket.aside(WORDS.encode()) is None


@pytest.mark.parametrize("numbers", [10, 3000])
def test_a_long_document_goes_by_texts_that_it_does_not_end(plan: Plan, detector: Detect, numbers: int) -> None:
    socket = open_socket(plan, detector)
    socket.messages(_delta("hello there"))
    record = json.dumps({"text": WORDS, "to": "x", "numbers": [0] * numbers}).encode()
    assert socket.aside(record) == ([], b"", record)
    assert socket.messages(_delta(" you ")) == [_delta("there you ")]


def test_and_ends_those_that_it_ends(plan: Plan, detector: Detect) -> None:
    socket = open_socket(plan, detector)
    socket.messages(_delta("hello there"))
    ending = json.dumps({"type": "response.done", "text": WORDS, "to": "x"}).encode()
    assert socket.aside(ending) == ([_delta("there")], b"", ending)


def test_nobody_looks_into_a_document_that_is_longer_still(plan: Plan, detector: Detect) -> None:
    record = json.dumps({"delta": WORDS * 10}).encode()
    assert open_socket(plan, detector).aside(record) == ([], b"", record)


def test_a_long_text_has_no_fields_either() -> None:
    socket = open_socket(Plan(paths=(("$..ssn", Operator.REDACT),)), detect_nothing)
    with pytest.raises(CannotMask, match="fields-in-text"):
        socket.aside(WORDS.encode())
    for call in (socket.end, socket.pause):
        with pytest.raises(CannotMask, match="fields-in-text"):
            call()
