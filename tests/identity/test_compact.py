"""The parts of a signed object have one spelling; whatever else looks like one is refused, and nothing is raised."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from headgate.identity.compact import Compact, is_signed, split
from headgate.identity.jwks import Key
from headgate.identity.reasons import Reason

OBJECT = "eyJhIjoxfQ"  # {"a":1}, which base64 pads with ==


def test_the_parts_are_what_the_segments_hold() -> None:
    parts = split(f"{OBJECT}.e30.AAAA")
    assert isinstance(parts, Compact)
    assert (parts.header, parts.claims, parts.signature) == ({"a": 1}, {}, b"\0\0\0")
    assert parts.signed == f"{OBJECT}.e30".encode()


def test_where_segments_are_padded_they_must_be_and_the_signature_covers_it() -> None:
    parts = split(f"{OBJECT}==.e30=.AAAA", padded=True)
    assert isinstance(parts, Compact)
    assert parts.signed == f"{OBJECT}==.e30=".encode()
    assert split(f"{OBJECT}.e30=.AAAA", padded=True) is Reason.TOKEN_ENCODING
    assert split(f"{OBJECT}=.e30=.AAAA", padded=True) is Reason.TOKEN_ENCODING
    assert split(f"{OBJECT}==.e30=.AAAA") is Reason.TOKEN_ENCODING


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.TOKEN_SEGMENTS),
        ("e30.e30", Reason.TOKEN_SEGMENTS),
        ("e30.e30.AAAA.", Reason.TOKEN_SEGMENTS),
        ("e30.e30.AAAA\n", Reason.TOKEN_ENCODING),
        ("..", Reason.TOKEN_ENCODING),
        ("e30.e30.", Reason.TOKEN_ENCODING),
        ("e31.e30.AAAA", Reason.TOKEN_ENCODING),
        ("e30.e3/.AAAA", Reason.TOKEN_ENCODING),
        ("e30.e30.AAAAA", Reason.TOKEN_ENCODING),
        ("W10.e30.AAAA", Reason.TOKEN_JSON),
        ("e30.W10.AAAA", Reason.TOKEN_JSON),
        ("e30.77u_e30.AAAA", Reason.TOKEN_JSON),
    ],
)
def test_what_has_another_spelling_is_refused(text: str, reason: Reason) -> None:
    assert split(text) is reason
    assert split(text, padded=True) in (reason, Reason.TOKEN_ENCODING)


@given(text=st.text() | st.text("eyJ0.=-_A"), padded=st.booleans())
def test_any_text_gives_parts_or_a_reason(text: str, padded: bool) -> None:
    assert isinstance(split(text, padded=padded), Compact | Reason)


@given(header=st.dictionaries(st.text(), st.integers()), signature=st.binary(min_size=1), padded=st.booleans())
def test_no_two_texts_have_the_same_parts(header: dict[str, int], signature: bytes, padded: bool) -> None:
    segments = [base64.urlsafe_b64encode(part).decode() for part in (json.dumps(header).encode(), b"{}", signature)]
    text = ".".join(segments if padded else (segment.rstrip("=") for segment in segments))
    parts = split(text, padded=padded)
    assert isinstance(parts, Compact)
    again = base64.urlsafe_b64encode(parts.signature).decode()
    assert f"{parts.signed.decode()}.{again if padded else again.rstrip('=')}" == text


def test_a_signature_is_one_of_the_key_over_exactly_these_bytes() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    key = Key(None, "EC", frozenset(["ES256"]), private.public_key())
    signature = get_default_algorithms()["ES256"].sign(b"e30.e30", private)
    assert is_signed(Compact({}, {}, b"e30.e30", signature), key, "ES256")
    assert not is_signed(Compact({}, {}, b"e30.e31", signature), key, "ES256")
    for other in (signature[:-1], signature + b"\0", b"", b"\0" * 64, b"\xff" * 64):
        assert not is_signed(Compact({}, {}, b"e30.e30", other), key, "ES256")
    assert not is_signed(Compact({}, {}, b"e30.e30", signature), key, "RS256")


def test_nothing_secret_is_in_what_is_printed() -> None:
    parts = split(f"{OBJECT}.eyJzdWIiOiJhbmEifQ.AAAA")
    assert "ana" not in repr(parts)
    assert "signature" not in repr(parts)
