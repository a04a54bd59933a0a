"""Properties of masked multiparts: another parser sees the same parts, but for what was masked."""

import base64
import email
import email.policy
import quopri
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.content import mask_body
from headgate.masking.formats.multipart import MaskedBytes, mask_multipart
from headgate.masking.formats.transfer import decoded, encoded
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "binary": bytes,
    "base64": base64.encodebytes,
    "quoted-printable": lambda data: quopri.encodestring(data, quotetabs=True),
}

words = st.text("ab -=\r\n\u00e9", max_size=8)
texts = words | st.builds(lambda before, after: before + SECRET + after, words, words)
parts = st.lists(st.tuples(st.sampled_from(sorted(CODINGS)), texts), min_size=1, max_size=4)


def _headers(kind: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-type", f"{kind}; boundary=b0".encode()),)


def _body(given: list[tuple[str, str]]) -> bytes:
    written = b""
    for coding, text in given:
        head = f"--b0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
        written += (
            head.encode() + CODINGS[coding](text.encode()).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        )
    return written + b"--b0--\r\n"


def _read(body: bytes) -> list[bytes]:
    message = email.message_from_bytes(
        b'Content-Type: multipart/mixed; boundary="b0"\r\n\r\n' + body, policy=email.policy.HTTP
    )
    return [part.get_payload(decode=True) for part in message.iter_parts()]  # type: ignore[misc]


@given(parts)
def test_only_what_was_found_changes_for_another_parser(
    find_words: Callable[..., Detect], given: list[tuple[str, str]]
) -> None:
    body = _body(given)
    masked = mask_body(PLAN, _headers("multipart/mixed"), body, find_words(SECRET)).body or body
    new = [part.replace(SECRET.encode(), b"[EMAIL_ADDRESS]") for part in _read(body)]
    assert [part.split() for part in _read(masked)] == [part.split() for part in new]


@given(parts)
def test_what_holds_nothing_is_left_alone(given: list[tuple[str, str]]) -> None:
    assert mask_body(PLAN, _headers("multipart/mixed"), _body(given), detect_nothing).body is None


@given(st.lists(st.sampled_from([b"--b0", b"--", b"\r\n", b"\n", b"\r", b" ", b"a: b", b"a", b":", SECRET.encode()])))
def test_any_bytes_are_masked_or_refused(find_words: Callable[..., Detect], pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        masked = mask_body(PLAN, _headers("multipart/mixed"), body, find_words(SECRET))
    except CannotMask as cannot:
        assert cannot.reason.startswith(("multipart-", "part-"))  # noqa: PT017 (both ways are right)
    else:
        assert SECRET.encode() not in (body if masked.body is None else masked.body)


@given(st.binary())
def test_transfer_encodings_give_back_what_they_are_given(data: bytes) -> None:
    for coding in ("base64", "binary", ""):
        assert decoded(encoded(data, coding), coding) == data


@given(st.text("ab =\t\u00e9", max_size=200))
def test_quoted_printable_lines_give_back_what_they_are_given(text: str) -> None:
    data = "\r\n".join(text.split("b")).encode()
    assert decoded(encoded(data, "quoted-printable"), "quoted-printable") == data


def test_a_part_may_not_come_to_hold_its_boundary() -> None:
    body = b"--b\r\n\r\nx\r\n--b--"

    def mask_part(_headers: object, _content: bytes) -> MaskedBytes:
        return MaskedBytes(b"y\r\n--b\r\n\r\nz", Counter({("text", "URL", "token"): 1}), ())

    with pytest.raises(CannotMask, match="boundary-in-part"):
        mask_multipart(body, "multipart/mixed", "b", PLAN, detect_nothing, mask_part)


def test_multiparts_in_multiparts_end_somewhere() -> None:
    body, kind = b"x", b"text/plain"
    for at in range(7):
        body = b"--b%d\r\nContent-Type: %s\r\n\r\n%s\r\n--b%d--" % (at, kind, body, at)
        kind = b"multipart/mixed; boundary=b%d" % at
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        mask_body(PLAN, ((b"content-type", kind),), body, detect_nothing)


@pytest.mark.parametrize(
    "name",
    ['"pin"', "pin", '"p\\in"', '"pi%6e"', '"pin"; filename="a"', "pin\r\n ; filename=b", '"pin" ;a=b'],
)
def test_a_field_is_masked_however_its_name_is_written(name: str) -> None:
    plan = Plan(form=(("pin", Operator.REDACT),))
    body = f"--b0\r\nContent-Disposition: form-data; name={name}\r\nContent-Type: image/png\r\n\r\n1\r\n--b0--".encode()
    masked = mask_body(plan, _headers("multipart/form-data"), body, detect_nothing).body
    assert masked is not None
    assert _read(masked) == [b"[REDACTED]"]
