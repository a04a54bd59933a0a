"""What a request may ask of a response that has to be masked: a whole one, in a coding that can be undone.

A part of a representation cannot be searched for what begins before it, and `304 Not Modified` would revive a copy
from before the mask. So a GET or HEAD goes on without Range and without the conditions that lead there (RFC 9110,
sections 13 and 14), and Accept-Encoding names no coding that Headgate does not read. What a condition says of a
write stays: it protects somebody's changes.
"""

import re

from headgate.masking.plan import Fields

READS = frozenset({"GET", "HEAD"})
OF_A_PART = frozenset({b"if-modified-since", b"if-none-match", b"if-range", b"range"})
ACCEPT_ENCODING = b"accept-encoding"

_CODING = re.compile(rb"[ \t]*(gzip|deflate|br|zstd|identity)[ \t]*(?:;[ \t]*q=[01](?:\.[0-9]{0,3})?[ \t]*)?\Z")


def narrowed(method: str, headers: Fields) -> Fields:
    """The headers of a request whose response is to be masked; a caller who names no coding gets none."""
    gone = OF_A_PART if method in READS else frozenset[bytes]()
    kept = tuple((name, value) for name, value in headers if name.lower() not in gone | {ACCEPT_ENCODING})
    asked = [value for name, value in headers if name.lower() == ACCEPT_ENCODING]
    return (*kept, (b"Accept-Encoding", _known(asked)))


def _known(asked: list[bytes]) -> bytes:
    """Of the codings asked for those that can be undone, with their weights; `*` may be anything and goes."""
    codings = (coding for value in asked for coding in value.lower().split(b","))
    return b", ".join(coding.strip() for coding in codings if _CODING.match(coding)) or b"identity"
