"""Where the replay of a request differs from its recording: in verdict, status, headers, body.

JSON is compared by value and told by JSON Pointers, text as a unified diff, anything else by size and hash, all of it
bounded. A value that the recording has masked and the present rules no longer mask is not told either: only that it is
no longer masked.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from headgate.replay.documents import Ignored, leaves
from headgate.replay.said import Said

VOLATILE = frozenset(
    {"age", "cf-ray", "connection", "content-length", "date", "keep-alive", "server-timing", "traceparent"}
    | {"transfer-encoding", "x-amzn-trace-id", "x-correlation-id", "x-request-id", "x-runtime"}
)
"""Response headers that differ from one answer to the next, or say what the body says: never compared."""

MOST = 50
"""Differences of one body that are told one by one."""

MOST_LINES = 40
LONGEST_TEXT = 256 * 1024
LONGEST_VALUE = 200

OWN_PROBLEM = b'"type": "urn:headgate:problem:'
OWN_FIELDS = frozenset({"/decision_id", "/approval_id", "/approval_url", "/status_url", "/expires_at", "/retry_after"})
"""What a refusal by this guard says anew each time."""

GONE = "(none)"
UNMASKED = "(no longer masked: not shown)"

MARK = re.compile(r"\[[A-Z_]+\]|\[redacted\]|\*{4}|hash_[a-p]{32}")
"""What masking leaves in place of a value."""

Decode = Callable[[bytes, list[str]], bytes | None]
"""A body without its content codings; None where that cannot be done."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is another now; `where` is a header's name, a JSON Pointer, or a word. `lines` are a diff."""

    part: str
    where: str
    recorded: str = GONE
    replayed: str = GONE
    lines: tuple[str, ...] = field(default=(), repr=False)

    @property
    def place(self) -> tuple[str, str]:
        return self.part, self.where


@dataclass(frozen=True, slots=True)
class Rules:
    """How answers are compared. `headers` (names in lower case) and `ignored` are not. With `masked_upstream` the
    upstream has answered from the recording, so that what was masked then could not be masked again: fewer masks
    are no difference."""

    headers: frozenset[str] = VOLATILE
    ignored: Ignored = ()
    masked_upstream: bool = False
    decode: Decode = lambda body, codings: None if codings else body


def differences(recorded: Said, replayed: Said, rules: Rules) -> tuple[Difference, ...]:
    """Everything that differs, the gravest first; of an answer that was not recorded only the verdict."""
    found = [*_verdict(recorded, replayed), *_masks(recorded, replayed, rules)]
    if recorded.status is None:
        return tuple(found)
    if recorded.status != replayed.status:
        found.append(Difference("status", "", str(recorded.status), str(replayed.status or GONE)))
    answered = (recorded.refusal is None) == (replayed.refusal is None)  # both by the upstream, or both by the guard
    if answered and recorded.headers is not None and replayed.headers is not None:
        found += _headers(recorded, replayed, rules)
        found += _body(recorded, replayed, rules)
    return tuple(found)


def _verdict(recorded: Said, replayed: Said) -> Iterator[Difference]:
    pairs = (
        ("effect", recorded.effect, replayed.effect),
        ("reason", recorded.reason, replayed.reason),
        ("rules", ", ".join(recorded.rules), ", ".join(replayed.rules)),
        ("refusal", _refusal(recorded), _refusal(replayed)),
    )
    for name, before, now in pairs:
        if before != now:
            yield Difference("verdict", name, before or GONE, now or GONE)


def _refusal(said: Said) -> str:
    return f"{said.refusal[0]}: {said.refusal[1]}" if said.refusal else ""


def _masks(recorded: Said, replayed: Said, rules: Rules) -> Iterator[Difference]:
    if recorded.status is None or recorded.refusal or replayed.refusal:
        return
    for mask in sorted(recorded.masks.keys() | replayed.masks.keys()):
        before, now = recorded.masks[mask], replayed.masks[mask]
        if now > before or (now < before and not rules.masked_upstream):
            location, entity, operator = mask
            yield Difference("verdict", f"mask {location} ({entity}, {operator})", f"{before} times", f"{now} times")


