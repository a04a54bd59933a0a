"""Properties of masked texts, cards and Markdown, and of the readings that detection is given."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.cards import mask_cards
from headgate.masking.formats.edits import Edits, difference
from headgate.masking.formats.markdown import mask_markdown
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.readings import OVERLAP, WINDOW
from headgate.masking.formats.runs import Part, Piece, Run, as_written
from headgate.masking.operators import splice
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))
KEY = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"


def _run(text: str) -> Run:
    return Run([Part([Piece(text, 0, len(text))], "", "text", as_written)])


@given(st.text("ab \n\u200b"), st.text("ab \n\u200b"), st.integers(0, len(SECRET)))
def test_a_value_is_found_with_characters_in_it_that_nobody_sees(
    find_words: Callable[..., Detect], before: str, after: str, at: int
) -> None:
    text = f"{before}{SECRET[:at]}\u200b\u00ad{SECRET[at:]}{after}"
    masked = mask_text(text, PLAN, find_words(SECRET)).text
    assert re.sub("[\u200b\u00ad]", "", masked) == re.sub("[\u200b\u00ad]", "", f"{before}[EMAIL_ADDRESS]{after}")


@given(st.text() | st.text("-BEGIND PRVATKY\n"))
def test_what_holds_nothing_goes_on_as_the_same_object(text: str) -> None:
    for mask in (mask_text, mask_markdown, mask_cards):
        assert mask(text, PLAN, detect_nothing).text is text


def test_lines_of_a_key_are_read_as_one(find_words: Callable[..., Detect]) -> None:
    text = f"a\n{KEY}\nb"
    assert mask_text(text, PLAN, find_words(KEY)).text == "a\n[EMAIL_ADDRESS]\nb"


def test_a_key_is_found_after_the_beginning_of_another(find_words: Callable[..., Detect]) -> None:
    text = f"-----BEGIN CERTIFICATE-----\n{'x\n' * 15_000}{KEY}\n"
    assert KEY not in mask_text(text, PLAN, find_words(KEY)).text


def test_work_grows_with_the_text_alone() -> None:
    seen = []

    def detect(leaves: list[Leaf]) -> list[list[Span]]:
        seen.append(sum(len(leaf.text) for leaf in leaves))
        return [[] for _ in leaves]

    for size in (5_000, 20_000):
        mask_text("-----BEGIN PRIVATE KEY-----\n" * size, PLAN, detect)  # type: ignore[arg-type]
    small, large = seen
    assert large < 4.2 * small


@given(st.integers(0, 3 * WINDOW))
def test_a_value_is_found_anywhere_in_a_long_run(find_words: Callable[..., Detect], at: int) -> None:
    text = "x" * at + SECRET + "x" * (3 * WINDOW - at)
    edits = Edits(PLAN, find_words(SECRET))
    edits.mask_runs([_run(text)])
    assert edits.masked(text).text == text.replace(SECRET, "[EMAIL_ADDRESS]")


def test_what_may_go_on_after_its_window_is_refused() -> None:
    def detect(leaves: list[Leaf]) -> list[list[Span]]:
        return [
            [Span("EMAIL_ADDRESS", WINDOW - OVERLAP, WINDOW, 1.0)] if len(leaf.text) == WINDOW else []
            for leaf in leaves
        ]

    with pytest.raises(CannotMask, match="value-too-long"):
        Edits(PLAN, detect).mask_runs([_run("x" * (WINDOW + 1))])  # type: ignore[arg-type]


@given(st.text("ab", min_size=1), st.text("ab"))
def test_a_difference_makes_one_text_of_the_other(old: str, new: str) -> None:
    edit = difference(old, new)
    assert edit[0] < edit[1]
    assert splice(old, [edit]) == new


@given(st.integers(0, len(SECRET)), st.sampled_from(["\r\n ", "\n\t"]))
def test_a_card_may_be_folded_anywhere(find_words: Callable[..., Detect], at: int, fold: str) -> None:
    text = f"BEGIN:VCARD\r\nNOTE:{SECRET[:at]}{fold}{SECRET[at:]}\r\nEND:VCARD\r\n"
    masked = mask_cards(text, PLAN, find_words(SECRET)).text
    assert masked.replace(fold, "") == "BEGIN:VCARD\r\nNOTE:[EMAIL_ADDRESS]\r\nEND:VCARD\r\n"


@pytest.mark.parametrize(
    "written", ["ana\\@x.example", "&#97;na&commat;x.example", "*ana*@`x`.example", "ana@<b>x</b>.ex**ample**"]
)
def test_markdown_is_read_as_it_is_rendered(find_words: Callable[..., Detect], written: str) -> None:
    masked = mask_markdown(f"a {written} b", PLAN, find_words(SECRET)).text
    assert re.sub(r"[*`]|</?b>", "", masked) == "a [EMAIL_ADDRESS] b"
