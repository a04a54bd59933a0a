"""The characters of a body: which charset it is in, and that its bytes come back.

A byte order mark, the declared charset, and what the document says of itself (HTML's `meta`, XML's declaration) are
three voices. They may differ among charsets in which ASCII means ASCII, for only ASCII is ever detected apart from
the rest and only ASCII is written. Where one of them would make other characters of the same bytes, the body is
withheld: a client that goes by the other one could read what was not masked.
"""

import codecs
import re
from typing import NamedTuple

from headgate.masking.plan import CannotMask

MARK = "\ufeff"

CHARSETS = {
    **dict.fromkeys(("utf-8", "utf8", "unicode-1-1-utf-8", "x-unicode20utf8"), "utf-8"),
    **dict.fromkeys(("us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us"), "ascii"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1"), "latin-1"),
    **dict.fromkeys(("windows-1252", "cp1252", "x-cp1252"), "cp1252"),
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"{prefix}125{page}": f"cp125{page}" for page in (0, 1, 3, 4, 5, 6, 7, 8) for prefix in ("windows-", "cp")},
    **dict.fromkeys(("latin2", "latin-2"), "iso8859-2"),
    **dict.fromkeys(("latin9", "latin-9"), "iso8859-15"),
    **dict.fromkeys(("ibm866", "cp866"), "cp866"),
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    **dict.fromkeys(("windows-874", "tis-620"), "cp874"),
}
"""Charsets by their names, those in which a byte of ASCII is always that character."""

WIDE = {
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms932", "cp932"), "cp932"),
    **dict.fromkeys(("gbk", "x-gbk", "gb2312", "gb_2312-80", "chinese"), "gbk"),
    "gb18030": "gb18030",
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5"), "big5hkscs"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601", "windows-949", "cp949"), "cp949"),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), "euc-jp"),
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "utf-32": "utf-32",
    "utf-32be": "utf-32-be",
    "utf-32le": "utf-32-le",
}
"""Those in which a character may hold bytes of ASCII."""

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
FAMILIES = {"utf-16-le": "utf-16", "utf-16-be": "utf-16", "utf-32-le": "utf-32", "utf-32-be": "utf-32"}

PRESCAN = 1024
"""Bytes in which HTML looks for a `meta` that names the charset."""

HEAD = 64 * 1024
"""Bytes in which browsers go on looking for it, as long as the head of a page lasts, where nothing else names one."""

_META = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]+)[\"']")


class Characters(NamedTuple):
    """A body's text without its byte order mark, which `mark` is, and the codec that gives the bytes back.

    `guessed`: only the mark tells that a byte of ASCII is none here; a client may not look for marks.
    """

    text: str
    codec: str
    mark: bytes
    guessed: bool

    def encode(self, text: str) -> bytes:
        return self.mark + text.encode(self.codec)


def read(data: bytes, declared: str | None, *, html: bool = False, xml: bool = False) -> Characters:
    """The characters of a body whose type declares that charset; CannotMask when readers could differ on them."""
    mark, marked = next(((mark, codec) for mark, codec in MARKS if data.startswith(mark)), (b"", ""))
    named = codec_of(declared) if declared else ""
    voices = [codec_of(name) for name in _inside(data, html=html, xml=xml, unsaid=not (mark or named))]
    if html:
        voices = ["utf-8" if voice.startswith("utf-16") else voice for voice in voices]
    own = voices[0] if voices else ""
    codec = marked or named or own or "utf-8"
    if any(voice and not _agree(codec, voice) for voice in (named, *voices)):
        raise CannotMask("charset-contradicted")
    if codec in FAMILIES.values() or (codec.startswith("utf-32") and (html or not named)):
        raise CannotMask("charset-not-maskable")  # which bytes come first is not said; browsers know no UTF-32
    if html and not (mark or named or own) and not _is_utf8(data):
        codec = "latin-1"
    guessed = codec in FAMILIES and not named
    return Characters(_decoded(data[len(mark) :], codec), codec, mark, guessed)


def codec_of(name: str) -> str:
    """Python's name of a charset; CannotMask for one that cannot be masked."""
    lower = name.strip().lower()
    codec = CHARSETS.get(lower) or WIDE.get(lower)
    if codec is None:
        raise CannotMask("charset-not-maskable")
    return codec


def _agree(one: str, other: str) -> bool:
    """Whether two codecs see the same ASCII in any bytes."""
    narrow = frozenset(CHARSETS.values())
    return one == other or FAMILIES.get(one) == other or (one in narrow and other in narrow)


def _inside(data: bytes, *, html: bool, xml: bool, unsaid: bool) -> list[str]:
    """What a document says of its charset, every time: which `meta` counts, browsers tell by more than is read here.

    Where nothing else does (`unsaid`), they look further.
    """
    if html:
        return [found[1].decode("ascii") for found in _META.finditer(data, 0, HEAD if unsaid else PRESCAN)]
    found = _XML.match(data, 0, PRESCAN * 4) if xml else None
    return [found[1].decode("ascii")] if found else []


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(data: bytes, codec: str) -> str:
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        raise CannotMask("charset-wrong") from None
    if "\0" in text:
        raise CannotMask("not-text")
    try:
        same = text.encode(codec) == data
    except UnicodeEncodeError:
        same = False
    if not same:
        raise CannotMask("charset-not-maskable")
    return text
