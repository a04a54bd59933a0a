"""Custom recognizers: what Presidio would make of their file, and what every mistake in it is told."""

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from presidio_analyzer import PatternRecognizer
from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerListLoader

from headgate.errors import InvalidRules
from headgate.masking.detection.custom import MAX_BYTES, read_recognizers, recognizers_of

FILE = r"""
supported_languages: [en, es]
recognizers:
  - name: Employee numbers
    supported_entity: EMPLOYEE_ID
    supported_language: en
    patterns:
      - {name: weak, regex: '\bE\d{5}\b', score: 0.3}
      - {name: strong, regex: '\bEMP-\d{5}\b', score: 0.9}
    context: [employee, staff]
  - name: Code names
    type: custom
    supported_entities: [CODE_NAME]
    deny_list: [Blue Heron, "C++"]
    deny_list_score: 0.8
  - name: Two tongues
    supported_entity: EMAIL_ADDRESS
    supported_languages:
      - {language: en, context: [mail]}
      - {language: es, context: [correo]}
    patterns: [{name: internal, regex: '[a-z]+@corp\b', score: 0.6}]
    global_regex_flags: 0
  - name: Not used
    enabled: false
    supported_entity: NOT_USED
    deny_list: [x]
"""


def _file(*recognizers: Any, **more: Any) -> bytes:
    return yaml.safe_dump({"recognizers": copy.deepcopy(list(recognizers)), **more}).encode()


def _recognizer(**changed: Any) -> dict[str, Any]:
    made = {"name": "r", "supported_entity": "THING", "patterns": [{"name": "p", "regex": r"\bT\d+", "score": 0.5}]}
    return {key: value for key, value in {**made, **changed}.items() if value is not ...}


def _pattern(**changed: Any) -> dict[str, Any]:
    return _recognizer(patterns=[{"name": "p", "regex": "x", "score": 0.5, **changed}])


def _problems(data: bytes | str) -> list[str]:
    with pytest.raises(InvalidRules) as invalid:
        read_recognizers(data if isinstance(data, bytes) else data.encode())
    return [message for _, message in invalid.value.problems]


def _found(recognizer: PatternRecognizer, text: str) -> list[tuple[str, str, float]]:
    hits = recognizer.analyze(text, recognizer.supported_entities)
    return sorted((hit.entity_type, text[hit.start : hit.end], hit.score) for hit in hits)


def test_a_file_becomes_recognizers_and_their_entities() -> None:
    text, entities = read_recognizers(FILE.encode())
    assert entities == {"EMPLOYEE_ID", "CODE_NAME", "EMAIL_ADDRESS"}
    employees, names, addresses = recognizers_of(text)
    assert _found(employees, "e12345 EMP-00001") == [("EMPLOYEE_ID", "EMP-00001", 0.9), ("EMPLOYEE_ID", "e12345", 0.3)]
    assert employees.context == ["employee", "staff"]
    assert _found(names, "the BLUE HERON and C++") == [("CODE_NAME", "BLUE HERON", 0.8), ("CODE_NAME", "C++", 0.8)]
    assert _found(addresses, "ana@corp ANA@corp") == [("EMAIL_ADDRESS", "ana@corp", 0.6)]
    assert addresses.context == ["mail", "correo"]
    assert {each.supported_language for each in (employees, names, addresses)} == {"en"}


def test_they_find_what_presidio_makes_of_the_same_entries() -> None:
    """Presidio's own loader, for the entries without flags of their own, which it overrides."""
    document = yaml.safe_load(FILE)
    of_presidio = RecognizerListLoader.get(document["recognizers"][:2], ["en"], 26)
    ours = recognizers_of(read_recognizers(FILE.encode())[0])[:2]
    for theirs, made in zip(of_presidio, ours, strict=True):
        assert (theirs.name, theirs.supported_entities) == (made.name, made.supported_entities)
        assert (theirs.context or []) == made.context
        for text in ("E12345", "e1234", "emp-12345 x", "xBlue Heron", "Blue Heron.", "c++", "C+++", ""):
            assert _found(theirs, text) == _found(made, text)


def test_the_text_does_not_depend_on_how_the_file_is_written() -> None:
    spec = _recognizer(context=["a", "b"])
    turned = dict(reversed(spec.items()))
    text, _ = read_recognizers(_file(spec))
    assert read_recognizers(_file(turned)) == (text, {"THING"})
    assert read_recognizers(b"# a comment\n" + json.dumps({"recognizers": [spec]}).encode()) == (text, {"THING"})
    assert read_recognizers(_file(_recognizer(context=["b", "a"])))[0] != text


