"""The characters of a body: which charset counts, and that nothing but them changes."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.charsets import CHARSETS, WIDE, codec_of, read
from headgate.masking.plan import CannotMask

NARROW = sorted(set(CHARSETS.values()))


def test_every_charset_is_one_of_pythons_and_knows_ascii() -> None:
    ascii_bytes = bytes(range(1, 128))
    for name, codec in {**CHARSETS, **WIDE}.items():
        assert codecs.lookup(codec)
        assert codec_of(name.upper()) == codec
    for codec in NARROW:
        assert ascii_bytes.decode(codec).encode("ascii") == ascii_bytes


def test_in_a_narrow_charset_a_byte_of_ascii_is_that_character_wherever_it_stands() -> None:
    for codec in NARROW:
        for high in range(0x80, 0x100):
            try:
                text = bytes([high, 0x40]).decode(codec)
            except UnicodeDecodeError:
                continue
            assert text.endswith("@")


@given(st.binary(), st.sampled_from(sorted({**CHARSETS, **WIDE})))
def test_the_bytes_come_back_or_the_body_is_refused(data: bytes, charset: str) -> None:
    try:
        characters = read(data, charset)
    except CannotMask as cannot:
        assert cannot.reason.startswith(("charset-", "not-text"))  # noqa: PT017 (both ways are right)
    else:
        assert characters.encode(characters.text) == data


@pytest.mark.parametrize(
    ("data", "declared", "codec"),
    [
        (codecs.BOM_UTF8 + b"a", None, "utf-8"),
        (codecs.BOM_UTF8 + b"a", "latin1", "utf-8"),
        (codecs.BOM_UTF16_BE + b"\0a", "utf-16", "utf-16-be"),
        (codecs.BOM_UTF16_BE + b"\0a", None, "utf-16-be"),
        (b"a\0", "utf-16le", "utf-16-le"),
        (b"a\0\0\0", "utf-32le", "utf-32-le"),
        (b"a", None, "utf-8"),
    ],
)
def test_a_mark_comes_before_what_is_declared(data: bytes, declared: str | None, codec: str) -> None:
    assert read(data, declared).codec == codec


@pytest.mark.parametrize(
    ("data", "declared", "reason"),
    [
        (codecs.BOM_UTF16_BE + b"\0a", "utf-16le", "charset-contradicted"),
        (codecs.BOM_UTF16_LE + b"a\0", "utf-8", "charset-contradicted"),
        (codecs.BOM_UTF8 + b"a", "shift_jis", "charset-contradicted"),
        (codecs.BOM_UTF32_LE + b"a\0\0\0", None, "charset-not-maskable"),
        (b"\0a", "utf-16", "charset-not-maskable"),
        (b"a", "utf-7", "charset-not-maskable"),
        (b"a", "iso-2022-jp", "charset-not-maskable"),
        (b"\xff", None, "charset-wrong"),
        (b"a\0", None, "not-text"),
    ],
)
def test_what_readers_could_see_differently_is_refused(data: bytes, declared: str | None, reason: str) -> None:
    with pytest.raises(CannotMask, match=f"^{reason}$"):
        read(data, declared)


def test_a_page_and_a_document_say_what_they_are_in() -> None:
    page = b'<meta http-equiv=Content-Type content="text/html; charset=windows-1251">\xe0'
    assert read(page, None, html=True).codec == "cp1251"
    assert read(page, "utf-8" if page.isascii() else "latin1", html=True).codec == "latin-1"
    assert read(b'<?xml version="1.0" encoding="koi8-r"?><a>\xe0</a>', None, xml=True).codec == "koi8-r"
    with pytest.raises(CannotMask, match="charset-contradicted"):
        read(b'<?xml version="1.0" encoding="gbk"?><a/>', "utf-8", xml=True)
