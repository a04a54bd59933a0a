"""Whatever stands in the files of a bundle there is a bundle or one report, and writing the same in another way, or in
a way that two readers may take differently, never changes what it allows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.spoilt import EVERYWHERE, RICH, Style, at, broken, dumped, garbled
from tests.policy.language import examples

from headgate.bundle.load import Bundle, load_bundle
from headgate.errors import BundleError
from headgate.model import Decision, Effect
from headgate.policy.engine import PolicyRules
from headgate.policy.proofs import decided, scene_of
from headgate.policy.testcases import Case, CaseSpec, compile_tests

SEEDS = st.integers(0, 1 << 32)


def chance_of(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a test is to be the same again, and nothing is secret


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def rules() -> Iterator[Path]:
    """One folder for all examples; each writes all of its files."""
    with TemporaryDirectory() as folder:
        yield write(Path(folder), PLAIN)


PLAIN = {name: dumped(content) for name, content in RICH.items()}


def loaded(folder: Path, files: dict[str, bytes]) -> Bundle | str:
    """The bundle, or the report."""
    try:
        return load_bundle(write(folder, PLAIN | files), "rules")
    except BundleError as error:
        problems = error.problems
    assert problems
    assert all(str(problem).startswith("rules") and str(problem).isprintable() for problem in problems)
    return "\n".join(map(str, problems))


# -- any content -------------------------------------------------------------------------------------------------------


def test_the_bundle_that_is_spoilt_below_is_a_good_one(rules: Path) -> None:
    bundle = loaded(rules, {})
    assert isinstance(bundle, Bundle)
    assert {said(case, bundle).effect for case in CASES} == set(Effect)
    assert {said(case, bundle).reason for case in CASES} >= REASONS


@examples(120)
@given(documents=broken())
def test_a_document_with_anything_anywhere_is_a_bundle_or_a_report(rules: Path, documents: dict[str, Any]) -> None:
    loaded(rules, {name: dumped(content) for name, content in documents.items()})


@examples(120)
@given(spoilt=garbled())
def test_whatever_the_bytes_are_there_is_a_bundle_or_a_report(rules: Path, spoilt: tuple[str, bytes]) -> None:
    name, data = spoilt
    loaded(rules, {name: data})


@examples(40)
@given(name=st.sampled_from(sorted(RICH)), data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_bytes_that_are_no_rules_are_a_report(rules: Path, name: str, data: bytes) -> None:
    loaded(rules, {name: data})


# -- the same in another way -------------------------------------------------------------------------------------------

ANA = {
    "id": "ana",
    "kind": "human",
    "groups": ["support"],
    "environment": "prod",
    "workload": {"verified": True},
    "session": {"scopes": ["w"], "age": "5m"},
    "claims": {"tenant": "acme", "level": 1},
}
CALLERS: list[Any] = [ANA, ANA | {"id": "bob", "groups": ["trusted"]}, ANA | {"id": "eve"}, ANA | {"environment": "x"}]
NIGHT = {"at": "2026-03-03T23:00:00+01:00", "signals": ["incident"]}
ASKS: list[dict[str, Any]] = [
    {"request": {"url": "https://api.internal/v1/items/7"}},
    {"request": {"url": "https://api.internal/V1/Items/7/x?force=1"}},
    {"request": {"url": "https://api.internal/v1/items/7", "source": "192.0.2.9", "headers": {"x-role": "adm"}}}
    | NIGHT,
    {"request": {"method": "DELETE", "url": "https://web.internal/v1/items/7"}},
    {"request": {"method": "POST", "url": "https://api.internal/v1/refunds", "body": {"amount": 5}}},
    {"request": {"method": "POST", "url": "https://web.internal/v1/refunds", "body": {"amount": "5"}}},
    {"request": {"method": "POST", "url": "https://api.internal/v1/refunds?debug=1", "body": {"amount": 2000}}},
    {
        "request": {
            "method": "POST",
            "url": "https://api.internal/v1/refunds",
            "body": {"amount": 2000, "items": [{"kind": "part"}]},
        }
    },
    {"request": {"method": "POST", "url": "https://api.internal/v1/refunds", "body": {"query": "mutation { a }"}}},
    {"request": {"url": "https://other.internal/"}},
]


def _cases() -> tuple[Case, ...]:
    written = [
        CaseSpec.model_validate({"name": f"{who} {what}", "principal": caller, "expect": {"effect": "deny"}, **ask})
        for who, caller in enumerate([*CALLERS, "anonymous"])
        for what, ask in enumerate(ASKS)
    ]
    cases, problems = compile_tests([(spec, "f", 1) for spec in written], frozenset(), frozenset())
    assert not problems
    return cases


CASES = _cases()
REASONS = {"allowed-by-rule", "denied-by-rule", "denied-by-unknown", "no-rule-allows", "environment-mismatch"}


def said(case: Case, bundle: Bundle) -> Decision:
    found = PolicyRules(bundle.targets, bundle.policy)
    return decided(found, scene_of(case, bundle.targets))


def answers(bundle: Bundle) -> list[Any]:
    """All that is said of the sample requests but for the lines of the rules."""
    found = [said(case, bundle) for case in CASES]
    return [
        (one.effect, one.reason, [ref.id for ref in one.rules], one.message, one.shaping, one.errors) for one in found
    ]


@pytest.fixture(scope="module")
def good(rules: Path) -> Bundle:
    return load_bundle(write(rules, PLAIN), "rules")


@examples(40)
@given(seed=SEEDS)
def test_layout_quotes_comments_and_the_order_of_keys_mean_nothing(rules: Path, good: Bundle, seed: int) -> None:
    style = Style(chance_of(seed))
    bundle = loaded(rules, {name: style.document(content) for name, content in RICH.items()})
    assert isinstance(bundle, Bundle), bundle
    assert bundle.sha256 == good.sha256
    assert answers(bundle) == answers(good)


TWISTS: dict[str, Callable[[str], str]] = {
    "an anchor": lambda text: f"&a {text}",
    "an alias": lambda _: "*a",
    "a tag": lambda text: f"!t {text}",
    "the tag that it has anyway": lambda text: (
        f"!!{'map' if text[0] == '{' else 'seq' if text[0] == '[' else 'str'} {text}"
    ),
    "a merge key": lambda text: f"{{<<: {text}}}",
    "a second document": lambda text: f"{text}\n--- {text}",
    "a value and another": lambda text: f"'x' {text}",
    "no end": lambda text: f"{text}]}}",
    "a control character": lambda text: f"{text}\x07",
    "half a character": lambda text: f'"\\ud800" {text}',
}
"""Ways of writing that some readers of YAML take otherwise than others, or not at all."""


@pytest.mark.parametrize("twist", TWISTS, ids=lambda name: name.replace(" ", "-"))
def test_what_two_readers_may_take_differently_is_refused_wherever_it_stands(rules: Path, twist: str) -> None:
    @examples(10)
    @given(st.sampled_from(EVERYWHERE), SEEDS)
    def refused(place: tuple[str, tuple[str | int, ...]], seed: int) -> None:
        name, path = place
        style = Style(chance_of(seed), lambda at, text: TWISTS[twist](text) if at == path else None)
        assert isinstance(loaded(rules, {name: style.document(RICH[name])}), str)

    refused()


KEYS = [(name, path) for name, path in EVERYWHERE if isinstance(path[-1], str)]
OTHERS: list[Callable[[Any], Any]] = [lambda value: value, lambda _: "deny", lambda _: {}, lambda _: True]


@examples(40)
@given(place=st.sampled_from(KEYS), seed=SEEDS, other=st.sampled_from(OTHERS))
def test_a_key_that_is_there_twice_is_refused_whatever_it_says(
    rules: Path, place: Any, seed: int, other: Callable[[Any], Any]
) -> None:
    """With the value that it has, too: what one reader takes for the first is the last to another."""
    name, path = place
    style = Style(chance_of(seed), again=(path, other(at(RICH[name], path))))
    report = loaded(rules, {name: style.document(RICH[name])})
    assert isinstance(report, str)
    assert f"`{path[-1]}` is given twice" in report


SECTIONS: list[tuple[str, tuple[str | int, ...]]] = [
    *((name, ()) for name in sorted(RICH)),
    *(("policy.yaml", ("rules", at)) for at in range(8)),
    *(("policy.yaml", ("rules", at, "match")) for at in range(8)),
    ("policy.yaml", ("rules", 0, "match", "principal")),
    ("policy.yaml", ("rules", 0, "match", "not")),
    ("policy.yaml", ("rules", 2, "approval", "by")),
    ("policy.yaml", ("rules", 2, "match", "body", "$.amount")),
    ("policy.yaml", ("rules", 6, "match", "time")),
    ("policy.yaml", ("rules", 7, "match", "graphql")),
    ("policy.yaml", ("limits", 0)),
    ("policy.yaml", ("tests", 0, "expect")),
    ("targets.yaml", ("targets", 0)),
    ("targets.yaml", ("targets", 0, "paths")),
    ("masking.yaml", ("masks", 0)),
    ("identity.yaml", ("providers", 1)),
    ("identity.yaml", ("session_binding",)),
]
UNKNOWN = ["excpet", "Match", "nots", "x-note", "effect ", "", "description", "enabled", "if"]


@examples(40)
@given(place=st.sampled_from(SECTIONS), key=st.sampled_from(UNKNOWN), value=st.sampled_from([None, True, "a", {}, []]))
def test_a_key_that_means_nothing_is_refused_wherever_it_stands(rules: Path, place: Any, key: str, value: Any) -> None:
    name, path = place

    def grown(node: Any, left: tuple[str | int, ...]) -> Any:
        if not left:
            return node | {key: value}
        copied = list(node) if isinstance(node, list) else dict(node)
        copied[left[0]] = grown(node[left[0]], left[1:])
        return copied

    report = loaded(rules, {name: dumped(grown(RICH[name], path))})
    assert isinstance(report, str)
    assert f"unknown key `{key}`" in report
