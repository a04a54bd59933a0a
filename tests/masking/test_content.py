"""What becomes of a body: cases/masking.yaml and cases/masking-formats.yaml, with the real detector."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.masking.content import mask_body, media_type, readable
from headgate.masking.detection.detector import Detector
from headgate.masking.plan import CannotMask, Plan, detect_nothing

TABLES = ("masking.yaml", "masking-formats.yaml")
CASES = [case for name in TABLES for case in yaml.safe_load((Path(__file__).parents[1] / "cases" / name).read_text())]


def _body(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        before, times, after = [*case["repeat"], "", ""][:3]
        return f"{before * times}{after * times}".encode()
    return _written(case, case["body"])


def _written(case: dict[str, Any], text: str) -> bytes:
    return (text.replace("\n", "\r\n") if case.get("crlf") else text).encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_a_body_is_masked_as_the_table_says(case: dict[str, Any], plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(**case["mask"])
    headers = ((b"Content-Type", case["type"].encode()),) if case["type"] else ()
    body = _body(case)
    if reason := case.get("withheld"):
        with pytest.raises(CannotMask, match=f"^{reason}$"):
            mask_body(plan, headers, body, Detector(plan))
        return
    masked = mask_body(plan, headers, body, Detector(plan))
    if case.get("unchanged"):
        assert masked.body is None
        assert not masked.counts
    else:
        expected = bytes.fromhex(case["expect_hex"]) if "expect_hex" in case else _written(case, case["expect"])
        assert masked.body == expected


def test_each_mask_is_counted_where_it_was_applied(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(fields=["$..ssn"], detect=["EMAIL_ADDRESS"])
    body = b'{"a/b": [{"to": "ana@example.com ben@example.com"}, {"to": "eve@example.com"}], "ssn": 1}'
    masked = mask_body(plan, ((b"content-type", b"application/json"),), body, Detector(plan))
    assert dict(masked.counts) == {("/a~1b/*/to", "EMAIL_ADDRESS", "redact"): 3, ("/ssn", "field", "redact"): 1}
    assert [(f.location, f.start, f.end) for f in masked.findings] == [
        ("/a~1b/0/to", 0, 15),
        ("/a~1b/0/to", 16, 31),
        ("/a~1b/1/to", 0, 15),
    ]


def test_findings_in_text_count_from_its_beginning(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    text = b"one\nto ana@example.com"
    masked = mask_body(plan, ((b"content-type", b"text/plain"),), text, Detector(plan))
    assert [(f.location, text[f.start : f.end]) for f in masked.findings] == [("text", b"ana@example.com")]


def test_two_content_types_are_one_too_many(plan_of: Callable[..., Plan]) -> None:
    headers = ((b"Content-Type", b"text/plain"), (b"content-type", b"text/plain"))
    with pytest.raises(CannotMask, match="content-type-repeated"):
        mask_body(plan_of(fields=["$.a"]), headers, b"{}", detect_nothing)


def test_a_plan_without_body_fields_does_not_read_the_body(plan_of: Callable[..., Plan]) -> None:
    assert mask_body(plan_of(fields=["header:X-A"]), (), b"\xff", detect_nothing).body is None


def test_types_with_an_escape_grammar_of_their_own_are_not_read_as_text() -> None:
    for name in (
        "text/css",
        "text/event-stream",
        "text/javascript",
        "text/rtf",
        "message/rfc822",
        "multipart/byteranges",
    ):
        assert not readable(name)


def test_a_media_type_is_read_in_any_case() -> None:
    assert media_type('Text/Plain;Charset="UTF-8"')[:2] == ("text/plain", "utf-8")


def test_parameters_reach_the_format_as_they_were_written() -> None:
    kind = media_type('multipart/Mixed; Boundary="a\\B c"; HEADER=Absent')
    assert (kind.name, kind.boundary, kind.header) == ("multipart/mixed", "aB c", "absent")


def test_a_parameter_that_is_given_twice_is_not_read() -> None:
    for name in ("boundary", "charset", "header"):
        with pytest.raises(CannotMask, match="content-type-unreadable"):
            media_type(f"text/csv; {name}=a; {name.upper()}=b")


def test_a_parameter_in_the_long_form_that_few_read_is_not_read() -> None:
    with pytest.raises(CannotMask, match="content-type-unreadable"):
        media_type("multipart/mixed; boundary=a; boundary*=utf-8''b")