def _headers(recorded: Said, replayed: Said, rules: Rules) -> Iterator[Difference]:
    names = {name.lower() for said in (recorded, replayed) for name, _ in said.headers or ()} - rules.headers
    for name in sorted(names):
        before, now = ", ".join(recorded.values(name)), ", ".join(replayed.values(name))
        if recorded.values(name) != replayed.values(name):
            lost = f"header:{name}" in _lost(recorded, replayed)
            yield _told("header", name, before or GONE, now or GONE, masked=lost)


def _body(recorded: Said, replayed: Said, rules: Rules) -> Iterator[Difference]:
    if not (recorded.body or replayed.body):
        return  # neither was kept, or there is none: a size alone may differ for no reason
    if not recorded.body and recorded.size:
        return
    before, now = _plain(recorded, rules), _plain(replayed, rules)
    if before == now and before is not None:
        return
    if before is None or now is None:
        yield from _binary(recorded.body, replayed.body)
        return
    was, became = leaves(before, rules.ignored), leaves(now, rules.ignored)
    if was is not None and became is not None:
        own = OWN_FIELDS if OWN_PROBLEM in before and OWN_PROBLEM in now else frozenset()
        yield from _values(was, became, own, _lost(recorded, replayed))
    else:
        yield from _texts(before, now, _lost(recorded, replayed))


def _plain(said: Said, rules: Rules) -> bytes | None:
    codings = said.values("content-encoding")
    return rules.decode(said.body, codings) if codings else said.body


def _lost(recorded: Said, replayed: Said) -> frozenset[str]:
    """Locations at which more was masked than is now: some masks leave no mark."""
    return frozenset(location for location, *_ in recorded.masks - replayed.masks)


def _was_masked(pointer: str, lost: frozenset[str]) -> bool:
    """Locations have `*` for each index, and say after `|` where within a value."""
    steps = ["*" if step.isdigit() else step for step in pointer.split("/")]
    above = {"/".join(steps[:count]) for count in range(len(steps) + 1)}
    return any(location.partition("|")[0] in above for location in lost)


def _values(
    was: dict[str, str], became: dict[str, str], own: frozenset[str], lost: frozenset[str]
) -> Iterator[Difference]:
    changed = [at for at in dict.fromkeys((*was, *became)) if at not in own and was.get(at) != became.get(at)]
    for pointer in changed[:MOST]:
        masked = _was_masked(pointer, lost)
        yield _told("body", pointer or "/", was.get(pointer, GONE), became.get(pointer, GONE), masked=masked)
    if len(changed) > MOST:
        yield Difference("body", "and more", "", f"{len(changed) - MOST} further values")


def _told(part: str, where: str, before: str, now: str, *, masked: bool) -> Difference:
    fewer = Counter(MARK.findall(before)) - Counter(MARK.findall(now))  # one of several that is gone is enough
    hidden = now != GONE and (masked or fewer)
    return Difference(part, where, _cut(before), UNMASKED if hidden else _cut(now))


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}... ({len(value):,} characters)"


def _texts(before: bytes, now: bytes, lost: frozenset[str]) -> Iterator[Difference]:
    try:
        was, became = before.decode().splitlines(), now.decode().splitlines()
    except UnicodeDecodeError:
        yield from _binary(before, now)
        return
    if lost or b"\0" in before + now or max(len(before), len(now)) > LONGEST_TEXT:
        yield from _binary(before, now)
        return
    lines = tuple(_hidden(list(difflib.unified_diff(was, became, "recorded", "replayed", lineterm="", n=1))))
    more = (f"... {len(lines) - MOST_LINES} further lines",) if len(lines) > MOST_LINES else ()
    sizes = f"{len(before):,} bytes", f"{len(now):,} bytes"
    yield Difference("body", "text", *sizes, (*map(_cut, lines[:MOST_LINES]), *more))


def _hidden(lines: list[str]) -> Iterator[str]:
    """A diff in which a line is not shown that follows on a masked one, unless it is masked as well."""
    masked = False
    for at, line in enumerate(lines):
        if at < 2 or line.startswith("@@"):
            masked = False if line.startswith("@@") else masked
        elif line.startswith("-"):
            masked = masked or MARK.search(line) is not None
        elif line.startswith("+") and masked:
            line = f"+ {UNMASKED}"
        yield line


def _binary(before: bytes, now: bytes) -> Iterator[Difference]:
    if before != now:
        yield Difference("body", "bytes", _digest(before), _digest(now))


def _digest(data: bytes) -> str:
    return f"{len(data):,} bytes, SHA-256 {sha256(data).hexdigest()[:16]}"
