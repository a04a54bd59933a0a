"""Random bundles over the whole rules language, and requests that are near them.

Both are drawn from the same few words, so that rules really match. What is drawn is what a person would write (the
content of targets.yaml and policy.yaml), and is compiled as a bundle is.

`HEADGATE_EXAMPLES=50` makes each property that uses `examples` try 50 times as much, by chance rather than always the
same: for a search for bugs, where the test suite wants an answer that does not change.
"""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from headgate.policy.engine import PolicyRules
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

Written = dict[str, Any]
Drawn = st.SearchStrategy[Any]

TIMES = int(os.environ.get("HEADGATE_EXAMPLES", "1"))
JSON, FORM, GRAPHQL = "application/json", "application/x-www-form-urlencoded", "application/graphql"
NOW = 1_700_000_000.0  # Tuesday, 14 November 2023, 22:13:20 UTC


def examples(count: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=count * TIMES, deadline=None, derandomize=TIMES == 1, suppress_health_check=slow)


def some(**optional: Drawn) -> Drawn:
    """A mapping of one key or two, sometimes three."""
    keys = st.lists(st.sampled_from(sorted(optional)), min_size=1, max_size=min(3, len(optional)), unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({name: optional[name] for name in chosen}))


def one_or_list(*words: Any) -> Drawn:
    return st.sampled_from(words) | st.lists(st.sampled_from(words), min_size=1, max_size=2, unique_by=repr)


def all_or_any(*words: str) -> Drawn:
    return one_or_list(*words) | st.fixed_dictionaries({"all": one_or_list(*words)})


# -- what rules ask ----------------------------------------------------------------------------------------------------

PRINCIPAL: dict[str, Drawn] = {
    "id": one_or_list("ana", "bob", "a*", "*b"),
    "email": one_or_list("ana@corp.example", "*@corp.example", "*@evil.example"),
    "provider": one_or_list("sso", "ci"),
    "owner": one_or_list("eve", "e*"),
    "kind": one_or_list("human", "agent", "anonymous"),
    "groups": all_or_any("support", "leads"),
    "environment": one_or_list("prod", "staging"),
    "workload": some(
        name=one_or_list("billing", "b*"),
        version=one_or_list("2.1", "2.*"),
        commit=st.just("9f1c"),
        digest=st.just("sha256:5d"),
        workflow=st.just("acme/*"),
        verified=st.booleans(),
    ),
    "session": some(scopes=all_or_any("read", "write"), max_age=st.sampled_from(["5m", "1h"])),
    "claims": some(
        **{
            "/tenant": one_or_list("acme", "globex", 7),
            "level": one_or_list(1, 2, True, "1"),
            "/roles": one_or_list("dev", "ops"),
            "/roles/0": one_or_list("dev", "ops"),
            "/k/n": one_or_list("ci", 1),
        }
    ),
}
PATHS = [
    "/v1/items",
    "/v1/items/{id}",
    "/v1/{rest...}",
    "/{rest...}/items",
    "/V1/Items/{id}",
    "/",
    "/v1/items/",
    "/v2/x",
]
TEXT = st.fixed_dictionaries({"present": st.booleans()}) | some(
    regex=st.sampled_from(["^a.*$", "^(all|admin)$", "^[0-9]+$"])
)
VALUE = some(
    gt=st.sampled_from([0, 1000, 2.5]), lte=st.sampled_from([1, 1000, 5000]), lt=st.just(10.5), gte=st.just(-1)
)
KEYS: dict[str, Drawn] = {
    "principal": some(**PRINCIPAL),
    "target": one_or_list("api", "web")
    | some(environment=one_or_list("prod", "staging"), tags=one_or_list("pci", "x")),
    "method": one_or_list("GET", "POST", "DELETE", "write", "WEBSOCKET"),
    "host": one_or_list("api.internal", "*.internal", "eu.api.internal", "web.internal"),
    "path": one_or_list(*PATHS),
    "query": some(force=one_or_list("1", "") | TEXT, mode=one_or_list("all", "some") | TEXT),
    "headers": some(**{"X-Role": one_or_list("admin", "user") | TEXT, "x-debug": one_or_list("1", "0") | TEXT}),
    "body": some(
        **{
            "$.amount": one_or_list(1, 2000, 2000.5, "2000") | VALUE | TEXT,
            "$['kind']": one_or_list("full", "admin", True) | TEXT,
            "$..kind": one_or_list("full", "part"),
            "$.items[*].n": one_or_list(1, 2, "1") | VALUE,
            "$.items[0]": TEXT,
            "$.*": TEXT,
        }
    ),
    "graphql": some(
        operation=one_or_list("query", "mutation"), field=one_or_list("refund", "users"), name=st.sampled_from(["R"])
    ),
    "source": one_or_list("10.0.0.0/8", "10.0.0.1", "2001:db8::/32"),
    "time": st.fixed_dictionaries(
        {"zone": st.sampled_from(["UTC", "Europe/Paris"])},
        optional={"days": one_or_list("mon-fri", "sat")},
    ).flatmap(lambda time: st.fixed_dictionaries({**{k: st.just(v) for k, v in time.items()}, "hours": HOURS})),
    "signal": one_or_list("incident", "freeze"),
}
HOURS = one_or_list("09:00-18:00", "22:00-06:00")
WHENS = [
    'principal.id == "ana"',
    'principal.email != principal.owner && principal.kind in ["human", "agent"]',
    '!has(principal.owner) || principal.groups.exists(g, g == "leads")',
    'principal.claims.tenant == "acme"',
    "request.body.amount > 1000",
    "double(request.body.amount) / 2.0 <= 1000.0",
    'request.body.kind == "full" || request.method == "POST"',
    "request.body.items.exists(i, i.n > 1)",
    'type(request.body.kind) == string ? request.body.kind == "full" : "full" in request.body.kind',
    'request.query.mode[0] == "all"',
    '"admin" in request.headers["x-role"]',
    'request.query.all(name, name in ["force", "mode"])',
    'now.getHours() < 12 || "incident" in signals',
    'size(request.segments) > 2 && target.environment == "prod"',
    "request.size > 20",
    'request.source.startsWith("10.")',
    'request.path.matches("^/v1/.*$")',
    "true",
]


