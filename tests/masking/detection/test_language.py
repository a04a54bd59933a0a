"""Entities that take a language model: a missing model is an error, and with one the findings are Presidio's own.

The model is a tiny one, of a few patterns, made and installed here as spaCy's own are: a package with an entry point.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from headgate.errors import HeadgateError
from headgate.masking.detection import language
from headgate.masking.detection.language import (
    LABELS,
    LanguageModel,
    installed_model,
    language_model,
    require_model,
)
from headgate.masking.plan import LANGUAGE_MODEL, CannotMask, Span

PATTERNS = {
    "PERSON": ["Ana Ruiz", "Li"],
    "GPE": ["Lisbon"],
    "FAC": ["Pier 39"],
    "ORG": ["Acme Corp"],
    "NORP": ["Portuguese"],
    "DATE": ["Monday"],
    "MONEY": ["five euros"],
    "ODDITY": ["quux"],
}
TEXTS = [
    "Ana Ruiz met Li in Lisbon on Monday, at Pier 39.",
    "",
    "Acme Corp, a Portuguese firm, paid five euros.",
    "nothing here",
    "quux",
    "\ud800 Ana Ruiz \udfff",
    "\U0001f600 Li \u00e9 Lisbon",
    "Ana Ruiz",
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved spaCy pipeline whose entities come from PATTERNS."""
    made = spacy.blank("en")
    ruler = made.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": text} for label, texts in PATTERNS.items() for text in texts])
    made.meta["name"] = "tiny"
    made.meta["version"] = "0.0.1"
    path = tmp_path_factory.mktemp("model") / "en_tiny-0.0.1"
    made.to_disk(path)
    return path


