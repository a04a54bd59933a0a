"""Random rules that have much to do with each other, and requests that they are about, for properties."""

from typing import Any

from hypothesis import strategies as st

from headgate.match import Facts, Subject
from headgate.model import Principal, Request, Target
from headgate.policy.cases import PrincipalCase
from headgate.policy.engine import PolicyRules
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

NOW = 1_700_000_000.0
APPROVAL = {"by": {"groups": ["leads"]}}

TARGETS: list[list[dict[str, Any]]] = [
    [{"name": "pay", "hosts": ["pay.internal", "*.pay.internal"], "environment": "prod", "tags": ["pci"]}],
    [
        {"name": "pay", "hosts": ["pay.internal", "*.pay.internal"], "environment": "prod", "tags": ["pci"]},
        {"name": "log", "hosts": ["log.internal:8443", "*.internal"], "environment": "dev"},
        {"name": "old", "hosts": ["old.internal", "b.pay.internal"]},
    ],
]


def compiled(
    rules: list[dict[str, Any]],
    targets: list[dict[str, Any]] = TARGETS[1],
    limits: list[dict[str, Any]] | None = None,
    tests: list[dict[str, Any]] | None = None,
    **settings: Any,
) -> PolicyRules:
    """As the loader compiles them; the line of an entry is its position, counted from 1."""
    parsed = PolicyFile.model_validate({"rules": rules, "limits": limits or [], "tests": tests or []})
    places = compile_targets(TargetsFile.model_validate({"targets": targets, **settings}))
    origins = [
        [Origin(entry, "rules/policy.yaml", line) for line, entry in enumerate(part, start=1)]
        for part in (parsed.rules, parsed.limits, parsed.tests)
    ]
    return PolicyRules(places, compile_policy(origins[0], places.known_names(), origins[1], origins[2]))


def some(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


SESSION = st.fixed_dictionaries({}, optional={"scopes": some(["r", "w"]), "max_age": st.sampled_from(["5m", "1h"])})
PRINCIPAL = st.fixed_dictionaries(
    {},
    optional={
        "id": some(["ana", "a*", "*", "bob"]),
        "kind": some(["human", "agent", "anonymous"]),
        "groups": st.one_of(some(["x", "y"]), some(["x", "y"]).map(lambda names: {"all": names})),
        "environment": some(["prod", "dev"]),
        "workload": st.one_of(
            st.booleans().map(lambda wanted: {"verified": wanted}),
            some(["w1", "w*"]).map(lambda names: {"name": names}),
        ),
        "session": SESSION.filter(bool),
        "claims": st.fixed_dictionaries({"/t": some(["acme", 1, True])}),
    },
).filter(bool)
TARGET = st.one_of(
    some(["pay", "log", "old"]),
    st.fixed_dictionaries({}, optional={"environment": some(["prod", "dev"]), "tags": some(["pci"])}).filter(bool),
)
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "principal": PRINCIPAL,
    "target": TARGET,
    "method": some(["GET", "POST", "write", "WEBSOCKET"]),
    "host": some(["pay.internal", "*.pay.internal", "*.internal", "log.internal", "b.pay.internal"]),
    "path": some(["/a", "/a/", "/a/{x}", "/{y}/b", "/a/{rest...}", "/{rest...}", "/a/{rest...}/b"]),
    "query": st.fixed_dictionaries({"q": st.one_of(some(["1", "2"]), st.just({"present": True}))}),
    "headers": st.fixed_dictionaries({"x-h": st.one_of(some(["1", "2"]), st.just({"regex": "^1.*$"}))}),
    "body": st.fixed_dictionaries({"$.n": st.one_of(some([1, True, "1"]), st.just({"gt": 0}))}),
    "source": some(["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"]),
    "signal": some(["incident", "freeze"]),
}
PLAIN = st.dictionaries(st.sampled_from(sorted(KEYS)), st.none(), max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries({key: KEYS[key] for key in keys})
)


