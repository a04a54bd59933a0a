"""Masking JSON with detection, against stock Presidio asked leaf by leaf for the same entities.

Each document is new to both and is masked once, so nothing is remembered from the one before; the chain's cache is
off. Presidio is set up as its documentation says for use without a language model, with words of the context compared
whole, as the chain does: the findings must be the same, and how many are not is counted. What share of the leaves is
sensitive is said with each figure; the others are ids, states, times, amounts, hex digests and short texts.
"""

import json
from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from headgate.bench.documents import documents
from headgate.bench.figures import Bar, Figure
from headgate.bench.stock import stock
from headgate.bench.timing import in_turns, ratios
from headgate.masking.detection.detector import Detector, warm
from headgate.masking.entities import DEFAULT
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.names import words
from headgate.masking.plan import Leaf, Operator, Plan, Profile, Span, Wanted

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

MIN_SCORE = 0.4

SHARES = {1: Bar("at least", 20, "20 x"), 10: Bar("at least", 20, "20 x"), 50: Bar("at least", 10, "10 x")}
"""Percent of the leaves that are sensitive, and how many times faster than stock the chain is to be."""

ALL_DEFAULT = Bar("at least", 10, "10 x")
"""With every entity that Presidio looks for by default, at 1 percent."""

SMALL, LARGE = 1_000, 10_000_000
FLAT = Bar("at most", 1.5, "1.5 times")
"""What a kilobyte of a large document may cost, against one of 100 kB and of a small one."""


def plan(entities: Collection[str]) -> Plan:
    wanted = (Wanted(entity, Operator.REDACT, Profile.STOCK, MIN_SCORE) for entity in sorted(entities))
    return Plan(detect=tuple(wanted))


ENTITIES = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN")
PLAN = plan(ENTITIES)


def measure(size: int, rounds: int) -> list[Figure]:
    """`size` is in bytes of JSON."""
    warm()
    engine = stock()
    figures = [_figure(engine, size, rounds, percent, bar, ENTITIES) for percent, bar in SHARES.items()]
    return [*figures, _figure(engine, size, rounds, 1, ALL_DEFAULT, DEFAULT)]


def growth(rounds: int, large: int = LARGE) -> list[Figure]:
    """What a kilobyte costs in a large document, against one in small documents of the same kind."""
    warm()
    each = {SMALL: 100, large: 1}
    made = {size: iter(list(documents(size, 10, (rounds + 1) * count, first=size))) for size, count in each.items()}

    def masks(size: int) -> int:
        return sum(_masked(next(made[size])) for _ in range(each[size]))

    taken = in_turns({str(size): partial(masks, size) for size in each}, rounds)
    reference = f"a kB in documents of {SMALL // 1000} kB"
    name = f"masking a kB in a document of {large // 1000:,} kB"
    return [Figure(name, ratios(taken[str(large)], taken[str(SMALL)]), "x", reference, FLAT)]


def _masked(text: str) -> int:
    mask_json(text, PLAN, Detector(PLAN))
    return len(text)


def _figure(
    engine: "AnalyzerEngine", size: int, rounds: int, percent: int, bar: Bar, entities: Collection[str]
) -> Figure:
    mine, theirs = (iter(list(documents(size, percent, rounds + 1, first))) for first in (0, 500_000))
    wanted = plan(entities)

    def chain() -> int:
        mask_json(next(mine), wanted, Detector(wanted))
        return 1

    def presidio() -> int:
        for _ in found_by_stock(engine, next(theirs), entities):
            pass
        return 1

    taken = in_turns({"chain": chain, "presidio": presidio}, rounds)
    (checked,) = documents(size, percent, 1, 900_000)
    differing = differences(engine, checked, entities)
    same = "the same findings" if not differing else f"{differing} LEAVES WITH OTHER FINDINGS"
    reference = f"stock Presidio leaf by leaf, {sorted(taken['presidio'])[rounds // 2] / 1000:.1f} ms; {same}"
    which = f"{len(entities)} entities" if len(entities) != len(DEFAULT) else "all default entities"
    name = f"masking {size // 1000} kB JSON by detection, {which}, {percent} % sensitive"
    return Figure(name, ratios(taken["presidio"], taken["chain"]), "x", reference, bar)


def found_by_stock(engine: "AnalyzerEngine", text: str, entities: Collection[str] = ENTITIES) -> Iterator[list[Span]]:
    """For each leaf of the JSON `text`, what Presidio finds in it."""
    for leaf in _leaves(text):
        found = engine.analyze(
            leaf.text, language="en", entities=list(entities), context=words(leaf.key), score_threshold=0
        )
        yield sorted(Span(hit.entity_type, hit.start, hit.end, hit.score) for hit in found)


def _leaves(text: str) -> Iterator[Leaf]:
    for row in json.loads(text)["rows"]:
        yield from (Leaf(str(value), key) for key, value in row.items())


def differences(engine: "AnalyzerEngine", text: str, entities: Collection[str] = ENTITIES) -> int:
    """Leaves in which the two do not find the same."""
    found = Detector(plan(entities))(list(_leaves(text)))
    spans = found_by_stock(engine, text, entities)
    return sum(one != other for one, other in zip(found, spans, strict=True))