def _install(folder: Path, name: str, pipeline: Path | None = None) -> None:
    """A package as `spacy package` makes it; without a pipeline, one that cannot be loaded."""
    package, about = folder / name, folder / f"{name}-0.0.1.dist-info"
    package.mkdir()
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
    (about / "entry_points.txt").write_text(f"[spacy_models]\n{name} = {name}\n")
    body = f"spacy.load({str(pipeline)!r}, **overrides)" if pipeline else "spacy.load('/nowhere')"
    (package / "__init__.py").write_text(f"import spacy\ndef load(**overrides):\n    return {body}\n")
    importlib.invalidate_caches()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which packages can be installed for one test; no other model counts, whatever the machine has."""
    monkeypatch.syspath_prepend(tmp_path)
    every = language.entry_points
    here = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(
        language,
        "entry_points",
        lambda group: [point for point in every(group=group) if (tmp_path / point.name).exists()],
    )
    language_model.cache_clear()
    yield tmp_path
    language_model.cache_clear()
    for name in {path.name for path in tmp_path.iterdir()} - here:
        sys.modules.pop(name, None)


def _presidio(pipeline: Path) -> AnalyzerEngine:
    """Presidio's engine as its users set it up, with the one change that ORGANIZATION is not ignored."""
    settings = NerModelConfiguration(
        model_to_presidio_entity_mapping=LABELS, labels_to_ignore=["MONEY", "DATE", "ODDITY"]
    )
    models = [{"lang_code": "en", "model_name": str(pipeline)}]
    engine = SpacyNlpEngine(models=models, ner_model_configuration=settings)
    engine.load()
    registry = RecognizerRegistry(recognizers=[SpacyRecognizer()], supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def test_without_a_model_nothing_is_installed_and_activation_fails(packages: Path) -> None:
    assert list(packages.iterdir()) == []
    assert installed_model() is None
    with pytest.raises(HeadgateError) as refused:
        require_model({"PERSON", "LOCATION", "EMAIL_ADDRESS"})
    assert str(refused.value) == (
        "`LOCATION`, `PERSON` can be detected only with a language model, and none is installed; "
        "accepted: an English model of spaCy, such as from `python -m spacy download en_core_web_sm`"
    )
    with pytest.raises(HeadgateError):
        language_model()


def test_presidio_s_own_choice_comes_first(packages: Path) -> None:
    for name in ("de_core_news_sm", "en_aaa", "en_core_web_sm", "en_core_web_lg", "en_core_web_md"):
        _install(packages, name)
        if name.startswith("de"):
            assert installed_model() is None
    assert installed_model() == "en_core_web_lg"


def test_any_other_english_model_will_do(packages: Path) -> None:
    _install(packages, "en_zzz")
    _install(packages, "en_aaa")
    assert require_model() == "en_aaa"


def test_looking_for_a_model_loads_neither_spacy_nor_presidio() -> None:
    script = (
        "import sys\n"
        "from headgate.masking.detection.language import installed_model\n"
        "installed_model()\n"
        "assert not {'presidio_analyzer', 'spacy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_an_installed_model_is_loaded_once_and_finds(packages: Path, pipeline: Path) -> None:
    _install(packages, "en_tiny", pipeline)
    assert require_model() == "en_tiny"
    found = language_model().find(["call Ana Ruiz"], ["PERSON"])
    assert found == [[Span("PERSON", 5, 13, 0.85)]]
    assert language_model() is language_model()


def test_a_model_that_cannot_be_loaded_is_an_error(packages: Path, tmp_path: Path) -> None:
    _install(packages, "en_broken")
    with pytest.raises(HeadgateError, match="the language model `en_broken` cannot be loaded; accepted: one made for"):
        language_model()
    with pytest.raises(HeadgateError, match="cannot be loaded"):
        LanguageModel(str(tmp_path / "missing"))


def test_nothing_is_ever_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio's own loader downloads a model that is missing."""
    asked: list[str] = []
    monkeypatch.setattr("spacy.cli.download", asked.append)
    with pytest.raises(HeadgateError):
        LanguageModel("en_core_web_none")
    with pytest.raises(HeadgateError):
        LanguageModel(str(tmp_path))
    assert asked == []


@pytest.mark.parametrize("entities", [sorted(LANGUAGE_MODEL), ["PERSON"], ["LOCATION", "NRP"], ["ORGANIZATION"]])
def test_the_findings_are_those_of_presidio(pipeline: Path, entities: list[str]) -> None:
    whole = [text for text in TEXTS if text.isprintable()]
    engine = _presidio(pipeline)
    expected = [
        sorted(
            (hit.entity_type, hit.start, hit.end, hit.score) for hit in engine.analyze(text, "en", entities=entities)
        )
        for text in whole
    ]
    found = LanguageModel(str(pipeline)).find(whole, entities)
    assert [sorted(span[:4] for span in spans) for spans in found] == expected
    assert any(expected)


def test_each_text_has_its_own_findings_also_in_a_large_batch(pipeline: Path) -> None:
    model = LanguageModel(str(pipeline))
    one_by_one = [model.find([text], LANGUAGE_MODEL)[0] for text in TEXTS]
    assert model.find(TEXTS * 40, LANGUAGE_MODEL) == one_by_one * 40
    assert one_by_one[5] == [Span("PERSON", 2, 10, 0.85)]  # halves of a surrogate change nothing and hide nothing
    assert one_by_one[6] == [Span("PERSON", 2, 4, 0.85), Span("LOCATION", 7, 13, 0.85)]


def test_other_entities_are_not_found_by_the_model(pipeline: Path) -> None:
    model = LanguageModel(str(pipeline))
    assert model.find(TEXTS, ["DATE_TIME", "EMAIL_ADDRESS", "MONEY", "ODDITY"]) == [[] for _ in TEXTS]
    assert model.find([], LANGUAGE_MODEL) == []
    assert model.find(["Monday quux five euros"], LANGUAGE_MODEL) == [[]]


def test_a_pipeline_that_fails_withholds(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(str(pipeline))
    with pytest.raises(CannotMask, match="detection-failed") as cannot:
        model.find(["Ana Ruiz " * 120_000], ["PERSON"])  # longer than spaCy lets a text be
    assert cannot.value.__cause__ is None

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Ana Ruiz")

    monkeypatch.setattr(model, "_recognizer", type("Failing", (), {"analyze": staticmethod(fail)}))
    with pytest.raises(CannotMask, match="detection-failed"):
        model.find(["Ana Ruiz"], ["PERSON"])


def test_the_labels_are_those_of_presidio_s_configuration() -> None:
    import yaml
    from presidio_analyzer import nlp_engine

    conf = Path(nlp_engine.__file__).parent.parent / "conf" / "default.yaml"
    settings = yaml.safe_load(conf.read_text(encoding="utf-8"))["ner_model_configuration"]
    mapping = NerModelConfiguration().model_to_presidio_entity_mapping or {}
    mapping = mapping | settings["model_to_presidio_entity_mapping"]
    assert {label: name for label, name in mapping.items() if name in LANGUAGE_MODEL} == LABELS
    assert json.dumps(sorted(LANGUAGE_MODEL | {"DATE_TIME"})) == json.dumps(sorted(SpacyRecognizer.ENTITIES))