@st.composite
def matches(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = draw(PLAIN)
    if draw(st.integers(0, 2)) == 0 and (negated := draw(PLAIN)):
        found["not"] = negated
    return found


@st.composite
def kin(draw: st.DrawFn, match: dict[str, Any]) -> dict[str, Any]:
    """A match that has most in common with another one."""
    found = {key: value for key, value in match.items() if draw(st.integers(0, 3))}
    if "not" in found:
        found["not"] = draw(st.one_of(st.just(found["not"]), kin(found["not"]).filter(bool)))
    return found | (draw(PLAIN) if draw(st.integers(0, 2)) == 0 else {})


@st.composite
def rule_lists(draw: st.DrawFn, most: int = 4) -> list[dict[str, Any]]:
    """Rules with ids r0, r1 and so on, of which several are about the same."""
    first = draw(matches())
    rules = []
    for at in range(draw(st.integers(1, most))):
        match = first if at == 0 else draw(st.one_of(kin(first), matches()))
        rule = {"id": f"r{at}", "effect": draw(st.sampled_from(["allow", "deny", "approve"])), "match": match}
        if rule["effect"] == "approve":
            rule["approval"] = APPROVAL
        if draw(st.integers(0, 7)) == 0:
            rule["mode"] = "shadow"
        if draw(st.integers(0, 7)) == 0:
            rule["when"] = draw(st.sampled_from(["request.method == 'GET'", "principal.id == 'ana'"]))
        if draw(st.integers(0, 7)) == 0:
            rule["message"] = "no"
        if rule["effect"] != "deny" and draw(st.integers(0, 7)) == 0:
            rule["set_headers"] = {"x-who": draw(st.sampled_from(["{principal.email}", "somebody"]))}
        rules.append(rule)
    return rules


CALLERS = st.one_of(
    st.just({"kind": "anonymous"}),
    st.fixed_dictionaries(
        {"id": st.sampled_from(["ana", "bob", "carl"]), "kind": st.sampled_from(["human", "agent"])},
        optional={
            "groups": st.lists(st.sampled_from(["x", "y"]), unique=True),
            "environment": some(["prod", "dev"]),
            "workload": st.fixed_dictionaries(
                {}, optional={"name": st.sampled_from(["w1", "w2", "v"]), "verified": st.booleans()}
            ),
            "session": st.fixed_dictionaries(
                {}, optional={"scopes": some(["r", "w"]), "age": st.sampled_from(["1m", "30m", "2h"])}
            ),
            "claims": st.fixed_dictionaries(
                {"t": st.one_of(st.sampled_from(["acme", "other", 1, True, 2.5]), some(["acme", 1, "other", True]))}
            ),
        },
    ),
)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET", "POST", "get", "PUT"]),
    st.just("https"),
    st.sampled_from(["pay.internal", "a.pay.internal", "b.pay.internal", "log.internal", "old.internal", "x.y"]),
    st.sampled_from([443, 8443]),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/", "/c/b", "/a//b", "/a/c/b", "/c"]),
    st.sampled_from(["", "q=1", "q=1&q=2", "q=3", "Q=1", "q=%zz"]),
    st.sampled_from(
        [(), (("x-h", "1"),), (("x-h", "1, 2"),), (("x_h", "1"),), (("upgrade", "websocket"),), (("x-h", "1\n"),)]
    ).map(lambda headers: (*headers, ("content-type", "application/json"))),
    st.sampled_from(["", "10.1.2.3", "10.2.0.1", "192.0.2.1"]),
    st.sampled_from(
        [b"", b'{"n": 1}', b'{"n": true}', b'{"n": "1"}', b'{"n": 1, "n": 2}', b'{"n": 5}', b"{", b'{"N": 1}']
    ),
)
SIGNALS = st.sampled_from([None, frozenset[str](), frozenset({"incident"}), frozenset({"freeze", "incident"})])

Asked = tuple[Principal, Target | None, Request, frozenset[str] | None]


@st.composite
def asked(draw: st.DrawFn, rules: PolicyRules) -> Asked:
    """Somebody and something that the rules may be asked about."""
    request = draw(REQUESTS)
    target = rules.targets.resolve(request.scheme, request.host, request.port)
    caller = PrincipalCase.model_validate(draw(CALLERS)).principal(target, NOW)
    return caller, target, request, draw(SIGNALS)


def facts(one: Asked) -> Facts:
    principal, target, request, signals = one
    return Facts(Subject(principal, request, target, NOW, signals))
