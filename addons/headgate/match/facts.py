"""What is known of one request, in the form that rules compare, and the dimensions an index may branch on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from headgate.match.hosts import canonical_host, host_keys
from headgate.match.pointers import Pointer, lookup
from headgate.model import Kind, Principal, Request, Target

WEBSOCKET = "WEBSOCKET"
"""The method, to rules, of a request that asks to become a WebSocket."""

READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""The methods that are not `write` (RFC 9110, section 9.2.1, calls them safe)."""


class Claim(NamedTuple):
    """A claim of which values of one type are demanded."""

    path: Pointer
    of: type


Dimension = str | int | Claim
"""What an index may branch on: a name from `KEYS`, the position of a path segment, counted from 0, or a claim."""

Value = str | int
"""What may be demanded in a dimension; all values of one dimension are of one type, for to Python `True` is 1."""


class Subject(NamedTuple):
    """What a rule is asked about; `now` is in seconds since the epoch, `signals` are those set (None: unknown)."""

    principal: Principal | None
    request: Request
    target: Target | None
    now: float
    signals: frozenset[str] | None = frozenset()


class Facts:
    """A subject in the form that tests compare, worked out once for all rules."""

    __slots__ = (
        "_views",
        "caller",
        "folded",
        "host",
        "method",
        "now",
        "principal",
        "request",
        "segments",
        "signals",
        "target",
    )

    def __init__(self, subject: Subject) -> None:
        principal, request, target, self.now, self.signals = subject
        self.principal, self.request = principal, request
        self._views: dict[Callable[[Request], Any], Any] = {}
        self.caller = None if principal is None or principal.kind is Kind.ANONYMOUS else principal
        self.target = target
        self.method = effective_method(request)
        self.host = canonical_host(request.host) or request.host.lower()
        self.folded = target is not None and target.paths.fold_case
        path = request.path.lower() if self.folded else request.path
        self.segments = path[1:].split("/") if path.startswith("/") else []

    def view[View](self, read: Callable[[Request], View]) -> View:
        """What `read` makes of the request, worked out once and only if some condition asks for it."""
        if read not in self._views:
            self._views[read] = read(self.request)
        found: View = self._views[read]
        return found

    def keys(self, dimension: Dimension) -> Iterable[Value] | None:
        """The values of this subject that a rule may demand in one dimension; None if that cannot be told."""
        if isinstance(dimension, str):
            return KEYS[dimension](self)
        if isinstance(dimension, int):
            return self.segments[dimension : dimension + 1]
        values = self.claim(dimension.path)
        return set(values) if all(type(value) is dimension.of for value in values) else None

    def claim(self, path: Pointer) -> Sequence[Any]:
        """The values of a signed claim, as they are: none where it is absent, null or empty, several in a list."""
        value = lookup(self.caller.claims, path) if self.caller else None
        if isinstance(value, tuple | list):
            return value
        return () if value is None or value == "" else (value,)


NOTHING: frozenset[str] = frozenset()


def effective_method(request: Request) -> str:
    """The method, or WEBSOCKET for a request that asks to become one (RFC 6455, section 4.1)."""
    if request.method == "GET":
        for name, value in request.headers:
            if name == "upgrade" and "websocket" in value.lower():
                return WEBSOCKET
    return request.method


def _method_keys(facts: Facts) -> Iterable[str]:
    upper = facts.method.upper()
    if upper == WEBSOCKET:
        return (WEBSOCKET, "write", facts.request.method.upper())
    return (upper,) if facts.method in READS else (upper, "write")


def _single(of: str, name: str) -> Callable[[Facts], Iterable[str]]:
    """The value of one attribute, if there is one."""
    holder_of, value_of = attrgetter(of), attrgetter(name)

    def keys(facts: Facts) -> Iterable[str]:
        holder = holder_of(facts)
        value = None if holder is None else value_of(holder)
        return (value,) if value else ()

    return keys


KEYS: Mapping[str, Callable[[Facts], Iterable[str]]] = {
    "principal.kind": _single("principal", "kind"),
    "principal.id": _single("caller", "id"),
    "principal.email": _single("caller", "email"),
    "principal.provider": _single("caller", "provider"),
    "principal.owner": _single("caller", "owner"),
    "principal.groups": lambda facts: facts.caller.groups if facts.caller else NOTHING,
    "principal.workload.name": _single("caller", "workload.name"),
    "principal.workload.version": _single("caller", "workload.version"),
    "principal.workload.commit": _single("caller", "workload.commit"),
    "principal.workload.digest": _single("caller", "workload.digest"),
    "principal.workload.workflow": _single("caller", "workload.workflow"),
    "principal.session.scopes": lambda facts: facts.caller.session.scopes if facts.caller else NOTHING,
    "principal.environment": lambda facts: facts.caller.environments if facts.caller else NOTHING,
    "target": _single("target", "name"),
    "target.environment": _single("target", "environment"),
    "target.tags": lambda facts: facts.target.tags if facts.target else NOTHING,
    "method": _method_keys,
    "host": lambda facts: host_keys(facts.host),
}
