"""Masking JSON with detection, against stock Presidio asked leaf by leaf for the same entities.

Each document is new to both and is masked once, so nothing is remembered from the one before. Presidio is set up as
its documentation says for use without a language model, with words of the context compared whole, as the chain does:
the findings must be the same, and how many are not is counted.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import in_turns, ratios
from headgate.masking.detect import Detector, warm
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.names import words
from headgate.masking.plan import Operator, Plan, Span, Wanted

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

ENTITIES = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN")
MIN_SCORE = 0.4
SHARES = {1: Bar("at least", 20, "20 x"), 10: Bar("at least", 20, "20 x"), 50: Bar("at least", 10, "10 x")}
"""Percent of the leaves that are sensitive, and how many times faster than stock the chain is to be."""

PLAN = Plan(detect=tuple(Wanted(entity, MIN_SCORE, Operator.REDACT) for entity in ENTITIES))

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
    return [_figure(engine, size, rounds, percent, bar) for percent, bar in SHARES.items()]


def _figure(engine: "AnalyzerEngine", size: int, rounds: int, percent: int, bar: Bar) -> Figure:
    mine, theirs = (documents(size, percent, rounds + 1, first) for first in (0, 500_000))

    def chain() -> int:
        mask_json(next(mine), PLAN, Detector(PLAN))
        return 1

    def presidio() -> int:
        for _ in found_by_stock(engine, next(theirs)):
            pass
        return 1

    taken = in_turns({"chain": chain, "presidio": presidio}, rounds)
    differing = differences(engine, *documents(size, percent, 1, 900_000))
    same = "the same findings" if not differing else f"{differing} LEAVES WITH OTHER FINDINGS"
    reference = f"stock Presidio leaf by leaf, {sorted(taken['presidio'])[rounds // 2] / 1000:.1f} ms; {same}"
    name = f"masking {size // 1000} kB JSON by detection, {percent} % sensitive"
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


def found_by_stock(engine: "AnalyzerEngine", text: str) -> Iterator[list[Span]]:
    """For each leaf of the JSON `text`, what Presidio finds in it."""
    for key, value in _leaves(json.loads(text)):
        found = engine.analyze(
            str(value), language="en", entities=list(ENTITIES), context=words(key), score_threshold=MIN_SCORE
        )
        yield sorted(Span(hit.entity_type, hit.start, hit.end, hit.score) for hit in found)


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for row in document["rows"]:
        yield from row.items()


def differences(engine: "AnalyzerEngine", text: str) -> int:
    """Leaves in which the two do not find the same."""
    found = mask_json(text, PLAN, Detector(PLAN)).findings
    by_place: dict[str, list[Span]] = {}
    for each in found:
        by_place.setdefault(each.location, []).append(Span(each.entity, each.start, each.end, each.score))
    places = [f"/rows/{at}/{key}" for at, row in enumerate(json.loads(text)["rows"]) for key in row]
    spans = list(found_by_stock(engine, text))
    return sum(sorted(by_place.get(place, [])) != each for place, each in zip(places, spans, strict=True))
