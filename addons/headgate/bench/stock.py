"""Presidio as its documentation says for use without a language model: what the chain is compared with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine


def stock() -> "AnalyzerEngine":
    """Presidio's own engine with its default recognizers, comparing words of the context whole, as the chain does."""
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
