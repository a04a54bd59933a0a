"""How far the values that a plan wants can reach: one automaton for the patterns of all of them (see `automaton`).

A text may go on up to where no match could still be under way. That depends on the text alone, not on how it arrived.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.masking.plan import CannotMask, Plan
from headgate.masking.streams.automaton import Automaton
from headgate.masking.streams.reading import Unreadable

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer


def prepare(plan: Plan) -> None:
    """Do beforehand what the first stream of a plan would have to wait for: some tenths of a second."""
    with suppress(CannotMask):
        reach_of(plan)


@lru_cache(maxsize=64)
def reach_of(plan: Plan) -> Automaton:
    """Takes a while the first time; CannotMask when a pattern cannot be read, and might match anywhere."""
    return _automaton(plan.entities, plan.recognizers)


@lru_cache(maxsize=64)
def _automaton(entities: tuple[str, ...], recognizers: str) -> Automaton:
    try:
        return Automaton(_patterns(entities, recognizers))
    except Unreadable:
        raise CannotMask("pattern-not-streamable") from None


def _patterns(entities: tuple[str, ...], recognizers: str) -> Iterator[str]:
    from headgate.masking.detection.custom import recognizers_of
    from headgate.masking.detection.presidio import chosen
    from headgate.masking.detection.secrets import formats

    for recognizer in (*chosen(entities), *recognizers_of(recognizers)):
        yield from _of(recognizer)
    if "SECRET" in entities:
        yield from (known.pattern.pattern for known in formats())


def _of(recognizer: "EntityRecognizer") -> Iterator[str]:
    from phonenumbers import phonenumbermatcher
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    if isinstance(recognizer, PatternRecognizer) and not (recognizer.global_regex_flags or 0) & re.VERBOSE:
        yield from (pattern.regex for pattern in vars(recognizer)["patterns"])
    elif isinstance(recognizer, PhoneRecognizer):
        yield vars(phonenumbermatcher)["_PATTERN"].pattern
    else:
        raise Unreadable
