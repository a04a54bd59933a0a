"""Properties of masked forms: they hold the same pairs as before, but for what was masked."""

from collections.abc import Callable
from urllib.parse import parse_qsl, quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.form import form_pieces, mask_form
from headgate.masking.plan import Detect, Operator, Plan, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))

words = st.text("ab =&;+%\u00e9\U0001f600[]", max_size=8)
values = words | st.builds(lambda before, after: before + SECRET + after, words, words)
spellings = st.sampled_from([quote_plus, quote, lambda text: "".join(f"%{byte:02x}" for byte in text.encode())])
pairs = st.lists(st.tuples(words, values, spellings))


def _form(given: list[tuple[str, str, Callable[[str], str]]]) -> str:
    return "&".join(f"{spell(name)}={spell(value)}" for name, value, spell in given)


def _read(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


@given(pairs)
def test_only_what_was_found_changes(find_words: Callable[..., Detect], given: list[tuple[str, str, object]]) -> None:
    text = _form(given)  # type: ignore[arg-type]
    masked = mask_form(text, PLAN, find_words(SECRET)).text
    assert _read(masked) == [(name, value.replace(SECRET, "[EMAIL_ADDRESS]")) for name, value in _read(text)]


@given(st.text())
def test_what_holds_nothing_goes_on_as_the_same_object(text: str) -> None:
    assert mask_form(text, PLAN, detect_nothing).text is text


@given(st.text("ab%4+\u00e9=&;") | st.text())
def test_characters_are_those_that_other_readers_see(text: str) -> None:
    text = text.replace("&", "")
    assert "".join(piece.text for piece in form_pieces(text, 0, len(text))) == _read(f"x={text}")[0][1]


@given(pairs, st.sampled_from(list(Operator)))
def test_a_field_is_masked_however_its_name_is_spelled(
    given: list[tuple[str, str, object]], operator: Operator
) -> None:
    plan = Plan(form=(("a=b", operator),), key=b"k" * 32)
    text = _form([*given, ("a=b", SECRET, quote)])  # type: ignore[list-item]
    masked = _read(mask_form(text, plan, detect_nothing).text)
    assert ("a=b", SECRET) not in masked
    assert (dict(masked).get("a=b") is None) == (operator is Operator.DROP)


def test_dropped_pairs_take_one_separator_each() -> None:
    plan = Plan(form=(("x", Operator.DROP),))
    for text, left in (("x=", ""), ("x=&x=", ""), ("x=1&a", "a"), ("a&x=1", "a"), ("a&x=&b&x=", "a&b"), ("&x=&", "&")):
        assert mask_form(text, plan, detect_nothing).text == left
