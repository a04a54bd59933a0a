"""JSON compared by value: each leaf under its JSON Pointer (RFC 6901), but for what is not to be compared.

Members may come in any order, and `1.0` is `1`. A document with a member twice has more than one reading, and counts as
text, like one that nests too deeply.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jsonpath_rfc9535 import DetailedJSONPathError, JSONPathError, JSONPathQuery
from jsonpath_rfc9535 import compile as compile_path

MOST_LEAVES = 50_000
"""A document with more is compared as text: what differs in it, no person reads leaf by leaf."""

Ignored = tuple[JSONPathQuery, ...]
Place = tuple[str | int, ...]


def ignored_paths(paths: Iterable[str]) -> Ignored:
    """JSONPaths (RFC 9535) of what is not compared; ValueError names one that is none."""
    return tuple(map(_compiled, paths))


def _compiled(path: str) -> JSONPathQuery:
    try:
        return compile_path(path)
    except DetailedJSONPathError as error:
        raise ValueError(f"`{path[:80]}` is not a JSONPath: {error.message}; accepted: such as `$.id`") from None
    except (JSONPathError, RecursionError):
        raise ValueError(f"`{path[:80]}` is not a JSONPath; accepted: such as `$.id`") from None


def leaves(body: bytes, ignored: Ignored = ()) -> dict[str, str] | None:
    """The leaves of a JSON text as JSON, by their pointers; None of what is not one."""
    try:
        document = json.loads(body, object_pairs_hook=_members)
        return _flat(document, _places(document, ignored))
    except (ValueError, RecursionError, JSONPathError):
        return None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _places(document: Any, ignored: Ignored) -> frozenset[Place]:
    if not isinstance(document, dict | list):
        return frozenset()
    return frozenset(tuple(node.location) for path in ignored for node in path.find(document))


def _flat(document: Any, without: frozenset[Place]) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting: list[tuple[Place, str, Any]] = [((), "", document)]
    while waiting:
        place, pointer, value = waiting.pop()
        if without and place in without:
            continue
        if len(found) + len(waiting) > MOST_LEAVES:
            raise ValueError("too many leaves")
        if isinstance(value, Mapping) and value:
            waiting += [((*place, name), f"{pointer}/{_step(name)}", value[name]) for name in sorted(value)[::-1]]
        elif isinstance(value, list) and value:
            waiting += [((*place, at), f"{pointer}/{at}", value[at]) for at in range(len(value) - 1, -1, -1)]
        else:
            found[pointer] = _leaf(value)
    return found


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _leaf(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return json.dumps(int(value) if whole else value, ensure_ascii=False)
