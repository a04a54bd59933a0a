"""The labelled payloads of tests/cases/payloads/: what an API sends, and all that is sensitive in it.

They are part of a clone of the project, as the tests are; an installed package has none. The README beside them says
what counts as true.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from headgate.masking.plan import Leaf

FOLDER = Path(__file__).parents[3] / "tests" / "cases" / "payloads"

SEAM = "\u00a6"
"""Stands within made-up credentials, where scanners of repositories would take them for real ones."""

SEEN = "seen"
UNSEEN = "unseen"
"""The halves, folders: the profile was tuned on the first alone, so that only the second can tell how good it is."""


class Number(str):
    """A number of JSON, as it is spelled."""

    __slots__ = ()


class Truth(NamedTuple):
    entity: str
    value: str


class Labelled(NamedTuple):
    """A leaf, and what is sensitive in it."""

    leaf: Leaf
    truths: tuple[Truth, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """`name` is that of its file, such as `hr-payroll`; `internal_domains` are the mail domains that rules name."""

    name: str
    internal_domains: tuple[str, ...]
    leaves: tuple[Labelled, ...]


def payloads(half: str) -> list[Payload]:
    """All payloads of a half, by name; none where there is no folder of them."""
    return [_payload(file) for file in sorted((FOLDER / half).glob("*.yaml"))]


@lru_cache(maxsize=256)
def _payload(file: Path) -> Payload:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    told = yaml.load(file.read_text(encoding="utf-8").replace(SEAM, ""), loader)  # noqa: S506 - it is the safe loader, in C where there is one
    truths: dict[str, list[Truth]] = {}
    for pointer, entity, value in told["truths"]:
        truths.setdefault(pointer, []).append(Truth(entity, value))
    found = _leaves(told["payload"].removesuffix("\n"), told["format"])
    leaves = tuple(Labelled(leaf, tuple(truths.pop(pointer, ()))) for pointer, leaf in found)
    if truths:
        raise ValueError(f"`{file.name}` has no value at `{next(iter(truths))}`")
    return Payload(file.stem, tuple(told.get("internal_domains", ())), leaves)


def _leaves(text: str, form: str) -> list[tuple[str, Leaf]]:
    lines = text.split("\n")
    if form == "json":
        return list(_below(_read(text), "", ""))
    if form == "ndjson":
        return [each for at, line in enumerate(lines) for each in _below(_read(line), f"/{at}", "")]
    return [(f"/{at}", Leaf(line, "")) for at, line in enumerate(lines)]


def _read(text: str) -> Any:
    return json.loads(text, parse_int=Number, parse_float=Number)


def _below(value: Any, pointer: str, key: str) -> Iterator[tuple[str, Leaf]]:
    """Every string and number, with the nearest member name above it, as masking reads JSON."""
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, str):
        yield pointer, Leaf(str(value), key, number=isinstance(value, Number))
    elif isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for name, member in members:
        step = str(name).replace("~", "~0").replace("/", "~1")
        yield from _below(member, f"{pointer}/{step}", name if isinstance(name, str) else key)
