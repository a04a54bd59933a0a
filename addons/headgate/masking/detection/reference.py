"""The reference: presidio-analyzer itself, leaf by leaf, with the words of the name a leaf stands under as context.

It decides what is a finding. The fast way has to find the same; it alone is used on traffic.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from headgate.masking.detection.presidio import chosen
from headgate.masking.names import words
from headgate.masking.plan import CannotMask, Leaf, Span

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer

FAILURES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What validators of recognizers raise on values they do not expect; all of it withholds the value."""


def engine(recognizers: Iterable["EntityRecognizer"]) -> "AnalyzerEngine":
    """Presidio's engine with these recognizers, without a language model, comparing words of the context whole."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    analyzer = AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=list(recognizers), supported_languages=["en"]),
        nlp_engine=NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}]),
        supported_languages=["en"],
    )
    # Given to the constructor, it would warn that a text's own words are no context; the key is all we want.
    analyzer.context_aware_enhancer = LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    return analyzer


class Reference:
    """Finds `entities`, and what `custom` recognizers find, whatever its score."""

    def __init__(
        self,
        entities: Iterable[str],
        custom: Sequence["EntityRecognizer"] = (),
        internal_domains: tuple[str, ...] = (),
    ) -> None:
        used = [*chosen(entities, internal_domains), *custom]
        self._entities = sorted({name for each in used for name in each.supported_entities})
        self._engine = engine(used) if used else None

    def __call__(self, leaves: Sequence[Leaf]) -> list[list[Span]]:
        return [self._find(leaf) for leaf in leaves]

    def _find(self, leaf: Leaf) -> list[Span]:
        if self._engine is None:  # asked for no entities, Presidio looks for all
            return []
        try:
            found = self._engine.analyze(
                leaf.text, language="en", entities=self._entities, context=words(leaf.key), score_threshold=0
            )
        except FAILURES:
            raise CannotMask("detection-failed") from None
        return sorted(Span(hit.entity_type, hit.start, hit.end, hit.score) for hit in found)
