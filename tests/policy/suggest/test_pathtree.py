"""Paths become templates: each path is matched by the one it went into, words stay, memory stays bounded."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.match import PathTemplate
from headgate.policy.suggest import pathtree
from headgate.policy.suggest.pathtree import MANY, MOST_WORDS, PathTree


@dataclass
class Paths:
    seen: list[str] = field(default_factory=list)

    def merge(self, other: "Paths") -> None:
        self.seen += other.seen


def templates(*paths: str) -> dict[str, list[str]]:
    """The paths that went into each template, each path once."""
    tree = PathTree(Paths)
    for path in paths:
        if leaf := tree.at(path):
            leaf.seen.append(path)
    return {template: sorted(leaf.seen) for template, leaf in tree.templates()}


def test_values_are_one_variable_and_words_stay_apart() -> None:
    assert templates("/v1/customers/17", "/v1/customers/42", "/v1/customers/search", "/v1/customers") == {
        "/v1/customers": ["/v1/customers"],
        "/v1/customers/search": ["/v1/customers/search"],
        "/v1/customers/{customer_id}": ["/v1/customers/17", "/v1/customers/42"],
    }


def test_what_follows_values_is_told_apart_again() -> None:
    assert list(templates("/customers/1/refunds/2", "/customers/3/refunds/4/notes", "/customers/5/7")) == [
        "/customers/{customer_id}/refunds/{refund_id}",
        "/customers/{customer_id}/refunds/{refund_id}/notes",
        "/customers/{customer_id}/{id}",
    ]


def test_masked_segments_are_values() -> None:
    assert list(templates("/users/[EMAIL_ADDRESS]/cards/************1111")) == ["/users/{user_id}/cards/{card_id}"]


def test_many_words_behind_a_noun_are_names() -> None:
    names = [f"/users/{chr(97 + at) * 3}/posts" for at in range(MANY)]
    assert list(templates(*names)) == ["/users/{user_id}/posts"]
    assert len(templates(*names[1:])) == MANY - 1


@pytest.mark.parametrize("before", ["", "/v1", "/api"])
def test_many_words_at_the_start_or_behind_a_prefix_are_resources(before: str) -> None:
    paths = [f"{before}/{chr(97 + at) * 3}" for at in range(MANY + 5)]
    assert list(templates(*paths)) == paths


def test_too_many_words_are_values_wherever_they_stand() -> None:
    words = [f"/{chr(97 + at // 26)}{chr(97 + at % 26)}x/info" for at in range(MOST_WORDS + 3)]
    assert templates(*words) == {"/{id}/info": sorted(words)}


def test_the_end_of_a_path_counts() -> None:
    assert list(templates("/", "/a", "/a/", "/users/7/")) == ["/", "/a", "/a/", "/users/{user_id}/"]


def test_words_that_no_template_has_are_variables() -> None:
    assert list(templates("/files/a;b", "/files/a%2Fb")) == ["/files/{file_id}"]


@pytest.mark.parametrize("path", ["", "*", "a/b", "/a//b", "//", "/" + "a/" * 70, "https://x/a"])
def test_what_is_no_path_of_a_request_has_no_place(path: str) -> None:
    tree = PathTree(Paths)
    assert (tree.at(path), list(tree.templates())) == (None, [])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pathtree, "MOST_NODES", 200)
    tree = PathTree(Paths)
    kept = [tree.at(f"/{chr(97 + at // 26)}{chr(97 + at % 26)}/x/y/z") for at in range(150)]
    assert tree.is_full
    assert kept[0] is not None
    assert kept[-1] is None
    assert sum(1 for _ in tree.templates()) < 60


WORDS = st.sampled_from(["v1", "customers", "refunds", "search", "7", "42", "cus_8fj2k3", "[EMAIL_ADDRESS]", "a;b"])
NAMES = st.text(st.sampled_from("abcdefg"), min_size=1, max_size=3)
PATHS = st.lists(st.lists(WORDS | NAMES, max_size=5).map(lambda parts: "/" + "/".join(parts)), max_size=60)


@settings(deadline=None)
@given(PATHS)
def test_each_path_goes_into_one_template_that_matches_it(paths: list[str]) -> None:
    found = templates(*paths)
    assert sorted(path for seen in found.values() for path in seen) == sorted(paths)
    for template, seen in found.items():
        parsed = PathTemplate.parse(template)
        assert not parsed.rest
        assert all(parsed.matches(path[1:].split("/")) for path in seen)


@settings(deadline=None)
@given(PATHS, st.randoms(use_true_random=False))
def test_the_order_of_paths_means_nothing(paths: list[str], random: "object") -> None:
    shuffled = [*paths]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert templates(*shuffled) == templates(*paths)
