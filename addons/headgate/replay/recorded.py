"""A captured flow as a request to be decided again: what its record holds is taken, what was masked or left out is
unknown.

A record says nothing of what of a request was masked (`lost.py`). Which masks were due, the bundle says that the flow
was recorded under; where another is given in its place, what that one would have masked and changed is taken for lost.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headgate.replay.lost import ABOUT_BODIES, lost_parts, marked_headers, marked_parameters

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.masking.plan import Plan
    from headgate.masking.rules import MaskingRules
    from headgate.model import Principal, Request
    from headgate.replay.rewritten import Rewriting

NARROWED = frozenset({"accept-encoding", "if-modified-since", "if-none-match", "if-range", "range"})
"""Headers that are changed or left out on the way, where a response is to be masked."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`principal` is None where the flow was refused before anybody knew who called; `signals` where they are not
    known. `lost` are whole parts of the request, `headers` and `queries` names of what else may have been changed;
    `narrowed`: its response was to be masked, so that it was asked for in a way that can be."""

    request: "Request"
    principal: "Principal | None"
    at: float
    lost: frozenset[str]
    headers: frozenset[str] = frozenset()
    claims: frozenset[str] = field(default=frozenset())
    signals: frozenset[str] | None = None
    queries: frozenset[str] = frozenset()
    narrowed: bool = False

    @property
    def lacks(self) -> Hashable:
        """All that `unrecorded` goes by."""
        return self.lost, self.headers, self.claims, self.queries, self.narrowed

    def unrecorded(self, location: tuple[str | int, ...]) -> bool:
        """Whether a condition at this place is about what the record does not have."""
        kind, *names = map(str, location or ("",))
        if kind == "headers" and names:
            name = names[0].lower()
            gone = (self.narrowed and name in NARROWED) or ("body" in self.lost and name in ABOUT_BODIES)
            return "headers" in self.lost or name in self.headers or gone
        if (kind, *names[:1]) == ("principal", "claims"):
            return not names[1:] or not self._has_claim(_pointer(names[1]))
        if kind == "headers":
            return bool(self.lost & {"headers", "body"} or self.headers or self.narrowed)
        if kind == "query" and self.queries:
            return "query" in self.lost or not names or names[0] in self.queries
        if kind == "graphql":  # which stands in a body or a query
            return bool(self.lost & {"body", "query"} or self.queries)
        return kind in self.lost

    def _has_claim(self, pointer: str) -> bool:
        """Whether it, or what it is in, was recorded; null says that the token had none."""
        return any(pointer == known or pointer.startswith(f"{known}/") for known in self.claims)

    def notes(self) -> list[str]:
        """What is unknown for want of a record, in words."""
        said = [
            f"the {part} of the request was masked or not recorded: conditions on it are unknown"
            for part in sorted(self.lost)
        ]
        said += [
            f"the header `{name}` was masked or changed: conditions on it are unknown" for name in sorted(self.headers)
        ]
        if self.queries:
            named = ", ".join(f"`{name}`" for name in sorted(self.queries))
            said.append(f"the query of the request was masked or not recorded in {named}: conditions on it are unknown")
        return [*said, "claims and signals are known only as far as they were recorded"]


def recorded(entry: "Entry", bundle: "Bundle") -> Recorded:
    """What is known of a flow; `bundle` says which masks and changes its record may have been through.

    A mask may be due by what its own record does not show any more: first all count that could be, whatever the request
    held, then those that could be by what is left."""
    if entry.request.headers is None or not bundle.masking.masks:
        return _recorded(entry, bundle, None)
    rewriting = _rewriting_of(bundle)
    outline = rewriting.outline
    known = _recorded(entry, bundle, outline.masking)
    if not outline.open_masks:
        return known
    return _recorded(entry, bundle, rewriting.for_record(known.unrecorded).masking)


@lru_cache(maxsize=16)
def _rewriting_of(bundle: "Bundle") -> "Rewriting":
    from headgate.replay.once import rewriting_of

    return rewriting_of(bundle)


def _recorded(entry: "Entry", bundle: "Bundle", masking: "MaskingRules | None") -> Recorded:
    """What is known where these masks are asked; None: none are due."""
    from headgate.model import Request

    summary, sent = entry.summary, entry.request
    headers = tuple((name.lower(), value) for name, value in sent.headers or ())
    changed, removed = _shaped(entry, bundle)
    principal = _principal(entry)
    request = Request(
        summary.method, summary.scheme, summary.host, summary.port, summary.path, summary.query or "", headers,
        entry.source, sent.body,
    )  # fmt: skip
    signals = None if entry.signals is None else frozenset(entry.signals)
    plan = _plan(bundle, masking, request, principal, summary.time, signals) if masking else None
    lost = lost_parts(entry, plan)
    if "body" in lost:
        request = replace(request, body=None)
    masked = frozenset(name for name, _ in plan.headers) if plan else frozenset[str]()
    claims = frozenset(map(_pointer, (entry.principal or {}).get("claims", {})))
    return Recorded(
        request,
        principal,
        summary.time,
        frozenset(lost),
        marked_headers(entry, plan) | changed | masked,
        claims,
        signals,
        removed | marked_parameters(entry, plan),
        plan is not None,
    )


Changes = tuple[frozenset[str], frozenset[str]]
"""Names of headers, and of parameters of the query."""

NO_CHANGES: Changes = (frozenset(), frozenset())


def _shaped(entry: "Entry", bundle: "Bundle") -> Changes:
    """What rules may have changed of the request before it was recorded: those that decided, where they are known."""
    owned, by_rule = _shapers(bundle)
    if entry.bundle is None or entry.bundle["sha256"] != bundle.sha256:
        return _joined([owned, *by_rule.values()])
    passed = entry.summary.refusal in (None, "withheld") and entry.summary.mode == "enforce"
    return _joined([owned, *(by_rule.get(rule["id"], NO_CHANGES) for rule in entry.rules)]) if passed else NO_CHANGES


@lru_cache(maxsize=16)
def _shapers(bundle: "Bundle") -> tuple[Changes, dict[str, Changes]]:
    """What goes from every request that goes on, and what each rule changes."""
    by_rule = {
        rule.ref.id: (frozenset(dict(rule.shaper.set_headers)) | rule.shaper.remove_headers, rule.shaper.remove_query)
        for rule in bundle.policy.rules
        if rule.shaper
    }
    return (bundle.policy.owned_headers, frozenset()), by_rule


def _joined(changes: list[Changes]) -> Changes:
    return frozenset().union(*(one[0] for one in changes)), frozenset().union(*(one[1] for one in changes))


def _plan(
    bundle: "Bundle",
    masking: "MaskingRules",
    request: "Request",
    principal: "Principal | None",
    at: float,
    signals: frozenset[str] | None,
) -> "Plan | None":
    """What the record of a request has been masked by."""
    from headgate.masking.due import due

    target = bundle.targets.resolve(request.scheme, request.host, request.port)
    return due(masking, principal, request, target, now=at, signals=signals).record


def _principal(entry: "Entry") -> "Principal | None":
    from headgate.model import Kind, Principal, Session, Workload

    who = entry.principal
    if who is None:
        return None
    return Principal(
        who["id"],
        Kind(who["kind"]),
        who["provider"],
        frozenset(who["groups"]),
        who["email"],
        who["owner"],
        who["person"],
        frozenset(who["environment"]),
        frozenset(who["audiences"]),
        Workload(**who["workload"]),
        Session(who["session_id"], frozenset(who["scopes"]), entry.issued_at),
        _nested(who["claims"]),
    )


def _nested(claims: dict[str, Any]) -> dict[str, Any]:
    """Recorded claims, each under its JSON Pointer, as the object that they were in; null is one that was not there."""
    found: dict[str, Any] = {}
    for pointer, value in claims.items():
        if value is None:
            continue
        *above, last = (part.replace("~1", "/").replace("~0", "~") for part in _pointer(pointer).split("/")[1:])
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def _pointer(text: str) -> str:
    return text if text.startswith("/") else f"/{text.replace('~', '~0').replace('/', '~1')}"
