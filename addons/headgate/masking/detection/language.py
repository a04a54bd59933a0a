"""Entities that take a language model: found by a spaCy pipeline that is installed, as Presidio finds them with it.

Nothing is ever downloaded: Presidio's own loader would fetch a model that is missing, so that the pipeline is loaded
here and handed to it. A missing model is an error at activation and never silence. DATE_TIME, which the models name as
well, stays with the pattern recognizer. A model takes seconds to load and hundreds of megabytes, and cannot be stopped
while it works: only worker processes have one, and streams have none.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError
from headgate.masking.plan import LANGUAGE_MODEL, CannotMask, Span

if TYPE_CHECKING:
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

PREFERRED = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_trf")
"""The first is Presidio's own choice; any other English pipeline comes after these."""

LABELS = {
    "FAC": "LOCATION",
    "GPE": "LOCATION",
    "HCW": "PERSON",
    "HOSP": "ORGANIZATION",
    "HOSPITAL": "ORGANIZATION",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
    "ORGANIZATION": "ORGANIZATION",
    "PATIENT": "PERSON",
    "PATORG": "ORGANIZATION",
    "PER": "PERSON",
    "PERSON": "PERSON",
    "STAFF": "PERSON",
}
"""Of Presidio's conf/default.yaml and its own default; the former ignores ORGANIZATION, which is often wrong, and which
here has to be asked for."""

BATCH = 64

_HALF = re.compile(r"[\ud800-\udfff]")


def installed_model() -> str | None:
    """The name of the spaCy pipeline for English that is installed; reads the packages' names and loads nothing."""
    names = {point.name for point in entry_points(group="spacy_models") if point.name.startswith("en_")}
    ranked = [*PREFERRED, *sorted(names)]
    return next((name for name in ranked if name in names), None)


def require_model(entities: Iterable[str] = LANGUAGE_MODEL) -> str:
    """The installed model; HeadgateError says which of `entities` need one, and how to get it."""
    if model := installed_model():
        return model
    wanted = ", ".join(f"`{name}`" for name in sorted(LANGUAGE_MODEL.intersection(entities)))
    how = "accepted: an English model of spaCy, such as from `python -m spacy download en_core_web_sm`"
    raise HeadgateError(f"{wanted} can be detected only with a language model, and none is installed; {how}")


class LanguageModel:
    """One loaded pipeline; give each worker process its own, by `language_model`."""

    def __init__(self, model: str) -> None:
        """`model` is an installed package or the path of a saved pipeline; HeadgateError if it cannot be loaded."""
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer

        self._engine = _engine(model)
        self._recognizer = SpacyRecognizer(supported_entities=sorted(LANGUAGE_MODEL))

    def find(self, texts: Sequence[str], entities: Iterable[str]) -> list[list[Span]]:
        """The findings of each text, in its order there; CannotMask if the pipeline fails on one of them."""
        wanted = sorted(LANGUAGE_MODEL.intersection(entities))
        if not wanted:
            return [[] for _ in texts]
        whole = [_HALF.sub("\ufffd", text) for text in texts]  # half a surrogate cannot be encoded, and spaCy encodes
        try:
            read = self._engine.process_batch(whole, language="en", batch_size=BATCH)
            return [
                [
                    Span(hit.entity_type, hit.start, hit.end, hit.score)
                    for hit in self._recognizer.analyze(text, wanted, artifacts)
                ]
                for text, artifacts, *_ in read
            ]
        except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError):
            raise CannotMask("detection-failed") from None


@lru_cache(maxsize=1)
def language_model() -> LanguageModel:
    """The installed model, loaded once for this process; HeadgateError without one."""
    return LanguageModel(require_model())


def _engine(model: str) -> "SpacyNlpEngine":
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    try:
        pipeline = spacy.load(model)
    except (AttributeError, ImportError, KeyError, OSError, TypeError, ValueError):
        accepted = f"accepted: one made for spaCy {version('spacy')}"
        raise HeadgateError(f"the language model `{model[:80]}` cannot be loaded; {accepted}") from None
    ignored = {label for component in pipeline.pipe_labels.values() for label in component} - set(LABELS)
    settings = NerModelConfiguration(model_to_presidio_entity_mapping=LABELS, labels_to_ignore=ignored)
    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": model}], ner_model_configuration=settings)
    vars(engine)["nlp"] = {"en": pipeline}  # instead of `load`, which may download
    return engine
