"""The values that travel between the guardrails.

Everything here is plain: no mitmproxy, no clock, no files. All values are frozen but one: an `Exchange` is what the
chain has found out so far about one request and its response. It lives in the guard's private mapping, never on the
flow, so that a replayed, copied or forged flow brings nothing along.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order received: (name in lower case, value)."""

NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


class Kind(StrEnum):
    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"
    CI = "ci"
    ANONYMOUS = "anonymous"


class Effect(StrEnum):
    ALLOW = "allow"
    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Workload:
    """The code that calls, as far as a signed claim names it.

    `workflow` is the CI job that it runs in, `pod` the uid of its Kubernetes pod. `verified` says that a signed release
    list names this code for each of the caller's environments.
    """

    name: str | None = None
    version: str | None = None
    commit: str | None = None
    digest: str | None = None
    workflow: str | None = None
    pod: str | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """The session a token belongs to; `issued_at` is in seconds since the epoch."""

    id: str | None = None
    scopes: frozenset[str] = frozenset()
    issued_at: float | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as proven by a key. (`provider`, `id`) is what limits, grants and four-eyes compare.

    `environments` may be empty (unknown), and may hold several. `expires_at` is in seconds since the epoch, the clock
    skew not added; None for an anonymous caller, and for one whose certificate only a trusted peer has seen.
    """

    id: str
    kind: Kind
    provider: str
    groups: frozenset[str] = frozenset()
    email: str | None = None
    owner: str | None = None
    person: str | None = None
    environments: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    workload: Workload = Workload()
    session: Session = Session()
    claims: Mapping[str, Any] = field(default=NO_CLAIMS, hash=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class PathRules:
    """What an upstream is known to read in one way only, so that its paths may have it.

    `merge_slashes`: `//` is `/`. `fold_case`: upper and lower case are the same. `encoded_slash`: `%2F` separates
    nothing. `parameters`: `;` is an ordinary character.
    """

    merge_slashes: bool = False
    fold_case: bool = False
    encoded_slash: bool = False
    parameters: bool = False


STRICT = PathRules()


@dataclass(frozen=True, slots=True)
class Target:
    """A system behind the proxy, as targets.yaml names it.

    `observe`: what policy says of its requests is recorded, and not enforced.
    """

    name: str
    environment: str | None = None
    tags: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    observe: bool = False
    paths: PathRules = STRICT


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it will be forwarded: what is decided on is what the upstream reads.

    `host` is in lower case without a trailing dot, `path` is canonical, `query` is without its `?`; `source` is the
    address of the peer. `body` is None until it has been read.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str = ""
    headers: Headers = ()
    source: str = ""
    body: bytes | None = None

    def values(self, name: str) -> list[str]:
        """Every value of the header `name` (given in lower case), in order."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class RuleRef:
    """A rule that took part in a decision, and where it stands."""

    id: str
    effect: Effect
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Shaping:
    """How an allowed request is changed before it goes on: `set_headers` are (name, value), names in lower case."""

    set_headers: Headers = ()
    remove_headers: frozenset[str] = frozenset()
    remove_query: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.set_headers or self.remove_headers or self.remove_query)


