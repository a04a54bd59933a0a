"""Masking of XML 1.0 (text/xml, application/xml, RSS, SOAP, SVG, XHTML): text, attributes, CDATA, comments and all.

A document must be well-formed and may not define entities, for what a reference stands for would depend on its reader.
Expat is the judge of that, and has to accept the result, too. Names are asked for by their local part: an element so
named loses all its content, and its attributes their values; so does one that such a name is given to (`key="ssn"`).

A value may be split by child elements, references, CDATA sections and comments. So all text inside an element that has
text of its own reads as one; the text of elements that merely hold others does not, for these are records. Namespace
declarations are not read. Names are looked at where `keys` says so, and cannot be masked.
"""

import re

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.references import (
    Decode,
    no_references,
    write_attribute,
    write_comment,
    write_text,
    xhtml_pieces,
    xml_pieces,
)
from headgate.masking.formats.runs import Part, Run, as_written
from headgate.masking.formats.xmltokens import ATTRIBUTE, TOKEN, attribute_span, check, is_namespace, local, with_text
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan

DEPTH = 10_000
"""Elements nested more deeply are not masked."""

STEPS = 12
"""Names that a location tells."""

FLOWING = frozenset({"p", "text"})
"""Elements whose text reads as one even if all of it is in children: paragraphs, lines of SVG made of `tspan`."""

XHTML_FLOWING = FLOWING | {"a", "caption", "dd", "dt", "label", "li", "span", "td", "th"}
XHTML_LEFT_ALONE = frozenset({"script", "style"})

WRITERS = {"comment": write_comment, "doctype": write_attribute}
FLOWS = frozenset({"text", "cdata"})
NAMING = ("name", "key", "id")
"""Attributes that tell what the value of an element is called."""

NAMED = frozenset({"value", "content"})


def mask_xml(text: str, plan: Plan, detect: Detect, *, xhtml: bool = False) -> Masked:
    refuse_large(text.count("<") + text.count("&"))
    check(text)
    masked = _Document(text, plan, detect, xhtml=xhtml).masked()
    if masked.text is not text:
        check(masked.text)
    return masked


class _Element:
    """One that is open. `key` is what its content is called; of one that is `asked` for nothing is left of that.

    `start` and `inner` are where its start tag begins and ends. `texts` is what one that is asked for says, None when
    it has children.
    """

    __slots__ = ("asked", "inner", "key", "name", "path", "start", "texts")

    def __init__(self, name: str, given: str, path: str, span: tuple[int, int], operator: Operator | None) -> None:
        self.name, self.key, self.path, self.asked = name, f"{name} {given}" if given else name, path, operator
        self.start, self.inner = span
        self.texts: list[str] | None = []


