"""What the log says of one event: plain JSON, and the one way to write it as bytes.

What is hashed is the canonical form of RFC 8785. A leaf holds text, whole numbers, true, false, null, lists and
objects; for those, and names without characters beyond the Basic Multilingual Plane (which RFC 8785 sorts by UTF-16),
the canonical form is what `json` writes with sorted names. Whatever else is refused, not approximated: two readers
must never disagree on what was hashed.

No leaf holds a token, a body, the value of a query or a value that a mask is due for. A path may hold one, and the
decision is on record before anybody has masked it: so its leaf shows an outline of the path (what could be a value is
hidden), unless its maker knows better (`path_shown`), or not even that (`hide`: masks are due that could find any
word); the outcome can show the path as it was masked for all records.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from headgate.errors import HeadgateError
from headgate.model import Exchange, LimitUse, MaskCount, Principal, Refusal, Request, RuleRef

Leaf = Mapping[str, Any]
"""A JSON object without floats."""

Digest = Callable[[bytes], str]
"""A keyed digest, which says "the same" and nothing else."""

LARGEST = 2**53 - 1
DEEPEST = 32
LONGEST_PATH = 2048
"""Characters of a path that are told."""

HIDDEN = "[redacted]"

_PLAIN = re.compile(r"[a-z_-]{0,24}|[A-Z][a-z]{0,23}|(?=.{1,24}\Z)[a-z]+(?:[A-Z][a-z]+)+|[A-Za-z]?[0-9]{1,5}")
"""What no shipped detection finds anything in: words, and numbers shorter than any of a card, an account, a phone or a
person. Letters and digits together may be a key."""

_write = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode


class LeafKind(StrEnum):
    DECISION = "decision"
    OUTCOME = "outcome"
    APPROVAL = "approval"
    ACTIVATION = "activation"
    START = "start"
    STOP = "stop"
    ACT = "act"


class Uncanonical(HeadgateError):
    """A value that no leaf may hold; the message names its type, never the value."""


def canonical(leaf: Leaf) -> bytes:
    """RFC 8785 for what a leaf may hold; `Uncanonical` for anything else."""
    _check(leaf, DEEPEST)
    try:
        return _write(leaf).encode()
    except UnicodeEncodeError:
        raise Uncanonical("a leaf holds a lone surrogate: only text that UTF-8 can write is accepted") from None


def checked(leaf: Leaf) -> Leaf:
    """`leaf`, if it is one; `Uncanonical` for anything else, such as fractions or what is nested without end."""
    _check(leaf, DEEPEST)
    return leaf


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return
    if not depth:
        raise Uncanonical(f"a leaf is deeper than {DEEPEST} levels")
    if kind is dict:
        for name, inner in value.items():  # type: ignore[attr-defined]
            if not isinstance(name, str) or (not name.isascii() and max(name) > "\uffff"):
                raise Uncanonical("a leaf has a name that is no text, or one beyond the Basic Multilingual Plane")
            if type(inner) is not str:
                _check(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, depth - 1)
    elif isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise Uncanonical("a leaf holds a number beyond 2**53 - 1, which readers of JSON round")
    elif not isinstance(value, str):
        raise Uncanonical(f"a leaf holds a `{kind.__name__}`: accepted: text, whole numbers, lists and objects")


# -- what is said -----------------------------------------------------------------------------------------------------


def event_leaf(kind: LeafKind, now: float, **facts: Any) -> Leaf:
    """Any event; `now` in seconds since the epoch. Who writes it sees to text that UTF-8 cannot write (`plainly`)."""
    return {"kind": str(kind), "time": timestamp(now), **facts}


def decision_leaf(
    exchange: Exchange,
    flow_id: str,
    body_digest: str | None,
    *,
    path_shown: str | None = None,
    hide: Digest | None = None,
    approval_id: str | None = None,
) -> Leaf:
    """What was decided, and on what grounds; made before the request goes on. `hide` stands for each part of the path
    and each name in the query by a digest.

    `exchange` must no longer change: whoever has this made later, by the writer's thread, hands over a copy.
    """
    said, refusal = exchange.decision, exchange.refusal
    return event_leaf(
        LeafKind.DECISION,
        exchange.started,
        decision_id=exchange.decision_id,
        flow_id=flow_id,
        trace_id=exchange.trace_id,
        bundle={"name": b.name, "version": b.version, "sha256": b.sha256} if (b := exchange.bundle) else None,
        principal=_who(exchange.principal) if exchange.principal else None,
        source=exchange.source,
        target=exchange.target.name if exchange.target else None,
        request=_asked(exchange.request, body_digest, path_shown, hide) if exchange.request else None,
        effect=str(said.effect) if said else "deny",
        mode="observe" if said and said.observed else "enforce",
        rules=_rules(said.rules) if said else [],
        reason=said.reason if said else refusal.reason if refusal else "not-judged",
        shadow=_rules(said.shadow) if said else [],
        approval_id=approval_id,
        limits=[_limit(use) for use in said.limits] if said else [],
        refusal=_refused(refusal),
    )


def outcome_leaf(
    exchange: Exchange,
    *,
    now: float,
    status: int | None,
    size: int,
    error: str | None = None,
    path_shown: str | None = None,
) -> Leaf:
    """What came of it: `status` and `size` (bytes of the body) are what the caller got, `path_shown` the path as it
    was masked for records."""
    refusal = exchange.refusal
    return event_leaf(
        LeafKind.OUTCOME,
        now,
        decision_id=exchange.decision_id,
        status=refusal.status if refusal else status,
        refusal=_refused(refusal),
        masks=[_mask(count) for count in exchange.masks],
        bytes=size,
        stage_us=dict(exchange.stage_us),
        error=exchange.error or error,
        path=None if path_shown is None else path_shown[:LONGEST_PATH],
    )


def act_leaf(what: str, by: str, now: float, **facts: Any) -> Leaf:
    """What somebody did to the state of Headgate with a command."""
    return event_leaf(LeafKind.ACT, now, act=what, by=by, facts=facts)


@lru_cache(maxsize=4096)
def _who(principal: Principal) -> dict[str, Any]:
    workload, session = principal.workload, principal.session
    code = {name: getattr(workload, name) for name in ("name", "version", "commit", "digest", "verified")}
    return {
        "id": principal.id,
        "kind": str(principal.kind),
        "provider": principal.provider,
        "owner": principal.owner,
        "groups": sorted(principal.groups),
        "environment": sorted(principal.environments),
        "workload": code,
        "session_id": session.id,
        "scopes": sorted(session.scopes),
    }


def _asked(request: Request, body_digest: str | None, path_shown: str | None, hide: Digest | None) -> dict[str, Any]:
    names = dict.fromkeys(part.partition("=")[0] for part in request.query.split("&") if part)
    if "%" in request.query or "+" in request.query:
        names = dict.fromkeys(map(unquote_plus, names))
    if hide is not None:
        shown, told = digested(request.path, hide), [_hidden(name, hide) for name in names]
    else:
        shown = outlined(request.path) if path_shown is None else path_shown
        told = list(dict.fromkeys(map(_outlined, names)))
    return {
        "method": request.method,
        "host": request.host,
        "path": shown[:LONGEST_PATH],
        "query_names": told,
        "body_digest": body_digest,
    }


def _rules(rules: Iterable[RuleRef]) -> list[dict[str, Any]]:
    return [{"id": rule.id, "effect": str(rule.effect), "file": rule.file, "line": rule.line} for rule in rules]


def _limit(use: LimitUse) -> dict[str, Any]:
    return {"id": use.id, "remaining": use.remaining, "exhausted": use.exhausted, "enforced": use.enforced}


def _mask(mask: MaskCount) -> dict[str, Any]:
    return {"location": mask.location, "entity": mask.entity, "operator": mask.operator, "count": mask.count}


def _refused(refusal: Refusal | None) -> dict[str, str] | None:
    return {"type": refusal.slug, "reason": refusal.reason} if refusal else None


# -- how it is written ------------------------------------------------------------------------------------------------


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds: `2027-01-15T08:00:00.000Z`; sorts by time as text."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def outlined(path: str, digest: Digest | None = None) -> str:
    """A path without what could be a value; with `digest`, equal segments that are hidden still look equal."""
    return "/".join(_outlined(segment, digest) for segment in path[:LONGEST_PATH].split("/"))


def digested(path: str, digest: Digest) -> str:
    """A path of which nothing is told but how many segments it has, and which of them are equal."""
    return "/".join(_hidden(segment, digest) if segment else "" for segment in path[:LONGEST_PATH].split("/"))


def _outlined(piece: str, digest: Digest | None = None) -> str:
    return piece if _PLAIN.fullmatch(piece) else _hidden(piece, digest)


def _hidden(piece: str, digest: Digest | None) -> str:
    return f"~{digest(piece.encode('utf-8', 'backslashreplace'))[:16]}" if digest else HIDDEN


def plainly(value: Any) -> Any:
    """`value` with all text as UTF-8 can write it: lone surrogates become visible escapes."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if kind is dict:
        return {plainly(name): plainly(inner) for name, inner in value.items()}
    if kind is list or kind is tuple:
        return [plainly(inner) for inner in value]
    return value
