"""A captured flow as a request to be explained: what its record holds is taken, what was masked or left out is unknown.

A record says nothing of what of a request was masked, so a value counts as masked where it holds a mark that masking
leaves, and everything does where a mask is due that leaves none.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.masking.plan import Plan
    from headgate.model import Principal, Request

_MARK = re.compile(r"\[[A-Z_]+\]|\[redacted\]|\*{4}|hash_[a-p]{32}")
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """`principal` is None where the flow was refused before anybody knew who called."""

    request: "Request"
    principal: "Principal | None"
    at: float
    lost: frozenset[str]
    headers: frozenset[str] = frozenset()
    claims: frozenset[str] = field(default=frozenset())

    def unrecorded(self, location: tuple[str | int, ...]) -> bool:
        """Whether a condition at this place is about what the record does not have."""
        kind, *names = map(str, location or ("",))
        if kind == "headers" and names:
            return "headers" in self.lost or names[0].lower() in self.headers
        if (kind, *names[:1]) == ("principal", "claims"):
            return not names[1:] or _pointer(names[1]) not in self.claims
        if kind == "headers":
            return bool(self.lost & {"headers"} or self.headers)
        return kind in self.lost or (kind == "graphql" and "body" in self.lost)

    def notes(self) -> list[str]:
        """What is unknown for want of a record, in words."""
        said = [
            f"the {part} of the request was masked or not recorded: conditions on it are unknown"
            for part in sorted(self.lost)
        ]
        said += [
            f"the header `{name}` was masked or changed: conditions on it are unknown" for name in sorted(self.headers)
        ]
        return [*said, "claims and signals are known only as far as they were recorded"]


def recorded(entry: "Entry", bundle: "Bundle") -> Recorded:
    """What is known of a flow; `bundle` says which masks and changes its record may have been through."""
    from headgate.model import Request

    summary, sent = entry.summary, entry.request
    full = entry.mode == "masked"
    headers = tuple((name.lower(), value) for name, value in sent.headers or ())
    shapers = [rule.shaper for rule in bundle.policy.rules if rule.shaper]
    changed = {name for shaper in shapers for name in (*dict(shaper.set_headers), *shaper.remove_headers)}
    hidden = {name for name, value in headers if _MARK.search(value)}
    lost = _lost(entry, full) | ({"query"} if any(shaper.remove_query for shaper in shapers) else set())
    principal = _principal(entry)
    request = Request(
        summary.method, summary.scheme, summary.host, summary.port, summary.path, summary.query or "", headers,
        entry.source, None if "body" in lost else sent.body,
    )  # fmt: skip
    plan = _plan(bundle, request, principal, summary.time) if full else None
    if plan and _leaves_no_mark(plan):
        lost |= {"headers", "query", "body", "path"}
    if plan and plan.reads_body and b"null" in sent.body:  # which is what stands for a number that was masked
        lost.add("body")
    claims = frozenset(map(_pointer, (entry.principal or {}).get("claims", {})))
    return Recorded(request, principal, summary.time, frozenset(lost), frozenset(hidden | changed), claims)


def _lost(entry: "Entry", full: bool) -> set[str]:
    summary, sent = entry.summary, entry.request
    lost = {"path"} if _MARK.search(unquote(summary.path)) else set()
    if not full:
        return lost | {"headers", "query", "body"}
    if _MARK.search(unquote(summary.query or "")):
        lost.add("query")
    absent = not sent.body and summary.method not in BODILESS  # a body that could not be masked is not kept
    if absent or sent.truncated or _MARK.search(sent.body.decode("latin-1")):
        lost.add("body")
    return lost


def _plan(bundle: "Bundle", request: "Request", principal: "Principal | None", at: float) -> "Plan | None":
    """What the record of a request has been masked by."""
    from headgate.masking.due import due

    target = bundle.targets.resolve(request.scheme, request.host, request.port)
    return due(bundle.masking, principal, request, target, now=at).record


def _leaves_no_mark(plan: "Plan") -> bool:
    """Whether a mask is due that may change a value so that nothing shows it."""
    from headgate.masking.plan import Operator

    found = {operator for _, operator in (*plan.paths, *plan.headers, *plan.query, *plan.columns, *plan.form)}
    found |= {wanted.operator for wanted in plan.detect}
    return bool(plan.encoded) or not found <= {Operator.REDACT, Operator.LAST4, Operator.HASH}


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
    """Recorded claims, each under its JSON Pointer, as the object that they were in."""
    found: dict[str, Any] = {}
    for pointer, value in claims.items():
        *above, last = (part.replace("~1", "/").replace("~0", "~") for part in _pointer(pointer).split("/")[1:])
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def _pointer(text: str) -> str:
    return text if text.startswith("/") else f"/{text.replace('~', '~0').replace('/', '~1')}"
