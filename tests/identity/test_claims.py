"""What verified claims make of a caller: places that stand in for each other, tables, and forms that must fit."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.claims import FORMS, Mapped, Row, first_match, hold
from headgate.identity.reasons import Reason
from headgate.identity.strictjson import frozen
from headgate.match.pointers import pointer
from headgate.model import Kind, Principal, Workload

ISSUER = "https://sso.example.com"
ANYBODY: Row[Kind] = Row((), Kind.HUMAN)


def conditions(**accepted: Any) -> Any:
    """`azp=("a", "b")`: either of them must stand in `azp`."""
    return tuple((pointer(name), values) for name, values in accepted.items())


def mapped(
    paths: Mapping[str, tuple[str, ...]],
    kinds: tuple[Row[Kind], ...] = (ANYBODY,),
    environments: tuple[Row[str], ...] = (),
) -> Mapped:
    split = {name: tuple(map(pointer, places)) for name, places in paths.items()}
    return Mapped("corp", ISSUER, MappingProxyType(split), kinds, environments)


def ask(known: Mapped, claims: dict[str, Any]) -> Principal | Reason:
    return known.principal(frozen(claims), frozenset({"payments"}), 1_700_000_600.0)


def caller(known: Mapped, **claims: Any) -> Principal:
    found = ask(known, claims)
    assert isinstance(found, Principal), found
    return found


SUBJECT = mapped({"id": ("sub",)})
NAMED = mapped({"id": ("sub", "common_name"), "email": ("email",), "groups": ("/realm/roles", "groups")})


# ------------------------------------------------------------------------------------- places that stand in for others


@pytest.mark.parametrize("nothing", [{}, {"sub": None}, {"sub": ""}], ids=["absent", "null", "empty"])
def test_the_first_place_that_holds_anything_counts(nothing: dict[str, Any]) -> None:
    assert caller(NAMED, sub="ana", common_name="robot").id == "ana"
    assert caller(NAMED, common_name="robot", **nothing).id == "robot"
    assert ask(NAMED, nothing) is Reason.ID_MISSING


@pytest.mark.parametrize("value", [7, 0, False, [], ["ana"], {}, "a\nb", "a\x7f", "x" * 1025])
def test_a_place_that_holds_another_form_is_not_passed_over(value: Any) -> None:
    """The next place may be one that the caller can fill as it likes."""
    assert ask(NAMED, {"sub": value, "common_name": "robot"}) is Reason.CLAIM_INVALID


def test_a_place_below_another_may_be_missing_at_any_step() -> None:
    assert caller(NAMED, sub="ana", realm={"roles": ["a"]}, groups=["b"]).groups == {"a"}
    for realm in (None, "x", 7, [], {}, {"roles": None}):
        assert caller(NAMED, sub="ana", realm=realm, groups=["b"]).groups == {"b"}
    assert ask(NAMED, {"sub": "ana", "realm": {"roles": {"a": 1}}, "groups": ["b"]}) is Reason.CLAIM_INVALID


def test_a_list_may_be_walked_by_number_only() -> None:
    first = mapped({"id": ("/aliases/0",)})
    assert caller(first, aliases=["ana", "eve"]).id == "ana"
    for path in ("/aliases/00", "/aliases/-1", "/aliases/+0", "/aliases/2", "/aliases/ana", "/aliases/\u0660"):
        assert ask(mapped({"id": (path,)}), {"aliases": ["ana", "eve"]}) is Reason.ID_MISSING


def test_what_no_claim_says_is_not_known() -> None:
    found = caller(SUBJECT, sub="ana", email="ana@corp.example", groups=["admins"], env="prod")
    assert (found.email, found.groups, found.environments, found.person) == (None, frozenset(), frozenset(), None)
    assert found.workload == Workload()
    assert (found.session.id, found.session.scopes, found.session.issued_at) == (None, frozenset(), None)
    assert (found.provider, found.audiences, found.expires_at) == ("corp", {"payments"}, 1_700_000_600.0)


def test_every_attribute_can_be_mapped() -> None:
    everything = mapped({name: (f"c-{name}",) for name in FORMS})
    found = caller(everything, **{f"c-{name}": "a@b" if name == "email" else name for name in FORMS}, iat=5)
    assert (found.id, found.email, found.person) == ("id", "a@b", "person")
    assert (found.groups, found.environments) == ({"groups"}, {"environment"})
    assert (found.session.id, found.session.scopes, found.session.issued_at) == ("session.id", {"session.scopes"}, 5)
    assert found.workload == Workload(
        "workload.name", "workload.version", "workload.commit", "workload.digest", "workload.workflow", "workload.pod"
    )
    assert not found.workload.verified


@pytest.mark.parametrize("name", [name for name in FORMS if name != "id"])
@pytest.mark.parametrize("value", [7, True, {"a": "b"}, [7], ["a", None], ["a\nb"], [["a"]]])
def test_a_claim_of_another_form_makes_the_token_useless(name: str, value: Any) -> None:
    """A caller whose groups cannot be read is not a caller without groups."""
    assert ask(mapped({"id": ("sub",), name: ("claim",)}), {"sub": "ana", "claim": value}) is Reason.CLAIM_INVALID


# --------------------------------------------------------------------------------------------------------------- tables


def test_a_row_matches_when_each_of_its_claims_has_one_of_the_values() -> None:
    rows = (Row(conditions(azp=("batch", "cron"), tier=(1,)), "both"), Row(conditions(azp=("batch",)), "one"))
    assert first_match(rows, {"azp": "cron", "tier": 1}) == "both"
    assert first_match(rows, {"azp": "batch", "tier": 2}) == "one"
    assert first_match(rows, {"azp": "cron", "tier": 2}) is None
    assert first_match(rows, {}) is None
    assert first_match((*rows, Row((), "last")), {}) == "last"
    assert first_match((), {"azp": "batch"}) is None


@pytest.mark.parametrize("accepted", ["1", 1, True, "true", "", 0, False])
@pytest.mark.parametrize("value", ["1", 1, True, "true", "", 0, False, 1.0, None, ("1",), {"1": 1}])
def test_a_value_is_one_of_those_listed_or_it_is_not(accepted: Any, value: Any) -> None:
    """`true` is not 1, `"1"` is not 1, and a list is none of its items."""
    same = repr(accepted) == repr(value)
    assert hold(conditions(claim=(accepted,)), {"claim": value}) is same


def test_nothing_required_holds_for_everybody_and_something_for_nobody_without_it() -> None:
    assert hold((), {})
    assert not hold(conditions(mfa=(True,)), {})


def test_a_kind_by_a_table() -> None:
    rows: tuple[Row[Kind], ...] = (Row(conditions(azp=("ci",)), Kind.CI), Row(conditions(azp=("bot",)), Kind.AGENT))
    table = mapped({"id": ("sub",)}, rows)
    assert caller(table, sub="a", azp="ci").kind is Kind.CI
    assert caller(table, sub="a", azp="bot").kind is Kind.AGENT
    assert ask(table, {"sub": "a"}) is Reason.KIND_UNKNOWN
    assert caller(table, sub="a", act={"sub": "robot"}).kind is Kind.AGENT  # who acts for another needs no row


def test_an_environment_by_a_table() -> None:
    table = mapped(
        {"id": ("sub",)}, environments=(Row(conditions(org=(7,)), "prod"), Row(conditions(org=(8,)), "staging"))
    )
    assert caller(table, sub="a", org=7).environments == {"prod"}
    assert caller(table, sub="a", org=8).environments == {"staging"}
    assert caller(table, sub="a", org="7").environments == frozenset()
    assert caller(table, sub="a").environments == frozenset()


def test_the_environment_of_the_rules_comes_before_that_of_a_claim() -> None:
    """Where a preset reads it from a claim, as for development, what a person wrote decides."""
    always = mapped({"id": ("sub",), "environment": ("env",)}, environments=(Row((), "sandbox"),))
    assert caller(always, sub="a", env="prod").environments == {"sandbox"}
    assert ask(always, {"sub": "a", "env": 7}) is Reason.CLAIM_INVALID


# ------------------------------------------------------------------------------------------------------------- e-mail


@pytest.mark.parametrize(
    ("verified", "known"),
    [(True, True), ("true", True), (None, True), (False, False), ("false", False), (0, False), ("yes", False)],
)
def test_an_address_counts_unless_its_provider_did_not_verify_it(verified: Any, known: bool) -> None:
    found = caller(NAMED, sub="ana", email="ana@corp.example", email_verified=verified)
    assert found.email == ("ana@corp.example" if known else None)


def test_whether_an_address_is_verified_stands_beside_it() -> None:
    nested = mapped({"id": ("sub",), "email": ("/user/email",)})
    user = {"email": "ana@corp.example", "email_verified": False}
    assert caller(nested, sub="ana", user=user, email_verified=True).email is None
    assert caller(nested, sub="ana", user={**user, "email_verified": True}, email_verified=False).email is not None


@pytest.mark.parametrize("name", ["id", "person", "groups", "workload.name"])
def test_nobody_is_named_by_an_address_that_was_not_verified(name: str) -> None:
    known = mapped({"id": ("sub",), name: ("email",)})
    claims = {"sub": "eve", "email": "ana@corp.example"}
    assert ask(known, {**claims, "email_verified": False}) is Reason.EMAIL_UNVERIFIED
    assert isinstance(ask(known, {**claims, "email_verified": True}), Principal)
    assert isinstance(ask(known, claims), Principal)


@pytest.mark.parametrize("address", ["ana", "@corp.example", "ana@", "a@b@c", "a b@c", "a@b c", "ana@corp.example\n"])
def test_what_is_no_address_makes_the_token_useless(address: str) -> None:
    assert ask(NAMED, {"sub": "ana", "email": address}) is Reason.CLAIM_INVALID


# ------------------------------------------------------------------------------------------------------------- actors


def test_who_acts_for_somebody_is_an_agent_of_that_owner() -> None:
    found = caller(NAMED, sub="ana", act={"sub": "robot"}, groups=["support"])
    assert (found.id, found.kind, found.owner, found.groups) == ("robot", Kind.AGENT, "ana", {"support"})
    nested = caller(NAMED, sub="ana", act={"sub": "robot", "act": {"sub": "inner"}})
    assert (nested.id, nested.owner) == ("robot", "ana")  # the innermost ones say how it came to be (RFC 8693, 4.1)


@pytest.mark.parametrize(
    "act",
    [
        None,
        "robot",
        ["robot"],
        {},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "robot", "iss": "https://evil.example"},
        {"sub": "robot", "iss": None},
    ],
)
def test_an_actor_that_cannot_be_told_makes_the_token_useless(act: Any) -> None:
    assert ask(NAMED, {"sub": "ana", "act": act}) is Reason.ACTOR_INVALID


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "common_name", "email", "email_verified", "groups", "realm", "act", "iat", "org"]), JSON
)


@given(claims=CLAIMS)
def test_any_claims_make_a_caller_or_a_reason(claims: dict[str, Any]) -> None:
    rows = (Row(conditions(org=(1, "1", True)), "prod"),)
    everything = mapped(dict.fromkeys(FORMS, ("sub", "/realm/0", "groups")), environments=rows)
    for known in (NAMED, everything):
        found = ask(known, claims)
        assert isinstance(found, Reason) or (isinstance(found, Principal) and found.id)


def test_where_the_rules_say_the_environment_no_claim_does() -> None:
    """A table in which no row matches leaves it unknown, though the preset would read a claim."""
    known = mapped({"id": ("sub",), "environment": ("env",)}, environments=(Row(conditions(ns=("prod",)), "prod"),))
    found = {ns: ask(known, {"sub": "ana", "env": "staging", "ns": ns}) for ns in ("prod", "other")}
    assert [principal.environments for principal in found.values() if isinstance(principal, Principal)] == [
        frozenset({"prod"}),
        frozenset(),
    ]