UNSHAPED = Shaping()


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What a limit said of one request: `remaining` requests may follow at once; `enforced` is false in shadow mode."""

    id: str
    remaining: int
    exhausted: bool = False
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy says of one request, and which rules made it say so.

    `reason` is a stable kebab-case string; `message` is the operator's own text for the caller. `shadow` are the rules
    in shadow mode that apply, and `shadow_effect` is what the answer would be if they were enforced (None: no other).
    `errors` are the ids of rules whose `when` failed. Where `observed`, the answer is recorded and not enforced.
    """

    effect: Effect
    reason: str
    rules: tuple[RuleRef, ...] = ()
    message: str | None = None
    shadow: tuple[RuleRef, ...] = ()
    shadow_effect: Effect | None = None
    errors: tuple[str, ...] = ()
    observed: bool = False
    limits: tuple[LimitUse, ...] = ()
    violations: tuple[str, ...] = ()  # JSON Pointers to what the target's description of its requests does not accept
    shaping: Shaping = UNSHAPED

    @property
    def lets_pass(self) -> bool:
        return self.effect is Effect.ALLOW or self.observed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller gets no answer from the upstream (RFC 9457 problem details).

    `slug` ends the problem's `type`; `reason` is a stable kebab-case code; `message` is for the caller and tells
    nothing of the rules but the operator's own words; `rule` is the id of the rule that determined it.
    """

    status: int
    slug: str
    title: str
    reason: str
    message: str | None = None
    rule: str | None = None
    details: tuple[tuple[str, Any], ...] = field(default=(), hash=False)  # further members of the problem
    headers: tuple[tuple[str, str], ...] = ()


def malformed(reason: str) -> Refusal:
    return Refusal(400, "malformed-request", "the request is malformed or ambiguous", reason)


def unauthenticated(reason: str) -> Refusal:
    return Refusal(401, "unauthenticated", "the caller could not be verified", reason)


def denied(reason: str, message: str | None = None, rule: str | None = None) -> Refusal:
    return Refusal(403, "denied", "the request is not allowed", reason, message, rule)


def approval_required(reason: str, message: str | None = None, rule: str | None = None) -> Refusal:
    return Refusal(403, "approval-required", "the request needs a person's approval", reason, message, rule)


def invalid(reason: str, details: tuple[tuple[str, Any], ...]) -> Refusal:
    return Refusal(
        422, "invalid-request", "the request does not fit the description of its target", reason, None, None, details
    )


def rate_limited(reason: str, message: str | None, rule: str, headers: tuple[tuple[str, str], ...]) -> Refusal:
    return Refusal(429, "rate-limited", "too many requests", reason, message, rule, (), headers)


def withheld(reason: str) -> Refusal:
    return Refusal(502, "withheld", "the response could not be masked and is withheld", reason)


def guard_error(reason: str) -> Refusal:
    return Refusal(503, "guard-error", "the guard could not judge this request", reason)


@dataclass(frozen=True, slots=True)
class Finding:
    """A span that detection found: `location` is a JSON Pointer, `header:NAME`, `query:NAME` or `text`.

    `start` and `end` count characters of the decoded leaf.
    """

    location: str
    entity: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class MaskCount:
    """How often one operator was applied at one location; `entity` is the entity or `field` for a masked field."""

    location: str
    entity: str
    operator: str
    count: int


@dataclass(frozen=True, slots=True)
class BundleRef:
    """Which rules: their declared name and version, and the SHA-256 of their canonical content (hex)."""

    name: str
    version: str
    sha256: str


Later = Callable[[], str | None]
"""Works out a text when asked."""


@dataclass(slots=True)
class Exchange:
    """What the chain knows of one request so far; each field has one writer, the stage named beside it."""

    decision_id: str  # the guard: a ULID
    started: float  # the guard: seconds since the epoch
    bundle: BundleRef | None = None  # the guard: the rules in force when the request came, kept to its end
    source: str = ""  # identity: the address of the peer
    request: Request | None = None  # identity: hygiene has passed
    principal: Principal | None = None  # identity
    target: Target | None = None  # policy
    signals: frozenset[str] | None = None  # policy: those set when the request came
    awaits_body: bool = False  # policy: the decision depends on the body, and is made when that is there
    decision: Decision | None = None  # policy
    passed: bool = False  # policy: its last statement on a request that may go on
    nearest: Later | None = field(default=None, repr=False)  # policy: works out the nearest allow, off the request path
    trace: Any = field(default=None, repr=False)  # identity: where the request stands in it
    trace_id: str | None = None  # identity: the trace (W3C Trace Context) that the request is part of
    trace_link: str | None = None  # identity: the trace that a caller who is not trusted has named
    shown: Any = field(default=None, repr=False)  # identity: what the caller has shown, for who judges it again
    refusal: Refusal | None = None  # whoever refuses first; the guard stops there
    withheld: Any = None  # the guard: the upstream's response (mitmproxy.http.Response), kept away from every addon
    masks: tuple[MaskCount, ...] = ()  # masking
    record_headers: tuple[tuple[bytes, bytes], ...] | None = None  # masking: headers of the response, for recorders
    record_body: bytes | None = None  # masking: its body, for recorders
    masked: bool = False  # masking: its last statement, when everything due has been masked
    recorded: bool = False  # capture: the outcome has been handed to the writer
    audited: bool = False  # audit: its decision has been handed over to the log
    concluded: bool = False  # audit: its outcome has been, too
    error: str | None = None  # the guard: what failed (the type of an exception, never its text)
    stage_us: dict[str, int] = field(default_factory=dict)  # the guard: microseconds each stage took
    original: Any = field(default=None, repr=False)  # capture: what travelled before masking, to be sealed


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(milliseconds: int, randomness: int) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of time, then 80 of `randomness`; sorts by time as text."""
    number = ((milliseconds & (1 << 48) - 1) << 80) | (randomness & (1 << 80) - 1)
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
