"""What is left of a request for recorders: cases/masking_scrub.yaml, and what is too large or from nobody."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.credentials import REDACTED, clean_address, without_credentials
from headgate.masking.detection.detector import Detector
from headgate.masking.plan import CannotMask, Detect, Plan, detect_nothing
from headgate.masking.scrub import LARGEST, LONGEST, MOST, Sent, outline, scrub, shown_method

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "masking_scrub.yaml").read_text())


def _fields(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_a_request_is_scrubbed_as_the_table_says(case: dict[str, Any], plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(**case["mask"]) if "mask" in case else None
    sent = Sent(case["path"].encode(), _fields(case.get("headers", {})), case.get("body", "").encode())
    scrubbed = scrub(sent, plan, Detector(plan) if plan and plan.detect else detect_nothing)
    assert scrubbed.path.decode() == case["expect_path"]
    assert dict(scrubbed.headers) == dict(_fields(case.get("expect_headers", {})))
    assert scrubbed.body.decode() == case.get("expect_body", "")


def test_nothing_found_leaves_a_request_as_it_is(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    sent = Sent(b"/a%20b/c?d=%7E&e", ((b"Content-Type", b"application/json"), (b"X-A", b"%41")), b'{"a" : 1}')
    assert scrub(sent, plan_of(detect=["URL"]), find_words("none")) == sent


def test_a_coded_body_is_kept_without_its_coding(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    headers = ((b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip"))
    sent = Sent(b"/", headers, gzip.compress(b'"find me"'))
    scrubbed = scrub(sent, plan_of(detect=["EMAIL_ADDRESS"]), find_words("find me"))
    assert scrubbed.body == b'"[EMAIL_ADDRESS]"'
    assert scrubbed.headers == ((b"Content-Type", b"application/json"), (b"Content-Length", b"17"))


def test_what_is_long_goes_as_a_whole(plan_of: Callable[..., Plan], find_words: Callable[..., Detect]) -> None:
    long = b"x" * (LONGEST + 1)
    sent = Sent(b"/" + long + b"?q=" + long, ((b"X-Long", long),), b"")
    scrubbed = scrub(sent, plan_of(detect=["URL"]), find_words("none"))
    assert scrubbed == Sent(b"/[redacted]?q=[redacted]", ((b"X-Long", b"[redacted]"),), b"")


def test_a_body_that_is_large_or_has_long_values_is_not_kept(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    headers = ((b"Content-Type", b"application/json"),)
    for body in (json.dumps("x" * (LONGEST + 1)).encode(), b" " * (LARGEST + 1)):
        assert scrub(Sent(b"/", headers, body), plan_of(detect=["URL"]), find_words("none")).body == b""
    assert scrub(Sent(b"/", headers, b" " * (LARGEST + 1)), None, detect_nothing).body != b""
    form = Sent(b"/", ((b"Content-Type", b"application/x-www-form-urlencoded"),), b"a=" + b"x" * LARGEST)
    assert scrub(form, None, detect_nothing).body == b""


def test_of_a_request_with_too_many_pieces_the_outline_is_left(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    sent = Sent(b"/" + b"a/" * MOST, ((b"X-A", b"1"),), b"x")
    assert scrub(sent, plan_of(detect=["URL"]), find_words("none")) == outline(sent)


def test_a_request_that_cannot_be_looked_into_raises_nothing_but_cannot_mask(plan_of: Callable[..., Plan]) -> None:
    def refuse(*_: object) -> list[Any]:
        raise CannotMask("detection-failed")

    with pytest.raises(CannotMask):
        scrub(Sent(b"/a", (), b""), plan_of(detect=["URL"]), refuse)


def test_the_outline_shows_where_a_request_went_and_no_value() -> None:
    sent = Sent(
        b"/v1/customers/42/2024-05-01/ana@example.com?q=secret&4111111111111111=x&flag",
        ((b"Host", b"a.internal"), (b"X-Name", b"Ana"), (b"Authorization", b"Bearer x"), (b"Content-Length", b"4")),
        b"body",
    )
    assert outline(sent) == Sent(
        b"/v1/customers/42/[redacted]/[redacted]?q=[redacted]&[redacted]=[redacted]&flag",
        (
            (b"Host", b"a.internal"),
            (b"X-Name", b"[redacted]"),
            (b"Authorization", b"[redacted]"),
            (b"Content-Length", b"0"),
        ),
        b"",
    )


def test_the_outline_names_a_client_by_its_product_alone() -> None:
    for agent, shown in ((b"curl/8.5.0 ana", b"curl"), (b"ana@example.com", b"[redacted]")):
        assert outline(Sent(b"/", ((b"User-Agent", agent),), b"")).headers == ((b"User-Agent", shown),)


def test_the_outline_of_an_empty_target_is_empty() -> None:
    assert outline(Sent(b"", (), b"")) == Sent(b"", (), b"")


# -- credentials -------------------------------------------------------------------------------------------------------


def test_a_set_cookie_keeps_its_name_and_attributes() -> None:
    fields = ((b"Set-Cookie", b"sid=abc=; Path=/; HttpOnly"), (b"set-cookie", b"nonsense"))
    assert without_credentials(fields) == (
        (b"Set-Cookie", b"sid=[redacted]; Path=/; HttpOnly"),
        (b"set-cookie", b"[redacted]"),
    )


def test_a_redirect_loses_the_code_in_it() -> None:
    fields = ((b"Location", b"https://app.example/cb?code=abc&state=1"),)
    assert without_credentials(fields) == ((b"Location", b"https://app.example/cb?code=[redacted]&state=1"),)


@given(st.lists(st.tuples(st.binary(min_size=1), st.binary())).map(tuple))
def test_any_header_can_be_cleaned_twice(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    once = without_credentials(fields)
    assert without_credentials(once) == once
    assert [name for name, _ in once] == [name for name, _ in fields]


@given(st.text("abc/?&;#=.:@-eyJ%", max_size=60), st.sampled_from(["token", "api_key", "X-Amz-Credential"]))
def test_no_credential_in_an_address_survives(before: str, name: str) -> None:
    assert "S3CRET" not in clean_address(f"/{before}&{name}=S3CRET")
    assert REDACTED in clean_address(f"/{before}&{name}=S3CRET")


def test_many_beginnings_of_tokens_take_no_longer_than_one() -> None:
    assert clean_address("/" + "eyJ" * 200_000) == "/" + "eyJ" * 200_000


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ((b"Accept", b"a@example.com"), b"[redacted]"),
        ((b"Content-Type", b"text/plain; x=a@example.com"), b"text/plain"),
        ((b"Accept", b"text/html"), b"text/html"),
    ],
)
def test_an_address_in_a_header_that_is_not_looked_into_is_not_shown(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect], field: tuple[bytes, bytes], shown: bytes
) -> None:
    found = scrub(Sent(b"/", (field,), b""), plan_of(detect=["EMAIL_ADDRESS"]), find_words("none"))
    assert found.headers == ((field[0], shown),)


def test_of_a_method_that_may_be_a_key_nothing_is_shown() -> None:
    assert [shown_method(one) for one in (b"PROPFIND", b"M-SEARCH", b"AKIAIOSFODNN7EXAMPLE")] == [
        b"PROPFIND",
        b"M-SEARCH",
        b"[redacted]",
    ]


def test_letters_and_digits_that_may_be_a_key_are_no_part_of_an_outline() -> None:
    sent = Sent(b"/v1/AKIAIOSFODNN7EXAMPLE?AKIAIOSFODNN7EXAMPLE=1&page2=1", (), b"")
    assert outline(sent).path == b"/v1/[redacted]?[redacted]=[redacted]&page2=[redacted]"
