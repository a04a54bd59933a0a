"""Presidio's recognizers as they are used here: all that work by pattern or checksum, offline, silent, without limits.

Each is what Presidio's own registry makes of its configuration (conf/default_recognizers.yaml), for all countries and
languages, run as language `en`: values in an API's responses have no language. Presidio is changed in five ways, all
of them so that it fails closed and quietly: its public-suffix list is the one that tldextract brings (it would fetch
one from the network at the first e-mail address); its patterns have no time limit of their own (one that expires is
skipped, and what it would have found passes); its loggers say nothing (some write the value they look at); words of
the context must be equal, not contained, to count; and whether an e-mail address is one depends on its domain alone,
for its pattern takes the path of a URL along (`/users/ana@example.com`).
"""

import copy
import logging
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

NO_LIMIT = 10**9
"""Seconds; far above any deadline of a job."""

LOGGERS = ("presidio-analyzer", "presidio_analyzer", "decision_process", "tldextract", "filelock", "spacy")

EMAIL = "EMAIL_ADDRESS"

ENDINGS = frozenset(
    [
        "bak",
        "csv",
        "db",
        "doc",
        "docx",
        "eml",
        "gz",
        "html",
        "jpg",
        "json",
        "log",
        "pdf",
        "png",
        "tar",
        "txt",
        "xls",
        "xlsx",
        "xml",
        "yaml",
    ]
)
"""Ends of file names; what stands before one may be an address that a file is named after."""

DOMAINS = 4096
"""Mail domains for which it is remembered whether they are one."""


@lru_cache(maxsize=1)
def recognizers() -> tuple["EntityRecognizer", ...]:
    """All recognizers that need no language model, one for each entity; takes about two seconds the first time."""
    for name in LOGGERS:
        logging.getLogger(name).disabled = True
    from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerListLoader

    _keep_offline()
    _let_patterns_finish()
    made = tuple(RecognizerListLoader.get(**_configuration()))
    for recognizer in made:
        recognizer.load()
    return made


def chosen(entities: Iterable[str], internal_domains: tuple[str, ...] = ()) -> list["EntityRecognizer"]:
    """The recognizers of these entities; an address at or below one of `internal_domains` (lower case) is one."""
    wanted = frozenset(entities)
    found = (each for each in recognizers() if not wanted.isdisjoint(each.supported_entities))
    return [_by_domain(each, internal_domains) if EMAIL in each.supported_entities else each for each in found]


def is_domain(name: str) -> bool:
    """Whether a name ends in a public suffix and is more than that, as Presidio asks of e-mail addresses."""
    return _is_domain(name)


def _configuration() -> dict[str, Any]:
    """Presidio's default configuration, with every recognizer enabled for `en`, but for those that need a model."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers
    from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerConfigurationLoader

    by_pattern = (PatternRecognizer, predefined_recognizers.PhoneRecognizer)
    default = RecognizerConfigurationLoader.get(registry_configuration={"supported_languages": ["en"]})
    entries = []
    for entry in default["recognizers"]:
        kind = getattr(predefined_recognizers, entry.get("class_name") or entry["name"], None)
        if isinstance(kind, type) and issubclass(kind, by_pattern):
            entries.append({**entry, "enabled": True, "supported_languages": [_english(entry)]})
    return {**default, "recognizers": entries}


def _english(entry: dict[str, Any]) -> Any:
    """The language as the entry has it: it may come with words of context of its own."""
    given = entry.get("supported_languages") or ["en"]
    return next((each for each in given if isinstance(each, dict) and each.get("language") == "en"), "en")


def _keep_offline() -> None:
    """https://github.com/john-kurkowski/tldextract: without list addresses and cache, only the list it ships."""
    from tldextract import TLDExtract, tldextract

    tldextract.TLD_EXTRACTOR = TLDExtract(suffix_list_urls=(), cache_dir=None)
    _is_domain.cache_clear()


def _by_domain(recognizer: "EntityRecognizer", internal: tuple[str, ...]) -> "EntityRecognizer":
    changed = copy.copy(recognizer)
    vars(changed)["validate_result"] = partial(_ends_in_a_domain, internal=internal)
    return changed


def _ends_in_a_domain(address: str, internal: tuple[str, ...]) -> bool:
    domain = address.rpartition("@")[2]
    if domain.rpartition(".")[2].lower() in ENDINGS and _is_one(domain.rpartition(".")[0], internal):
        return True
    return _is_one(domain, internal)


def _is_one(domain: str, internal: tuple[str, ...]) -> bool:
    lower = domain.lower()
    return any(lower == known or lower.endswith(f".{known}") for known in internal) or _is_domain(domain)


@lru_cache(maxsize=DOMAINS)
def _is_domain(name: str) -> bool:
    from tldextract import extract

    return extract(name).fqdn != ""


def _let_patterns_finish() -> None:
    from presidio_analyzer import analyzer_engine, pattern_recognizer
    from presidio_analyzer.predefined_recognizers.generic import iban_recognizer

    for module in (analyzer_engine, pattern_recognizer, iban_recognizer):
        vars(module)["REGEX_TIMEOUT_SECONDS"] = NO_LIMIT
