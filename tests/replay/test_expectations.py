"""What is expected of a recorded flow: the name that it keeps, the text that people review, and in which direction an
answer differs from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.checkout import ANA, BOB, flow, save

from headgate.errors import HeadgateError
from headgate.model import Effect, LimitUse, MaskCount, RuleRef
from headgate.replay.compared import Direction, agree, difference, directions
from headgate.replay.expectations import digest, dump, expectation, item_name, load
from headgate.replay.flowdb import FlowDb
from headgate.replay.judge import Judged

RULE = RuleRef("r1", Effect.ALLOW, "rules/policy.yaml", 3)


def names(path: Path, *flows: Any) -> list[str]:
    path.unlink(missing_ok=True)
    return list(FlowDb(save(path, flows)))


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_method_path_and_four_digits(tmp_path: Path) -> None:
    (name,) = names(tmp_path / "a.db", flow(1, "POST", "/v1/refunds"))
    assert name[:-4] == "POST /v1/refunds#"
    assert all(digit in "0123456789abcdef" for digit in name[-4:])


def test_a_name_stays_whatever_is_recorded_before_between_and_after(tmp_path: Path) -> None:
    one, other = flow(10, "GET", "/a"), flow(20, "GET", "/b")
    alone = names(tmp_path / "a.db", one, other)
    more = [flow(n, "GET", f"/{n}") for n in (1, 15, 25)]
    assert [name for name in names(tmp_path / "b.db", one, other, *more) if name in alone] == alone


def test_the_same_request_again_is_numbered_and_the_older_keeps_its_name(tmp_path: Path) -> None:
    (alone,) = names(tmp_path / "a.db", flow(1, "GET", "/a"))
    assert names(tmp_path / "a.db", *(flow(n, "GET", "/a") for n in (1, 2, 3))) == [alone, f"{alone}-2", f"{alone}-3"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (flow(1, "GET", "/a", ANA), flow(1, "GET", "/a", BOB)),
        (flow(1, "GET", "/a?x=1"), flow(1, "GET", "/a?x=2")),
        (flow(1, "PUT", "/a", sent=b"1"), flow(1, "PUT", "/a", sent=b"2")),
        (flow(1, "GET", "/a"), flow(1, "GET", "/a", headers=((b"x-shop", b"eu"),))),
    ],
    ids=["caller", "query", "body", "header"],
)
def test_whatever_rules_may_ask_for_makes_another_name(tmp_path: Path, one: Any, other: Any) -> None:
    assert names(tmp_path / "a.db", one) != names(tmp_path / "a.db", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (flow(1, "GET", "/a"), flow(99, "GET", "/a")),
        (flow(1, "GET", "/a", got=b"{}"), flow(1, "GET", "/a", got=None)),
        (flow(1, "GET", "/a"), flow(1, "GET", "/a", headers=((b"traceparent", b"00-1-2-01"),))),
    ],
    ids=["time and ids", "answer", "trace"],
)
def test_what_differs_each_time_makes_no_other_name(tmp_path: Path, one: Any, other: Any) -> None:
    assert names(tmp_path / "a.db", one) == names(tmp_path / "a.db", other)


def test_a_long_path_is_cut_and_still_told_apart(tmp_path: Path) -> None:
    found = names(tmp_path / "a.db", flow(1, "GET", f"/{'a' * 500}1"), flow(2, "GET", f"/{'a' * 500}2"))
    assert len(set(found)) == 2
    assert all(len(name) < 130 for name in found)


def test_a_name_taken_by_another_request_is_not_given_twice(tmp_path: Path) -> None:
    save(tmp_path / "a.db", [flow(1, "GET", "/a")])
    (entry,) = FlowDb(tmp_path / "a.db").values()
    name = item_name(entry)
    assert item_name(entry, {name}) == f"{name}-2"
    assert digest(entry).startswith(name.rpartition("#")[2])


# -- what is expected -------------------------------------------------------------------------------------------------


def test_an_expectation_says_what_was_decided_and_masked() -> None:
    masks = (MaskCount("/b", "EMAIL_ADDRESS", "redact", 1), MaskCount("/a", "field", "last4", 2))
    judged = Judged(Effect.ALLOW, "allowed-by-rule", (RULE,), masks=masks, limits=(LimitUse("hourly", 7),))
    assert expectation(judged) == {
        "effect": "allow",
        "reason": "allowed-by-rule",
        "rules": ["r1"],
        "limits": ["hourly"],
        "masks": [
            {"location": "/a", "entity": "field", "operator": "last4", "count": 2},
            {"location": "/b", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 1},
        ],
        "certain": True,
    }


def test_an_expectation_says_what_refuses_an_allowed_request() -> None:
    assert (
        expectation(Judged(Effect.ALLOW, "allowed-by-rule", (RULE,), refusal="rate-limited"))["refused"]
        == "rate-limited"
    )
    assert "refused" not in expectation(Judged(Effect.DENY, "denied-by-rule", refusal="denied"))


def test_an_expectation_says_what_is_not_known() -> None:
    said = expectation(
        Judged(
            Effect.DENY, "denied-by-unknown", certain=False, outcomes=frozenset({"refused", "passes"}),
            masks_certain=False, unknown=("whether rule `a` applies is not known",),
        )
    )  # fmt: skip
    assert said["certain"] is False
    assert said["could_be"] == ["passes", "refused"]
    assert said["masks_certain"] is False
    assert said["unknown"] == ["whether rule `a` applies is not known"]


def test_who_asked_for_what_is_there_to_be_read_without_any_value(tmp_path: Path) -> None:
    save(tmp_path / "a.db", [flow(1, "GET", "/a?token=held&page=2")])
    (entry,) = FlowDb(tmp_path / "a.db").values()
    said = expectation(Judged(Effect.ALLOW, "allowed-by-rule"), entry)
    assert list(said)[:2] == ["who", "what"]
    assert said["who"] == "ana (human, by development)"
    assert said["what"] == "GET http://shop.internal/a?token&page"


# -- the file ---------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")), max_size=60)
SAID = st.fixed_dictionaries(
    {"effect": st.sampled_from(list(map(str, Effect))), "reason": TEXTS, "rules": st.lists(TEXTS, max_size=3)},
    optional={
        "certain": st.booleans(),
        "masks": st.lists(st.fixed_dictionaries({"location": TEXTS, "count": st.integers(0, 9)})),
    },
)


@given(st.dictionaries(TEXTS.filter(bool), SAID, max_size=4), st.none() | TEXTS.filter(bool))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, named: Any, rules: str | None) -> None:
    path = tmp_path_factory.getbasetemp() / "any.expected.yaml"
    path.write_text(dump(named, rules=rules), encoding="utf-8")
    found = load(path)
    assert dict(found.flows) == named
    assert found.rules == rules
    assert set(found.lines) == set(named)


def test_a_file_says_how_it_is_changed_and_is_reviewed_line_by_line() -> None:
    masks = [{"location": "/a", "entity": "field", "operator": "redact", "count": 1}]
    text = dump({"GET /a#1": {"effect": "allow", "rules": ["a", "b"], "masks": masks}}, name="flows/checkout.db")
    head, _, rest = text.partition("flows:\n")
    assert all(line.startswith("# ") for line in head.splitlines())
    assert "`pytest flows/checkout.db --flows-update`" in head
    assert rest.splitlines() == [
        "  GET /a#1:",
        "    effect: allow",
        "    rules: [a, b]",
        "    masks:",
        "    - {location: /a, entity: field, operator: redact, count: 1}",
    ]


def test_the_same_content_is_the_same_text() -> None:
    named = {f"GET /{n}": {"effect": "allow", "rules": ["a"]} for n in range(5)}
    assert dump(named) == dump(dict(named))
    assert yaml.safe_load(dump(named)) == {"flows": named}


def test_a_file_that_is_not_there_expects_nothing(tmp_path: Path) -> None:
    assert dict(load(tmp_path / "none.expected.yaml").flows) == {}


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(HeadgateError, match="cannot be read: is a directory"):
        load(tmp_path)


# -- directions -------------------------------------------------------------------------------------------------------

MASK = {"location": "/a", "entity": "field", "operator": "redact", "count": 2}
ALLOW = {"effect": "allow", "reason": "allowed-by-rule", "rules": ["a"], "masks": [MASK], "certain": True}
DENY = {"effect": "deny", "reason": "no-rule-allows", "rules": [], "masks": [], "certain": True}
APPROVE = {"effect": "approve", "reason": "approval-required", "rules": ["p"], "masks": [MASK], "certain": True}
EITHER = {**DENY, "certain": False, "could_be": ["passes", "refused"]}
LIMITED = {**ALLOW, "refused": "rate-limited"}

CASES: list[tuple[str, Mapping[str, Any], Mapping[str, Any], list[Direction]]] = [
    ("the same", ALLOW, ALLOW, []),
    ("another spelling of who", {**ALLOW, "who": "ana"}, {**ALLOW, "who": "bob"}, []),
    ("allowed now", DENY, ALLOW, [Direction.LOOSENED]),
    ("refused now", ALLOW, DENY, [Direction.TIGHTENED]),
    ("to be approved now", ALLOW, APPROVE, [Direction.TIGHTENED]),
    ("no approval needed now", APPROVE, ALLOW, [Direction.LOOSENED]),
    ("approval instead of a refusal", DENY, APPROVE, [Direction.LOOSENED]),
    ("no limit now", LIMITED, ALLOW, [Direction.LOOSENED]),
    ("a limit now", ALLOW, LIMITED, [Direction.TIGHTENED]),
    ("withheld now", ALLOW, {**ALLOW, "withheld": "not-json"}, [Direction.TIGHTENED]),
    ("not withheld now", {**ALLOW, "withheld": "not-json"}, ALLOW, [Direction.LOOSENED]),
    ("not enforced now", DENY, {**DENY, "mode": "observe"}, [Direction.LOOSENED]),
    ("a mask less", ALLOW, {**ALLOW, "masks": []}, [Direction.MASK_LOST]),
    ("a mask fewer times", ALLOW, {**ALLOW, "masks": [{**MASK, "count": 1}]}, [Direction.MASK_LOST]),
    ("a mask more", {**ALLOW, "masks": []}, ALLOW, [Direction.MASK_GAINED]),
    (
        "another operator",
        ALLOW,
        {**ALLOW, "masks": [{**MASK, "operator": "last4"}]},
        [Direction.MASK_LOST, Direction.MASK_GAINED],
    ),
    ("refused, so that nothing is to be masked", ALLOW, {**DENY, "masks": []}, [Direction.TIGHTENED]),
    ("another rule", ALLOW, {**ALLOW, "rules": ["b"]}, [Direction.RULE_CHANGED]),
    ("no longer certain to be refused", DENY, EITHER, [Direction.LOOSENED, Direction.UNKNOWN]),
    ("no longer certain to pass", ALLOW, {**EITHER, "masks": [MASK]}, [Direction.UNKNOWN, Direction.TIGHTENED]),
    ("certain to be refused now", EITHER, DENY, [Direction.TIGHTENED]),
    ("certain to pass now", EITHER, {**ALLOW, "masks": []}, [Direction.LOOSENED]),
    ("approval for what was uncertain", EITHER, {**APPROVE, "masks": []}, [Direction.LOOSENED, Direction.TIGHTENED]),
    ("masks no longer certain", ALLOW, {**ALLOW, "masks_certain": False}, [Direction.UNKNOWN]),
    ("an effect that nobody knows counts as passing", {**ALLOW, "effect": "perhaps"}, DENY, [Direction.TIGHTENED]),
]


@pytest.mark.parametrize(("expected", "came", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_direction_of_a_difference(
    expected: Mapping[str, Any], came: Mapping[str, Any], found: list[Direction]
) -> None:
    assert directions(expected, came) == found
    assert agree(expected, came) is not bool(found)


@given(SAID, SAID)
def test_any_difference_has_a_direction_and_is_shown(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Expectations may have been written by hand, and hold anything."""
    changed = [line for line in difference(one, other) if line[0] in "+-"]
    assert bool(directions(one, other)) is (one != other)
    assert bool(changed) is (one != other)
