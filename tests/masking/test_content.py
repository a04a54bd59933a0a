"""What becomes of a body: cases/masking.yaml, with the real detector."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.masking.content import mask_body, media_type, readable
from headgate.masking.detect import Detector
from headgate.masking.plan import CannotMask, Plan, detect_nothing

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "masking.yaml").read_text())


def _body(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        before, times, after = [*case["repeat"], "", ""][:3]
        return f"{before * times}{after * times}".encode()
    return str(case["body"]).encode()


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
        expected = bytes.fromhex(case["expect_hex"]) if "expect_hex" in case else case["expect"].encode()
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


def test_types_with_an_escape_grammar_are_not_read_as_text() -> None:
    for name in ("text/html", "text/xml", "application/xml", "text/event-stream", "text/calendar", "text/javascript"):
        assert not readable(name)


def test_a_media_type_is_read_in_any_case() -> None:
    assert media_type('Text/Plain;Charset="UTF-8"') == ("text/plain", "utf-8")
