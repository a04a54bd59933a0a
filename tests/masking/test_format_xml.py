"""Properties of masked XML: it is the same document as before, but for what was masked; what is no XML is refused."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.xmltext import mask_xml
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))

words = st.text("ab <>&'\"]-\u00e9\U0001f600", max_size=6)
texts = words | st.builds(lambda before, after: before + SECRET + after, words, words)


def _referenced(text: str) -> str:
    return "".join(f"&#{ord(character)};" if at % 2 else f"&#x{ord(character):X};" for at, character in enumerate(text))


def _section(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', '')}]]>"


spelled = st.builds(lambda spell, text: spell(text), st.sampled_from([escape, _referenced, _section]), texts)
attributes = st.dictionaries(st.sampled_from(["n", "x:n", "xml:lang"]), texts, max_size=2)
between = st.sampled_from(["", "<!-- a -->", "<?p a?>", "\n "])


def _element(name: str, given: dict[str, str], content: list[str]) -> str:
    written = "".join(f" {key}={quoteattr(value)}" for key, value in given.items())
    return f"<{name}{written}>{''.join(content)}</{name}>" if content else f"<{name}{written} />"


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    content = st.lists(inner | spelled | between, max_size=4)
    return st.builds(_element, st.sampled_from(["a", "p", "x:b"]), attributes, content)


documents = st.recursive(st.builds(_element, st.just("c"), attributes, st.lists(spelled, max_size=2)), _nested).map(
    lambda inner: f'<?xml version="1.0"?><r xmlns:x="urn:x">{inner}</r>'
)


def _values(text: str) -> Iterator[str]:
    for element in ElementTree.fromstring(text).iter():  # noqa: S314 - a document of our own
        yield from element.attrib.values()
        yield "".join(element.itertext())


def _shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    found = ElementTree.fromstring(text).iter()  # noqa: S314 - a document of our own
    return [(element.tag, tuple(element.attrib)) for element in found]


@given(documents)
def test_nothing_that_was_found_is_left_and_the_document_keeps_its_shape(
    find_words: Callable[..., Detect], text: str
) -> None:
    masked = mask_xml(text, PLAN, find_words(SECRET)).text
    assert _shape(masked) == _shape(text)
    assert list(_values(masked)) == [value.replace(SECRET, "[EMAIL_ADDRESS]") for value in _values(text)]


@given(documents)
def test_what_holds_nothing_goes_on_as_the_same_object(text: str) -> None:
    assert mask_xml(text, PLAN, detect_nothing).text is text


@given(documents, st.sampled_from(list(Operator)))
def test_an_element_that_is_asked_for_says_nothing_any_more(text: str, operator: Operator) -> None:
    plan = Plan(paths=(("$..c", operator), ("$..n", operator)), key=b"k" * 32)
    masked = ElementTree.fromstring(mask_xml(text, plan, detect_nothing).text)  # noqa: S314 - a document of our own
    for element in masked.iter("c"):
        assert SECRET not in "".join(element.itertext())
        assert operator is not Operator.DROP
    for element in masked.iter():
        assert not any(name.endswith("n") and SECRET in value for name, value in element.attrib.items())


@given(st.text("<>/!-[]?a=\"' &;") | st.text())
def test_any_text_is_masked_or_refused(text: str) -> None:
    try:
        masked = mask_xml(text, PLAN, detect_nothing)
    except CannotMask as cannot:
        assert cannot.reason in {"xml-malformed", "xml-doctype", "xml-entity"}  # noqa: PT017 (both ways are right)
    else:
        assert masked.text is text


@pytest.mark.parametrize(
    "split",
    [
        "ana@<b>x</b>.example",
        "ana<!-- x -->@x.example",
        "ana@x<![CDATA[.exam]]>ple",
        "<i>ana</i>@<i>x.</i><i>example</i>",
        "ana&#0064;x.<?y z?>example",
        "ana@<b/>x.example",
        "ana&#xAD;@x&#8203;.example",
    ],
)
def test_a_value_is_found_however_it_is_split(find_words: Callable[..., Detect], split: str) -> None:
    masked = mask_xml(f"<r>to {split}!</r>", PLAN, find_words(SECRET)).text
    assert "".join(ElementTree.fromstring(masked).itertext()) == "to [EMAIL_ADDRESS]!"  # noqa: S314 - our own


def test_work_grows_with_the_document_alone() -> None:
    seen = []

    def detect(leaves: list[Leaf]) -> list[list[Span]]:
        seen.append(sum(len(leaf.text) for leaf in leaves))
        return [[] for _ in leaves]

    for size in (1_000, 4_000):
        mask_xml(f"<r>{'<a>' * size}x{'</a>' * size}{'<b>y<i>z</i></b>' * size}</r>", PLAN, detect)  # type: ignore[arg-type]
    small, large = seen
    assert large < 4.2 * small


def test_elements_nested_without_end_are_refused() -> None:
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        mask_xml("<a>" * 10_001 + "</a>" * 10_001, PLAN, detect_nothing)


def test_a_mask_that_would_end_a_section_is_refused(find_words: Callable[..., Detect]) -> None:
    plan = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.NULL),))
    with pytest.raises(CannotMask, match="xml-malformed"):
        mask_xml("<r><![CDATA[]X]>]]></r>", plan, find_words("X"))
