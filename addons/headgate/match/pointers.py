"""JSON Pointers (RFC 6901) into claims, in the two spellings that the rules accept."""

import re
from types import MappingProxyType
from typing import Any

Pointer = tuple[str, ...]
"""A JSON Pointer, split into its unescaped reference tokens."""

MAPPINGS = (MappingProxyType, dict)
"""What claims are made of; asking for any `Mapping` takes several times as long."""

_INDEX = re.compile(r"(0|[1-9][0-9]{0,5})\Z")


def pointer(text: str) -> Pointer:
    """Split a JSON Pointer, or without a leading slash the name of one member; ValueError says what is wrong."""
    if not text.startswith("/"):
        if not text:
            raise ValueError("a claim needs a name; accepted: a member such as `sub`, or a JSON Pointer such as `/sub`")
        return (text,)
    if re.search(r"~(?![01])", text):
        raise ValueError("`~` stands in a JSON Pointer only as `~0` (for `~`) or `~1` (for `/`)")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def lookup(claims: Any, path: Pointer) -> Any:
    """The value at `path`, or None where there is none."""
    value = claims
    for token in path:
        if isinstance(value, MAPPINGS):
            value = value.get(token)
        elif isinstance(value, tuple | list) and _INDEX.match(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return None
    return value
