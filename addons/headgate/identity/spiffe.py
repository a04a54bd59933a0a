"""SPIFFE IDs: the one form that names a workload (spiffe.io, the SPIFFE-ID specification)."""

import re

MAX_ID = 2048
_ID = re.compile(r"(spiffe://[a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)\Z")


def is_spiffe_id(text: str) -> bool:
    """A trust domain and a path of a workload: no empty or dot segments, no escapes, port, user, query or fragment."""
    found = _ID.match(text) if len(text) <= MAX_ID else None
    return bool(found and found[2] and not {".", ".."} & set(found[2].split("/")))


def spiffe_trust_domain(text: str) -> str | None:
    """`spiffe://DOMAIN`, or None where `text` is no SPIFFE ID of a workload."""
    return text[: text.index("/", len("spiffe://"))] if is_spiffe_id(text) else None
