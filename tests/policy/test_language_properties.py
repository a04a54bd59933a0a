"""What holds of every bundle: over the whole rules language, on requests that are near its rules.

That a value which cannot be read, is repeated or is of another type never loosens stands in test_language_values.py.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.policy.asked import ASKED, BODIES, Asked, strictness
from tests.policy.language import (
    CROWDED,
    LIMIT,
    MATCHES,
    NOW,
    PRINCIPAL,
    SHAPED,
    Bundle,
    Written,
    a_rule,
    bundles,
    examples,
    numbered,
)

from headgate.model import Decision, Effect, Kind, Session, Workload
from headgate.policy.buckets import MemoryLimits
from headgate.policy.engine import PolicyRules, Rule, conclude, decide, entry_refused, settle, weigh
from headgate.policy.explain import explain
from headgate.policy.limits import due
from headgate.policy.shaping import CONFLICT, MISSING, QUERY_UNCLEAR, UNFIT

SHAPING_FAILED = {MISSING, UNFIT, CONFLICT, QUERY_UNCLEAR}
ORDERS = st.randoms(use_true_random=False)


def decided(rules: PolicyRules, asked: Asked) -> Decision:
    principal, request, now, signals = asked
    return decide(rules.policy, rules.targets, principal, asked.target(rules), request, now=now, signals=signals)


def added(effect: str, mode: str = "enforce") -> st.SearchStrategy[Written]:
    """One rule more, or none that is told apart from those there are by its id."""
    return a_rule(st.just(effect), st.just(mode)).map(lambda rule: {"id": "added", **rule})


# -- the draws ---------------------------------------------------------------------------------------------------------


def test_a_good_share_of_what_is_drawn_is_decided_by_a_rule() -> None:
    """Or else all below would say little."""
    reasons, seen = Counter[str](), Counter[str]()

    @settings(max_examples=300, derandomize=True, database=None, phases=[Phase.generate], deadline=None)
    @given(bundles(), ASKED)
    def draw(bundle: Bundle, asked: Asked) -> None:
        rules = bundle.compiled()
        decision, facts = decided(rules, asked), asked.facts(rules)
        reasons[decision.reason] += 1
        seen["shadow"] += bool(decision.shadow)
        seen["another answer in shadow"] += decision.shadow_effect is not None
        seen["error"] += bool(decision.errors)
        seen["shaped"] += bool(decision.shaping)
        seen["limited"] += bool(due(rules.policy.limits, rules.policy.limit_index, facts))
        seen["waits for the body"] += settle(rules.policy, facts) is None

    draw()
    by_rule = ("allowed-by-rule", "denied-by-rule", "denied-by-unknown", "approval-required")
    assert sum(reasons[reason] for reason in by_rule) >= 90, reasons
    assert min(reasons[reason] for reason in by_rule) >= 8, reasons
    assert len(reasons) >= 8, reasons
    assert min(seen.values()) >= 4, seen


# -- the order of rules ------------------------------------------------------------------------------------------------


@examples(120)
@given(bundles() | SHAPED | CROWDED, ASKED, ORDERS)
def test_the_order_of_rules_and_limits_changes_nothing(bundle: Bundle, asked: Asked, chance: Any) -> None:
    first = bundle.compiled()
    chance.shuffle(bundle.rules)
    chance.shuffle(bundle.limits)
    other = bundle.compiled()
    assert decided(other, asked) == decided(first, asked)
    assert due_ids(other, asked) == due_ids(first, asked)


def due_ids(rules: PolicyRules, asked: Asked) -> dict[str, Any]:
    dues = due(rules.policy.limits, rules.policy.limit_index, asked.facts(rules))
    assert len({limit.id for limit, _ in dues}) == len(dues)
    return {limit.id: key for limit, key in dues}


# -- one rule more -----------------------------------------------------------------------------------------------------


@examples(60)
@given(bundles(), added("deny"), ASKED)
def test_one_more_deny_never_loosens(bundle: Bundle, rule: Written, asked: Asked) -> None:
    before, after = decided(bundle.compiled(), asked), decided(bundle.with_rules(rule).compiled(), asked)
    assert strictness(after) >= strictness(before)
    if any(ref.id == "added" for ref in after.rules):
        assert after.effect is Effect.DENY
    elif after.effect is not Effect.DENY:
        assert after == before, "a deny that does not apply leaves no trace"


@examples(60)
@given(bundles(), added("allow"), ASKED)
def test_one_more_allow_never_tightens(bundle: Bundle, rule: Written, asked: Asked) -> None:
    """But where what it does to the request cannot be done."""
    before, after = decided(bundle.compiled(), asked), decided(bundle.with_rules(rule).compiled(), asked)
    assert strictness(after) <= strictness(before) or after.reason in SHAPING_FAILED
    if before.effect is Effect.DENY and before.reason not in {"no-rule-allows", *SHAPING_FAILED}:
        assert replace(after, errors=before.errors) == before
    if before.effect is Effect.APPROVE:
        assert after.effect is not Effect.ALLOW


@examples(60)
@given(bundles(), added("approve"), ASKED)
def test_one_more_approve_never_loosens_beyond_approve(bundle: Bundle, rule: Written, asked: Asked) -> None:
    before, after = decided(bundle.compiled(), asked), decided(bundle.with_rules(rule).compiled(), asked)
    if before.effect is Effect.DENY and before.reason != "no-rule-allows":
        assert after.effect is Effect.DENY
    elif before.effect is not Effect.ALLOW:
        assert after.effect is not Effect.ALLOW
    if before.effect is Effect.APPROVE:
        assert after.effect is Effect.APPROVE or after.reason in SHAPING_FAILED


@examples(60)
@given(bundles(), added("allow", "shadow") | added("approve", "shadow") | added("deny", "shadow"), ASKED)
def test_a_rule_in_shadow_mode_never_changes_an_outcome(bundle: Bundle, rule: Written, asked: Asked) -> None:
    before, after = decided(bundle.compiled(), asked), decided(bundle.with_rules(rule).compiled(), asked)
    unsaid = {"shadow": (), "shadow_effect": None, "errors": ()}
    assert replace(after, **unsaid) == replace(before, **unsaid)
    assert set(before.shadow) <= set(after.shadow)


@examples(100)
@given(bundles() | SHAPED | CROWDED, ASKED)
def test_what_the_rules_in_shadow_mode_would_change_is_what_they_do_change(bundle: Bundle, asked: Asked) -> None:
    found = decided(bundle.compiled(), asked)
    enforced = decided(bundle._replace(rules=[rule | {"mode": "enforce"} for rule in bundle.rules]).compiled(), asked)
    assert (found.shadow_effect or found.effect) is enforced.effect
    assert found.shadow_effect is not found.effect


@examples(30)
@given(st.lists(LIMIT, min_size=1, max_size=3), bundles(limits=0), st.lists(ASKED, min_size=1, max_size=3))
def test_limits_change_no_decision_and_in_shadow_mode_refuse_nothing(
    limits: list[Written], bundle: Bundle, asks: list[Asked]
) -> None:
    shadowed = numbered([limit | {"mode": "shadow", "rate": "1/day"} for limit in limits], "l")
    rules, unlimited = bundle._replace(limits=shadowed).compiled(), bundle.compiled()
    store = MemoryLimits()
    for asked in asks * 3:
        assert decided(rules, asked) == decided(unlimited, asked)
        outcome = store.spend(due(rules.policy.limits, rules.policy.limit_index, asked.facts(rules)), NOW)
        assert outcome.refusing == ()
        assert {use.id for use in outcome.uses} == set(due_ids(rules, asked))
    assert any(use.exhausted for use in outcome.uses) == bool(outcome.uses)


# -- what finds the rules ----------------------------------------------------------------------------------------------


@examples(80)
@given(bundles(rules=12, limits=8, least=6), ASKED)
def test_the_index_gives_what_a_look_at_every_rule_gives(bundle: Bundle, asked: Asked) -> None:
    """Each rule is asked about facts of its own, so that nothing that one of them left there bears on another."""
    rules = bundle.compiled()
    found, facts = weigh(rules.policy, asked.facts(rules)), asked.facts(rules)
    said = {rule.ref.id: rule.matcher.test(asked.facts(rules)) for rule in rules.policy.rules}
    unread = asked.request.body is None

    def those(effect: Effect, *holds: bool | None, shadow: bool = False) -> set[str]:
        return {
            rule.ref.id
            for rule in rules.policy.rules
            if (rule.ref.effect, rule.shadow) == (effect, shadow)
            and said[rule.ref.id] in holds
            and rule.ref.id not in ids(found.open)
        }

    assert ids(found.open) == {
        rule.ref.id for rule in rules.policy.rules if unread and rule.matcher.reads_body and said[rule.ref.id] is None
    }
    assert ids(found.denies) == those(Effect.DENY, True)
    assert ids(found.unsure) == those(Effect.DENY, None)
    assert ids(found.approves) == those(Effect.APPROVE, True, None)
    assert ids(found.allows) == those(Effect.ALLOW, True)
    shadowed = [those(Effect.DENY, True, None, shadow=True), those(Effect.APPROVE, True, None, shadow=True)]
    assert ids(found.shadow) == set().union(*shadowed, those(Effect.ALLOW, True, shadow=True))
    assert set(found.errors) <= {name for name, holds in said.items() if holds is None}
    counted = [limit.id for limit in rules.policy.limits if limit.matcher.test(facts) is not False]
    assert [limit.id for limit, _ in due(rules.policy.limits, rules.policy.limit_index, facts)] == counted


def ids(rules: list[Rule]) -> set[str]:
    assert len({rule.ref.id for rule in rules}) == len(rules)
    return {rule.ref.id for rule in rules}


@examples(40)
@given(bundles(), ASKED)
def test_what_is_explained_is_what_was_decided(bundle: Bundle, asked: Asked) -> None:
    rules = bundle.compiled()
    target, (principal, request, now, signals) = asked.target(rules), asked
    explanation = explain(rules, principal, target, request, now=now, signals=signals)
    assert explanation.decision == decided(rules, asked)
    facts = asked.facts(rules)
    said = {rule.ref.id: rule.matcher.test(facts) for rule in rules.policy.rules}
    assert {one.ref.id: one.holds for one in explanation.rules} == said
    assert {limit.id for limit in explanation.limits} == set(due_ids(rules, asked))


# -- before the body is there ------------------------------------------------------------------------------------------


@examples(80)
@given(bundles(), ASKED, st.lists(BODIES, min_size=1, max_size=4))
def test_what_is_settled_without_the_body_no_body_changes(bundle: Bundle, asked: Asked, bodies: list[bytes]) -> None:
    rules = bundle.compiled()
    if entry_refused(rules.targets, asked.principal, asked.target(rules)):
        return
    unread = asked._replace(request=replace(asked.request, body=None))
    settled = settle(rules.policy, unread.facts(rules))
    if settled is None:
        return
    for body in (asked.request.body or b"", *bodies):
        read = asked._replace(request=replace(asked.request, body=body))
        concluded = conclude(rules.policy, read.facts(rules))
        if settled.effect is Effect.DENY:
            assert concluded.effect is Effect.DENY
        else:
            assert concluded == settled, "all that is recorded of a request that goes on is known"


# -- observed targets --------------------------------------------------------------------------------------------------


@examples(40)
@given(bundles(), ASKED)
def test_an_observed_target_is_decided_on_as_any_other(bundle: Bundle, asked: Asked) -> None:
    said = []
    for observe in (True, False):
        api, web = bundle.targets["targets"]
        targets = bundle.targets | {"targets": [one | {"observe": observe} for one in (api, web)]}
        said.append(decided(bundle._replace(targets=targets).compiled(), asked))
    watched, enforced = said
    assert replace(watched, observed=False) == enforced
    assert watched.observed is (watched.reason != "unknown-target" and asked.request.host != "other.internal")
    assert not enforced.observed


# -- what is not known of the caller -----------------------------------------------------------------------------------

WITHOUT: dict[str, dict[str, Any]] = {
    "email": {"email": None},
    "owner": {"owner": None},
    "groups": {"groups": frozenset()},
    "environment": {"environments": frozenset()},
    "workload": {"workload": Workload(verified=True)},
    "session": {"session": Session()},
    "claims": {"claims": {}},
}
ANONYMOUS = {"kind": Kind.ANONYMOUS}


@st.composite
def an_unknown(draw: st.DrawFn) -> tuple[Written, dict[str, Any]]:
    """A condition on the caller, and what makes it unknown."""
    name = draw(st.sampled_from(sorted({*WITHOUT, "id", "provider"})))
    asked = draw(PRINCIPAL[name])
    anonymous = name not in WITHOUT or "verified" in asked or draw(st.booleans())
    return {"principal": {name: asked}}, ANONYMOUS if anonymous else WITHOUT[name]


@examples(100)
@given(an_unknown(), MATCHES, ASKED, st.booleans(), st.booleans())
def test_what_is_unknown_below_not_never_allows(
    unknown: tuple[Written, dict[str, Any]], match: Written, asked: Asked, twice: bool, deny: bool
) -> None:
    """However deep below, and in whatever company: nor does it keep a deny from applying."""
    condition, missing = unknown
    below = {"not": {"not": condition}} if twice else {"not": condition}
    asked = asked._replace(principal=replace(asked.principal, **missing))
    match = {key: value for key, value in match.items() if key != "not"} | below
    everything: Written = {"effect": "allow", "match": {}}
    rules = [{"effect": "deny", "match": match}, everything] if deny else [{"effect": "allow", "match": match}]
    targets: Written = {"targets": [], "unknown": "allow", "isolate_environments": False}
    if "target" in match:
        targets["targets"] = [{"name": "api", "hosts": ["api.internal"]}, {"name": "web", "hosts": ["web.internal"]}]
    compiled = Bundle(targets, numbered(rules), []).compiled()
    alone = Bundle(targets, numbered([{"effect": "deny", "match": below}, everything]), []).compiled()
    if not deny:
        assert decided(compiled, asked).effect is Effect.DENY
    assert decided(alone, asked).reason == "denied-by-unknown"
    without = {key: value for key, value in match.items() if key != "not"}
    outer = Bundle(targets, numbered([{"effect": "deny", "match": without}, everything]), []).compiled()
    if deny and decided(outer, asked).effect is Effect.DENY:
        assert decided(compiled, asked).effect is Effect.DENY
