"""Masking of JSON: fields by JSONPath (RFC 9535), then detection in every string and number that is left.

What is masked stays valid JSON. A string keeps what surrounds a finding; a number becomes a string, since a mask has
no digits. A container at a masked location is replaced as a whole, member names and all; names of other members are
not masked. A document that repeats a member is not masked by field: parsers disagree on which one counts.
"""

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535 import compile as compile_path

from headgate.masking.formats import Counts, Masked
from headgate.masking.formats.scan import Node, offsets, read, scan, unescape
from headgate.masking.operators import FIELD, Cut, cuts, replacement, splice, whole
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan
from headgate.model import Finding

EXPONENT = 3
"""Digits of an exponent, not counting zeros before them; with more, a number written out could be of any length."""

query = lru_cache(maxsize=1024)(compile_path)


def mask_json(text: str, plan: Plan, detect: Detect, prefix: str = "") -> Masked:
    """Mask one JSON text; `prefix` stands before each location. Counts have `*` for each index of an array."""
    value = read(text)
    document = _Document(text, plan, prefix)
    if plan.paths:
        document.mask_fields(value)
    if plan.detect:
        document.mask_findings(detect)
    return Masked(document.rewrite(), document.counts, tuple(document.findings))


def mask_lines(text: str, plan: Plan, detect: Detect) -> Masked:
    """Mask newline-delimited JSON: each line that is not blank is a document, `/LINE` before its locations."""
    lines = text.split("\n")
    counts: Counts = Counter()
    findings: list[Finding] = []
    for number, line in enumerate(lines):
        if line.strip(" \t\r"):
            lines[number], found, spans = mask_json(line, plan, detect, f"/{number}")
            counts += found
            findings += spans
    return Masked("\n".join(lines) if counts else text, counts, tuple(findings))


class _Document:
    """A scanned text and what becomes of its nodes: the text that replaces each, or None for a member to drop."""

    def __init__(self, text: str, plan: Plan, prefix: str) -> None:
        self._text, self._plan, self._prefix = text, plan, prefix
        self._root = scan(text)
        self._edits: dict[Node, str | None] = {}
        self._members: dict[Node, dict[str | int, Node]] = {}
        self.counts: Counts = Counter()
        self.findings: list[Finding] = []

    def mask_fields(self, value: Any) -> None:
        _refuse_repeated_members(self._root)
        chosen: dict[Node, Operator] = {}
        for path, operator in self._plan.paths:
            for node in self._find(path, value):
                chosen[node] = min(operator, chosen.get(node, operator), key=lambda known: known.rank)
        for node, operator in chosen.items():
            if not _inside(node, chosen):
                self._edit(node, self._field(node, operator), operator)
                self._count(node, FIELD, operator)

    def mask_findings(self, detect: Detect) -> None:
        leaves = [(node, Leaf(self._value(node), node.key)) for node in self._leaves()]
        for (node, leaf), spans in zip(leaves, detect([leaf for _, leaf in leaves]), strict=True):
            if not spans:
                continue
            self.findings += [Finding(self._prefix + node.pointer(), *span) for span in spans]
            if chosen := cuts(spans, self._plan):
                self._mask_leaf(node, leaf.text, chosen)

    def rewrite(self) -> str:
        """The text with every edit made; commas of dropped members go with them."""
        if not self._edits:
            return self._text
        edits = [(node.start, node.end, new) for node, new in self._edits.items() if new is not None]
        holed = {node.parent: None for node, new in self._edits.items() if new is None}
        for parent in holed:
            edits += [(start, end, "") for start, end in _gaps(parent, self._edits)]
        return splice(self._text, sorted(edits))

    def _find(self, path: str, value: Any) -> Iterable[Node]:
        try:
            return [self._locate(found.location) for found in query(path).finditer(value)]
        except JSONPathError:
            raise CannotMask("path-not-evaluated") from None

    def _locate(self, location: Iterable[str | int]) -> Node:
        node = self._root
        for name in location:
            if isinstance(name, int):
                node = node.children[name]
            else:
                if node not in self._members:
                    self._members[node] = {child.name: child for child in node.children}
                node = self._members[node][name]
        return node

    def _field(self, node: Node, operator: Operator) -> str:
        if node.is_container:
            return json.dumps(replacement("", FIELD, Operator.REDACT))
        return json.dumps(replacement(self._value(node), FIELD, operator))

    def _mask_leaf(self, node: Node, value: str, chosen: list[Cut]) -> None:
        decisive = whole(chosen)
        if node.is_number or decisive.operator in (Operator.DROP, Operator.NULL):
            chosen = [decisive]
            new = json.dumps(replacement(value, decisive.entity, decisive.operator))
        else:
            new = self._spliced(node, value, chosen)
        self._edit(node, new, decisive.operator)
        for cut in chosen:
            self._count(node, cut.entity, cut.operator)

    def _spliced(self, node: Node, value: str, chosen: list[Cut]) -> str:
        """The string with its findings replaced and all else spelled as it was."""
        raw = self._text[node.start + 1 : node.end - 1]
        at = offsets(raw) if "\\" in raw else range(len(raw) + 1)
        new = ((cut, json.dumps(replacement(value[cut.start : cut.end], cut.entity, cut.operator))) for cut in chosen)
        return f'"{splice(raw, ((at[cut.start], at[cut.end], quoted[1:-1]) for cut, quoted in new))}"'

    def _edit(self, node: Node, new: str, operator: Operator) -> None:
        if operator is Operator.DROP and node.parent is not None and node.parent.kind == "{":
            self._edits[node] = None
        else:
            self._edits[node] = "null" if operator in (Operator.DROP, Operator.NULL) else new

    def _count(self, node: Node, entity: str, operator: Operator) -> None:
        location = ("/*" if self._prefix else "") + node.pointer("*")
        self.counts[location, entity, operator.value] += 1

    def _leaves(self) -> Iterable[Node]:
        """Strings and numbers that no field mask has replaced."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node in self._edits:
                continue
            waiting.extend(reversed(node.children))
            if node.kind == '"' or node.is_number:
                yield node

    def _value(self, node: Node) -> str:
        raw = self._text[node.start : node.end]
        return unescape(raw) if node.kind == '"' else _written_out(raw)


def _written_out(number: str) -> str:
    """A number as it is usually written: 4.111111111111111e15 is a card number, too; true, false and null stay."""
    _, sign, exponent = number.lower().partition("e")
    if not sign or number[0] in "tfn":
        return number
    if len(exponent.lstrip("+-").lstrip("0")) > EXPONENT:
        raise CannotMask("number-out-of-range")
    return f"{Decimal(number):f}"


def _refuse_repeated_members(root: Node) -> None:
    for node in root.descend():
        if node.kind == "{" and len({child.name for child in node.children}) < len(node.children):
            raise CannotMask("repeated-member")


def _inside(node: Node, chosen: dict[Node, Operator]) -> bool:
    parent = node.parent
    while parent is not None and parent not in chosen:
        parent = parent.parent
    return parent is not None


def _gaps(parent: Node | None, edits: dict[Node, str | None]) -> Iterable[tuple[int, int]]:
    """The spans that dropped members leave: each with the comma before it, or after it while none before is kept."""
    members = parent.children if parent else []
    kept = False
    for at, member in enumerate(members):
        if edits.get(member, "") is not None:
            kept = True
        elif kept:
            yield members[at - 1].end, member.end
        else:
            yield member.outer, members[at + 1].outer if at + 1 < len(members) else member.end
