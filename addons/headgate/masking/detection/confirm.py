"""What a recognizer finds in one leaf: Presidio's patterns, validators, scores and context, without what else it does.

Presidio makes an object, an explanation and a line of log of every match, and copies them all to add to their scores.
A finding here is a start, an end and a score, and the arithmetic is Presidio's: `PatternRecognizer`,
`IbanRecognizer`, `LemmaContextAwareEnhancer` and `EntityRecognizer.remove_duplicates` of presidio-analyzer 2.2.366.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.masking.detection.gates import Gate, gate
from headgate.masking.detection.limits import limited
from headgate.masking.detection.linear import Spans, linear
from headgate.masking.detection.phones import find_phones, gate_pattern
from headgate.masking.detection.shapes import is_endless
from headgate.masking.names import words

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

Found = tuple[int, int, float]
"""Start, end, score."""

Spend = Callable[[int], None]

Find = Callable[[str, Spend], Iterable[Found]]
"""Finds in a text, and may say of work, before it does it, that it is more than it looks like."""

BOOST, LEAST, MOST = 0.35, 0.4, 1.0
"""What a word of context adds to a score, the least that comes of it, and the most that any score is."""

KEYS = 4096
"""Keys for which it is remembered whether they are context."""


MATCH_UNITS = 16
"""What a match costs, with its validators."""


UNKNOWN_UNITS = 40
"""What a character costs that a recognizer reads in its own way."""


class Search(NamedTuple):
    """One pattern of a recognizer: where to look, in leaves that pass `gate` (None: in all), and for what."""

    gate: Gate | None
    find: Find


class Confirmer(NamedTuple):
    """One recognizer."""

    entity: str
    searches: tuple[Search, ...]
    context: tuple[str, ...]
    merges: bool
    """Whether the recognizer itself drops what lies in another finding, before there is a context."""

    def results(self, found: list[Found], key: str) -> list[Found]:
        """What is left of the findings of one leaf that stands under `key`, with their scores."""
        kept = merged(found) if self.merges else found
        if self.context and key and supported(self.context, key):
            return [(start, end, boosted(score)) for start, end, score in kept]
        return kept


def confirmer(recognizer: "EntityRecognizer", trusted: bool = True) -> Confirmer:
    """`trusted`: its patterns are Presidio's own, which run away only where they may go on without end."""
    entity = recognizer.supported_entities[0]
    searches = _searches(recognizer, trusted)
    merges = type(recognizer).__name__ != "IbanRecognizer"
    return Confirmer(entity, tuple(searches), tuple(recognizer.context or ()), merges)


def merged(found: Sequence[Found]) -> list[Found]:
    """Findings of one entity without those that lie in another one with no lower score."""
    if len(found) < 2:
        return [each for each in found if each[2]]
    kept: list[Found] = []
    open_ones: list[Found] = []
    for each in sorted(set(found), key=lambda each: (each[0], -each[1], -each[2])):
        start, end, score = each
        if not score:
            continue
        open_ones = [other for other in open_ones if other[1] >= start]
        if not any(other[1] >= end and score <= other[2] for other in open_ones):
            kept.append(each)
            open_ones.append(each)
    return kept


def boosted(score: float) -> float:
    return min(max(score + BOOST, LEAST), MOST)


@lru_cache(maxsize=KEYS)
def supported(context: tuple[str, ...], key: str) -> bool:
    """Whether a word of the key is one of the context: of those found, Presidio looks at the first only."""
    said = {""} | {word.lower().lower() for word in words(key)}
    first = next((word for word in context if word.lower() in said), "")
    return first != ""


def _searches(recognizer: "EntityRecognizer", trusted: bool) -> Iterator[Search]:
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import IbanRecognizer, PhoneRecognizer

    if isinstance(recognizer, PhoneRecognizer):
        find = find_phones if type(recognizer) is PhoneRecognizer else _as_it_is(recognizer)
        yield Search(gate(gate_pattern(), int(re.IGNORECASE)), find)
    elif isinstance(recognizer, PatternRecognizer):
        patterns: Any = vars(recognizer)["patterns"]
        flags = int(recognizer.global_regex_flags or 0)
        for pattern in patterns:
            spans = _spans(pattern.regex, flags, trusted)
            if isinstance(recognizer, IbanRecognizer):
                yield Search(gate(pattern.regex, flags), _accounts(recognizer, pattern, flags))
            else:
                yield Search(gate(pattern.regex, flags), _by_pattern(recognizer, spans, pattern.score))
    else:
        yield Search(None, _as_it_is(recognizer))


def _spans(pattern: str, flags: int, trusted: bool) -> Spans:
    import regex

    if trusted and (found := linear(pattern, flags)):
        return found
    compiled = regex.compile(pattern, flags)
    if trusted and not is_endless(pattern, flags):
        return lambda text: (match.span() for match in compiled.finditer(text))
    return lambda text: limited(compiled, text)


def _by_pattern(recognizer: Any, spans: Spans, certain: float) -> Find:
    """PatternRecognizer: a validator gives the highest score or none, and what is invalid has none."""
    from presidio_analyzer import PatternRecognizer

    validate = _overridden(recognizer, PatternRecognizer, "validate_result")
    invalid = _overridden(recognizer, PatternRecognizer, "invalidate_result")

    def find(text: str, spend: Spend) -> Iterator[Found]:
        for start, end in spans(text):
            if start == end:
                continue
            spend(MATCH_UNITS)
            score = certain
            if validate and (valid := validate(text[start:end])) is not None:
                score = MOST if valid else 0.0
            if invalid and invalid(text[start:end]):
                score = 0.0
            if score > 0:
                yield start, end, score

    return find


def _overridden(recognizer: Any, base: type, name: str) -> Callable[[str], bool | None] | None:
    method = getattr(recognizer, name)
    return None if getattr(method, "__func__", method) is getattr(base, name) else method


def _accounts(recognizer: Any, pattern: Any, flags: int) -> Find:
    """IbanRecognizer: of each match, without its last groups if need be, what the validator accepts first."""
    import regex

    compiled = regex.compile(pattern.regex, flags)

    def find(text: str, _: Spend) -> Iterator[Found]:
        for match in compiled.finditer(text):
            start, whole = match.span()
            for group in range(len(match.groups()), 0, -1):
                end = match.end(group) if match.end(group) > 0 else whole
                if start >= end:
                    continue
                valid = recognizer.validate_result(text[start:end])
                score = pattern.score if valid is None else MOST if valid else 0.0
                if score > 0:
                    yield start, end, score
                    break

    return find


def _as_it_is(recognizer: Any) -> Find:
    def find(text: str, spend: Spend) -> Iterator[Found]:
        spend(len(text) * UNKNOWN_UNITS)
        for each in recognizer.analyze(text, recognizer.supported_entities, None):
            yield each.start, each.end, each.score

    return find
