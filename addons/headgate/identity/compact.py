"""The compact form of a signed object (RFC 7515, section 7.1): three segments in their one canonical spelling, or none.

Tokens and proofs are read here alike. Base64url decoders differ on padding, stray bits and foreign letters, JSON
parsers on repeated members: what two of them could read differently is refused, so that nobody verifies one thing and
believes another. Nothing that was read is believed yet, and nothing here raises.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

import jwt

from headgate.identity.jwks import VERIFIERS, Key
from headgate.identity.reasons import Reason
from headgate.identity.strictjson import read_object

FOREIGN_MEMBERS = frozenset(("jku", "x5u", "x5c", "crit", "zip", "b64", "cty"))
"""Header members that point to a key elsewhere or change what is signed; each has been used to attack."""

_SEGMENTS = re.compile(r"([^.]*)\.([^.]*)\.([^.]*)\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_PADDED = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z")


@dataclass(frozen=True, slots=True)
class Compact:
    """What the segments hold: two JSON objects, and the signature over the bytes `signed`."""

    header: dict[str, Any]
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def split(text: str, *, padded: bool = False) -> Compact | Reason:
    """The parts of `text`; with `padded`, segments end in `=` where base64 does, and the signature covers that."""
    segments = _SEGMENTS.match(text)
    if not segments:
        return Reason.TOKEN_SEGMENTS
    header, claims, signature = (_decoded(segment, padded) for segment in segments.groups())
    if header is None or claims is None or signature is None:
        return Reason.TOKEN_ENCODING
    header_object, claims_object = read_object(header), read_object(claims)
    if header_object is None or claims_object is None:
        return Reason.TOKEN_JSON
    return Compact(header_object, claims_object, text[: segments.end(2)].encode(), signature)


def is_signed(compact: Compact, key: Key, algorithm: str) -> bool:
    """Whether the signature is one of `key` by `algorithm`, which must be one that fits the key."""
    if algorithm not in key.algorithms:
        return False
    verifier = VERIFIERS[algorithm]
    try:
        verified = verifier.verify(compact.signed, verifier.prepare_key(key.public), compact.signature)
    except (jwt.PyJWTError, ValueError):
        return False
    return verified is True


def _decoded(segment: str, padded: bool) -> bytes | None:
    """The bytes of a segment that no other segment stands for (no stray bits in its last letter)."""
    if not (_PADDED if padded else _BASE64URL).match(segment):
        return None
    try:
        decoded = base64.urlsafe_b64decode(segment if padded else segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        return None
    again = base64.urlsafe_b64encode(decoded)
    return decoded if (again if padded else again.rstrip(b"=")) == segment.encode() else None