class _Document:
    def __init__(self, text: str, plan: Plan, detect: Detect, *, xhtml: bool) -> None:
        self._text, self._plan, self._edits = text, plan, Edits(plan, detect)
        self._decode: Decode = xhtml_pieces if xhtml else xml_pieces
        self._left_alone = XHTML_LEFT_ALONE if xhtml else frozenset[str]()
        self._always = XHTML_FLOWING if xhtml else FLOWING
        self._fields = asked(plan)
        self._flowing, self._number = set(with_text(text)), -1
        self._open: list[_Element] = []
        self._hidden: _Element | None = None
        self._flow: tuple[_Element, list[Part]] | None = None
        self._runs: list[Run] = []
        self._names: set[str] = set()

    def masked(self) -> Masked:
        for token in TOKEN.finditer(self._text):
            kind = str(token.lastgroup)
            if kind == "attributes":
                self._start(token)
            elif kind == "close":
                self._end(*token.span())
            else:
                self._content(kind, *token.span(kind))
        if self._plan.keys:
            self._refuse_names()
        self._edits.mask_runs(self._runs)
        self._edits.made = [self._apart(*edit) for edit in self._edits.made]
        return self._edits.masked(self._text)

    def _apart(self, start: int, end: int, new: str) -> tuple[int, int, str]:
        """In a CDATA section, what ends in a bracket must not end the section with what follows."""
        if not new.endswith("]") or not self._text.startswith("]>", end):
            return start, end, new
        in_section = self._text.rfind("<![CDATA[", 0, start) > self._text.rfind("]]>", 0, start)
        return start, end, f"{new}]]><![CDATA[" if in_section else new

    # -- what stands between tags

    def _content(self, kind: str, start: int, end: int) -> None:
        above = self._open[-1] if self._open else None
        if (above and above.name in self._left_alone) or self._text.startswith("<?xml ", start - 2):
            return
        if kind == "text":
            pieces, write = self._decode(self._text, start, end), write_text
        else:
            write = WRITERS.get(kind, as_written)
            pieces = no_references(self._text, start, end)
        part = Part(pieces, above.key if above else "", above.path if above else "", write)
        if self._hidden:
            if kind in FLOWS and self._hidden.texts is not None:
                self._hidden.texts += [piece.text for piece in pieces]
        elif kind not in FLOWS:
            self._runs.append(Run([part]))
        elif self._flow:
            self._flow[1].append(part)

    # -- tags

    def _start(self, token: re.Match[str]) -> None:
        self._number += 1
        name, attributes = local(token["open"]), list(ATTRIBUTE.finditer(self._text, *token.span("attributes")))
        if self._hidden:
            self._hidden.texts = None
        naming = [self._value(found) for wanted in NAMING for found in attributes if local(found["name"]) == wanted]
        given = naming[0] if naming else ""
        operator = next((self._fields[known] for known in (name, *naming) if known in self._fields), None)
        element = _Element(name, given, self._path(name), token.span(), None if self._hidden else operator)
        closed = token["attributes"].endswith("/")
        if not self._hidden:
            self._names |= {name, *(local(found["name"]) for found in attributes)}
            self._mask_start(element, attributes, closed=closed)
        if not closed:
            self._enter(element)

    def _enter(self, element: _Element) -> None:
        if len(self._open) >= DEPTH:
            raise CannotMask("nested-too-deeply")
        if element.asked:
            self._hidden = element
        if not self._flow and (self._number in self._flowing or element.name in self._always):
            self._flow = element, []
        self._open.append(element)

    def _end(self, start: int, end: int) -> None:
        element = self._open.pop()
        if self._hidden is element:
            self._hide(element, start, end)
            self._hidden = None
        if self._flow and self._flow[0] is element:
            self._runs.append(Run(self._flow[1]))
            self._flow = None

    def _path(self, name: str) -> str:
        above = self._open[-1].path if self._open else ""
        return f"{above}/{told(name)}" if len(self._open) < STEPS else above

    # -- fields

    def _goes(self, element: _Element) -> bool:
        """Whether all of an element is dropped: a document cannot be without its root."""
        return element.asked is Operator.DROP and bool(self._open)

    def _mask_start(self, element: _Element, attributes: list[re.Match[str]], *, closed: bool) -> None:
        if self._goes(element):
            if closed:
                self._edits.field("", Operator.DROP, element.path)
                self._edits.made.append((element.start, element.inner, ""))
            return
        for attribute in attributes:
            if not is_namespace(attribute["name"]):
                self._mask_attribute(element, attribute)

    def _mask_attribute(self, element: _Element, attribute: re.Match[str]) -> None:
        name, (start, end) = local(attribute["name"]), attribute_span(attribute)
        location = f"{element.path}@{told(name)}"
        names_it = name in NAMING and self._value(attribute) in self._fields
        of_element = None if names_it or attribute["name"].startswith("xml:") else element.asked
        operator = self._fields.get(name) or of_element
        if operator is None:
            key = element.key if name in NAMED else name
            self._runs.append(Run([Part(self._decode(self._text, start, end), key, location, write_attribute)]))
            return
        new = self._edits.field(self._value(attribute), operator, location)
        if operator is Operator.DROP:
            self._edits.made.append((*attribute.span(), ""))
        else:
            self._edits.made.append((start, end, write_attribute(new)))

    def _hide(self, element: _Element, close: int, end: int) -> None:
        operator = element.asked or Operator.REDACT
        if self._goes(element):
            self._edits.field("", operator, element.path)
            self._edits.made.append((element.start, end, ""))
        elif close > element.inner:
            kept = operator if element.texts is not None or operator is Operator.NULL else Operator.REDACT
            new = self._edits.field("".join(element.texts or ()), kept, element.path)
            self._edits.made.append((element.inner, close, write_text(new)))

    def _value(self, attribute: re.Match[str]) -> str:
        return "".join(piece.text for piece in self._decode(self._text, *attribute_span(attribute)))

    def _refuse_names(self) -> None:
        found = self._edits.detect([Leaf(name, "") for name in sorted(self._names)])
        if any(self._plan.operator(span) for spans in found for span in spans):
            raise CannotMask("name-not-maskable")
