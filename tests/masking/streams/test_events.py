"""Server-sent events: what is not masked passes as it was written, and what is, is found over events and deltas."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.masking.streams.chunks import EVENTS, PLANTED, TEXT, at_random, masked, one_by_one

from headgate.masking.detection.detector import Detector
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing
from headgate.masking.streams import open_stream

Event = dict[str, Any]

GRAMMAR = [
    "data: a\n\n",
    "\ufeffdata: a\n\n",
    "data:a\ndata\ndata:  b\n\n",
    ": comment\n\n:\n\n",
    "event: x\r\ndata: y\r\n\r\n",
    "event: x\rdata: y\r\r",
    "id: 7\nid\nretry: 3000\nunknown: z\nno colon\ndata: 1\n\n",
    "event: x\n: in between\ndata: y\n\n",
    'data: {"a": [1, 2,\ndata: 3]}\n\n',
    "\n\n\n",
    "data: not ended",
    "data: [DONE]\n\n",
    "data: \u2028\u0085x\n\n",
    "",
]


def _written(event: Event, name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(event)}\n\n"


def _events(out: bytes) -> list[Any]:
    """What a client reads of the data of events."""
    found = []
    for block in out.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines and lines != ["[DONE]"]:
            found.append(json.loads("\n".join(lines)))
    return found


def _openai(text: str) -> Event:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1714560000, "choices": [choice]}


def _anthropic(text: str) -> Event:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _gemini(text: str) -> Event:
    content = {"parts": [{"text": text}], "role": "model"}
    return {"candidates": [{"content": content, "index": 0}], "modelVersion": "m-1"}


def _responses(text: str) -> Event:
    return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}


def _generic(text: str) -> Event:
    return {"delta": text}


READ: dict[str, tuple[Callable[[str], Event], Callable[[Event], str], str]] = {
    "openai": (
        _openai,
        lambda event: str(event["choices"][0]["delta"].get("content", "")),
        _written({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ),
    "anthropic": (
        _anthropic,
        lambda event: str(event.get("delta", {}).get("text", "")),
        _written({"type": "content_block_stop", "index": 0}, "content_block_stop"),
    ),
    "gemini": (
        _gemini,
        lambda event: str(event["candidates"][0]["content"]["parts"][0]["text"]),
        _written({"candidates": [{"content": {"parts": [{"text": ""}]}, "index": 0, "finishReason": "STOP"}]}),
    ),
    "responses": (
        _responses,
        lambda event: str(event.get("delta", "")),
        _written({"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0}),
    ),
    "generic": (_generic, lambda event: str(event.get("delta", "")), "data: [DONE]\n\n"),
}


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("text", GRAMMAR)
def test_events_with_nothing_to_mask_pass_byte_by_byte(plan: Plan, detector: Detect, text: str) -> None:
    data = text.encode()
    assert masked(plan, EVENTS, detector, [data]) == data
    assert masked(plan, EVENTS, detector, one_by_one(data)) == data


def test_a_comment_goes_on_at_once(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    assert stream.feed(b": keep-alive\n") == b": keep-alive\n"
    assert stream.feed(b"\r") == b"\r"
    assert stream.feed(b": again\r") == b": again\r"
    assert stream.feed(b"\n") == b"\n"


def test_an_event_goes_on_with_the_line_that_ends_it(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    assert stream.feed(b'event: x\ndata: {"a": 1}\n') == b""
    assert stream.feed(b"\n") == b'event: x\ndata: {"a": 1}\n\n'


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("data: ana@example.com", "data: [EMAIL_ADDRESS]"),
        ('data:{"a": "ana@example.com"}', 'data: {"a": "[EMAIL_ADDRESS]"}'),
        ("event: ana@example.com", "event: [EMAIL_ADDRESS]"),
        ("id: ana@example.com", "id: [EMAIL_ADDRESS]"),
        (": ana@example.com", ": [EMAIL_ADDRESS]"),
        ("ana@example.com", "[EMAIL_ADDRESS]"),
        ("ana@example.com: x", "[EMAIL_ADDRESS]: x"),
        ('data: {"a":\ndata: "ana@example.com"}', 'data: {"a":\ndata: "[EMAIL_ADDRESS]"}'),
    ],
)
def test_every_line_of_an_event_is_masked(plan: Plan, detector: Detect, line: str, expected: str, end: str) -> None:
    data = (line if line.startswith("data") else f"{line}\ndata: x").replace("\n", end) + end * 2
    out = masked(plan, EVENTS, detector, [data.encode()]).decode()
    assert out.startswith(expected.replace("\n", end))
    assert "ana@example.com" not in out
    assert masked(plan, EVENTS, detector, one_by_one(data.encode())).decode() == out


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("value", PLANTED)
def test_a_value_in_deltas_is_found_at_every_split(plan: Plan, detector: Detect, kind: str, value: str) -> None:
    make, read, end = READ[kind]
    text = f"It is {value} and so on"
    expected = mask_text(text, plan, detector).text
    assert value not in expected
    for at in range(len(text) + 1):
        data = (_written(make(text[:at])) + _written(make(text[at:])) + end).encode()
        out = masked(plan, EVENTS, detector, [data])
        assert "".join(map(read, _events(out))) == expected
        assert value.encode() not in out


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_deltas_of_a_few_characters_read_as_the_whole_text_masked(
    plan: Plan, detector: Detect, kind: str, size: int
) -> None:
    make, read, end = READ[kind]
    text = (
        f'Write to {PLANTED[3]} or call {PLANTED[9]}, card {PLANTED[0]}.\nÄ \u20ac \U0001f600 "quoted\\" {PLANTED[-1]}'
    )
    data = ("".join(_written(make(piece)) for piece in _pieces(text, size)) + end).encode()
    whole = masked(plan, EVENTS, detector, [data])
    assert "".join(map(read, _events(whole))) == mask_text(text, plan, detector).text
    for seed in range(3):
        assert masked(plan, EVENTS, detector, at_random(data, seed)) == whole
    assert masked(plan, EVENTS, detector, one_by_one(data)) == whole


@pytest.mark.parametrize("kind", READ)
def test_the_rest_of_a_text_comes_before_what_ends_it(plan: Plan, detector: Detect, kind: str) -> None:
    make, read, end = READ[kind]
    stream, _ = open_stream(plan, EVENTS, detector)
    assert "".join(map(read, _events(stream.feed(_written(make("Hello there")).encode())))) == "Hello "
    out = stream.feed(end.encode())
    assert "".join(map(read, _events(out))) == "there"
    if kind != "gemini":
        assert out.endswith(end.encode())
    assert stream.end() == b""


def test_only_the_text_changes_in_an_event(plan: Plan, detector: Detect) -> None:
    spelled = '{"id" : "c",  "n":1.50, "choices":[{"index":0,"delta":{"content":"so \\u00e9t\\u00E9 "}}] }'
    data = f"id: 3\nevent: m\ndata: {spelled}\n\n".encode()
    assert masked(plan, EVENTS, detector, [data]) == data


def test_choices_are_told_apart(plan: Plan, detector: Detect) -> None:
    def made(index: int, text: str) -> str:
        return _written({"choices": [{"index": index, "delta": {"content": text}}]})

    data = made(0, "4111 1111 ") + made(1, "Hello you ") + made(0, "1111 1111 ok ") + made(1, "there ") + made(0, "x ")
    texts = {0: "", 1: ""}
    for event in _events(masked(plan, EVENTS, detector, [data.encode()])):
        choice = event["choices"][0]
        texts[choice["index"]] += choice["delta"]["content"]
    assert texts == {0: "[CREDIT_CARD] ok x ", 1: "Hello you there "}


def test_one_text_ends_while_another_goes_on(plan: Plan, detector: Detect) -> None:
    def made(index: int, text: str, reason: str | None = None) -> str:
        return _written({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]})

    stream, _ = open_stream(plan, EVENTS, detector)
    stream.feed((made(0, "4111 1111") + made(1, "good")).encode())
    out = _events(stream.feed(made(1, "bye", "stop").encode()))
    assert [choice["delta"]["content"] for event in out for choice in event["choices"]] == ["goodbye"]
    assert b"4111" not in stream.feed(made(0, " 1111 1111", "stop").encode())


def test_what_ends_is_told_by_its_index(plan: Plan, detector: Detect) -> None:
    def made(index: int, text: str) -> str:
        return _written({"type": "content_block_delta", "index": index, "delta": {"text": text}})

    stream, _ = open_stream(plan, EVENTS, detector)
    stream.feed((made(0, "go ") + made(0, "od") + made(1, "so ") + made(1, "4111 1111")).encode())
    out = _events(stream.feed(_written({"type": "content_block_stop", "index": 0}).encode()))
    assert [event.get("delta") for event in out] == [{"text": "od"}, None]
    assert b"1111" not in stream.feed(made(1, " 1111 1111 ok").encode())


@pytest.mark.parametrize("size", [1, 4, 9])
def test_arguments_of_a_tool_are_masked_by_their_names(plan: Plan, detector: Detect, size: int) -> None:
    arguments = '{"ssn": "536904399", "note": "[x] {y}", "to": "ana@example.com"}'
    call = lambda piece: {"type": "content_block_delta", "index": 1, "delta": {"partial_json": piece}}  # noqa: E731
    data = "".join(_written(call(piece)) for piece in _pieces(arguments, size))
    data += _written({"type": "content_block_stop", "index": 1})
    out = _events(masked(plan, EVENTS, detector, one_by_one(data.encode())))
    said = "".join(event["delta"]["partial_json"] for event in out if "delta" in event)
    assert json.loads(said) == {"ssn": "[US_SSN]", "note": "[x] {y}", "to": "[EMAIL_ADDRESS]"}


def test_fields_are_masked_in_events_and_in_arguments_that_come_in_pieces(detector: Detect) -> None:
    fields = Plan(paths=(("$..city", Operator.REDACT), ("$.choices[*].delta.name", Operator.NULL)))
    pieces = ['{"ci', 'ty": "Par', 'is"}']
    made = lambda piece: {"city": "Rome", "choices": [{"index": 0, "delta": {"name": "x", "args": piece}}]}  # noqa: E731
    data = "".join(_written(made(piece)) for piece in pieces)
    out = masked(fields, EVENTS, detector, [data.encode()])
    assert b"Rome" not in out
    assert b"Par" not in out
    assert [event["choices"][0]["delta"]["name"] for event in _events(out)] == [None] * 4


def test_pieces_that_a_field_mask_takes_are_not_looked_at_again(plan: Plan, detector: Detect) -> None:
    fields = Plan(paths=(("$..content", Operator.LAST4),), detect=plan.detect)
    data = _written(_openai("secret words")) + _written(_openai("more"))
    out = _events(masked(fields, EVENTS, detector, [data.encode()]))
    assert [event["choices"][0]["delta"]["content"] for event in out] == ["****** *ords", "****"]


def test_a_document_may_say_what_stands_for_its_pieces(plan: Plan, detector: Detect) -> None:
    event = _openai("headgatepiecez-0- and ")
    event["choices"][0]["delta"]["headgatepiecez"] = "headgatepiecezzz-1-"
    out = _events(masked(plan, EVENTS, detector, [_written(event).encode()]))
    assert out[0]["choices"][0]["delta"]["content"] == "headgatepiecez-0- and "
    assert "".join(each["choices"][0]["delta"]["headgatepiecez"] for each in out) == "headgatepiecezzz-1-"


def test_what_follows_on_a_text_that_has_ended_is_looked_at_with_it(plan: Plan, detector: Detect) -> None:
    data = _written(_openai("mail ana.lopez@exam")) + "data: [DONE]\n\n" + _written(_openai("ple.com now "))
    out = _events(masked(plan, EVENTS, detector, [data.encode()]))
    said = [event["choices"][0]["delta"]["content"] for event in out]
    assert said == ["mail ", "ana.lopez@exam", "[EMAIL_ADDRESS] now "]


def test_records_are_not_taken_for_pieces(plan: Plan, detector: Detect) -> None:
    records: list[Event] = [
        {"message": "Deploy 4111 finished"},
        {"message": "1111 files, took 42"},
        {"price": "43250.12", "at": "10:00"},
        {"price": "43251.10", "at": "10:01"},
        {"id": "40001234"},
        {"id": "40001235"},
        {"title": "Call home", "done": False},
        {"title": "Buy milk", "done": False},
        {"choices": ["Yes", "No"]},
        {"choices": ["Yes", "No"]},
    ]
    data = "".join(map(_written, records)).encode()
    assert masked(plan, EVENTS, detector, [data]) == data


@pytest.mark.parametrize("make", [lambda text: _written({"text": text}), lambda text: f"data: {text}\n\n"])
def test_the_rest_of_a_value_that_goes_over_records_is_masked(
    plan: Plan, detector: Detect, make: Callable[[str], str]
) -> None:
    data = make("my mail is ana.lopez@exam") + make("ple.com thanks")
    out = masked(plan, EVENTS, detector, [data.encode()]).decode()
    assert "ple.com" not in out
    assert "[EMAIL_ADDRESS] thanks" in out


@pytest.mark.parametrize("make", [lambda text: _written({"text": text}), lambda text: f"data: {text}\n\n"])
def test_records_that_show_to_be_words_of_a_text_are_held_back(
    plan: Plan, detector: Detect, make: Callable[[str], str]
) -> None:
    data = "".join(map(make, ["Here", " you", " are:", " 4111", " 1111", " 1111", " 1111", " ok", " then"]))
    whole = masked(plan, EVENTS, detector, [data.encode()])
    assert b"1111" not in whole
    assert b"then" in whole
    assert masked(plan, EVENTS, detector, one_by_one(data.encode())) == whole


def test_pieces_may_be_counted_by_their_index(plan: Plan, detector: Detect) -> None:
    pieces = ["my", " mail", " is", " ana", "@exa", "mple", ".com", " ok"]
    made = [{"index": at, "token": {"id": at, "text": piece}} for at, piece in enumerate(pieces)]
    out = masked(plan, EVENTS, detector, ["".join(map(_written, made)).encode()])
    assert "".join(event["token"]["text"] for event in _events(out)) == "my mail is [EMAIL_ADDRESS] ok"


@pytest.mark.parametrize("data", ["x" * 3000, "data: " + "x" * 3000, "data: x\n" * 700, ":" + "x" * 3000])
def test_an_event_without_end_is_withheld(plan: Plan, detector: Detect, data: str) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    with pytest.raises(CannotMask, match="record-too-long"):
        assert {stream.feed(data.encode()) for _ in range(400)} == {b""}


def test_a_text_without_end_in_deltas_is_withheld(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    with pytest.raises(CannotMask, match="candidate-too-long"):
        assert not any(b"9" in stream.feed(_written(_generic("9" * 100)).encode()) for _ in range(400))


def test_too_many_texts_at_once_are_withheld(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    data = "".join(_written({"delta": {f"member{at}": "held"}}) for at in range(2000))
    with pytest.raises(CannotMask, match="too-many-texts"):
        stream.feed(data.encode())


def test_fields_cannot_be_looked_for_in_text() -> None:
    plan = Plan(paths=(("$.a.b", Operator.REDACT),))
    nothing: Detect = lambda leaves: [()] * len(leaves)  # noqa: E731
    assert masked(plan, EVENTS, nothing, [b"data: [DONE]\n\n"]) == b"data: [DONE]\n\n"
    with pytest.raises(CannotMask, match="fields-in-text"):
        masked(plan, EVENTS, nothing, [b"data: ana\n\n"])
    passing = Plan(paths=plan.paths, pass_types=frozenset({"text/event-stream"}))
    assert masked(passing, EVENTS, nothing, [b"data: ana\n\n"]) == b"data: ana\n\n"


def test_a_document_that_cannot_be_masked_ends_the_stream(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, EVENTS, detector)
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        stream.feed(b"data: " + b"[" * 500 + b"]" * 500 + b"\n\n")
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        stream.feed(b"data: x\n\n")


def test_tokens_join_over_events() -> None:
    plan = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.TOKEN),), key=b"k" * 32)
    detect = Detector(plan)
    out = _events(
        masked(plan, EVENTS, detect, [(_written(_openai("ana@ex")) + _written(_openai("ample.com "))).encode()])
    )
    said = "".join(event["choices"][0]["delta"]["content"] for event in out)
    assert said == mask_text("ana@example.com ", plan, detect).text


ANYWHERE = Plan(paths=(("$..ssn", Operator.REDACT),))


@pytest.mark.parametrize("data", ["ssn: 536904399", "<ssn>536904399</ssn>", '{"ssn": 536904399'])
def test_nor_can_those_of_a_name_alone(data: str) -> None:
    sent = f"data: {data}\n\n".encode()
    with pytest.raises(CannotMask, match="fields-in-text"):
        masked(ANYWHERE, EVENTS, detect_nothing, [sent])
    with pytest.raises(CannotMask, match="fields-in-text"):
        masked(ANYWHERE, TEXT, detect_nothing, [data.encode()])
    passing = replace(ANYWHERE, pass_types=frozenset({"text/event-stream"}))
    assert masked(passing, EVENTS, detect_nothing, [sent]) == sent


@pytest.mark.parametrize("sent", [b"data: [DONE]\n\n", b"data\n\n", b"data:\n\n", b": here\n\n", b"event: ping\n\n"])
def test_what_has_no_data_has_no_fields(sent: bytes) -> None:
    assert masked(ANYWHERE, EVENTS, detect_nothing, [sent]) == sent


def test_sound_in_base64_passes_and_keeps_no_text_waiting(plan: Plan, detector: Detect) -> None:
    sound = {"type": "response.audio.delta", "delta": "b64/" * 2000}
    text = {"type": "response.text.delta", "delta": "hello there", "item_id": "7"}
    data = [_written(event).encode() for event in (sound, text, sound, sound)]
    stream, _ = open_stream(plan, EVENTS, detector)
    assert [stream.feed(each) for each in data] == [data[0], data[1].replace(b" there", b" "), data[2], data[3]]
    assert b'"there"' in stream.end()


def test_base64_in_a_document_that_comes_in_pieces_is_a_piece_of_it() -> None:
    pieces = ['{"image": "', "b64/" * 200, '", "ssn": "536904399"}']
    data = "".join(_written({"type": "x", "delta": piece}) for piece in pieces).encode()
    out = _events(masked(ANYWHERE, EVENTS, detect_nothing, [data]))
    said = json.loads("".join(event["delta"] for event in out))
    assert said == {"image": "b64/" * 200, "ssn": "[REDACTED]"}


def test_what_all_texts_keep_together_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.masking.streams.deltas.HELD", 10_000)
    stream, _ = open_stream(ANYWHERE, EVENTS, detect_nothing)
    for _ in range(40):  # a text that goes on keeps little, however long it is
        stream.feed(_written({"delta": "words " * 100}).encode())
    begun = [_written({"item_id": str(at), "delta": '{"a": "' + "x " * 100}) for at in range(100)]
    with pytest.raises(CannotMask, match="too-much-held-back"):
        stream.feed("".join(begun).encode())