def test_the_recognizers_of_a_text_are_made_once() -> None:
    text, _ = read_recognizers(_file(_recognizer()))
    assert recognizers_of(text) is recognizers_of(text)
    assert recognizers_of("") == []


def test_a_file_of_which_nothing_is_enabled_defines_nothing() -> None:
    assert read_recognizers(_file(_recognizer(enabled=False))) == ("", frozenset())


def test_flags_of_the_file_hold_where_a_recognizer_has_none() -> None:
    text, _ = read_recognizers(_file(_recognizer(), _recognizer(global_regex_flags=2), global_regex_flags=16))
    assert [each.global_regex_flags for each in recognizers_of(text)] == [16, 2]


def test_rules_are_checked_without_presidio() -> None:
    script = (
        "import sys\n"
        "from headgate.masking.detection.custom import read_recognizers\n"
        "read_recognizers(sys.stdin.buffer.read())\n"
        "assert not {'presidio_analyzer', 'spacy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], input=FILE.encode(), check=True, timeout=60)


ENTITY_FORM = "is not the name of an entity; accepted: such as `EMPLOYEE_ID`"
WRONG = {
    "no entity": (_recognizer(supported_entity=...), "the recognizer needs one entity"),
    "two keys for the entity": (_recognizer(supported_entities=["B"]), "the recognizer needs one entity"),
    "two entities": (
        _recognizer(supported_entity=..., supported_entities=["A", "B"]),
        "`supported_entities` is too long; accepted: up to 1 entries",
    ),
    "lower case": (_recognizer(supported_entity="thing"), f"`thing` {ENTITY_FORM}"),
    "a line break": (_recognizer(supported_entity="THING\n"), ENTITY_FORM),
    "a digit first": (_recognizer(supported_entity="1A"), f"`1A` {ENTITY_FORM}"),
    "SECRET": (_recognizer(supported_entity="SECRET"), "`SECRET` is what Headgate itself calls a finding"),
    "FIELD": (_recognizer(supported_entity="FIELD"), "`FIELD` is what Headgate itself calls a finding"),
    "no pattern": (_recognizer(patterns=...), "the recognizer finds nothing"),
    "empty lists": (_recognizer(patterns=[], deny_list=[]), "the recognizer finds nothing"),
    "no name": (_recognizer(name=...), "`name` is missing"),
    "predefined": (_recognizer(type="predefined"), "only custom recognizers stand here"),
    "an unknown key": (_recognizer(supported_entitty="A"), "unknown key `supported_entitty`; accepted: `name`, `type`"),
    "thresholds": (_recognizer(score_thresholds={"default": 0.5}), "unknown key `score_thresholds`"),
    "a value that is missing": (_recognizer(context=None), "a value is missing"),
    "a word": (_recognizer(context="employee"), "`context` is not a list"),
    "an empty word": (_recognizer(deny_list=[""]), "this is empty; accepted: some text"),
    "a number as a word": (_recognizer(deny_list=[12]), "this is not text"),
    "a long word": (_recognizer(deny_list=["x" * 201]), "this is too long; accepted: up to 200 characters"),
    "enabled in words": (_recognizer(enabled="yes"), "`enabled` is neither `true` nor `false`"),
    "unknown flags": (_recognizer(global_regex_flags=512), "`512` is not a sum of flags; accepted: `128` (ASCII)"),
    "negative flags": (_recognizer(global_regex_flags=-1), "`-1` is not a sum of flags"),
    "contrary flags": (_recognizer(global_regex_flags=160), "`160` is ASCII and UNICODE at once"),
    "flags in words": (_recognizer(global_regex_flags="i"), "`global_regex_flags` is not a whole number"),
    "an empty regex": (_pattern(regex=""), "`regex` is empty"),
    "a long regex": (_pattern(regex="x" * 10_001), "`regex` is too long; accepted: up to 10000 characters"),
    "no regex": (_pattern(regex="(x"), "this is not a regular expression of the `regex` module: missing )"),
    "a named list": (_pattern(regex=r"\L<names>"), "this is not a regular expression"),
    "any text": (_pattern(regex="x*"), "the regular expression matches the empty text"),
    "a place": (_pattern(regex=r"\b"), "the regular expression matches the empty text"),
    "only with flags": (
        _recognizer(global_regex_flags=64, patterns=[{"name": "p", "regex": "#x", "score": 1}]),
        "the regular expression matches the empty text",
    ),
    "a score of nothing": (_pattern(score=0), "`score` is too low"),
    "a score above all": (_pattern(score=1.01), "`score` is too high"),
    "no score": (_pattern(score=float("nan")), "a score above 0 and up to 1"),
    "a score in words": (_pattern(score="high"), "`score` is not a number"),
    "a score of a list": (_recognizer(deny_list=["x"], deny_list_score=2), "`deny_list_score` is too high"),
    "a key of a pattern": (_pattern(flags=2), "unknown key `flags`; accepted: `name`, `regex`, `score`"),
    "a language of no form": (_recognizer(supported_languages=[3]), "is not"),
    "only a name": ("CreditCardRecognizer", "this is not a mapping"),
}


@pytest.mark.parametrize(("recognizer", "message"), WRONG.values(), ids=WRONG)
def test_every_mistake_is_told(recognizer: Any, message: str) -> None:
    (problem,) = _problems(_file(recognizer))
    assert message in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "line 1, column 1: the file is empty"),
        ("[]", "line 1, column 1: this is not a mapping"),
        ("recognizers: []", "line 1, column 1: `recognizers` is empty"),
        ("recognizers:", "line 1, column 1: a value is missing"),
        ("rules: 1\nrecognizers: 1", "line 2, column 1: `recognizers` is not a list"),
        ("a: b: c", "line 1, column 5: not YAML: mapping values are not allowed in this context"),
        (b"recognizers: \xff", "line 1, column 1: not UTF-8"),
        ("a: \x07", "not YAML"),
        ("recognizers: &a [*a]", "an anchor or alias stands here"),
        ("recognizers: !!python/object:os.system []", "a tag stands here"),
        ("recognizers: " + "[" * 40, "nested deeper than 16 levels"),
        ("recognizers: []\n---\nrecognizers: []", "line 2, column 1: a second document begins"),
        ("1: 2", "a key is not text"),
        ("[a]: 2", "a key is not text"),
        ("recognizers: " + "9" * 200, "a number cannot be read"),
        (b" " * (MAX_BYTES + 1), "the file is longer than 1 MiB"),
        (_file(*[_recognizer() for _ in range(201)]), "`recognizers` is too long; accepted: up to 200 entries"),
        (_file(_recognizer(), version=1), "unknown key `version`; accepted: `recognizers`, `supported_languages`"),
    ],
)
def test_every_mistake_of_the_whole_file_is_told(data: bytes | str, message: str) -> None:
    assert any(message in problem for problem in _problems(data))


