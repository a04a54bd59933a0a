"""Credentials that are known by their form: prefixed keys and tokens, private keys, JWTs, passwords in addresses.

The forms are data, secrets.yaml beside this file, each with examples that the tests run. There is no bare entropy:
what has no mark of its own (a password, a hex string) is a field that rules name.

Each pattern begins at a literal, its keyword, and is tried only where that stands: so a text costs one pass for all
keywords together, and one try for each keyword in it. A pattern that goes on without end is possessive and begins
where no character of its own kind stands before, so that no stretch is read by more than a few tries.
"""

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import accumulate, batched
from pathlib import Path
from typing import Any

import re2  # type: ignore[import-untyped]  # ships no types
import yaml

from headgate.masking.names import words

FORMATS_FILE = Path(__file__).with_name("secrets.yaml")

_START = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[abfnrtv]))"
_END = r"(?![A-Za-z0-9])"
_BETWEEN = r"""["'\\\]]{0,4}[ \t]{0,8}(?:=>|:=|[:=>,])[ \t]{0,8}["'\\\[]{0,4}"""
"""What stands between a name and its value: in environment files, code, YAML, JSON in a text, XML."""

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

GROUP = 8
"""Formats that are looked for together once a text passes the gate of all."""

Finding = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Format:
    """One form of credential; `longest` is None where there is no limit, and else what a real one has at most.

    `offset` is where in a match its keyword stands. `named` formats are recognised by the name beside the value, which
    may as well be the name that a whole leaf stands under.
    """

    id: str
    keywords: tuple[str, ...]
    gate: str
    pattern: re.Pattern[str] = field(repr=False)
    score: float
    longest: int | None
    offset: int
    folded: bool
    named: bool
    check: Callable[[str], bool] | None


def find_secrets(text: str, key: str = "") -> list[Finding]:
    """Start, end and score of every credential in a text that stands under `key`; in order, without overlaps."""
    found = list(_findings(text, _possible(text)))
    if names_secret(key):
        name = _name(key)
        found += [
            (max(start - len(name), 0), end - len(name), score)
            for start, end, score in _findings(name + text, _named())
            if end > len(name)
        ]
    return _merged(found)


def suspects(texts: Sequence[str]) -> list[int]:
    """The places of those texts that pass the gate, in one pass over all of them.

    Only they, and those under a key of which `names_secret` is true, need `find_secrets`.
    """
    parts = [_bytes(text) for text in texts]
    ends = list(accumulate(len(part) + 1 for part in parts))
    joined, search = b"\n".join(parts), _whole_gate().search
    found: list[int] = []
    hit = search(joined)
    while hit:
        at = bisect_right(ends, hit.start())
        found.append(at)
        hit = search(joined, ends[at]) if ends[at] < len(joined) else None
    return found


@lru_cache(maxsize=4096)
def names_secret(key: str) -> bool:
    """Whether a value under this key may be a credential that nothing but its name shows."""
    name = _name(key).lower()
    return any(keyword in name for known in _named() for keyword in known.keywords)


@cache
def gate() -> str:
    """A regular expression, of `re` as of RE2, that matches somewhere in each text that has a credential in it."""
    return "|".join(known.gate for known in formats())


@cache
def formats() -> tuple[Format, ...]:
    """All formats, read and compiled once for each process."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(FORMATS_FILE.read_bytes(), loader)  # noqa: S506 - it is the safe loader, in C where there is one
    return tuple(_format(entry) for entry in entries)


def _format(entry: dict[str, Any]) -> Format:
    before = _START if entry.get("starts", True) else ""
    after = _END if entry.get("ends", True) else ""
    pattern = entry["pattern"].replace("<between>", _BETWEEN)
    folded = entry.get("folded", False)
    keywords = tuple(word.lower() if folded else word for word in entry["keywords"])
    return Format(
        id=entry["id"],
        keywords=keywords,
        gate=f"(?:{entry['gate']})" if "gate" in entry else f"(?{'i' * folded}:{'|'.join(map(re.escape, keywords))})",
        pattern=re.compile(f"{before}(?:{pattern}){after}", re.ASCII | re.DOTALL),
        score=entry.get("score", 1.0),
        longest=entry["longest"],
        offset=entry.get("offset", 0),
        folded=folded,
        named=entry.get("named", False),
        check=_CHECKS[entry["check"]] if "check" in entry else None,
    )


@cache
def _named() -> tuple[Format, ...]:
    return tuple(known for known in formats() if known.named)


def _possible(text: str) -> list[Format]:
    """The formats that may be in a text; groups of them are ruled out together."""
    data = _bytes(text)
    if not _whole_gate().search(data):
        return []
    return [known for gate, group in _groups() if gate.search(data) for known in group]


@cache
def _whole_gate() -> Any:
    return _compiled(gate())


@cache
def _groups() -> list[tuple[Any, tuple[Format, ...]]]:
    groups = batched(formats(), GROUP, strict=False)
    return [(_compiled("|".join(known.gate for known in group)), group) for group in groups]


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # keywords are ASCII: any bytes may stand around them
    return re2.compile(pattern.encode(), options)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _name(key: str) -> str:
    return f"{'_'.join(words(key))}="


def _findings(text: str, known: Iterable[Format]) -> Iterator[Finding]:
    lower = (
        text.lower() if text.isascii() else text.translate(_LOWER)
    )  # of the same length, which `lower` is not always
    for form in known:
        source = lower if form.folded else text
        for keyword in form.keywords:
            if keyword in source:
                yield from _matches(form, keyword, text, source)


def _matches(form: Format, keyword: str, text: str, source: str) -> Iterator[Finding]:
    at = source.find(keyword)
    while at >= 0:
        begin = at - form.offset
        match = form.pattern.match(text, begin) if begin >= 0 else None
        if match:
            group = "secret" if "secret" in form.pattern.groupindex else 0
            if form.check is None or form.check(match[group]):
                yield *match.span(group), form.score
            at = max(at, match.end() - 1)
        at = source.find(keyword, at + 1)


def _merged(found: list[Finding]) -> list[Finding]:
    merged: list[Finding] = []
    for start, end, score in sorted(found):
        if merged and start < merged[-1][1]:
            first, last, best = merged[-1]
            merged[-1] = (first, max(last, end), max(best, score))
        else:
            merged.append((start, end, score))
    return merged


def _is_basic(value: str) -> bool:
    """RFC 7617: the base64 form of a user, a colon and a password; most words are no base64 of printable text."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and all(byte >= 0x20 and byte != 0x7F for byte in decoded)


_CHECKS: dict[str, Callable[[str], bool]] = {"basic": _is_basic}
