"""The index finds every rule that a look at all of them finds, and asks few."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.match import Facts, Matcher, MatchSpec, Subject, compile_match
from headgate.model import Effect, Kind, Principal, Request, RuleRef, Session, Target, Workload
from headgate.policy.engine import Policy, Rule, decide
from headgate.policy.index import COPIES, LEAF, Branch, Index
from headgate.policy.targets import Targets

NAMES = st.sampled_from(["a", "b", "c", "d"])
MANY = NAMES | st.lists(NAMES, min_size=1, max_size=3)
GLOBS = MANY | st.sampled_from(["*", "a*", ["*b", "c"]])
TAGS = st.frozensets(NAMES, max_size=3)
METHODS = st.sampled_from(["GET", "POST", "DELETE", "write", ["GET", "HEAD"], ["write", "GET"]])
HOSTS = st.sampled_from(["a.x", "*.x", "b.a.x", "*.a.x", "10.0.0.1", ["a.x", "*.y"], "[::1]"])
SEGMENTS = st.lists(NAMES | st.sampled_from(["{v}", "{rest...}"]), max_size=4).map(lambda parts: "/" + "/".join(parts))
PATHS = SEGMENTS.filter(lambda path: path.count("{v}") < 2 and path.count("{rest...}") < 2)

SCALARS = NAMES | st.sampled_from([0, 1, 2, True, False])
CLAIMS = NAMES | st.integers(0, 2) | SCALARS | st.lists(SCALARS, min_size=1, max_size=3)
AGES = st.sampled_from(["1s", "10s", "5m"])
NOW = 1_000.0


def mapping(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    "principal": mapping(
        id=GLOBS,
        email=GLOBS,
        provider=MANY,
        owner=GLOBS,
        kind=st.sampled_from(["human", "agent", ["ci", "human"], "anonymous"]),
        groups=MANY | st.fixed_dictionaries({"all": MANY}),
        environment=MANY,
        workload=mapping(name=GLOBS, version=GLOBS, workflow=GLOBS, verified=st.booleans()).filter(bool),
        session=mapping(scopes=MANY | st.fixed_dictionaries({"all": MANY}), max_age=AGES).filter(bool),
        claims=mapping(a=CLAIMS, **{"/b/c": CLAIMS, "/b/0": CLAIMS}).filter(bool),
    ).filter(bool),
    "target": MANY | mapping(environment=MANY, tags=MANY).filter(bool),
    "method": METHODS,
    "host": HOSTS,
    "path": PATHS | st.lists(PATHS, min_size=1, max_size=3),
}
MATCHES = mapping(**CONDITIONS, **{"not": mapping(**CONDITIONS).filter(bool)})

ITEMS = SCALARS | st.sampled_from([None, "", 1.0, (), {}])
FOUND = ITEMS | st.lists(ITEMS, max_size=3).map(tuple)
PRINCIPALS = st.builds(
    Principal,
    id=NAMES,
    kind=st.sampled_from([Kind.HUMAN, Kind.AGENT, Kind.ANONYMOUS]),
    provider=NAMES,
    groups=TAGS,
    email=st.none() | NAMES,
    owner=st.none() | NAMES,
    environments=TAGS,
    workload=st.builds(Workload, *[st.none() | NAMES] * 5, verified=st.booleans()),
    session=st.builds(Session, scopes=TAGS, issued_at=st.none() | st.sampled_from([0.0, 990.0, 1_000, 1_300.0, 1_301])),
    claims=mapping(a=FOUND, b=FOUND | mapping(c=FOUND)),
)
TARGETS = st.none() | st.builds(Target, name=NAMES, environment=st.none() | NAMES, tags=TAGS)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "get", "HEAD", "POST", "delete", "PURGE"]),
    scheme=st.just("https"),
    host=st.sampled_from(["a.x", "b.a.x", "A.y.", "10.0.0.1", "::1", "127.1", "z"]),
    port=st.just(443),
    path=st.lists(NAMES | st.just(""), max_size=5).map(lambda parts: "/" + "/".join(parts)) | st.just("*"),
    headers=st.sampled_from([(), (("upgrade", "websocket"),)]),
)
SUBJECTS = st.builds(Subject, PRINCIPALS, REQUESTS, TARGETS, st.just(NOW))
EFFECTS = st.sampled_from(list(Effect))
RULES = st.lists(st.tuples(MATCHES, EFFECTS), max_size=25)
CLAIM_RULES = st.lists(
    st.tuples(CLAIMS.map(lambda claim: {"principal": {"claims": {"a": claim}}}), EFFECTS), min_size=10
)


def matchers(rules: list[tuple[dict[str, Any], Effect]]) -> list[Matcher]:
    return [compile_match(MatchSpec.model_validate(m), widen=effect is not Effect.ALLOW) for m, effect in rules]


@settings(max_examples=300, deadline=None)
@given(RULES | CLAIM_RULES, st.lists(SUBJECTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_index_leaves_out_only_what_cannot_match(rules: Any, subjects: list[Subject], chance: Any) -> None:
    """In any order of the rules, what the index gives and a look at all rules agree, unknown included."""
    chance.shuffle(rules)
    compiled = matchers(rules)
    index = Index(compiled)
    for subject in subjects:
        facts = Facts(subject)
        expected = {at for at, matcher in enumerate(compiled) if matcher.holds(subject) is not False}
        found = {at for at in index.candidates(facts) if compiled[at].test(facts) is not False}
        assert found == expected


@settings(max_examples=100, deadline=None)
@given(RULES, PRINCIPALS, REQUESTS, TARGETS.filter(bool), st.randoms(use_true_random=False))
def test_a_decision_does_not_depend_on_the_order_of_the_rules(
    rules: Any, principal: Principal, request: Request, target: Target, chance: Any
) -> None:
    compiled = [
        Rule(RuleRef(f"r{at}", effect, "rules/policy.yaml", at), matcher, f"message {at}")
        for at, (matcher, (_, effect)) in enumerate(zip(matchers(rules), rules, strict=True))
    ]
    targets = Targets({}, {}, allow_unknown=False, isolate_environments=False)
    first = decide(Policy(tuple(compiled)), targets, principal, target, request, now=NOW)
    chance.shuffle(compiled)
    assert decide(Policy(tuple(compiled)), targets, principal, target, request, now=NOW) == first


def asked(specs: list[dict[str, Any]], subject: Subject) -> int:
    index = Index([compile_match(MatchSpec.model_validate(spec), widen=False) for spec in specs])
    return len(index.candidates(Facts(subject)))


ANA = Principal(
    "u7",
    Kind.HUMAN,
    "sso",
    frozenset({"g7", "g9"}),
    environments=frozenset({"prod"}),
    workload=Workload(digest="d7"),
    session=Session(scopes=frozenset({"s7", "s9"})),
    claims={"tenant": "c7", "level": 7, "roles": ("r7", "r9")},
)
ASK = Request("GET", "https", "h7.internal", 443, "/v1/r7/42")
API = Target("t7", "prod")


def test_however_rules_differ_few_are_asked() -> None:
    """Ten thousand rules that differ in one thing only, whichever that is."""
    shapes = {
        "path": lambda n: {"path": f"/v1/r{n}/{{id}}", "method": "GET"},
        "last segment": lambda n: {"path": f"/{{tenant}}/r{n}/{{id}}"},
        "id": lambda n: {"principal": {"id": f"u{n}"}, "path": "/v1/{rest...}"},
        "groups": lambda n: {"principal": {"groups": [f"g{n}", f"h{n}"]}, "target": "t7"},
        "all groups": lambda n: {"principal": {"groups": {"all": [f"g{n}", "g9"]}}},
        "target": lambda n: {"target": f"t{n}", "principal": {"groups": ["g7"]}},
        "host": lambda n: {"host": [f"h{n}.internal", f"*.h{n}.internal"]},
        "digest": lambda n: {"principal": {"workload": {"digest": f"d{n}", "verified": True}}},
        "scopes": lambda n: {"principal": {"session": {"scopes": {"all": [f"s{n}", "s9"]}, "max_age": "1h"}}},
        "claim": lambda n: {"principal": {"claims": {"/tenant": f"c{n}"}}},
        "number in a claim": lambda n: {"principal": {"claims": {"/level": [n, -n, True, "all"]}}},
        "claim with several values": lambda n: {"principal": {"claims": {"/roles": f"r{n}"}}},
    }
    for name, shape in shapes.items():
        assert asked([shape(n) for n in range(10_000)], Subject(ANA, ASK, API, NOW)) <= 2 * LEAF, name


def test_rules_of_several_shapes_are_told_apart_together() -> None:
    shapes = [{"path": "/v1/r{}/x"}, {"principal": {"id": "u{}"}}, {"host": "h{}.internal"}, {"target": "t{}"}]
    specs = [json.loads(json.dumps(shape).replace("{}", str(n))) for n in range(500) for shape in shapes]
    assert asked(specs, Subject(ANA, ASK, API, NOW)) <= 5 * LEAF


def test_all_rules_about_a_claim_are_asked_where_its_value_cannot_be_told() -> None:
    """A fraction is neither equal nor unequal to a number."""
    specs = [{"principal": {"claims": {"/level": n}}} for n in range(100)]
    assert asked(specs, Subject(replace(ANA, claims={"level": 7.0}), ASK, API, NOW)) == 100
    assert asked(specs, Subject(replace(ANA, claims={}), ASK, API, NOW)) == 0


def test_lists_of_values_do_not_multiply_the_tree_without_bound() -> None:
    names = [f"n{n}" for n in range(12)]
    listing = {"principal": {"id": names, "groups": names, "environment": names}, "target": names, "host": "x.internal"}
    specs = [MatchSpec.model_validate(listing | {"path": f"/{n}/{{rest...}}"}) for n in range(50)]
    index = Index([compile_match(spec, widen=False) for spec in specs])

    def size(node: Any) -> int:
        return sum(map(size, [*node.children.values(), node.rest])) if isinstance(node, Branch) else len(node)

    assert size(index._root) <= 50 * COPIES
