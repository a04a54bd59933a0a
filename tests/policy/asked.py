"""Callers and requests that are near the random bundles of language.py: made of the same few words."""

import json
from typing import NamedTuple

from hypothesis import strategies as st
from tests.policy.language import FORM, GRAPHQL, JSON, NOW, Drawn

from headgate.match import Facts, Subject
from headgate.model import Decision, Effect, Kind, Principal, Request, Session, Target, Workload
from headgate.policy.engine import PolicyRules

CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "tenant": st.sampled_from(["acme", "globex", 7, "", ("acme", "globex"), "a\r\nb"]),
        "level": st.sampled_from([1, 2, True, "1", 1.0, None, (1, 2)]),
        "roles": st.sampled_from([("dev",), ("dev", "ops"), (), "dev", ("dev", 7)]),
        "k": st.sampled_from([{"n": "ci"}, {"n": 1}, {}, "ci"]),
    },
)
PRINCIPALS: Drawn = st.builds(
    Principal,
    id=st.sampled_from(["ana", "bob"]),
    kind=st.sampled_from([Kind.HUMAN, Kind.HUMAN, Kind.AGENT, Kind.AGENT, Kind.ANONYMOUS]),
    provider=st.sampled_from(["sso", "ci"]),
    groups=st.frozensets(st.sampled_from(["support", "leads"])),
    email=st.sampled_from([None, "ana@corp.example", "bob@evil.example"]),
    owner=st.sampled_from([None, "eve"]),
    environments=st.frozensets(st.sampled_from(["prod", "staging"])) | st.just(frozenset({"prod"})),
    audiences=st.sampled_from([frozenset[str](), frozenset({"payments"})]),
    workload=st.builds(
        Workload,
        name=st.sampled_from([None, "billing"]),
        version=st.sampled_from([None, "2.1", "3.0"]),
        commit=st.sampled_from([None, "9f1c"]),
        digest=st.sampled_from([None, "sha256:5d"]),
        workflow=st.sampled_from([None, "acme/shop"]),
        verified=st.booleans(),
    ),
    session=st.builds(
        Session,
        scopes=st.frozensets(st.sampled_from(["read", "write"])),
        issued_at=st.sampled_from([None, NOW - 60, NOW - 600, NOW + 9999]),
    ),
    claims=CLAIMS,
)
ITEM = st.fixed_dictionaries({}, optional={"n": st.sampled_from([1, 2, "1", None]), "kind": st.just("part")})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([1, 1000, 2000, 2000.5, "2000", None, True, [2000]]),
        "kind": st.sampled_from(["full", "part", "admin", True, ["full"], "all\n"]),
        "items": st.lists(ITEM, max_size=2),
        "Amount": st.just(2000),
    },
)
ASKS_GRAPHQL = st.sampled_from(["{ users }", "mutation R { refund { id } }", "query R { users refund }", "{ users", ""])
TEXTS: Drawn = st.one_of(
    DOCUMENTS.map(json.dumps),
    DOCUMENTS.map(json.dumps),
    ASKS_GRAPHQL.map(lambda query: json.dumps({"query": query})),
    ASKS_GRAPHQL,
    st.sampled_from(
        ["amount=2000&kind=full", "amount=1", "amount=1&amount=2000", "Kind=full", "amount=%zz", "kind=a;b"]
    ),
    st.sampled_from(['{"amount": 1, "amount": 2000}', '{"kind": "full"', "[1, 2]", "null", '"full"', "\ufeff{}"]),
)


def _type_of(text: str) -> str:
    if text[:1] in ("{", "[", '"', "n") and not text.startswith(("{ users", "query")):
        return JSON
    return GRAPHQL if "{" in text else FORM


@st.composite
def _body(draw: st.DrawFn) -> tuple[bytes | None, tuple[tuple[str, str], ...]]:
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return (None if kind == 0 else b""), ()
    text = draw(TEXTS)
    body = text.encode() if kind < 9 else draw(st.sampled_from([b"\xff", text.encode("utf-16"), b"\x1f\x8b"]))
    lies = st.sampled_from([JSON, FORM, GRAPHQL, "text/plain", "application/json; charset=latin-1", ""])
    return body, (("content-type", draw(st.just(_type_of(text)) | st.just(_type_of(text)) | lies)),)


HEADERS = st.lists(
    st.sampled_from(
        [
            *(("x-role", "admin"), ("x-role", "user"), ("x-role", "user, admin"), ("x_role", "admin")),
            *(("x-debug", "1"), ("x-debug", "0"), ("upgrade", "websocket"), ("content-encoding", "gzip")),
        ]
    ),
    max_size=2,
).map(tuple)
PAIRS = [
    "force=1",
    "force",
    "mode=all",
    "mode=some",
    "mode=a%0Ab",
    "force=%zz",
    "Mode=all",
    "mode[]=all",
    "a=1;mode=all",
]


@st.composite
def requests(draw: st.DrawFn, bodies: Drawn | None = None) -> Request:
    body, fields = draw(bodies or _body())
    return Request(
        draw(st.sampled_from(["GET", "GET", "POST", "POST", "DELETE", "get", "PURGE"])),
        "https",
        draw(st.sampled_from(["api.internal"] * 4 + ["eu.api.internal", "web.internal", "other.internal"])),
        443,
        draw(st.sampled_from(["/v1/items", "/v1/items/7", "/v1/items/7/", "/V1/ITEMS/7", "/v1", "/", "/v2/x", "*"])),
        draw(st.just("") | st.lists(st.sampled_from(PAIRS), max_size=2).map("&".join)),
        fields + draw(st.just(()) | HEADERS),
        draw(st.sampled_from(["10.0.0.1", "10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1", "", "nonsense"])),
        body,
    )


class Asked(NamedTuple):
    principal: Principal
    request: Request
    now: float
    signals: frozenset[str] | None

    def target(self, rules: PolicyRules) -> Target | None:
        return rules.targets.resolve(self.request.scheme, self.request.host, self.request.port)

    def facts(self, rules: PolicyRules) -> Facts:
        return Facts(Subject(self.principal, self.request, self.target(rules), self.now, self.signals))


SIGNALS = st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"incident"}), frozenset({"freeze"}), None])
MOMENTS = st.sampled_from([NOW, NOW, NOW, NOW - 12 * 3600, NOW + 4 * 86400, 1e300])
ASKED: Drawn = st.builds(Asked, PRINCIPALS, requests(), MOMENTS, SIGNALS)

BODIES: Drawn = TEXTS.map(str.encode) | st.sampled_from([b"", b"\xff", b"{"])


def strictness(decision: Decision) -> int:
    """The higher, the less passes."""
    return (Effect.ALLOW, Effect.APPROVE, Effect.DENY).index(decision.effect)
