"""Detection by presidio-analyzer, one leaf at a time, with the name a value stands under as its context.

Presidio runs without a language model, and is changed in five ways, all of them so that it fails closed and quietly:
its public-suffix list is the one that tldextract brings (it would fetch one from the network at the first e-mail
address); its patterns have no time limit of their own (one that expires is skipped, and what it would have found
passes: the worker's deadline ends the whole job instead); its loggers say nothing (some write the value they look
at); words of the context must be equal, not contained, to count; and whether an e-mail address is one depends on its
domain alone, for its pattern takes the path of a URL along (`/users/ana@example.com`).

A leaf with escapes in it is looked at without them, too. What is found only then cannot be told where it stands, so
that the whole leaf is the finding.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.masking.disguise import disguises
from headgate.masking.entities import ENTITIES
from headgate.masking.names import words
from headgate.masking.operators import cuts, splice
from headgate.masking.plan import CannotMask, Leaf, Plan, Span

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

LONGEST = 64 * 1024
"""Characters a leaf may have."""

NO_LIMIT = 10**9
"""Seconds; far above any deadline of a job."""

LOGGERS = ("presidio-analyzer", "presidio_analyzer", "decision_process", "tldextract", "filelock", "spacy")

_HOLDS_NOTHING = re.compile(r"[A-Za-z_ -]{0,14}")

SAMPLE = Leaf("ana@example.com, +1 212 555 0123, 4111 1111 1111 1111, 10.1.2.3", "contact")


@lru_cache(maxsize=1)
def engine() -> "AnalyzerEngine":
    """The analyzer with every recognizer that works by pattern; takes about two seconds the first time."""
    for name in LOGGERS:
        logging.getLogger(name).disabled = True
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    _keep_offline()
    _let_patterns_finish()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    (addresses,) = registry.get_recognizers("en", entities=["EMAIL_ADDRESS"])
    vars(addresses)["validate_result"] = _ends_in_a_domain
    analyzer = AnalyzerEngine(
        registry=registry,
        nlp_engine=NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}]),
        supported_languages=["en"],
    )
    # Given to the constructor, it would warn that a text's own words are no context; the key is all we want.
    analyzer.context_aware_enhancer = LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    return analyzer


def _keep_offline() -> None:
    """https://github.com/john-kurkowski/tldextract: without list addresses and cache, only the list it ships."""
    from tldextract import TLDExtract, tldextract

    tldextract.TLD_EXTRACTOR = TLDExtract(suffix_list_urls=(), cache_dir=None)


def _ends_in_a_domain(address: str) -> bool:
    from tldextract import extract

    return extract(address.rpartition("@")[2]).fqdn != ""


def _let_patterns_finish() -> None:
    from presidio_analyzer import analyzer_engine, pattern_recognizer
    from presidio_analyzer.predefined_recognizers.generic import iban_recognizer

    for module in (analyzer_engine, pattern_recognizer, iban_recognizer):
        vars(module)["REGEX_TIMEOUT_SECONDS"] = NO_LIMIT


class Detector:
    """Detects what one plan wants (`headgate.masking.plan.Detect`)."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._entities = list(plan.entities)
        self._lowest = plan.lowest_score

    def __call__(self, leaves: Sequence[Leaf]) -> list[list[Span]]:
        return [self._find_all(leaf) for leaf in leaves]

    def _find_all(self, leaf: Leaf) -> list[Span]:
        found = self._find(leaf)
        if not self._entities or not (forms := disguises(leaf.text)):
            return found
        seen = cuts(found, self._plan)
        rest = splice(leaf.text, ((cut.start, cut.end, " ") for cut in seen))
        hidden = [span for form in forms for span in self._more(leaf._replace(text=form), found)]
        hidden += [span for form in disguises(rest) if seen for span in self._more(leaf._replace(text=form), [])]
        return sorted({*found, *(span._replace(start=0, end=len(leaf.text)) for span in hidden)})

    def _more(self, leaf: Leaf, found: Sequence[Span]) -> list[Span]:
        """What is wanted of the findings in a leaf, of each entity that has more of them than have been `found`."""
        known = Counter(span.entity for span in self._wanted(found))
        wanted = self._wanted(self._find(leaf))
        more = Counter(span.entity for span in wanted) - known
        return [span for span in wanted if span.entity in more]

    def _wanted(self, found: Sequence[Span]) -> list[Span]:
        return [span for span in found if self._plan.operator(span.entity, span.score)]

    def _find(self, leaf: Leaf) -> list[Span]:
        if not self._entities or _HOLDS_NOTHING.fullmatch(leaf.text):
            return []
        if len(leaf.text) > LONGEST:
            raise CannotMask("value-too-long")
        try:
            found = engine().analyze(
                leaf.text,
                language="en",
                entities=self._entities,
                context=words(leaf.key),
                score_threshold=self._lowest,
            )
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise CannotMask("detection-failed") from None
        return sorted(Span(hit.entity_type, hit.start, hit.end, hit.score) for hit in found)


def warm() -> None:
    """Load all that the first leaf would otherwise wait for."""
    engine().analyze(SAMPLE.text, language="en", entities=sorted(ENTITIES), context=words(SAMPLE.key))
