"""How right detection is on payloads of APIs: recall and precision of the `api` profile and of stock Presidio.

Both are asked leaf by leaf, with the key as context, about the labelled payloads on which the profile was not tuned. A
value is found when findings of its entity cover all its letters and digits; a finding is false when it touches no
value of its entity. So a card that is found as a bank account, too, counts against US_BANK_NUMBER.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from headgate.bench.figures import Bar, Figure
from headgate.bench.payloads import UNSEEN, Labelled, Payload, Truth, payloads
from headgate.bench.stock import stock
from headgate.bench.timing import Sample
from headgate.masking.detection.detector import SECRET, Detector
from headgate.masking.detection.presidio import recognizers
from headgate.masking.names import words
from headgate.masking.plan import Leaf, Operator, Plan, Profile, Span, Wanted

USUAL = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER", SECRET)
"""What a mask detects that rules-language.md shows; the bars hold for these together."""

OTHERS = (
    "CRYPTO", "DATE_TIME", "IP_ADDRESS", "MAC_ADDRESS", "MEDICAL_LICENSE", "UK_NHS", "URL", "US_BANK_NUMBER",
    "US_DRIVER_LICENSE", "US_ITIN", "US_PASSPORT", "UUID",
)  # fmt: skip

RECALL = Bar("at least", 98, "98 %")
PRECISION = Bar("at least", 95, "95 %")

SCORES = (0.4, 0.5)
"""Where stock findings are cut, for comparison."""

Tallies = Mapping[str, "Tally"]

Find = Callable[[Leaf, tuple[str, ...]], Iterable[Span]]
"""What a detector finds in a leaf, given the mail domains that rules name."""


class Tally(NamedTuple):
    """Of one entity: values there are, those found, and findings that are none."""

    values: int = 0
    found: int = 0
    false: int = 0

    @property
    def recall(self) -> float:
        """In percent."""
        return 100 * self.found / self.values if self.values else 100.0

    @property
    def precision(self) -> float:
        """In percent."""
        return 100 * self.found / (self.found + self.false) if self.found + self.false else 100.0


def measure() -> list[Figure]:
    """Nothing where there are no payloads."""
    labelled = payloads(UNSEEN)
    if not labelled:
        return []
    mine = tally(labelled, profiled())
    theirs = {score: tally(labelled, cut(found, score)) for found in [cache(stocked())] for score in SCORES}
    return [
        *_figures("the usual six", USUAL, mine, theirs, (RECALL, PRECISION)),
        *(figure for entity in (*USUAL, *OTHERS) for figure in _figures(entity, (entity,), mine, theirs)),
    ]


def tally(labelled: Iterable[Payload], find: Find) -> dict[str, Tally]:
    """What `find` got right and wrong, by entity."""
    values: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for payload in labelled:
        for each in payload.leaves:
            spans = list(find(each.leaf, payload.internal_domains))
            values.update(truth.entity for truth in each.truths)
            found.update(entity for entity, hit in judged(each, spans) if hit)
            false.update(span.entity for span in mistaken(each, spans))
    return {entity: Tally(values[entity], found[entity], false[entity]) for entity in {*values, *false}}


def judged(labelled: Labelled, spans: Iterable[Span]) -> Iterator[tuple[str, bool]]:
    """For each value of a leaf, its entity and whether nothing of it is left."""
    covered = {(span.entity, at) for span in spans for at in range(span.start, span.end)}
    for (entity, value), start in zip(labelled.truths, _places(labelled), strict=True):
        places = (start + at for at, character in enumerate(value) if character.isalnum())
        yield entity, all((entity, place) in covered for place in places)


def mistaken(labelled: Labelled, spans: Iterable[Span]) -> list[Span]:
    """The findings that touch no value of their entity."""
    ranges = [
        (entity, start, start + len(value))
        for (entity, value), start in zip(labelled.truths, _places(labelled), strict=True)
    ]
    return [
        span
        for span in spans
        if not any(span.entity == entity and span.start < end and start < span.end for entity, start, end in ranges)
    ]


def _places(labelled: Labelled) -> list[int]:
    """Where each value starts; the same value once more stands further on."""
    last: dict[Truth, int] = {}
    places = []
    for truth in labelled.truths:
        last[truth] = labelled.leaf.text.index(truth.value, last.get(truth, -1) + 1)
        places.append(last[truth])
    return places


def together(tallies: Tallies, entities: Iterable[str]) -> Tally:
    """Several entities as one: the micro-average."""
    chosen = [tallies.get(entity, Tally()) for entity in entities]
    return Tally(*(sum(column) for column in zip(*chosen, strict=True)))


def profiled() -> Find:
    """What the chain finds and its `api` profile lets count."""

    @cache
    def detector(internal_domains: tuple[str, ...]) -> tuple[Plan, Detector]:
        wanted = tuple(Wanted(entity, Operator.REDACT, Profile.API) for entity in (*USUAL, *OTHERS))
        plan = Plan(detect=wanted, internal_domains=internal_domains)
        return plan, Detector(plan)

    def find(leaf: Leaf, internal_domains: tuple[str, ...]) -> Iterable[Span]:
        plan, detect = detector(internal_domains)
        (spans,) = detect([leaf])
        return [span for span in spans if plan.operator(span)]

    return find


def stocked() -> Find:
    """Presidio's own engine, which knows no credentials and no internal domains."""
    recognizers()  # sets Presidio up so that it reaches for no network
    engine = stock()
    entities = [entity for entity in (*USUAL, *OTHERS) if entity != SECRET]

    def find(leaf: Leaf, _: tuple[str, ...]) -> Iterable[Span]:
        found = engine.analyze(leaf.text, language="en", entities=entities, context=words(leaf.key))
        return [Span(hit.entity_type, hit.start, hit.end, hit.score) for hit in found]

    return find


def cut(find: Find, score: float) -> Find:
    """The same with the findings of at least this score alone."""
    return lambda leaf, domains: [span for span in find(leaf, domains) if span.score >= score]


def _figures(
    name: str,
    entities: Iterable[str],
    mine: Tallies,
    theirs: Mapping[float, Tallies],
    bars: tuple[Bar | None, Bar | None] = (None, None),
) -> list[Figure]:
    """Recall and precision of the profile, with those of stock Presidio as the reference."""
    own = together(mine, entities)
    others = {score: together(tallies, entities) for score, tallies in theirs.items()}
    recalls = ", ".join(f"{other.recall:.1f} % at {score}" for score, other in others.items())
    precisions = ", ".join(f"{_precision(other)} at {score}" for score, other in others.items())
    counts = ", ".join(f"{other.false} at {score}" for score, other in others.items())
    return [
        Figure(f"recall, {name}", _one(own.recall), "%", f"stock {recalls}; {own.values} values", bars[0]),
        Figure(
            f"precision, {name}", _one(own.precision), "%", f"stock {precisions}; false: {own.false}, {counts}", bars[1]
        ),
    ]


def _precision(of: Tally) -> str:
    return f"{of.precision:.1f} %" if of.found or of.false else "finds none"


def _one(value: float) -> Sample:
    return Sample(value, value, value)
