"""Which version is active and what may follow it, as the history of activations has it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.bundle.versions import (
    Activation,
    How,
    active,
    former,
    lineage,
    out_of_order,
    precedence,
    was_active,
    was_refused,
    was_rolled_back,
)
from headgate.errors import HeadgateError
from headgate.model import BundleRef

VERSIONS = {"a": "1.0.0", "b": "1.1.0", "c": "1.2.0", "d": "1.3.0"}
"""Each letter stands for a bundle, which it is the hash of; a capital one has the same version and other content."""


def ref(letter: str) -> BundleRef:
    return BundleRef("n", VERSIONS[letter.lower()], letter)


def history(text: str) -> list[Activation]:
    """`f:a` folder, `a:b` activate, `r:a` rollback, `x:b` refused by a proxy, `X:b` a folder's copy of it refused."""
    found: list[Activation] = []
    for at, (how, letter) in enumerate((step[0], step[2]) for step in text.split()):
        now = active(found)
        in_force = now.sha256 if now else None
        previous = {"X": letter, "x": "another"}.get(how, in_force)
        kind = {"f": How.FOLDER, "a": How.ACTIVATE, "r": How.ROLLBACK}.get(how, How.REFUSED)
        about = ref(letter)
        found.append(Activation(at + 1, kind, about.sha256, about.name, about.version, 1.7e9 + at, "ana", "", previous))
    return found


# ------------------------------------------------------------------------------------------------------------- versions

ORDERED = (
    "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
    "1.0.0-rc.1", "1.0.0", "1.0.1-0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "10.0.0",
)  # fmt: skip  # semver.org 11.4, and more


def test_versions_are_ordered_as_semver_orders_them() -> None:
    for lower, higher in pairwise(ORDERED):
        assert precedence(lower) < precedence(higher), (lower, higher)


@pytest.mark.parametrize(("one", "other"), [("1.0.0", "1.0.0+build.7"), ("1.0.0-rc.1+a", "1.0.0-rc.1+b-c")])
def test_build_metadata_does_not_count(one: str, other: str) -> None:
    assert precedence(one) == precedence(other)


@pytest.mark.parametrize("text", ["", "1", "1..0", "x.y.z", "1.0.x"])
def test_what_is_no_version_has_no_place(text: str) -> None:
    with pytest.raises(HeadgateError, match="is not a version"):
        assert precedence(text) < precedence("1.0.0")


@given(st.lists(st.from_regex(r"\A(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}(-[0-9A-Za-z.-]{1,8})?\Z"), max_size=6))
def test_every_version_has_a_place_among_all_others(versions: list[str]) -> None:
    """Numbers and words never meet in a comparison that Python has none for."""
    keys = [precedence(version) for version in versions]
    assert all(one <= other for one, other in pairwise(sorted(keys)))


# ------------------------------------------------------------------------------------------------------- what is active


@pytest.mark.parametrize(
    ("events", "now", "line", "before"),
    [
        ("", None, "", None),
        ("x:a", None, "", None),
        ("f:a", "a", "a", None),
        ("f:a f:b", "b", "ab", "a"),
        ("f:a a:b x:c", "b", "ab", "a"),
        ("f:a f:b r:a", "a", "a", None),
        ("f:a f:b f:c r:b", "b", "ab", "a"),
        ("f:a f:b f:c r:b r:a", "a", "a", None),
        ("f:a f:b f:c r:a f:d", "d", "ad", "a"),
        ("f:a f:b r:a r:b", "b", "ab", "a"),
        ("f:a f:A f:a f:b r:a", "a", "aAa", "A"),
        ("f:a a:b x:b a:c", "c", "abc", "a"),  # what a proxy refused is not gone back to
        ("f:a f:b X:b f:c", "c", "abc", "b"),  # but what ran, while only its folder was wrong
        ("f:a a:b x:b a:b f:c", "c", "abc", "b"),  # or was activated again
        ("f:a a:a", "a", "a", None),
    ],
)
def test_the_line_that_led_to_the_active_version(events: str, now: str | None, line: str, before: str | None) -> None:
    found = history(events)
    entry = active(found)
    assert (entry.sha256 if entry else None) == now
    assert "".join(lineage(found)) == line
    assert former(found) == before


def test_refused_is_not_active() -> None:
    found = history("f:a x:b")
    assert was_active("a", found)
    assert not was_active("b", found)
    assert was_refused("b", found)
    assert not was_refused("a", found)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("f:a f:b", ""),
        ("f:a f:b r:a", "b"),
        ("f:a f:b f:c r:b r:a", "bc"),
        ("f:a f:b f:c r:a", "c"),
        ("f:a f:b r:a x:b", "b"),  # nor does it come back by being refused
        ("f:a f:b r:a a:b", ""),
        ("f:a f:b r:a r:b", "a"),
        ("f:a f:b r:a a:c", "b"),  # another activation says nothing about it
        ("f:a f:b r:a f:c", ""),  # but that its folder holds something else does
        ("f:a r:a", ""),
    ],
)
def test_what_was_rolled_back_from_stays_away(events: str, expected: str) -> None:
    found = history(events)
    assert [letter for letter in "abcd" if was_rolled_back(letter, found)] == list(expected)


# ------------------------------------------------------------------------------------------------------ what may follow


@pytest.mark.parametrize(
    ("events", "new", "how", "problem"),
    [
        ("", "a", How.FOLDER, ""),
        ("f:a", "b", How.FOLDER, ""),
        ("f:a", "b", How.ACTIVATE, ""),
        ("f:b", "a", How.FOLDER, "version 1.0.0 is lower than 1.1.0"),
        ("f:b", "a", How.ACTIVATE, "version 1.0.0 is lower than 1.1.0"),
        ("f:b", "a", How.ROLLBACK, ""),
        ("f:b x:d", "c", How.FOLDER, ""),  # what was refused sets no mark
        ("f:a f:c r:a", "b", How.FOLDER, ""),  # nor what was rolled back from
        ("f:a", "A", How.FOLDER, ""),
        ("f:a", "A", How.ACTIVATE, "version 1.0.0 was activated with other content, a"),
        ("f:a f:b r:a", "B", How.ACTIVATE, "version 1.1.0 was activated with other content, b"),
        ("f:a f:b r:a", "b", How.ACTIVATE, ""),
        ("f:a", "a", How.ACTIVATE, ""),
    ],
)
def test_versions_never_go_back_by_themselves(events: str, new: str, how: How, problem: str) -> None:
    said = out_of_order(ref(new), history(events), how)
    assert (said or "").startswith(problem) if problem else said is None


EVENTS = st.lists(st.tuples(st.sampled_from("farxX"), st.sampled_from("abcdABCD")), max_size=12)


@given(EVENTS, st.sampled_from("abcdABCD"))
def test_by_the_folder_the_version_never_goes_down(events: list[tuple[str, str]], new: str) -> None:
    found = history(" ".join(f"{how}:{letter}" for how, letter in events))
    now = active(found)
    if now and now.version and out_of_order(ref(new), found, How.FOLDER) is None:
        assert precedence(VERSIONS[new.lower()]) >= precedence(now.version)


@given(EVENTS)
def test_whatever_happened_the_line_ends_in_what_is_active(events: list[tuple[str, str]]) -> None:
    found = history(" ".join(f"{how}:{letter}" for how, letter in events))
    now = active(found)
    assert lineage(found)[-1:] == ([now.sha256] if now else [])
    assert former(found) in {None, *lineage(found)[:-1]}
    assert now is None or not was_rolled_back(str(now.sha256), found)
