"""The nearest allow is the rule with the fewest conditions that do not hold; a record holds nothing of it to mask."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.derived import ANA, API, ASK, NOW, Said, When, allow, deny, facts, policy, with_when
from tests.policy.test_explain import compiled
from tests.policy.test_index import EFFECTS, MATCHES, SUBJECTS

from headgate.match import Facts, Matcher, Subject
from headgate.match.conditions import Condition
from headgate.model import Effect, RuleRef
from headgate.policy.engine import Policy, Rule
from headgate.policy.nearest import Later, Nearest, as_json, nearest


def near(*written: dict[str, Any], **subject: Any) -> Nearest | None:
    return nearest(policy(*written), facts(**subject))


def named(found: Nearest | None) -> tuple[str, list[str]] | None:
    return found and (found.rule.id, [condition.key for condition in found.failing])


def test_the_fewest_conditions_that_fail() -> None:
    two = allow("a", {"method": "PUT", "principal": {"groups": "admins"}})
    one = allow("b", {"method": "PUT", "principal": {"groups": "support"}})
    assert named(near(two, one)) == ("b", ["method"])


def test_what_is_unknown_counts_as_failing() -> None:
    unknown = allow("a", {"not": {"principal": {"owner": "bob"}}, "method": "PUT"})
    false = allow("b", {"method": "PUT"})
    assert named(near(unknown, false)) == ("b", ["method"])
    found = near(unknown)
    assert found is not None
    assert {one.key: one.holds for one in found.failing} == {"method": False, "not": None}


def test_an_approve_may_be_the_nearest() -> None:
    assert named(near({"id": "p", "effect": "approve", "match": {"method": "PUT"}})) == ("p", ["method"])


def test_neither_a_deny_nor_a_rule_in_shadow_mode_is_near() -> None:
    assert near(deny("d", {"method": "PUT"}), allow("s", {"method": "PUT"}, mode="shadow")) is None


def test_nothing_is_near_where_a_rule_holds() -> None:
    assert near(allow("a", {}), allow("b", {"method": "PUT"})) is None


def test_of_several_the_one_whose_target_path_and_method_hold() -> None:
    """In this order, where the rule asks for them; and then the first by its id."""
    ways = {
        "e-target": {"target": "other"},
        "d-path": {"target": "api", "path": "/v2"},
        "c-method": {"target": "api", "path": "/v1/{rest...}", "method": "PUT"},
        "b-group": {"target": "api", "path": "/v1/{rest...}", "method": "GET", "principal": {"groups": "admins"}},
        "a-group": {"principal": {"groups": "admins"}},
    }
    written = [allow(name, match) for name, match in ways.items()]
    order = []
    while written:
        found = near(*written)
        assert found is not None
        order.append(found.rule.id)
        written = [rule for rule in written if rule["id"] != found.rule.id]
    assert order == ["b-group", "c-method", "d-path", "a-group", "e-target"]


def test_the_first_by_its_id_whatever_the_order() -> None:
    written = [allow(name, {"method": "PUT"}) for name in ("c", "a", "b")]
    assert named(near(*written)) == named(near(*reversed(written))) == ("a", ["method"])


def test_a_when_counts_where_all_else_holds() -> None:
    found = with_when(policy(allow("a", {}), allow("b", {"method": "PUT", "host": "x"})), "a", When(Said(None, "oops")))
    assert named(nearest(found, facts())) == ("a", ["when"])
    other = with_when(policy(allow("a", {"method": "PUT"})), "a", When(Said(True)))
    assert named(nearest(other, facts())) == ("a", ["method"]), "and is not asked where it does not"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(MATCHES, EFFECTS, st.booleans()), max_size=15), SUBJECTS)
def test_no_other_rule_has_fewer(written: Any, subject: Subject) -> None:
    known = Facts(subject)
    found = compiled(written)
    letting = [rule for rule in found.rules if rule.ref.effect is not Effect.DENY and not rule.shadow]
    counts = [sum(test(known) is not True for test in rule.matcher.tests) for rule in letting]
    one = nearest(found, Facts(subject))
    if not counts or min(counts) == 0:
        assert one is None
    else:
        assert one is not None
        assert len(one.failing) == min(counts)


def test_each_test_is_asked_once_however_many_rules_share_it() -> None:
    asked: list[str] = []

    def condition(name: str, holds: bool) -> Condition:
        def test(_facts: Facts) -> bool:
            asked.append(name)
            return holds

        return Condition(test, name)

    shared, own = condition("shared", False), [condition(f"own {n}", False) for n in range(1000)]
    matchers = [Matcher((shared.test, one.test), {}, (shared, one)) for one in own]
    many = Policy(
        tuple(Rule(RuleRef(f"r{at:04}", Effect.ALLOW, "f", at), one) for at, one in enumerate(matchers)),
    )
    asked.clear()
    found = nearest(many, facts())
    assert found is not None
    assert len([name for name in asked if name == "shared"]) <= 2, "once to count, once to show"
    assert len(asked) <= 1000 + 1 + 2


# -- records -----------------------------------------------------------------------------------------------------------


def test_as_json_tells_the_rule_and_what_fails_with_its_place() -> None:
    found = near(allow("a", {"principal": {"groups": "admins"}}))
    assert found is not None
    assert as_json(found) == {
        "rule": {"id": "a", "effect": "allow", "file": "rules/policy.yaml", "line": 10},
        "failing": [
            {
                "key": "principal.groups",
                "outcome": "false",
                "line": 20,
                "expected": ["admins"],
                "actual": ["support"],
                "file": "rules/policy.yaml",
            }
        ],
    }


def condition_of(kind: str, *names: str) -> Condition:
    return Condition(
        lambda _facts: False, f"{kind} {' '.join(names)}", "x", lambda _facts: "s3cr3t", location=(kind, *names)
    )


def test_a_record_holds_what_it_has_anyway_and_nothing_that_a_mask_could_be_for() -> None:
    kinds = {"principal": True, "target": True, "method": True, "host": True, "time": True, "source": True}
    kinds |= {"signal": True, "query": False, "headers": False, "body": False, "graphql": False, "path": False}
    for kind, kept in kinds.items():
        one = condition_of(kind, "name")
        below = Condition(lambda _facts: False, "not", location=("not",), inner=Matcher((one.test,), {}, (one,)))
        for condition in (one, below):
            rule = Rule(RuleRef("a", Effect.ALLOW, "f", 1), Matcher((condition.test,), {}, (condition,)))
            found = nearest(Policy((rule,)), facts())
            assert found is not None
            assert ("s3cr3t" in json.dumps(as_json(found, for_record=True))) is kept, kind
            assert "s3cr3t" in json.dumps(as_json(found)), kind


def test_a_record_holds_no_value_of_a_when() -> None:
    when = When(Said(False), values={"request.body.amount": "s3cr3t"})
    found = nearest(with_when(policy(allow("a", {})), "a", when), facts())
    assert found is not None
    assert "s3cr3t" in json.dumps(as_json(found))
    assert "s3cr3t" not in json.dumps(as_json(found, for_record=True))


def test_it_is_worked_out_when_asked_from_what_was_known_then() -> None:
    late = Later(policy(allow("a", {"principal": {"session": {"max_age": "1m"}}})), Subject(ANA, ASK, API, NOW))
    found = json.loads(late() or "null")
    assert found["failing"][0]["actual"] == 600.0
    assert "ana" not in repr(late)
    assert Later(policy(), Subject(ANA, ASK, API, NOW))() is None


def test_a_body_that_is_not_there_yet_is_no_hindrance() -> None:
    assert named(near(allow("a", {"method": "PUT"}), request=replace(ASK, body=None))) == ("a", ["method"])
