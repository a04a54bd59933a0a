"""Lines of JSON and sequences of documents flow line by line, document by document."""

import json
from typing import Any

import pytest
from tests.masking.streams.chunks import LINES, PLANTED, at_random, masked, one_by_one, typed

from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.streams import open_stream

SEQUENCE = typed("application/json-seq")

MODEL = {"model": "m", "created_at": "2024-05-01T10:00:00Z", "done": False}


def _lines(*documents: Any) -> bytes:
    return "".join(f"{json.dumps(document)}\n" for document in documents).encode()


@pytest.mark.parametrize(
    "text",
    ['{"a" :1}\n', '{"a":1}', '\n \n{"a":[1,\t2]}\r\n\n"x"\n', "12\nnull\n", '\x1e{"a":1}\n\x1e{"b":\n2}\n', ""],
)
def test_documents_with_nothing_to_mask_pass_byte_by_byte(plan: Plan, detector: Detect, text: str) -> None:
    headers = SEQUENCE if "\x1e" in text else LINES
    for chunks in ([text.encode()], one_by_one(text.encode())):
        assert masked(plan, headers, detector, chunks) == text.encode()


def test_a_line_goes_on_when_it_ends(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, LINES, detector)
    assert stream.feed(b'{"a": "ana@example.com"}') == b""
    assert stream.feed(b'\n{"b":') == b'{"a": "[EMAIL_ADDRESS]"}\n'
    assert stream.feed(b"2}") == b""
    assert stream.end() == b'{"b":2}'


@pytest.mark.parametrize("document", ['{"a": "ana@example.com"}\n', '{"a":\n "ana@example.com"}\n'])
def test_a_document_of_a_sequence_goes_on_when_it_ends(plan: Plan, detector: Detect, document: str) -> None:
    stream, _ = open_stream(plan, SEQUENCE, detector)
    assert stream.feed(f"\x1e{document}".encode()).decode() == "\x1e" + document.replace(
        "ana@example.com", "[EMAIL_ADDRESS]"
    )


def test_a_document_of_a_sequence_may_have_any_number_of_lines(plan: Plan, detector: Detect) -> None:
    document = json.dumps({"a": ["ana@example.com"] * 50, "b": {}}, indent=1)
    data = f"\x1e{document}\n\x1e{document}\n".encode()
    out = masked(plan, SEQUENCE, detector, one_by_one(data))
    assert out == data.replace(b"ana@example.com", b"[EMAIL_ADDRESS]")


@pytest.mark.parametrize("value", PLANTED)
def test_a_value_in_answers_of_a_model_is_found_at_every_split(plan: Plan, detector: Detect, value: str) -> None:
    text = f"It is {value} and so on"
    for at in range(len(text) + 1):
        pieces = [{**MODEL, "response": text[:at]}, {**MODEL, "response": text[at:]}, {**MODEL, "done": True}]
        out = masked(plan, LINES, detector, [_lines(*pieces)])
        assert value.encode() not in out
        said = "".join(json.loads(line).get("response", "") for line in out.splitlines())
        assert value not in said
        assert said.startswith("It is [")
        assert said.endswith(" and so on")


def test_the_rest_of_a_text_is_a_line_of_its_own(plan: Plan, detector: Detect) -> None:
    data = _lines({**MODEL, "response": "Hello there"}, {**MODEL, "done": True})
    out = [json.loads(line) for line in masked(plan, LINES, detector, at_random(data, 3)).splitlines()]
    assert out == [{**MODEL, "response": "Hello "}, {**MODEL, "response": "there"}, {**MODEL, "done": True}]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_rest_is_written_where_nothing_ends_a_text(plan: Plan, detector: Detect, end: bytes) -> None:
    data = _lines({"delta": "Hello there"}).removesuffix(b"\n") + end
    out = masked(plan, LINES, detector, [data])
    assert [json.loads(line) for line in out.splitlines()] == [{"delta": "Hello "}, {"delta": "there"}]


@pytest.mark.parametrize("headers", [LINES, SEQUENCE])
@pytest.mark.parametrize("data", [b"ana\n\x1e", b'{"a":\n\x1e', b'{"a":1}{"b":2}\n\x1e'])
def test_what_is_no_document_ends_the_stream(plan: Plan, detector: Detect, headers: Any, data: bytes) -> None:
    with pytest.raises(CannotMask, match="invalid-json"):
        masked(plan, headers, detector, [data])


@pytest.mark.parametrize("headers", [LINES, SEQUENCE])
def test_a_document_without_end_is_withheld(plan: Plan, detector: Detect, headers: Any) -> None:
    stream, _ = open_stream(plan, headers, detector)
    with pytest.raises(CannotMask, match="record-too-long"):
        assert {stream.feed(b"[" * 3000) for _ in range(400)} == {b""}
