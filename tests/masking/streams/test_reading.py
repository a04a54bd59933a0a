"""The automaton sees every match of every pattern: where it says that nothing is under way, nothing is."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.masking.detection.presidio import recognizers
from headgate.masking.detection.secrets import formats
from headgate.masking.streams.automaton import STEPS, Automaton
from headgate.masking.streams.reach import _of
from headgate.masking.streams.reading import Unreadable

SEED = "Ab 12-3.4@x/: (+49) DE89\n"
FLAGS = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL


def _patterns() -> list[tuple[str, str]]:
    found = [(each.supported_entities[0], pattern) for each in recognizers() for pattern in _of(each)]
    return [*found, *(("SECRET", known.pattern.pattern) for known in formats())]


def _alive(automaton: Automaton, text: str) -> list[bool]:
    """For each character whether a match may be under way after it."""
    state, alive = automaton.start, []
    for character in text:
        state = automaton.step(state, character)
        alive.append(state.alive)
    return alive


def _hits(automaton: Automaton, text: str) -> bool:
    state, hit = automaton.start, False
    for character in text:
        state = automaton.step(state, character)
        hit = hit or state.hit
    return hit


def _assert_seen(automaton: Automaton, text: str, spans: Iterable[tuple[int, int]]) -> None:
    alive = _alive(automaton, text)
    for start, end in spans:
        assert all(alive[start : end - 1]), (text, start, end)
        assert start == end or _hits(automaton, text[:end]), (text, start, end)


def _readable(pattern: str) -> str:
    return re.sub(r"\(\?[aimsux]+\)", "", pattern)


def _reads_space(pattern: str) -> bool:
    """Whether its matches may go over white space, as only those of some do."""
    return " " in pattern or "\\s" in pattern


def _strategy(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(_readable(pattern), re.DOTALL))


@pytest.mark.parametrize(("entity", "pattern"), _patterns(), ids=range(len(_patterns())))
def test_no_match_of_a_pattern_goes_on_where_the_automaton_sees_none(entity: str, pattern: str) -> None:
    automaton = Automaton([pattern])
    compiled = regex.compile(pattern, FLAGS) if entity != "SECRET" else re.compile(pattern, re.ASCII | re.DOTALL)
    try:
        strategy = _strategy(pattern)
        strategy.validate()
    except (re.error, NotImplementedError):  # a look-behind of no fixed width, which `regex` alone can read
        strategy = st.just(SEED)

    @settings(max_examples=8 if _reads_space(pattern) else 3, suppress_health_check=list(HealthCheck))
    @given(strategy, st.text("ab1 .-", max_size=5), st.booleans())
    def check(text: str, around: str, upper: bool) -> None:
        text = around + (text.upper() if upper else text) + around
        _assert_seen(automaton, text, [match.span() for match in compiled.finditer(text)])

    check()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"([- ])\d\1\d", " 1 2"),
        (r"(?<=no: )\d{3}", "no: 123"),
        (r"(a|b c)(?(1)x| y)z", "b cxz"),
        (r"x{2,3} {0,4}y", "xxx   y"),
        (r"x{0,1000} y", "x" * 300 + " y"),
        (r"[^a-z] \W \D \S", "9 - x -"),
        (r"(?>ab|a) ?c", "ab c"),
        (r"(?:ab )++c", "ab ab c"),
        ("stra\u00dfe \u017f", "STRA\u00dfE S"),
        (r"\u212a elvin", "K ELVIN"),
        (r"\d \d", "\u0661 \u0662"),
    ],
)
def test_every_construct_is_read(pattern: str, text: str) -> None:
    match = regex.search(pattern, text, FLAGS)
    assert match
    _assert_seen(Automaton([pattern]), text, [match.span()])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-----BEGIN PRIVATE KEY-----\nMIIE abc\n", True),
        ("-----BEGIN PRIVATE KEY-----\nMIIE abc\n-----END PRIVATE KEY-----\n", False),
        ("-----BEGIN PRIVATE KEY-----\nMIIE abc\n-----END PRIVATE KEY-----\nwhat follows is a text ", False),
    ],
)
def test_a_private_key_goes_on_until_it_ends(text: str, expected: bool) -> None:
    automaton = Automaton(known.pattern.pattern for known in formats())
    assert _alive(automaton, text)[-1] is expected


def test_a_text_up_to_something_ends_with_it() -> None:
    automaton = Automaton([r"<<(?:(?!>> ?END )[^x])*+(?:>> ?END [A-Z ]{0,9}>>)?"])
    assert _alive(automaton, "a << b ")[-1]
    assert _alive(automaton, "a << b >> END IT")[-1]
    assert not _alive(automaton, "a << b >> END IT>>\nmore of it ")[-1]


@pytest.mark.parametrize("pattern", [r"\p{L}+", "[[:alpha:]]+", "(?:foo){e<=1}", "(?x)a b", "(?R)", "(a"])
def test_a_pattern_that_only_another_library_can_read_is_refused(pattern: str) -> None:
    with pytest.raises(Unreadable):
        Automaton([pattern])


def test_what_is_remembered_is_bounded() -> None:
    automaton = Automaton([r"[\d a-z]{40}x"])
    state: Any = automaton.start
    text = "".join(chr(0x4E00 + at % 20000) + str(at % 10) for at in range(2 * STEPS))
    for character in text:
        state = automaton.step(state, character)
    assert sum(len(known) for known in automaton._states.values()) <= STEPS + 1


def test_a_state_from_before_all_was_forgotten_still_counts() -> None:
    automaton = Automaton(["ab c"])
    state = automaton.step(automaton.start, "a")
    automaton._forget()
    for character in "b c":
        assert state.alive
        state = automaton.step(state, character)
    assert state.hit
