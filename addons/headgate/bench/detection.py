"""Masking JSON with detection, against stock Presidio asked leaf by leaf for the same entities.

Each document is new to both and is masked once, so nothing is remembered from the one before; the chain's cache is
off. Presidio is set up as its documentation says for use without a language model, with words of the context compared
whole, as the chain does: the findings must be the same, and how many are not is counted. What share of the leaves is
sensitive is said with each figure; the others are ids, states, times, amounts, hex digests and short texts.
"""

import json
from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from headgate.bench.figures import Bar, Figure
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

PLAIN: tuple[tuple[str, Any], ...] = (
    ("order_id", 773100), ("status", "active"), ("city", "Potsdam"), ("created_at", "2024-03-01T10:15:00Z"),
    ("total", "84.00"), ("note", "delivered to the neighbour, left side"), ("sku", "AB-1234-X"), ("currency", "EUR"),
    ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), ("quantity", 3),
)  # fmt: skip
SENSITIVE = (
    ("email", "caller{}@posteo.de"), ("card", "4111 1111 1111 1111"), ("iban", "DE89370400440532013000"),
    ("phone", "+44 20 7946 0{:03}"), ("ssn", "536-22-{:04}"),
)  # fmt: skip


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


def documents(size: int, percent: int, count: int, first: int) -> Iterator[str]:
    """JSON texts of about `size` bytes, of whose leaves `percent` in a hundred are sensitive; no two are alike."""
    for number in range(first, first + count):
        yield _document(size, percent, number * 1000)


def _document(size: int, percent: int, at: int) -> str:
    rows: list[dict[str, Any]] = []
    length, leaf = 0, 0
    while length < size:
        row = dict(_leaf(leaf + each, percent, at) for each in range(len(PLAIN)))
        leaf += len(PLAIN)
        rows.append(row)
        length += len(json.dumps(row)) + 2
    return json.dumps({"rows": rows})


def _leaf(leaf: int, percent: int, at: int) -> tuple[str, Any]:
    sensitive = leaf * percent // 100 != (leaf + 1) * percent // 100
    number = at + leaf
    if sensitive:
        name, form = SENSITIVE[leaf * percent // 100 % len(SENSITIVE)]
        return f"{name}_{leaf % len(PLAIN)}", form.format(number % 1000)
    name, value = PLAIN[leaf % len(PLAIN)]
    return name, f"{value} {number}" if isinstance(value, str) and name in ("note", "sku") else value


def stock() -> "AnalyzerEngine":
    """Presidio's own engine, with its default recognizers that need no language model."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    no_model = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine = AnalyzerEngine(registry=registry, nlp_engine=no_model, supported_languages=["en"])
    engine.context_aware_enhancer = LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    return engine


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
