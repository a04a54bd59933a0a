"""Values dressed up for a reader other than the detector, and rules that must not be evaded by another spelling."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.masking.content import mask_body
from headgate.masking.detection.detector import Detector
from headgate.masking.disguise import visible
from headgate.masking.plan import CannotMask, Plan
from headgate.masking.requesttarget import mask_target
from headgate.masking.rules import MaskingFile, compile_masking
from headgate.masking.streams.opening import open_stream
from headgate.masking.tokens import token

ENTITIES = ["CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN"]

SET = [
    ("4111\u00a01111\u00a01111\u00a01111", "CREDIT_CARD"),
    ("4111\u20111111\u20111111\u20111111", "CREDIT_CARD"),
    ("\uff14" + "\uff11" * 15, "CREDIT_CARD"),
    ("DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00", "IBAN_CODE"),
    ("536\u201190\u20114399", "US_SSN"),
    ("ana\uff20example\uff0ecom", "EMAIL_ADDRESS"),
    ("ana@exam\U000e0001ple.com", "EMAIL_ADDRESS"),
]
"""Values as they are set: what a person reads is what the detector has to read."""

REFERRED = [
    ("ana&#64;example.com", "EMAIL_ADDRESS"),
    ("&#97;&#110;&#x61;&#64;example.com", "EMAIL_ADDRESS"),
    ("ana&commat;example&period;com", "EMAIL_ADDRESS"),
    ("ana\\@example.com", "EMAIL_ADDRESS"),
    ("4111&nbsp;1111&nbsp;1111&nbsp;1111", "CREDIT_CARD"),
]
"""Values in HTML, or escaped, within something that is neither: most of what an API says is shown in a page."""


@pytest.fixture(scope="module")
def plan(plan_of: Callable[..., Plan]) -> Plan:
    return plan_of(detect=ENTITIES)


def _masked(plan: Plan, kind: str, body: str) -> str:
    masked = mask_body(plan, ((b"content-type", kind.encode()),), body.encode(), Detector(plan)).body
    return body if masked is None else masked.decode()


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/html"])
@pytest.mark.parametrize(("value", "entity"), SET)
def test_a_value_is_found_however_it_is_set(plan: Plan, kind: str, value: str, entity: str) -> None:
    body = f'{{"note": "see {value} please"}}'
    assert _masked(plan, kind, body) == f'{{"note": "see [{entity}] please"}}'


@pytest.mark.parametrize(("value", "entity"), REFERRED)
def test_references_are_read_in_what_is_no_page(plan: Plan, value: str, entity: str) -> None:
    escaped = value.replace("\\", "\\\\")
    assert _masked(plan, "application/json", f'{{"note": "{escaped}"}}') == f'{{"note": "[{entity}]"}}'
    assert _masked(plan, "text/plain", f"first\n{value}\nlast") == f"first\n[{entity}]\nlast"


def test_plain_references_hide_and_mask_nothing(plan: Plan) -> None:
    for text in ("a &amp; b&nbsp;c", "12&#160;345&#160;678,90 &euro;", "&#64;", "2019\u20132020, 10\u00a0000 EUR"):
        assert _masked(plan, "text/plain", text) == text


@pytest.mark.parametrize("value", [value for value, _ in (*SET, *REFERRED)])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_a_stream_finds_them_wherever_it_is_cut(plan: Plan, value: str, size: int) -> None:
    stream, _ = open_stream(plan, ((b"content-type", b"text/plain"),), Detector(plan))
    data = f"it is {value} and so on, as was said\nand no more of it\n".encode()
    out = b"".join(stream.feed(data[at : at + size]) for at in range(0, len(data), size)) + stream.end()
    assert value.encode() not in out
    assert b"and no more of it\n" in out
    assert sum(stream.counts.values()) == 1


def test_what_is_seen_is_as_long_as_what_its_places_tell() -> None:
    seen = visible("a\u00adb\u00a0c\uff11")
    assert seen == ("ab c1", [0, 2, 3, 4, 5])
    assert visible("caf\u00e9 \u2014 \u4e2d\u6587\uff0c") is None


def _part(headers: str) -> str:
    return f"--x\r\n{headers}\r\n\r\nok\r\n--x--"


@pytest.mark.parametrize(
    ("kind", "masked"),
    [
        ('text/plain; name="ana@example.com"', 'text/plain; name="[EMAIL_ADDRESS]"'),
        ("text/plain;\r\n name=ana@example.com; header=a", 'text/plain;\r\n name="[EMAIL_ADDRESS]"; header=a'),
        ("text/plain; format=flowed;", "text/plain; format=flowed;"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
    ],
)
def test_the_name_of_a_file_in_the_type_of_a_part_is_read(plan: Plan, kind: str, masked: str) -> None:
    sent, expected = _part(f"Content-Type: {kind}"), _part(f"Content-Type: {masked}")
    assert _masked(plan, "multipart/mixed; boundary=x", sent) == expected


@pytest.mark.parametrize(
    "page",
    [
        '<meta name=description content="charset=utf-8"><meta charset=shift_jis>',
        "<!-- <meta charset=utf-8> --><meta charset=gbk>",
        "<head>" + " " * 2000 + "<meta charset=utf-7>",
    ],
)
def test_every_charset_that_a_page_names_counts(plan: Plan, page: str) -> None:
    with pytest.raises(CannotMask, match=r"^charset-"):
        _masked(plan, "text/html", page)


def test_a_field_of_json_that_is_sent_as_a_page_is_masked_once(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"], fields=["$.a"])
    assert _masked(plan, "text/html", '{"a": 1, "b": 2}') == '{"a": null, "b": 2}'


@pytest.mark.parametrize(
    ("target", "masked"),
    [
        ("/x?a=1;token=s&b=2", "/x?a=[REDACTED]&b=2"),
        ("/x?a;token=s", "/x?a;token=[REDACTED]"),
        ("/x?u[token]=s&token[]=t", "/x?u[token]=[REDACTED]&token[]=[REDACTED]"),
        ("/x?u%5Btoken%5D=s", "/x?u%5Btoken%5D=[REDACTED]"),
        ("/x?tokens=s&a=token", "/x?tokens=s&a=token"),
    ],
)
def test_a_query_field_is_found_in_every_way_that_readers_part_queries(
    plan_of: Callable[..., Plan], target: str, masked: str
) -> None:
    plan = plan_of(fields=["query:token"])
    assert mask_target(target, plan, Detector(plan)) == masked


@pytest.mark.parametrize("operator", ["null", "drop"])
def test_a_segment_of_which_a_mask_leaves_nothing_does_not_stay(plan_of: Callable[..., Plan], operator: str) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"], **{"as": {"default": operator}})
    masked = mask_target("/users/ana@example.com/x?to=ana@example.com", plan, Detector(plan))
    assert masked.startswith("/users/[")
    assert "ana" not in masked


@pytest.mark.parametrize("header", ["name^iban", "#iban,name", "'iban','name'", "name\x1fiban"])
@pytest.mark.parametrize("kind", ["text/csv", "text/tab-separated-values"])
def test_a_column_that_the_delimiter_hides_is_not_passed_over(
    plan_of: Callable[..., Plan], kind: str, header: str
) -> None:
    plan = plan_of(fields=["column:iban"])
    with pytest.raises(CannotMask, match=r"^table-unreadable$"):
        _masked(plan, kind, f"{header}\na,b\n")


@pytest.mark.parametrize("header", ["customer.iban,name", "iban (EUR),name", "iban_code,name"])
def test_a_name_of_which_a_column_is_only_a_word_is_another_name(plan_of: Callable[..., Plan], header: str) -> None:
    body = f"{header}\na,b\n"
    assert _masked(plan_of(fields=["column:iban"]), "text/csv", body) == body


@pytest.mark.parametrize(
    "mask",
    [
        {"fields": ["query: token"]},
        {"fields": ["form: password"]},
        {"fields": ["column:iban "]},
        {"fields": ["form: "]},
        {"fields": ["$.a"], "except": {}},
    ],
)
def test_a_mask_that_would_hide_nothing_is_an_error(mask: dict[str, Any]) -> None:
    file = MaskingFile.model_validate({"masks": [{"id": "one", "match": {}, **mask}]})
    with pytest.raises(InvalidRules):
        compile_masking(file, Files(Path()), frozenset())


@pytest.mark.parametrize("value", ["!@#$%^&*()", "\U0001f600\U0001f600", "-"])
def test_a_token_of_a_field_without_letters_says_nothing_of_it(value: str) -> None:
    made = token(value, "field", b"0123456789abcdef")
    assert made.isalpha()
    assert len(made) == len(value)


@pytest.mark.parametrize("local", ["call.250-271-3411", "526199961", "x4111111111111111"])
def test_the_token_of_an_address_holds_no_number(plan_of: Callable[..., Plan], local: str) -> None:
    plan = plan_of(detect=["PHONE_NUMBER", "US_BANK_NUMBER", "CREDIT_CARD"])
    body = f'{{"account phone": "{token(f"{local}@example.com", "EMAIL_ADDRESS", b"0123456789abcdef")}"}}'
    assert _masked(plan, "application/json", body) == body


def test_text_beside_identifiers_is_looked_at_together_with_what_came_before(plan: Plan) -> None:
    """As some services send it: each piece with the same identifiers beside it."""
    pieces = ("write to ", "ana@exa", "mple.com", " today", " please")
    events = [f'data: {{"event": "message", "message_id": "m", "answer": "{piece}"}}\n\n' for piece in pieces]
    stream, _ = open_stream(plan, ((b"content-type", b"text/event-stream"),), Detector(plan))
    out = b"".join(stream.feed(event.encode()) for event in events) + stream.end()
    assert b"mple.com" not in out
