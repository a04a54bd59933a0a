"""The text of a walked document with all that is due masked in it, and everything else as it was.

A string keeps what surrounds a finding. A number becomes a number of as many digits by `token`, else null; null stays;
true, false, whole objects and arrays have nothing to keep and say that they are masked. A dropped member goes with its
comma. Locations never tell a name that is masked.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from headgate.masking.formats import Counts, embedded
from headgate.masking.formats.jsondocument import Content, Document, Inner
from headgate.masking.formats.jsonlayout import Edit, Layout, Pointers
from headgate.masking.formats.jsonnames import distinct, masked_name
from headgate.masking.formats.jsonsearch import Hit
from headgate.masking.formats.scan import escape, in_range, unescape, written_out
from headgate.masking.operators import Cut, replacement, splice, whole
from headgate.masking.plan import Operator, Plan
from headgate.masking.tokens import FIELD, number_token
from headgate.model import Finding

NOTHING = frozenset({Operator.DROP, Operator.NULL})

FINDINGS = 100_000
"""Findings that are told one by one; all are counted."""

DIGITS = 100
"""Digits of the longest number that gets a token; a longer one becomes null."""

Location = tuple[str, str]
"""Where a document is, and the same with `*` for every index of an array."""


class Tally:
    """What was masked, and what was found."""

    def __init__(self) -> None:
        self.counts: Counts = Counter()
        self.findings: list[Finding] = []

    def note(self, location: str, hit: Hit, shift: int = 0) -> None:
        if len(self.findings) < FINDINGS:
            for entity, start, end, score, _ in hit.spans:
                self.findings.append(Finding(location, entity, start + shift, end + shift, score))


def rewritten(document: Document, where: Location, tally: Tally) -> str:
    """The masked text; the same object when nothing is masked."""
    edits = edits_of(document, where, tally)
    return splice(document.text, edits) if edits else document.text


def edits_of(content: Content, where: Location, tally: Tally) -> list[Edit]:
    """What to replace in the text of a document, in order."""
    if not content.touched:
        return []
    return _Rewrite(content, where, tally).edits() if isinstance(content, Document) else _prose(content, where, tally)


def _prose(prose: Content, where: Location, tally: Tally) -> list[Edit]:
    edits: list[Edit] = []
    for hit in prose.hits:
        chosen = hit.cuts(prose.plan)
        moved = [cut._replace(start=cut.start + hit.place, end=cut.end + hit.place) for cut in chosen]
        edits += [_cut(prose.text, cut, prose.plan) for cut in moved]
        for cut in moved:
            tally.counts[where[1], cut.entity, cut.operator.value] += 1
        tally.note(where[0], hit, hit.place)
    return edits


def _cut(text: str, cut: Cut, plan: Plan) -> Edit:
    if cut.operator is Operator.REDACT:
        return cut.start, cut.end, _redacted(cut.entity)
    return cut.start, cut.end, replacement(text[cut.start : cut.end], cut.entity, cut.operator, plan.key)


@lru_cache(maxsize=256)
def _redacted(entity: str) -> str:
    """One text for all of an entity: there may be very many."""
    return replacement("", entity, Operator.REDACT)


class _Rewrite:
    """`names` are those that members get in place of theirs, `gone` marks what is in a dropped member."""

    def __init__(self, document: Document, where: Location, tally: Tally) -> None:
        self._document, self._plan, self._where, self._tally = document, document.plan, where, tally
        self._layout = layout = Layout(document.text)
        masked = {~hit.place: masked_name(hit, self._plan) for hit in document.hits if hit.place < 0}
        self._names = distinct(masked, layout) if masked else {}
        self._exact, self._starred = Pointers(layout, self._names), Pointers(layout, self._names, "*")
        self._dropped = set(self._drops())
        self._gone = layout.below(self._dropped) if self._dropped else None
        self._edits: list[Edit] = []

    def edits(self) -> list[Edit]:
        for at, operator in self._document.fields.items():
            self._mask_field(at, operator)
        hits = self._document.hits
        hits.sort(key=lambda hit: (_number_of(hit), hit.place >= 0), reverse=True)
        while hits:  # given up one by one: there may be very many
            self._mask_hit(hits.pop())
        for inner in self._document.inners:
            if inner.content.touched and not self._is_gone(inner.at):
                self._mask_inner(inner)
        self._edits += self._gaps()
        self._edits.sort()
        return self._edits

    def _drops(self) -> Iterable[int]:
        """Members that go; an array keeps its length, so that null is left there."""
        for at, operator in self._document.fields.items():
            if operator is Operator.DROP and self._layout.is_member(at):
                yield at
        if all(wanted.operator is not Operator.DROP for wanted in self._plan.detect):
            return
        for hit in self._document.hits:
            at = _number_of(hit)
            if whole(hit.cuts(self._plan)).operator is Operator.DROP and self._layout.is_member(at):
                yield at

    def _is_gone(self, at: int) -> bool:
        return bool(self._gone and self._gone[at])

    def _mask_field(self, at: int, operator: Operator) -> None:
        if self._raw(at) == "null" and operator is not Operator.DROP:
            return  # which is also what stands for a number that has been masked
        if not self._is_gone(at):
            self._replace(at, self._field(at, operator))
        elif at not in self._dropped:
            return
        self._count(self._where[1] + self._starred.at(at), FIELD, operator)

    def _field(self, at: int, operator: Operator) -> str:
        if operator in NOTHING:
            return "null"
        raw = self._raw(at)
        if raw[0] in "-0123456789":
            return self._number(raw, FIELD, operator)
        if raw[0] != '"':
            return f'"{replacement("", FIELD, Operator.REDACT)}"'
        return f'"{escape(replacement(unescape(raw), FIELD, operator, self._plan.key))}"'

    def _mask_hit(self, hit: Hit) -> None:
        is_name = hit.place < 0
        at = _number_of(hit)
        here, starred = self._location(at, "|key" if is_name else "")
        self._tally.note(here, hit)
        chosen = hit.cuts(self._plan)
        decisive = chosen[0] if len(chosen) == 1 else whole(chosen)
        if self._is_gone(at) and (at not in self._dropped or decisive.operator is not Operator.DROP):
            return
        is_number = not is_name and self._layout.text[self._layout.starts[at]] != '"'
        for cut in [decisive] if is_number or decisive.operator in NOTHING else chosen:
            self._count(starred, cut.entity, cut.operator)
        if self._is_gone(at):
            return
        if is_name:
            self._rename(at, hit, chosen, decisive)
        elif decisive.operator in NOTHING:
            self._replace(at, "null")
        elif is_number:
            self._replace(at, self._number(self._raw(at), decisive.entity, decisive.operator))
        else:
            self._within(at, [_cut(hit.text, cut, self._plan) for cut in chosen])

    def _rename(self, at: int, hit: Hit, chosen: list[Cut], decisive: Cut) -> None:
        start, end, new = self._layout.outers[at], self._layout.name_end(at), self._names[at]
        if decisive.operator in NOTHING:
            self._edits.append((start, end, f'"{escape(new)}"'))
            return
        edits = [_cut(hit.text, cut, self._plan) for cut in chosen]
        number = new[len(splice(hit.text, edits)) :]
        self._edits += [*self._layout.respelled(start, end, edits), (end - 1, end - 1, number)]

    def _number(self, spelled: str, entity: str, operator: Operator) -> str:
        """A number of as many digits as one has when it is written out, or, if those are too many, as it is spelled."""
        if operator is not Operator.TOKEN:
            return "null"
        mantissa = spelled.lower().partition("e")[0]
        for value in (written_out(spelled) if in_range(spelled) else mantissa, mantissa):
            if sum(map(str.isdigit, value)) <= DIGITS:
                return number_token(value, entity, self._plan.key)
        return "null"

    def _mask_inner(self, inner: Inner) -> None:
        here, starred = self._location(inner.at, "|base64" if inner.spelling else "|json")
        edits = edits_of(inner.content, (here, starred), self._tally)
        if not edits:
            return
        shift = len(embedded.MARK) if inner.marked else 0
        if inner.spelling:
            text = embedded.MARK * inner.marked + splice(inner.content.text, edits)
            self._replace(inner.at, f'"{escape(embedded.encode(text, inner.spelling))}"')
        else:
            self._within(inner.at, [(start + shift, end + shift, new) for start, end, new in edits])

    def _raw(self, at: int) -> str:
        return self._layout.text[self._layout.starts[at] : self._layout.ends[at]]

    def _replace(self, at: int, new: str) -> None:
        self._edits.append((self._layout.starts[at], self._layout.ends[at], new))

    def _within(self, at: int, edits: list[Edit]) -> None:
        self._edits += self._layout.respelled(self._layout.starts[at], self._layout.ends[at], edits)

    def _location(self, at: int, of: str = "") -> Location:
        return self._where[0] + self._exact.at(at) + of, self._where[1] + self._starred.at(at) + of

    def _count(self, location: str, entity: str, operator: Operator) -> None:
        self._tally.counts[location, entity, operator.value] += 1

    def _gaps(self) -> Iterable[Edit]:
        """What dropped members leave: each goes with the comma before it, or after it while none before is kept."""
        layout, dropped = self._layout, self._dropped
        holed = {layout.parents[at] for at in dropped if not self._is_gone(layout.parents[at])}
        for members in (layout.children(holed) if holed else {}).values():
            kept = False
            for index, at in enumerate(members):
                if at not in dropped:
                    kept = True
                elif kept:
                    yield layout.ends[members[index - 1]], layout.ends[at], ""
                else:
                    following = members[index + 1 : index + 2]
                    yield layout.outers[at], layout.outers[following[0]] if following else layout.ends[at], ""


def _number_of(hit: Hit) -> int:
    """The value that was found in, or that stands under the name that was."""
    return hit.place if hit.place >= 0 else ~hit.place
