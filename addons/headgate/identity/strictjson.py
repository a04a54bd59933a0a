"""JSON that every parser reads the same way, or not at all.

RFC 8259 lets parsers differ on repeated members, byte order marks, lone surrogates and numbers like NaN; a signed
document that two parsers read differently proves nothing. Depth is bounded, so that whoever walks it may recurse.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

MAX_DEPTH = 32


def read_object(data: bytes) -> dict[str, Any] | None:
    """The one JSON object that `data` holds in UTF-8, or None."""
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _depth_fits(text, value) else None


def frozen(value: Any) -> Any:
    """The same value, read-only at every depth: mappings become proxies, lists tuples."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(item) if type(item) in _NESTS else item for key, item in value.items()})
    if isinstance(value, list):
        return tuple([frozen(item) if type(item) in _NESTS else item for item in value])
    return value


_NESTS = frozenset((dict, list))


def thawed(value: Any) -> Any:
    """The reverse of `frozen`, for `json.dumps`."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [thawed(item) for item in value]
    return value


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_members_once, parse_constant=_no_constant)


def _depth_fits(text: str, value: Any) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [item for parent in level for item in _items(parent) if isinstance(item, dict | list)]
    return not level


def _items(parent: Any) -> Any:
    return parent.values() if isinstance(parent, dict) else parent
