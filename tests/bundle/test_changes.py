"""What is said of the difference between two bundles (cases/changes.yaml), and that no more is said than is sure."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.desk import BROKEN, loaded, rule

from headgate.bundle.changes import Change, diff
from headgate.bundle.files import SIGNATURE
from headgate.bundle.relations import REVERSED, Relation, relate
from headgate.errors import HeadgateError
from headgate.match import MatchSpec, Subject, compile_match
from headgate.model import Kind, Principal, Request

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "changes.yaml").read_text(encoding="utf-8"))
PLACES = {
    "rule": ("policy.yaml", "rules", "id"),
    "limit": ("policy.yaml", "limits", "id"),
    "test": ("policy.yaml", "tests", "name"),
    "mask": ("masking.yaml", "masks", "id"),
    "target": ("targets.yaml", "targets", "name"),
    "provider": ("identity.yaml", "providers", "name"),
}


def contents(kind: str, *entries: dict[str, Any], **top: Any) -> dict[str, bytes]:
    """One file of a bundle, with these entries."""
    file, key, _ = PLACES[kind]
    return {file: json.dumps({key: list(entries), **top}).encode()}


def named(kind: str, entry: dict[str, Any], name: str = "r") -> dict[str, Any]:
    return {PLACES[kind][2]: name, **entry}


def said(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    return [str(change) for change in diff(before, after)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_each_change_is_said_in_words(case: dict[str, Any]) -> None:
    kind, before, after = case["kind"], case["before"], case["after"]
    assert said(contents(kind, named(kind, before)), contents(kind, named(kind, after))) == case["says"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_reverse_is_said_of_the_way_back(case: dict[str, Any]) -> None:
    kind, before, after = case["kind"], case["before"], case["after"]
    there = diff(contents(kind, named(kind, before)), contents(kind, named(kind, after)))
    back = diff(contents(kind, named(kind, after)), contents(kind, named(kind, before)))
    opposite = {"looser": "stricter", "stricter": "looser", None: None}
    assert {(one.key, opposite[one.meaning]) for one in there} == {(one.key, one.meaning) for one in back}


@pytest.mark.parametrize(
    ("kind", "entry", "added", "removed"),
    [
        ("rule", {"effect": "allow", "match": {}}, "rule r added (looser)", "rule r removed (stricter)"),
        ("rule", {"effect": "deny", "match": {}}, "rule r added (stricter)", "rule r removed (looser)"),
        ("rule", {"effect": "approve", "match": {}}, "rule r added", "rule r removed"),
        ("rule", {"effect": "deny", "mode": "shadow", "match": {}}, "rule r added", "rule r removed"),
        ("limit", {"match": {}, "rate": "1/second"}, "limit r added (stricter)", "limit r removed (looser)"),
        ("mask", {"match": {}, "fields": ["$.a"]}, "mask r added (stricter)", "mask r removed (looser)"),
        ("provider", {"preset": "oidc"}, "provider r added (looser)", "provider r removed (stricter)"),
        ("target", {"hosts": ["a"]}, "target r added", "target r removed"),
        ("test", {"expect": {}}, "test r added", "test r removed"),
    ],
)
def test_what_comes_and_goes_is_said(kind: str, entry: dict[str, Any], added: str, removed: str) -> None:
    without, with_it = contents(kind), contents(kind, named(kind, entry))
    assert said(without, with_it) == [added]
    assert said(with_it, without) == [removed]


@pytest.mark.parametrize(
    ("kind", "before", "after", "line"),
    [
        ("target", {}, {"unknown": "allow"}, "targets: unknown added: `allow` (looser)"),
        (
            "target",
            {"isolate_environments": False},
            {},
            "targets: isolate_environments removed, was `false` (stricter)",
        ),
        (
            "provider",
            {"anonymous": "refuse"},
            {"anonymous": "allow"},
            "identity: anonymous changed from `refuse` to `allow` (looser)",
        ),
        (
            "provider",
            {"trusted_proxies": ["a"]},
            {"trusted_proxies": ["a", "b"]},
            "identity: trusted_proxies widened from `a` to `a`, `b` (looser)",
        ),
        ("mask", {"token_key": "env:A"}, {"token_key": "env:B"}, "masking: token_key changed"),
    ],
)
def test_what_stands_beside_the_lists_is_compared(
    kind: str, before: dict[str, Any], after: dict[str, Any], line: str
) -> None:
    assert said(contents(kind, **before), contents(kind, **after)) == [line]


def test_rules_are_compared_wherever_they_stand() -> None:
    one, two = (
        named("rule", {"effect": "deny", "match": {}}, "one"),
        named("rule", {"effect": "deny", "match": {}}, "two"),
    )
    together = contents("rule", one, two)
    apart = {f"policy/{name}.yaml": contents("rule", entry)["policy.yaml"] for name, entry in (("b", one), ("a", two))}
    assert said(together, apart) == []


def test_the_files_that_rules_name_are_compared_as_a_whole() -> None:
    before = {"keys/a.json": b"1", "keys/b.json": b"1", SIGNATURE: b"1"}
    after = {"keys/b.json": b"2", "keys/c.json": b"1", SIGNATURE: b"2"}
    assert said(before, after) == [
        "file keys/a.json removed",
        "file keys/b.json changed",
        "file keys/c.json added",
    ]


def test_a_bundle_does_not_differ_from_itself(tmp_path: Path) -> None:
    found = loaded(tmp_path / "rules", "1.0.0", rule("one")).contents
    assert diff(found, found) == []


def test_version_and_rules_of_real_bundles(tmp_path: Path) -> None:
    before = loaded(tmp_path / "rules", "1.0.0", rule("one")).contents
    after = loaded(tmp_path / "rules", "1.1.0", rule("one", "allow")).contents
    assert said(before, after) == [
        "bundle: version changed from `1.0.0` to `1.1.0`",
        "rule one: effect changed from `deny` to `allow` (looser)",
    ]


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(HeadgateError, match=r"`policy\.yaml` cannot be read"):
        diff({"policy.yaml": BROKEN.encode()}, {})


def test_as_json_it_says_the_same_in_parts() -> None:
    change = Change("rule", "r", "method", "narrowed", ["GET", "HEAD"], "GET", "stricter")
    assert json.loads(json.dumps(change.as_json())) == {
        "kind": "rule",
        "name": "r",
        "key": "method",
        "what": "narrowed",
        "before": ["GET", "HEAD"],
        "after": "GET",
        "meaning": "stricter",
        "text": "rule r: method narrowed from `GET`, `HEAD` to `GET` (stricter)",
    }


# -------------------------------------------------------------------------------------------------------- what is sure

SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}"])
PATHS = st.builds(
    lambda head, rest, tail: "/" + "/".join(dict.fromkeys([*head, *rest, *tail])),
    st.lists(SEGMENTS, max_size=3), st.sampled_from([[], ["{rest...}"]]), st.lists(SEGMENTS, max_size=2),
)  # fmt: skip
GLOBS = st.text("ab*", min_size=1, max_size=5)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "write"])
HOSTS = st.sampled_from(["a.b", "*.b", "x.a.b", "*.a.b", "b", "10.0.0.1"])
MATCHES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "path": st.lists(PATHS, min_size=1, max_size=2),
        "method": st.lists(METHODS, min_size=1, max_size=2),
        "host": st.lists(HOSTS, min_size=1, max_size=2),
        "principal": st.fixed_dictionaries({"id": st.lists(GLOBS, min_size=1, max_size=2)}),
    },
)
WITH_NOT: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda outer, inner: outer | ({"not": inner} if inner else {}), MATCHES, MATCHES
)
REQUESTS = st.builds(
    lambda method, host, path: Request(method, "http", host, 80, "/" + "/".join(path)),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH"]),
    st.sampled_from(["a.b", "c.b", "x.a.b", "b", "10.0.0.1"]),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=6),
)
CALLERS = st.text("abc", min_size=1, max_size=5).map(lambda name: Principal(name, Kind.HUMAN, "corp"))


def holds(match: dict[str, Any], caller: Principal, request: Request) -> bool | None:
    return compile_match(MatchSpec.model_validate(match), widen=False).holds(Subject(caller, request, None, 0.0))


@settings(max_examples=400, deadline=None)
@given(WITH_NOT, WITH_NOT, st.lists(st.tuples(CALLERS, REQUESTS), min_size=1, max_size=20))
def test_what_is_called_widened_holds_wherever_it_held_before(
    before: dict[str, Any], after: dict[str, Any], seen: list[tuple[Principal, Request]]
) -> None:
    """By the meaning that the matcher itself gives to both."""
    one, other = ({"effect": "allow", "match": match} for match in (before, after))
    meanings = {
        change.meaning for change in diff(contents("rule", named("rule", one)), contents("rule", named("rule", other)))
    }
    for caller, request in seen:
        old, new = holds(before, caller, request), holds(after, caller, request)
        if meanings <= {"looser"}:
            assert not (old and not new), (before, after)
        if meanings <= {"stricter"}:
            assert not (new and not old), (before, after)


FORMS = st.sampled_from(["all", "gt", "lt", "present", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FORMS, inner, max_size=2), max_leaves=5
)
KEYS = st.sampled_from(
    [("method",), ("path",), ("host",), ("source",), ("principal", "email"), ("max_age",), ("body", "$.a")]
)


@given(KEYS, VALUES, VALUES)
def test_whatever_was_written_two_values_can_be_compared(key: tuple[str, ...], one: Any, other: Any) -> None:
    """Of stored rules nobody knows by which version they were once accepted."""
    there, back = relate(key, one, other), relate(key, other, one)
    assert back is REVERSED[there] or Relation.CHANGED in (there, back)
