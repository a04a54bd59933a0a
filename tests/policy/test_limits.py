"""Which buckets a request takes from: rates, the schema, keys; what is absent or unknown is never unlimited."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.errors import InvalidRules
from headgate.match import Facts, Subject
from headgate.model import Kind, Principal, Request, Session, Target, Workload
from headgate.policy.index import Index
from headgate.policy.limits import Key, Limit, LimitOrigin, LimitSpec, Rate, compile_limits, due

ANA = Principal(
    "ana",
    Kind.AGENT,
    "sso",
    email="ana@corp.example",
    owner="eve",
    person="E123",
    workload=Workload("billing"),
    session=Session("s-1"),
)
NOBODY = Principal("x", Kind.HUMAN, "sso")
ANONYMOUS = Principal("", Kind.ANONYMOUS, "")
API = Target("api")
REQUEST = Request("GET", "https", "api.internal", 443, "/v1/customers/42", source="10.1.2.3")


def spec(**changes: Any) -> LimitSpec:
    return LimitSpec.model_validate({"id": "l", "match": {}, "rate": "10/minute", **changes})


def limits(*specs: LimitSpec) -> tuple[Limit, ...]:
    origins = [LimitOrigin(one, "rules/policy.yaml", line) for line, one in enumerate(specs, start=1)]
    return compile_limits(origins, frozenset({"api"}))


def facts(principal: Principal | None = ANA, target: Target | None = API, **changes: Any) -> Facts:
    return Facts(Subject(principal, replace(REQUEST, **changes), target, 2e9))


def keys(*specs: LimitSpec, of: Facts) -> dict[str, Key]:
    compiled = limits(*specs)
    found = due(compiled, Index([limit.matcher for limit in compiled]), of)
    assert len({limit.id for limit, _ in found}) == len(found)
    return {limit.id: key for limit, key in found}


def key(name: str, of: Facts, **changes: Any) -> Key:
    return keys(spec(key=[name], **changes), of=of)["l"]


# --------------------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [("1/second", 1, 1), ("100/minute", 100, 60), ("5000/hour", 5000, 3600), ("1000000/day", 1_000_000, 86400)],
)
def test_a_rate_is_a_count_and_a_unit(text: str, count: int, seconds: int) -> None:
    assert Rate.parse(text) == Rate(count, seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "100", "100/", "/minute", "100/minutes", "100/m", "100/week", "100 / minute", "100/Minute", "0/minute",
        "-1/minute", "+1/minute", "01/minute", "1.5/minute", "1e3/minute", "1_000/minute", "1000001/second",
        "99999999999999/day", "100/minute\n", " 100/minute", "\u0661/minute", "100/60",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_rate_says_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate; accepted: a whole number from 1 to 1,000,000 and a unit"):
        Rate.parse(text)


# -------------------------------------------------------------------------------------------------------------- schema


def test_a_limit_is_by_caller_enforced_and_as_large_as_its_rate_unless_it_says_so() -> None:
    (limit,) = limits(spec())
    assert (limit.rate, limit.burst, limit.enforced, limit.message) == (Rate(10, 60), 10, True, None)
    assert (limit.file, limit.line) == ("rules/policy.yaml", 1)
    assert limit.key(facts()) == (("sso", "ana"),)
    (limit,) = limits(spec(burst=3, mode="shadow", message="slow down", key="target"))
    assert (limit.burst, limit.enforced, limit.message, limit.key(facts())) == (3, False, "slow down", ("api",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "10/fortnight"}, "`10/fortnight` is not a rate"),
        ({"rate": 10}, "valid string"),
        ({"burst": 0}, "greater than or equal to 1"),
        ({"burst": 1_000_001}, "less than or equal to 1000000"),
        ({"burst": "20"}, "valid integer"),
        ({"burst": True}, "valid integer"),
        ({"burst": 1.5}, "valid integer"),
        ({"key": []}, "at least 1 item"),
        ({"key": ["principal.name"]}, "`principal.name` is nothing that callers are told apart by; accepted: `princ"),
        ({"key": ["principal.groups"]}, "`principal.groups` is nothing that callers are told apart by"),
        ({"key": ["path_params."]}, "`path_params.` is nothing that callers are told apart by"),
        ({"key": ["path_params.ID"]}, "`path_params.ID` is nothing that callers are told apart by"),
        ({"key": ["target\n"]}, "is nothing that callers are told apart by"),
        ({"key": ["xtarget"]}, "is nothing that callers are told apart by"),
        ({"key": ["target", "source", "target"]}, "a name is there twice"),
        ({"mode": "off"}, "'enforce' or 'shadow'"),
        ({"id": "a b"}, "`a b` is not a name"),
        ({"match": None}, "a value is missing; what matches everything is written `match: {}`"),
        ({"message": ""}, "at least 1 character"),
        ({"limit": 1}, "Extra inputs"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_no_limit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match="(?s)" + message.replace(".", r"\.")):
        spec(**changes)


@pytest.mark.parametrize(
    ("specs", "where", "message"),
    [
        ([spec(), spec()], (1, "id"), "`l` is also the id of the limit at rules/policy.yaml:1"),
        ([spec(match={"target": ["api", "apo"]})], (0, "match", "target", 1), "`apo` is not a target; accepted: `api`"),
        ([spec(match={"not": {"target": "x"}})], (0, "match", "not", "target", 0), "`x` is not a target"),
        ([spec(key="path_params.id")], (0, "key", 0), "`path_params.id` is not a variable of every path of this limit"),
        (
            [spec(key=["target", "path_params.id"], match={"path": ["/a/{id}", "/b/{name}"]})],
            (0, "key", 1),
            "accepted: none",
        ),
        (
            [spec(key="path_params.it", match={"path": ["/a/{id}/{x}", "/b/{x}/{id}"]})],
            (0, "key", 0),
            "accepted: `path_params.id`, `path_params.x`",
        ),
        ([spec(key="path_params.id", match={"not": {"path": "/a/{id}"}})], (0, "key", 0), "accepted: none"),
    ],
    ids=["same id", "target", "target below not", "no path", "not in every path", "misspelt", "below not"],
)
def test_names_that_refer_to_nothing_are_errors(
    specs: list[LimitSpec], where: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(InvalidRules) as raised:
        limits(*specs)
    ((location, said),) = raised.value.problems
    assert location == ("limits", *where)
    assert message in said


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InvalidRules) as raised:
        limits(spec(key="path_params.a"), spec(match={"target": "x"}))
    places = [location[1:] for location, _ in raised.value.problems]
    assert places == [(0, "key", 0), (1, "id"), (1, "match", "target", 0)]


# ---------------------------------------------------------------------------------------------------------------- keys

KEYS = {
    "principal.id": ("sso", "ana"),
    "principal.provider": "sso",
    "principal.email": "ana@corp.example",
    "principal.owner": ("sso", "eve"),
    "principal.kind": "agent",
    "principal.person": "E123",
    "principal.workload.name": "billing",
    "principal.session.id": ("sso", "s-1"),
    "target": "api",
    "source": "10.1.2.3",
    "request.host": "api.internal",
    "request.method": "GET",
}


@pytest.mark.parametrize("name", KEYS)
def test_each_name_stands_for_what_is_known_of_the_request(name: str) -> None:
    assert key(name, facts()) == (KEYS[name],)


def test_a_key_may_have_several_parts() -> None:
    assert key("target", facts()) == ("api",)
    assert keys(spec(key=["target", "principal.id", "source"]), of=facts())["l"] == ("api", ("sso", "ana"), "10.1.2.3")


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("principal.email", facts(NOBODY)),
        ("principal.email", facts(replace(ANA, email=""))),
        ("principal.owner", facts(NOBODY)),
        ("principal.person", facts(NOBODY)),
        ("principal.workload.name", facts(NOBODY)),
        ("principal.session.id", facts(NOBODY)),
        ("principal.id", facts(ANONYMOUS)),
        ("principal.provider", facts(ANONYMOUS)),
        ("principal.id", facts(None)),
        ("principal.kind", facts(None)),
        ("target", facts(target=None)),
        ("source", facts(source="")),
    ],
)
def test_what_is_absent_has_one_bucket_for_all(name: str, absent: Facts) -> None:
    assert key(name, absent) == (None,)


def test_anonymous_callers_are_told_apart_by_their_kind_alone() -> None:
    assert key("principal.kind", facts(ANONYMOUS)) == ("anonymous",)


def test_the_same_id_of_another_provider_is_another_caller() -> None:
    for name in ("principal.id", "principal.owner", "principal.session.id"):
        assert key(name, facts()) != key(name, facts(replace(ANA, provider="github")))


def test_no_spelling_of_method_or_host_gets_a_bucket_of_its_own() -> None:
    assert key("request.method", facts(method="get")) == key("request.method", facts())
    for host in ("API.internal", "api.internal."):
        assert key("request.host", facts(host=host)) == key("request.host", facts())


PATHS = {"path": ["/v1/customers/{id}", "/v1/accounts/{id}/{rest...}"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/customers/42", "42"),
        ("/v1/customers/42/", "42"),
        ("/v1/accounts/7", "7"),
        ("/v1/accounts/7/a/b", "7"),
    ],
)
def test_a_variable_of_the_path_has_the_same_value_with_a_trailing_slash(path: str, value: str) -> None:
    assert key("path_params.id", facts(path=path), match=PATHS) == (value,)


# -------------------------------------------------------------------------------------------------------- which are due


def test_limits_that_match_are_due_in_their_order_and_no_others() -> None:
    found = keys(
        spec(id="all"),
        spec(id="agents", match={"principal": {"kind": ["agent", "ci"]}}),
        spec(id="humans", match={"principal": {"kind": "human"}}),
        spec(id="writes", match={"method": "write"}),
        of=facts(method="POST"),
    )
    assert list(found) == ["all", "agents", "writes"]


def test_a_limit_of_which_it_is_unknown_whether_it_applies_does_apply() -> None:
    """An absent owner below `not:` is unknown."""
    strangers = spec(match={"not": {"principal": {"owner": "eve"}}})
    assert keys(strangers, of=facts()) == {}
    assert keys(strangers, of=facts(NOBODY)) == {"l": (("sso", "x"),)}


def test_a_limit_holds_with_a_trailing_slash_and_for_a_method_in_any_case() -> None:
    limit = spec(match={"path": "/v1/customers/{id}", "method": "GET"})
    assert keys(limit, of=facts(path="/v1/customers/42/", method="get"))


def test_the_index_leaves_out_no_limit() -> None:
    many = [spec(id=f"l{n}", match={"principal": {"id": f"u{n}"}}) for n in range(50)]
    assert list(keys(*many, spec(id="all"), of=facts(replace(ANA, id="u7")))) == ["l7", "all"]
