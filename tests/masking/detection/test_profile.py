"""The `api` profile: what it keeps and drops, that it is safe by design, and how right it is on labelled payloads."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from headgate.bench.payloads import SEEN, UNSEEN, Payload, payloads
from headgate.bench.precision import OTHERS, PRECISION, RECALL, USUAL, Tally, profiled, tally, together
from headgate.masking.detection.profile import KEPT, RULES, plausible
from headgate.masking.detection.profile_words import HINTS, key_words
from headgate.masking.entities import ENTITIES
from headgate.masking.plan import Leaf, Span

CASES = yaml.safe_load((Path(__file__).parents[2] / "cases" / "plausible.yaml").read_text(encoding="utf-8"))
DOMAINS = {"payments", "hr", "health", "logs", "chat", "infra"}


def _finding(case: dict[str, Any]) -> tuple[Leaf, Span]:
    text = case.get("text", case["value"])
    start = text.index(case["value"])
    leaf = Leaf(text, case.get("key", ""))
    return leaf, Span(case["entity"], start, start + len(case["value"]), case.get("score", 1.0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['entity']}: {case['note']}")
def test_what_counts(case: dict[str, Any]) -> None:
    leaf, span = _finding(case)
    assert plausible(leaf, span, tuple(case.get("internal_domains", ()))) is case["keeps"]


def test_every_entity_has_a_rule_and_an_example_each_way() -> None:
    assert set(RULES) | KEPT | {"EMAIL_ADDRESS"} == ENTITIES
    assert set(HINTS) <= ENTITIES
    both = Counter(entity for entity, _ in {(case["entity"], case["keeps"]) for case in CASES})
    assert {entity for entity in (*USUAL, *OTHERS) if both[entity] < 2} == KEPT | {"SECRET"}


STRONG = {
    "EMAIL_ADDRESS": "ana@example.com",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "US_SSN": "536-90-4399",
    "US_ITIN": "912-70-1234",
    "PHONE_NUMBER": "+12125550123",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "UUID": "123e4567-e89b-42d3-a456-426614174000",
    "URL": "https://example.com/a",
    "SECRET": "x",
    "PERSON": "Ana",
}


@given(
    st.sampled_from(sorted(STRONG)),
    st.text(max_size=20),
    st.text("ab id=\"'(: ", max_size=12),
    st.text(" ab,;)'", max_size=12),
)
@example("US_SSN", "order_id", "order id ", ", ok")
def test_strong_evidence_counts_whatever_it_is_called(entity: str, key: str, before: str, after: str) -> None:
    assume("itin" not in key_words(key))
    text = f"{before}{STRONG[entity]}{after}"
    assert plausible(Leaf(text, key), Span(entity, len(before), len(before) + len(STRONG[entity]), 0.4))


PIECES = st.sampled_from(
    [
        "4111111111111111",
        "536-90-4399",
        "+1 212",
        "10.1.2.3",
        "no.",
        "id",
        "call",
        "Order",
        "::",
        "@",
        "v",
        "٣",
        "²",
        " ",
    ]
)


@given(
    st.sampled_from(sorted(ENTITIES | {"SECRET", "OTHER"})),
    st.lists(PIECES | st.text(max_size=6), max_size=8).map("".join),
    st.text(max_size=12) | st.sampled_from(["phone", "card_no", "ssn", "dob", "order_id"]),
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.floats(0, 1),
)
def test_any_finding_is_judged(entity: str, text: str, key: str, place: tuple[int, int], score: float) -> None:
    """Never an exception, and the same answer each time."""
    start, end = sorted(min(at, len(text)) for at in place)
    leaf, span = Leaf(text, key), Span(entity, start, end, score)
    first = plausible(leaf, span)
    assert isinstance(first, bool)
    assert plausible(leaf, span) is first


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['entity']}: {case['note']}")
def test_what_is_far_away_does_not_matter(case: dict[str, Any]) -> None:
    """However long the leaf, a finding is judged by what stands beside it."""
    leaf, span = _finding(case)
    answers = set()
    for length in (100, 10_000):
        pad = "zz " * length
        moved = span._replace(start=span.start + len(pad), end=span.end + len(pad))
        answers.add(plausible(leaf._replace(text=f"{pad}{leaf.text}{pad}"), moved))
    assert len(answers) == 1


@pytest.fixture(scope="module", params=[SEEN, UNSEEN])
def half(request: pytest.FixtureRequest) -> list[Payload]:
    return payloads(request.param)


@pytest.fixture(scope="module")
def right(half: list[Payload]) -> dict[str, Tally]:
    return tally(half, profiled())


def test_the_usual_entities_reach_their_bars(right: dict[str, Tally]) -> None:
    usual = together(right, USUAL)
    assert RECALL.met_by(usual.recall), usual
    assert PRECISION.met_by(usual.precision), usual


@pytest.mark.parametrize("entity", [*USUAL, *OTHERS])
def test_the_profile_is_no_guess_for_any_entity(right: dict[str, Tally], entity: str) -> None:
    """A floor under each, so that none is given up for the sum: what was measured, and some room."""
    assert right[entity].recall >= 70, right[entity]
    assert right[entity].precision >= 60, right[entity]


def test_a_half_has_payloads_of_each_kind_and_enough_values(half: list[Payload]) -> None:
    kinds = Counter(payload.name.partition("-")[0] for payload in half)
    assert set(kinds) == DOMAINS
    assert min(kinds.values()) >= 12
    assert sum(len(payload.leaves) for payload in half) > 2500
    values = Counter(truth.entity for payload in half for each in payload.leaves for truth in each.truths)
    assert set(values) == {*USUAL, *OTHERS}
    assert all(values[entity] >= 30 for entity in (*USUAL, "IP_ADDRESS"))


def test_the_halves_have_nothing_in_common() -> None:
    """But addresses of the networks that are set aside for documentation (RFC 5737), of which there are few."""
    values, names, keys = [], [], []
    for part in (payloads(SEEN), payloads(UNSEEN)):
        names.append({payload.name for payload in part})
        keys.append({each.leaf.key for payload in part for each in payload.leaves})
        truths = {truth for payload in part for each in payload.leaves for truth in each.truths}
        values.append({truth.value for truth in truths if truth.entity != "IP_ADDRESS"})
    assert not names[0] & names[1]
    assert not values[0] & values[1]
    shared = keys[0] & keys[1]
    assert len(shared) < len(keys[1]) / 4, sorted(shared)


def test_every_value_stands_in_its_leaf(half: list[Payload]) -> None:
    for payload in half:
        for each in payload.leaves:
            for (entity, value), count in Counter(each.truths).items():
                assert len(re.findall(re.escape(value), each.leaf.text)) >= count, (payload.name, entity)
