"""Properties of masked HTML: it says what it said before, but for what was masked, and has the same tags."""

import html
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.htmltext import mask_html
from headgate.masking.formats.htmltokens import Kind, tokens
from headgate.masking.formats.references import html_attribute, html_preformatted
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))

words = st.text("ab<>&'\"=-/\u00e9\U0001f600", max_size=6)
texts = words | st.builds(lambda before, after: before + SECRET + after, words, words)


def _referenced(text: str) -> str:
    return "".join(f"&#{ord(character)};" if at % 2 else f"&#x{ord(character):x};" for at, character in enumerate(text))


spelled = st.builds(lambda spell, text: spell(text), st.sampled_from([html.escape, _referenced]), texts)
names = st.sampled_from(["p", "b", "div", "textarea", "td", "span"])
markup = st.recursive(
    spelled | st.just("<br>") | st.just("<!-- a -->"),
    lambda inner: st.builds(
        lambda name, value, content: f"<{name} title='{value}' x={_referenced(value) or 1}>{''.join(content)}</{name}>",
        names,
        spelled.map(lambda value: value.replace("'", "&apos;")),
        st.lists(inner, max_size=3),
    ),
).map(lambda inner: f"<main>{inner}</main>")


class _Reader(HTMLParser):
    """What another parser sees: attributes, and text between tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[tuple[Any, ...]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += [(tag,), *((tag, name, value or "") for name, value in attrs)]

    def handle_data(self, data: str) -> None:
        if data:
            self.seen.append(("", data))


@given(markup)
def test_only_what_was_found_changes_for_another_parser(find_words: Callable[..., Detect], text: str) -> None:
    masked = _Reader(mask_html(text, PLAN, find_words(SECRET)).text).seen
    assert [seen[:-1] for seen in masked if seen[0]] == [seen[:-1] for seen in _Reader(text).seen if seen[0]]
    expected = [(*seen[:-1], seen[-1].replace(SECRET, "[EMAIL_ADDRESS]")) for seen in _Reader(text).seen]
    if all(SECRET not in "".join(pair) for pair in _joins(text)):
        assert masked == expected
    assert not any(SECRET in str(part) for seen in masked for part in seen)


def _joins(text: str) -> list[tuple[str, str]]:
    """Texts that stand next to each other: what is found in two of them together changes both."""
    data = [seen[1] for seen in _Reader(text).seen if not seen[0]]
    return [(one[-12:], other[:12]) for one, other in pairwise(data)]


@given(markup | st.text("<>/!-[]?a=\"' &;") | st.text())
def test_what_holds_nothing_goes_on_as_the_same_object(text: str) -> None:
    assert mask_html(text, PLAN, detect_nothing).text is text


@given(st.text("<>/!-a=\"' &;\n") | markup | st.text())
def test_tokens_are_all_of_the_source_in_order(text: str) -> None:
    at = 0
    for token in tokens(text):
        assert token.start == at
        assert token.start <= token.inner <= token.stop <= token.end
        at = token.end
    assert at == len(text)


@given(st.text("<>/!-a=\"' &;\n"), st.text("<>/!-a=\"' &;\n"))
def test_nothing_that_was_found_is_left_in_what_is_hardly_html(
    find_words: Callable[..., Detect], before: str, after: str
) -> None:
    text = f"{before}{SECRET}{after}"
    try:
        masked = mask_html(text, PLAN, find_words(SECRET)).text
    except CannotMask as cannot:
        assert cannot.reason == "markup-changed"  # noqa: PT017 (both ways are right)
    else:
        assert SECRET not in masked


@given(st.text("&#xX0123;ltamp=copyno t"))
def test_references_are_read_as_the_standard_library_does(text: str) -> None:
    read = "".join(piece.text for piece in html_preformatted(text, 0, len(text)))
    assert read == html.unescape(text) or "\ufffd" in html.unescape(text)


def test_a_reference_without_semicolon_is_none_in_an_attribute_where_a_name_could_go_on() -> None:
    def read(text: str) -> str:
        return "".join(piece.text for piece in html_attribute(text, 0, len(text)))

    assert read("?a&copy=1&copy2&copy;=&copy &lt&notit;") == "?a&copy=1&copy2\u00a9=\u00a9 <&notit;"


def test_a_reference_of_any_length_is_read() -> None:
    for text, read in (("&#" + "0" * 9000 + "64;", "@"), ("&#" + "9" * 9000 + ";", None), ("&" + "a" * 9000, None)):
        assert "".join(piece.text for piece in html_preformatted(text, 0, len(text))) == (read or text)


@pytest.mark.parametrize(
    "split",
    [
        "ana@<b>x</b>.example",
        "ana<!-- x -->@x.example",
        "ana&#64<wbr>x&period;example",
        "<i>ana</i>@<my-tag>x.</my-tag><script>1</script>example",
        "ana&shy;@x\u200b.example",
        "<svg><![CDATA[ana]]>@x.example</svg>",
        "<b>ana@</b></noscript></iframe>x.example",
    ],
)
def test_a_value_is_found_however_it_is_split(find_words: Callable[..., Detect], split: str) -> None:
    masked = mask_html(f"<p>to {split}!", PLAN, find_words(SECRET)).text
    left = "".join(
        masked[token.inner : token.stop] for token in tokens(masked) if token.kind in (Kind.TEXT, Kind.SECTION)
    )
    assert left == "to [EMAIL_ADDRESS]!"


@pytest.mark.parametrize(
    "hidden",
    [
        "<svg><script/></svg>{}",
        "<svg><style>{}</svg>",
        "<svg><style><p>{}",
        "<math><title>{}",
        "<script/>{}",
        "<script><!--<script></script>{}",
        "<noscript><style></noscript>{}",
        "<noscript><!-- </noscript>{} -->",
        "<iframe><script></iframe>{}",
        "<style></style >{}",
        "<STYLE></sTyLe\n>{}",
        "<xmp><b>{}",
        "<plaintext>{}",
        "<a b='</a>'>{}",
        '<a b="{}',
        "<!-- {}",
        "<!-->{}",
        "<!--->{}",
        "<!-- --!>{}",
        "<!x {}>",
        "<?x {}",
        "</ {}>",
        "</>{}",
        '<a ="{}">',
        "<a b=c/{}>",
        "<{}>",
        "<a{}>",
        "<a/{}/>",
        "<p><{}",
        "<script type=text/x-template><p title='{}'></script>",
        "<template>{}</template>",
        "<iframe srcdoc='{}'></iframe>",
        "<meta name=a content='{}'>",
        "<a onclick='f(\"{}\")'>",
    ],
)
def test_no_quirk_hides_a_value(find_words: Callable[..., Detect], hidden: str) -> None:
    assert SECRET not in mask_html(hidden.format(SECRET), PLAN, find_words(SECRET)).text


@pytest.mark.parametrize(
    "unit", ["<a>", "<a b='", "<!--", "<![CDATA[", "</", "&amp", "<title>", "<noscript><style>", "<"]
)
def test_work_grows_with_the_page_alone(unit: str) -> None:
    seen = []

    def detect(leaves: list[Leaf]) -> list[list[Span]]:
        seen.append(sum(len(leaf.text) + 1 for leaf in leaves))
        return [[] for _ in leaves]

    for size in (20_000, 80_000):
        mask_html(f"<p>x{unit * size}", PLAN, detect)  # type: ignore[arg-type]
    small, large = seen[0], seen[-1]
    assert large < 4.8 * small


def test_pages_in_pages_end_somewhere() -> None:
    page = "x"
    for _ in range(5):
        page = f'<iframe srcdoc="{html.escape(page)}">'
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        mask_html(page, PLAN, detect_nothing)