def _conditions(most: int) -> Drawn:
    keys = st.lists(st.sampled_from(sorted(KEYS)), max_size=most, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: KEYS[key] for key in chosen}))


NEGATED = _conditions(2).filter(bool)
MATCHES: Drawn = st.tuples(_conditions(2), st.none() | st.none() | NEGATED | NEGATED.map(lambda m: {"not": m})).map(
    lambda pair: pair[0] | ({"not": pair[1]} if pair[1] else {})
)

# -- rules, limits, targets --------------------------------------------------------------------------------------------

FACTS = ["{principal.id}", "{principal.email}", "{principal.claims./tenant}", "x", "y", "{request.host}", "{source} ok"]
HEADERS_SET = st.fixed_dictionaries(
    {"set_headers": some(**{"X-Tenant": st.sampled_from(FACTS), "X-Who": st.sampled_from(FACTS)})}
)
REMOVED = some(remove_headers=one_or_list("X-Role", "x-tenant"), remove_query=one_or_list("force", "mode"))
SHAPING = HEADERS_SET | HEADERS_SET | REMOVED | st.tuples(HEADERS_SET, REMOVED).map(lambda both: both[0] | both[1])
APPROVAL = {"by": {"groups": ["leads"]}}
EFFECTS = st.sampled_from(["allow", "allow", "approve", "deny"])
MODES = st.sampled_from(["enforce", "enforce", "enforce", "shadow"])
SOMETIMES = st.sampled_from([False, False, True])
MOSTLY_NOT = st.integers(0, 7).map(lambda n: n == 5)


