"""Content-Transfer-Encoding of parts (RFC 2045, section 6): undone for masking, done again after it."""

import base64
import binascii
import re

from headgate.masking.plan import CannotMask

LINE = 76
"""Characters that an encoded line may have."""

IDENTITY = frozenset({"", "7bit", "8bit", "binary"})

_SPACE = re.compile(rb"[ \t\r\n]+")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})|=[ \t]*\r?\n|=|(?<![ \t])[ \t]++(?=\r?\n|\Z)")


def decoded(data: bytes, encoding: str) -> bytes:
    """What `data` stands for; CannotMask where readers could disagree."""
    match encoding.strip().lower():
        case name if name in IDENTITY:
            return data
        case "base64":
            try:
                return base64.b64decode(_SPACE.sub(b"", data), validate=True)
            except binascii.Error:
                raise CannotMask("transfer-encoding-damaged") from None
        case "quoted-printable":
            return _QUOTED.sub(_unquoted, data)
        case _:
            raise CannotMask("transfer-encoding-unknown")


def encoded(data: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "base64":
            text = base64.b64encode(data)
            return b"\r\n".join(text[at : at + LINE] for at in range(0, len(text), LINE))
        case "quoted-printable":
            return _fold(data)
        case _:
            return data


def _unquoted(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode("ascii"))
    if match[0] == b"=":
        raise CannotMask("transfer-encoding-damaged")
    return b""


def _fold(data: bytes) -> bytes:
    quoted = binascii.b2a_qp(data.replace(b"\r\n", b"\n"), istext=True)
    return re.sub(rb"\r?\n", b"\r\n", quoted)
