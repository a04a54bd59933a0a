"""Names in bodies and queries that some reader takes for one name.

Decoders of JSON ignore case (Go, ASP.NET, Jackson when told to) and take `refund_id` for `refundId` (Protocol Buffers).
Readers of forms cut at NUL, trim blanks, make `_` of dots and blanks (PHP), and take `ids[]` and `ids[0]` for parts of
`ids`, some also `ids.0` (Spring, ASP.NET) and `ids[0` (Rack). A name that is there in another spelling than a rule has
it is neither there nor absent: it is unknown.
"""

import re
from typing import NamedTuple, Self

_INNER = re.compile(r"(?<=[^_-])[_-]+(?=[^_-])")
_NESTING = re.compile(r"[\[\].]")


def member_key(name: str) -> str:
    """What all spellings of a member of a JSON object have in common."""
    name = name.partition("\0")[0]
    folded = name.lower() if name.isascii() else name.upper().casefold()
    return _INNER.sub("", folded) if "_" in folded or "-" in folded else folded


def parameter_key(name: str) -> str:
    """What all spellings of a parameter have in common; what is in brackets stays apart, each part behind a `[`."""
    name = name.partition("\0")[0]
    nests = "]" in name.partition("[")[2]  # PHP makes `_` of a bracket that nothing closes
    parts = [_plain(part) for part in (name.split("[") if nests else [name])]
    return "[".join(filter(None, parts)) or name


def parameter_keys(name: str) -> tuple[str, ...]:
    """Its keys for all readers: a second one where some nest by what is a plain character to others."""
    key = parameter_key(name)
    if not _NESTING.search(name):
        return (key,)
    nested = "[".join(filter(None, map(_plain, _NESTING.split(name.partition("\0")[0]))))
    return (key, nested) if nested not in ("", key) else (key,)


def _plain(part: str) -> str:
    folded = part.lower() if part.isascii() else part.upper().casefold()
    return folded if folded.isalnum() else "".join(filter(str.isalnum, folded))


class Name(NamedTuple):
    """A name in a rule, with its keys."""

    text: str
    member: str
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text, member_key(text), parameter_keys(text))