@st.composite
def a_rule(draw: st.DrawFn, effects: Drawn = EFFECTS, modes: Drawn = MODES, matches: Drawn = MATCHES) -> Written:
    """Without an id."""
    match, effect = draw(matches), draw(effects)
    rule = {"effect": effect, "match": match, "mode": draw(modes)}
    if draw(SOMETIMES):
        in_path = match.get("path") in ("/v1/items/{id}", ["/v1/items/{id}"])
        rule["when"] = draw(st.sampled_from([*WHENS, *(['path_params.id == "7"'] * 5 if in_path else [])]))
    if effect == "approve":
        rule["approval"] = APPROVAL
    if effect != "deny" and draw(SOMETIMES):
        rule |= draw(SHAPING)
    if draw(SOMETIMES):
        rule["message"] = draw(st.sampled_from(["Ask a lead.", "Not now.", "Why?"]))
    return rule


def numbered(entries: Iterable[Written], prefix: str = "r") -> list[Written]:
    return [{"id": f"{prefix}{at}"} | entry for at, entry in enumerate(entries)]


LIMIT = st.fixed_dictionaries(
    {"match": MATCHES, "rate": st.just("2/minute"), "mode": MODES},
    optional={"key": one_or_list("principal.id", "target", "source", "principal.owner")},
)


@st.composite
def a_targets(draw: st.DrawFn) -> Written:
    api = {
        "name": "api",
        "hosts": ["api.internal", "*.api.internal"],
        "environment": "prod",
        "tags": draw(st.sampled_from([["pci"], ["pci", "x"], "y"])),
        "observe": draw(MOSTLY_NOT),
        "paths": {"case": draw(st.sampled_from(["sensitive", "sensitive", "insensitive"]))},
        **({"audiences": ["payments"]} if draw(MOSTLY_NOT) else {}),
    }
    web = {"name": "web", "hosts": ["web.internal:443"]} | draw(st.sampled_from([{}, {"environment": "staging"}]))
    return {
        "targets": [api, web],
        "unknown": draw(st.sampled_from(["refuse", "allow"])),
        "isolate_environments": draw(MOSTLY_NOT),
    }


class Bundle(NamedTuple):
    """The content of targets.yaml and policy.yaml."""

    targets: Written
    rules: list[Written]
    limits: list[Written]

    def compiled(self) -> PolicyRules:
        targets = compile_targets(TargetsFile.model_validate(self.targets))
        file = PolicyFile.model_validate({"rules": self.rules, "limits": self.limits})
        parts = [[Origin(one, "rules/policy.yaml", 1) for one in part] for part in (file.rules, file.limits)]
        return PolicyRules(targets, compile_policy(parts[0], targets.known_names(), parts[1]))

    def with_rules(self, *more: Written) -> "Bundle":
        return self._replace(rules=[*self.rules, *more])


@st.composite
def bundles(draw: st.DrawFn, rules: int = 6, limits: int = 2, least: int = 1) -> Bundle:
    written = draw(st.lists(a_rule(), min_size=least, max_size=rules))
    counted = draw(st.lists(LIMIT, max_size=limits))
    return Bundle(draw(a_targets()), numbered(written), numbered(counted, "l"))


def _letting_pass(shaping: Written, effect: str, mode: str, match: Written) -> Written:
    approval = {"approval": APPROVAL} if effect == "approve" else {}
    return {"effect": effect, "mode": mode, "match": match} | approval | shaping


SHAPED: Drawn = st.builds(
    Bundle,
    st.just({"targets": [{"name": "api", "hosts": "*.internal"}], "isolate_environments": False}),
    st.lists(
        st.builds(
            _letting_pass,
            SHAPING,
            st.sampled_from(["allow", "approve"]),
            MODES,
            st.sampled_from([{}, {}, {"method": "write"}, {"not": {"body": {"$.kind": "full"}}}]),
        ),
        min_size=2,
        max_size=5,
    ).map(numbered),
    st.just([]),
)
"""Rules that nearly all apply, and change the request in ways that do not always fit together."""

CROWDED: Drawn = st.builds(
    Bundle,
    st.just({"targets": [{"name": "api", "hosts": "*.internal"}], "isolate_environments": False}),
    st.lists(
        a_rule(matches=st.sampled_from([{}, {"method": "write"}, {"not": {"principal": {"owner": "eve"}}}])),
        min_size=2,
        max_size=5,
    ).map(numbered),
    st.just([]),
)
"""Rules of every effect of which most apply."""
