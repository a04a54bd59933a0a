"""The fast way finds what Presidio itself finds, leaf by leaf: for every recognizer, on all kinds of leaves."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.masking.detection.differential import Pair, Result, corpora, documents, found, groups

from headgate.masking.detection.custom import recognizers_of
from headgate.masking.detection.fast import Fast
from headgate.masking.detection.gates import Gate
from headgate.masking.detection.reference import Reference
from headgate.masking.entities import ENTITIES
from headgate.masking.plan import Leaf

COUNT = 20_000

Corpus = list[tuple[Pair, list[tuple[list[Leaf], list[Result]]]]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The two ways for each group of entities, and documents with what the reference finds in them."""
    made: Corpus = []
    for entities, leaves in corpora(COUNT):
        pair = Pair(entities)
        made.append((pair, [(document, pair.expected(document)) for document in documents(leaves)]))
    return made


def test_the_findings_are_the_same_on_the_whole_corpus(corpus: Corpus) -> None:
    different = [
        (leaf, fast, reference)
        for pair, whole in corpus
        for document, expected in whole
        for leaf, fast, reference in zip(document, found(pair.fast, document), expected, strict=True)
        if fast != reference
    ]
    assert different == []


def test_the_corpus_has_findings_of_every_entity(corpus: Corpus) -> None:
    """Else it would prove nothing of it."""
    seen: dict[str, int] = dict.fromkeys(ENTITIES, 0)
    for _, whole in corpus:
        for _, expected in whole:
            for spans in expected:
                for span in spans if isinstance(spans, list) else ():
                    seen[span.entity] += 1
    assert {entity: count for entity, count in seen.items() if count < 5} == {}


REDUNDANT = {
    "CRYPTO",  # no valid address is as short as the pattern allows
    "FI_PERSONAL_IDENTITY_CODE",  # the other pattern finds the same, and a validator gives both the same score
    "IN_GSTIN",  # as above
    "SE_ORGANISATIONSNUMMER",  # as above
    "SE_PERSONNUMMER",  # as above
    "US_SSN",  # the one with dashes alone: another pattern finds it, too, with a higher score
}
"""Entities of which a gate may be too tight, and the findings be the same all the same."""


def test_every_gate_that_asks_for_one_character_more_is_noticed(corpus: Corpus) -> None:
    """A gate that lets too little through must not pass for one that does not."""
    tried, unnoticed = 0, []
    for pair, whole in corpus:
        for gate, searches in list(pair.fast._gated.items()):
            if tighter := _tighter(gate):
                tried += 1
                if not _noticed(pair, gate, tighter, whole):
                    unnoticed += [pair.fast._confirmers[pair.fast._searches[at].confirmer].entity for at in searches]
    assert tried > 100
    assert set(unnoticed) <= REDUNDANT
    assert len(unnoticed) <= 8


def _tighter(gate: Gate) -> Gate | None:
    """The gate with the last number of equal characters raised by one, where there are at least three."""
    exact = [found for found in re.finditer(r"\{(\d+)\}", gate.ascii) if int(found[1]) >= 3]
    if not exact:
        return None
    last = exact[-1]
    wrong = f"{gate.ascii[: last.start()]}{{{int(last[1]) + 1}}}{gate.ascii[last.end() :]}"
    return Gate(wrong, wrong)


def _noticed(pair: Pair, gate: Gate, wrong: Gate, whole: Any) -> bool:
    kept = dict(pair.fast._gated)
    pair.fast._gated = {wrong if each is gate else each: searches for each, searches in kept.items()}
    try:
        return any(found(pair.fast, document) != expected for document, expected in whole)
    finally:
        pair.fast._gated = kept


FIVE = Pair(["CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN"])
EVERYTHING = Pair(ENTITIES)

PIECES = st.sampled_from(
    [
        *("4111 1111 1111 1111", "ana@example.com", "536-90-4399", "DE89370400440532013000", "+1 212 555 0123", "1 "),
        *("\u0661", "\u017f", "\u212a", *"@-./\naK0", "12", "::1", "http://a.co/", "'b.org'", "www."),
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=30)
VALUES = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
NAMES = st.sampled_from(["ssn", "customerPhone", "card", "email", "iban", "id", ""]) | st.text(max_size=6)
DOCUMENTS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12
)


def _leaves(value: Any, key: str) -> Iterator[Leaf]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member, key)
    elif isinstance(value, str):
        yield Leaf(value, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Leaf(json.dumps(value), key, number=True)


@given(DOCUMENTS)
@settings(max_examples=300)
def test_the_findings_are_the_same_in_any_json(value: Any) -> None:
    assert list(FIVE.differences(list(_leaves(value, "")))) == []


@given(st.lists(st.builds(Leaf, TEXTS, NAMES), max_size=4))
@settings(max_examples=60)
def test_the_findings_are_the_same_for_all_entities_at_once(leaves: list[Leaf]) -> None:
    assert list(EVERYTHING.differences(leaves)) == []


def _custom(name: str, entity: str, *patterns: tuple[str, float], **more: Any) -> dict[str, Any]:
    made = [{"name": name, "regex": pattern, "score": score} for pattern, score in patterns]
    return {"name": name, "supported_entity": entity, **({"patterns": made} if made else {}), **more}


CUSTOM = json.dumps(
    [
        _custom("Badge", "BADGE", (r"\bB-\d{4,6}\b", 0.3), (r"B-\d+", 0.2), context=["badge"]),
        _custom("Colour", "COLOUR", deny_list=["mauve", "k\u00f6nigsblau", "+1 212"]),
        _custom("Cased", "CASED", (r"Kilo\s?\w", 0.5), global_regex_flags=8),
        _custom("Ungated", "ANYTHING", (r"\p{Lu}?x*", 0.1)),
        _custom("Again", "US_SSN", (r"\d{3}-\d{2}", 0.4), context=["id"]),
    ]
)
CUSTOM_PIECES = st.sampled_from(
    [
        *("B-1234", "b-12345678", "mauve", "K\u00d6NIGSBLAU", "\u212ailo a", "Kilo\n9", "kilo 1"),
        *("536-90-4399", "\u0391x", "xx", " ", "_"),
    ]
)
"""What a bundle brings: patterns with and without a gate, a list, flags of its own, and an entity of Presidio's."""


@given(st.lists(st.builds(Leaf, st.lists(CUSTOM_PIECES, max_size=5).map("".join), st.sampled_from(["", "badge_id"]))))
def test_custom_recognizers_find_the_same(leaves: list[Leaf]) -> None:
    recognizers = recognizers_of(CUSTOM)
    fast, reference = Fast(["US_SSN"], recognizers), Reference(["US_SSN"], recognizers)
    assert fast(leaves) == reference(leaves)


@pytest.mark.parametrize("entities", groups(), ids=lambda names: names[0])
def test_what_is_beside_a_leaf_is_no_part_of_it(entities: list[str]) -> None:
    """Two leaves that make a finding together make none, and one that ends where another goes on is still found."""
    fast = Fast(entities)
    halves = [
        Leaf(text, "") for text in ("536-90-", "4399", "ana@", "example.com", "4111 1111", "1111 1111", "1", "23")
    ]
    whole = [Leaf("536-90-4399", ""), Leaf("1", ""), Leaf("ana@example.com", ""), Leaf("x", "")]
    for document in (halves, halves[::-1], whole):
        assert fast(document) == [fast([leaf])[0] for leaf in document]