def test_all_problems_come_together_each_with_its_place() -> None:
    assert _problems(
        """\
recognizers:
  - name: a
    name: b
    supported_entity: lower
    patterns:
      - {name: p, regex: '(', score: 7}
  - name: c
    bogus: 1
    supported_entity: C
    deny_list: [x]
"""
    ) == [
        "line 3, column 5: `name` is given twice; accepted: each key once",
        "line 4, column 5: `lower` is not the name of an entity; accepted: such as `EMPLOYEE_ID`",
        "line 6, column 19: this is not a regular expression of the `regex` module: missing ) at position 1",
        "line 6, column 31: `score` is too high; accepted: a score above 0 and up to 1",
        "line 8, column 5: unknown key `bogus`; accepted: `name`, `type`, `enabled`, `supported_entity`, "
        "`supported_entities`, `supported_language`, `supported_languages`, `patterns`, `deny_list`, "
        "`deny_list_score`, `context`, `global_regex_flags`, `version`, `country_code`",
    ]


def test_no_message_quotes_a_listed_word() -> None:
    listed = _problems(_file(_recognizer(deny_list=["hush-hush", 3], bogus="hush-hush")))
    assert "hush" not in "".join(listed)


def _read(data: bytes) -> tuple[str, frozenset[str]] | list[str]:
    """What the file says, or its problems; any other exception is a defect."""
    try:
        return read_recognizers(data)
    except InvalidRules as invalid:
        return [message for _, message in invalid.problems]


KEYS = ["name", "supported_entity", "patterns", "deny_list", "regex", "score", "context", "supported_languages"]


@given(
    st.binary(max_size=200)
    | st.text(st.sampled_from("recognizers:-[]{}&*!|>'\"# \n0a,?%@"), max_size=60).map(str.encode)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert all(_read(data))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused(document: Any) -> None:
    told = _read(json.dumps({"recognizers": [document]}).encode())
    assert isinstance(told, tuple) or all(message.startswith("line ") for message in told)
