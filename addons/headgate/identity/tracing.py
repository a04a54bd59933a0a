"""Which trace a request belongs to (W3C Trace Context: https://www.w3.org/TR/trace-context/, sections 3.2 to 3.4).

A trace is continued only where it comes from a trusted peer: everybody else could join their requests to somebody
else's trace, or have everything of theirs kept. They get a trace of their own, with a link to the one they named and
without the state that came with it. What cannot be read, or comes twice, names no trace at all.

Of the flags, `sampled` is known and, from Level 2 of the specification, `random`; others are not passed on. A trace
that starts here is sampled: each decision is recorded under its id, and systems behind often keep only what is sampled.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headgate.match import plain_name

SAMPLED, RANDOM = 0x01, 0x02

MAX_TRACEPARENT = 512
"""Characters of a `traceparent`; version 00 has 55 of them, later ones may have more."""
MAX_MEMBERS = 32
"""Members of a `tracestate`; with the lengths of keys and values this bounds what is passed on."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x2b\x2d-\x7e]*)?\Z")
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/@-]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)


class Link(NamedTuple):
    """A span of another trace that has to do with this one; ids in lower-case hex."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in its trace; ids in lower-case hex, 32 characters of the trace and 16 of a span.

    `span_id` is what this proxy does for the request, `parent_id` the caller's span that it is part of. `random` says
    that the id of the trace was made of chance.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    tracestate: str = ""
    link: Link | None = None
    random: bool = False


class _Inbound(NamedTuple):
    trace_id: str
    span_id: str
    flags: int


def continue_or_start(
    traceparent: Sequence[str],
    tracestate: Sequence[str],
    *,
    trusted: bool,
    randomness: Callable[[int], bytes],
) -> Trace:
    """The trace of a request with these values of the two headers; `trusted` is whether its peer is.

    `randomness` gives so many bytes of chance. Never raises, whatever the values.
    """
    inbound = _inbound(traceparent)
    if inbound is None or not trusted:
        link = Link(inbound.trace_id, inbound.span_id) if inbound else None
        return Trace(_made(16, randomness), _made(8, randomness), None, sampled=True, link=link, random=True)
    return Trace(
        inbound.trace_id,
        _made(8, randomness),
        inbound.span_id,
        sampled=bool(inbound.flags & SAMPLED),
        tracestate=_state(tracestate),
        random=bool(inbound.flags & RANDOM),
    )


def traceparent(trace: Trace) -> str:
    """The header for the upstream, whose parent is this proxy's span; always of version 00."""
    flags = SAMPLED * trace.sampled | RANDOM * trace.random
    return f"00-{trace.trace_id}-{trace.span_id}-{flags:02x}"


def traced_fields(fields: tuple[tuple[bytes, bytes], ...], trace: Trace) -> tuple[tuple[bytes, bytes], ...]:
    """Header fields that carry this trace and no other, in whatever spelling that came."""
    kept = tuple(pair for pair in fields if plain_name(pair[0]) not in (b"traceparent", b"tracestate"))
    state = ((b"tracestate", trace.tracestate.encode()),) if trace.tracestate else ()
    return (*kept, (b"traceparent", traceparent(trace).encode()), *state)


def _inbound(values: Sequence[str]) -> _Inbound | None:
    """What the one value says. A version after 00 may have more behind the flags; what that means is not known."""
    if len(values) != 1 or len(values[0]) > MAX_TRACEPARENT:
        return None
    found = _TRACEPARENT.match(values[0].strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return _Inbound(trace_id, span_id, int(flags, 16))


def _state(values: Iterable[str]) -> str:
    """The members of all values in order; empty where any cannot be read, is there twice, or there are too many."""
    members = [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]
    if len(members) > MAX_MEMBERS:
        return ""
    keys = [found[1] for member in members if (found := _MEMBER.match(member))]
    return ",".join(members) if len(set(keys)) == len(members) else ""


def _made(size: int, randomness: Callable[[int], bytes]) -> str:
    """An id of `size` bytes; one of zeros stands for none and is not given."""
    number = int.from_bytes(randomness(size)[:size]) or 1
    return f"{number:0{2 * size}x}"
