"""The grammar of XML 1.0 as far as masking needs it, for documents that expat has found to be well-formed."""

import re
from collections.abc import Iterator
from xml.parsers import expat

from headgate.masking.plan import CannotMask

TOKEN = re.compile(
    r"<!--(?P<comment>.*?)-->|<!\[CDATA\[(?P<cdata>.*?)\]\]>|<\?(?P<instruction>.*?)\?>"
    r"|<!(?P<doctype>[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*)>"
    r"|</(?P<close>[^\s>]+)\s*>"
    r"|<(?P<open>[^\s/>]+)(?P<attributes>[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*)>|(?P<text>[^<]+)",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"\s*(?P<name>[^\s=]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')")


def check(text: str) -> None:
    """CannotMask unless this is a well-formed document without declarations of its own."""
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse_subset
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError:
        raise CannotMask("xml-malformed") from None


def _refuse_subset(_name: str, _system: str | None, _public: str | None, has_subset: int) -> None:
    if has_subset:
        raise CannotMask("xml-doctype")


def _refuse_entity(*_declaration: object) -> None:
    raise CannotMask("xml-doctype")


def local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]


def is_namespace(name: str) -> bool:
    """Whether an attribute declares a namespace, which is part of names."""
    return name == "xmlns" or name.startswith("xmlns:")


def attribute_span(attribute: re.Match[str]) -> tuple[int, int]:
    """Where the value stands, without its quotes."""
    return attribute.span("double" if attribute["double"] is not None else "single")


def with_text(text: str) -> Iterator[int]:
    """The elements that have text of their own, by how many start tags come before theirs."""
    number, opened = -1, list[int]()
    for token in TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "attributes":
            number += 1
            if not token["attributes"].endswith("/"):
                opened.append(number)
        elif kind == "close":
            opened.pop()
        elif kind in ("text", "cdata") and opened and token[kind].strip():
            yield opened[-1]
