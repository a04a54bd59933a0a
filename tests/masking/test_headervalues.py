"""Values of header fields: what is looked at in them, and how they are written once something in them is masked."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.detection.detector import Detector
from headgate.masking.headers import mask_headers
from headgate.masking.headervalues import MOST, decoded, pieces, rewritten
from headgate.masking.plan import Plan

PLAIN = st.text(alphabet="a/?&=;, 0\u00e9@\udcff").map(lambda text: text.encode("utf-8", "surrogateescape"))
PERCENT = st.binary(max_size=3).map(lambda data: b"".join(b"%%%02x" % byte for byte in data))
VALUE = st.lists(st.one_of(PLAIN, PERCENT, st.sampled_from([b"%", b"%4", b"%zz"]))).map(b"".join)


@given(VALUE)
def test_every_character_has_its_place(value: bytes) -> None:
    """Whatever is replaced, what comes before and after it stays as it was written."""
    text = decoded(value)
    assert rewritten(value, []) == value
    for at in range(len(text)):
        before, _, after = rewritten(value, [(at, at + 1, "[X]")]).partition(b"[X]")
        assert value.startswith(before)
        assert value.endswith(after)
        assert decoded(before) == text[:at]
        assert decoded(after) == text[at + 1 :]


@given(VALUE)
def test_a_piece_is_where_it_says(value: bytes) -> None:
    for piece in pieces(b"Location", value):
        assert decoded(value)[piece.start :].startswith(piece.leaf.text)
    assert pieces(b"X-Next", value) == []


MASKED = [
    (b"Set-Cookie", b"contact=ana@example.com; Path=/", b"contact=[EMAIL_ADDRESS]; Path=/"),
    (b"Set-Cookie", b"a=%22ana%40example.com%22; Path=/", b"a=%22[EMAIL_ADDRESS]%22; Path=/"),
    (b"Location", b"/a%2Fb?u=ana%40example.com&v=%26c", b"/a%2Fb?u=[EMAIL_ADDRESS]&v=%26c"),
    (
        b"Location",
        b"https://x.org/?a=b%3Dana@example.com#ana@example.com",
        b"https://x.org/?a=[EMAIL_ADDRESS]#[EMAIL_ADDRESS]",
    ),
    (b"Location", b"/?u=ana%2540example.com", b"/?u=[EMAIL_ADDRESS]"),
    (b"Refresh", b"5; url=/u/ana@example.com", b"5; url=/u/[EMAIL_ADDRESS]"),
    (b"Link", b"</u?mail=ana@example.com>; rel=next", b"</u?mail=[EMAIL_ADDRESS]>; rel=next"),
    (b"Location", b"/?ssn=536904399&id=536904399", b"/?ssn=[US_SSN]&id=536904399"),
]


@pytest.mark.parametrize(("name", "value", "masked"), MASKED)
def test_an_address_and_a_cookie_keep_their_shape(
    plan_of: Callable[..., Plan], name: bytes, value: bytes, masked: bytes
) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS", "US_SSN"])
    assert mask_headers(((name, value),), plan, Detector(plan)).fields == ((name, masked),)


def test_a_value_of_very_many_pieces_is_masked_as_a_whole(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    value = b"/x" * MOST + b"?mail=ana@example.com"
    assert pieces(b"Location", value) == []
    ((_, masked),) = mask_headers(((b"Location", value),), plan, Detector(plan)).fields
    assert b"ana" not in masked


def test_what_is_put_into_an_encoded_value_is_encoded(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["PHONE_NUMBER"], **{"as": {"default": "last4"}})
    value = b"/?p=%2B44%2020%207946%200958"
    assert mask_headers(((b"Location", value),), plan, Detector(plan)).fields == (
        (b"Location", b"/?p=%2B**%20**%20****%200958"),
    )
