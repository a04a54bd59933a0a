"""Masking of tables: CSV (RFC 4180) and TSV, each cell a value under the name of its column.

Columns are asked for by `column:NAME` or a path that is but a name; a name in the header matches whatever its case and
the blanks around it. Nothing is found across cells. The delimiter of CSV is a comma, semicolon, tab or bar: whichever
the header has most of, or the one that a first line `sep=;` names. What this grammar cannot read, or another reader
could read otherwise, is withheld when a column is asked for, and masked as plain text when none is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.runs import Part, Piece, Run, as_written
from headgate.masking.plan import CannotMask, Detect, Operator, Plan

DELIMITERS = ",;\t|"
TAB = "\t"

_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(\r\n|\n|\r)", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')
_DOUBLED = re.compile('""')
_APART = re.compile(r"[^\w .()/-]+")
"""What may part names by a delimiter that is not known here, or stands around one as a mark of a comment or a quote."""


class _UnreadableError(Exception):
    """The text is no table that all readers read alike."""


class Cell(NamedTuple):
    """source[start:end] is the cell, its quotes included."""

    start: int
    end: int
    quoted: bool


class Grammar(NamedTuple):
    """`start` is where the first row begins. TSV knows no quotes (IANA text/tab-separated-values)."""

    delimiter: str
    quotes: bool
    start: int

    def quoted(self, text: str) -> str:
        """A cell, in quotes if it needs them."""
        if self.quotes and any(character in text for character in f'{self.delimiter}"\r\n'):
            return f'"{_doubled(text)}"'
        return text


def mask_csv(text: str, plan: Plan, detect: Detect, *, headed: bool = True) -> Masked:
    """`headed` is false where the type says `header=absent`."""
    fields = {_folded(name): operator for name, operator in asked(plan, plan.columns).items()}
    return _mask(text, plan, detect, fields, _csv_grammar(text, fields), headed=headed)


def mask_tsv(text: str, plan: Plan, detect: Detect) -> Masked:
    fields = {_folded(name): operator for name, operator in asked(plan, plan.columns).items()}
    return _mask(text, plan, detect, fields, Grammar(TAB, False, _first_row(text)), headed=True)


def _mask(
    text: str, plan: Plan, detect: Detect, fields: Mapping[str, Operator], grammar: Grammar | None, *, headed: bool
) -> Masked:
    try:
        if grammar is None or (fields and not headed):
            raise _UnreadableError
        table = _Table(text, plan, detect, fields, grammar, headed=headed)
        return table.masked()
    except _UnreadableError:
        if fields:
            raise CannotMask("table-unreadable") from None
        return mask_text(text, plan, detect)


class _Table:
    def __init__(
        self, text: str, plan: Plan, detect: Detect, fields: Mapping[str, Operator], grammar: Grammar, *, headed: bool
    ) -> None:
        refuse_large(sum(map(text.count, (grammar.delimiter, "\n", "\r"))))
        self._text, self._plan, self._fields, self._grammar = text, plan, fields, grammar
        self._edits, self._quoted = Edits(plan, detect), grammar.quoted
        self._told: dict[int, str] = {}
        self._rows = list(_rows(text, grammar))
        self._names = [self._value(cell).strip() for cell in self._rows[0]] if headed and self._rows else []
        self._chosen = {at: fields[_folded(name)] for at, name in enumerate(self._names) if _folded(name) in fields}
        self._headed = headed
        cells = (cell for row in self._rows for cell in row)
        if fields and not self._chosen and any(_folded(self._value(cell)) in fields for cell in cells):
            raise _UnreadableError  # the names stand further down, or beside their values
        others = (name for at, name in enumerate(self._names) if at not in self._chosen)
        if fields and any(_folded(part) in fields for name in others for part in _APART.split(name)):
            raise _UnreadableError  # a column that is asked for stands within another one's name

    def masked(self) -> Masked:
        runs: list[Run] = []
        for number, row in enumerate(self._rows):
            self._refuse_shifted(row)
            for at, cell in enumerate(row):
                operator = self._chosen.get(at) if number or not self._headed else None
                if operator and (len(row) > 1 or cell.end > cell.start):
                    self._mask_cell(cell, at, operator)
                elif cell.end > cell.start:
                    runs.append(self._run(cell, at, self._name(at) if number else ""))
        self._edits.mask_runs(runs)
        return self._edits.masked(self._text)

    def _refuse_shifted(self, row: Sequence[Cell]) -> None:
        """A row longer than the header has a delimiter that is none: which cell the column is, nobody can tell."""
        more = row[len(self._names) :]
        if self._chosen and any(cell.end > cell.start for cell in more):
            raise _UnreadableError
        if self._chosen and not self._grammar.quotes and any(self._cut_open(cell) for cell in row):
            raise _UnreadableError

    def _cut_open(self, cell: Cell) -> bool:
        """Whether a cell of TSV begins with a quote that a reader of quotes would look for the end of elsewhere."""
        return self._text.startswith('"', cell.start, cell.end) and not _QUOTED.fullmatch(
            self._text, cell.start, cell.end
        )

    def _name(self, at: int) -> str:
        return self._names[at] if at < len(self._names) else ""

    def _location(self, at: int) -> str:
        if at not in self._told:
            self._told[at] = f"column:{told(self._name(at), str(at))}"
        return self._told[at]

    def _value(self, cell: Cell) -> str:
        raw = self._text[cell.start : cell.end]
        return raw[1:-1].replace('""', '"') if cell.quoted else raw

    def _mask_cell(self, cell: Cell, at: int, operator: Operator) -> None:
        new = self._edits.field(self._value(cell), operator, self._location(at))
        self._edits.made.append((cell.start, cell.end, self._quoted(new)))

    def _run(self, cell: Cell, at: int, key: str) -> Run:
        if not cell.quoted:
            part = Part([Piece(self._text[cell.start : cell.end], *cell[:2])], key, self._location(at), as_written)
            return Run([part], single=True, rewrite=self._quoted)
        return Run([Part(list(self._pieces(cell)), key, self._location(at), _doubled)], single=True)

    def _pieces(self, cell: Cell) -> Iterator[Piece]:
        at, end = cell.start + 1, cell.end - 1
        for quote in _DOUBLED.finditer(self._text, at, end):
            if quote.start() > at:
                yield Piece(self._text[at : quote.start()], at, quote.start())
            at = quote.end()
            yield Piece('"', quote.start(), at)
        if at < end:
            yield Piece(self._text[at:end], at, end)


def _doubled(text: str) -> str:
    return text.replace('"', '""')


def _folded(name: str) -> str:
    return name.strip().strip("\ufeff").casefold()


def _rows(text: str, grammar: Grammar) -> Iterator[list[Cell]]:
    """Every row, blank lines included."""
    bare = re.compile(rf"[^\r\n{'"' if grammar.quotes else ''}{re.escape(grammar.delimiter)}]*")
    at, row, end = grammar.start, list[Cell](), len(text)
    while at < end or row:
        quoted = grammar.quotes and text.startswith('"', at)
        match = _QUOTED.match(text, at) if quoted else bare.match(text, at)
        if match is None:
            raise _UnreadableError
        at = match.end()
        row.append(Cell(match.start(), at, quoted))
        following = text[at : at + 1]
        if following == grammar.delimiter:
            at += 1
            continue
        if following not in ("", "\r", "\n"):
            raise _UnreadableError
        yield row
        row = []
        at += 2 if text.startswith("\r\n", at) else 1


def _csv_grammar(text: str, fields: Mapping[str, Operator]) -> Grammar | None:
    """How the text is to be read; None when the header has a column that is asked for by another delimiter only."""
    if named := _SEPARATOR_LINE.match(text):
        return Grammar(named[1], True, named.end())
    start = _first_row(text)
    headers = {delimiter: _header(text, Grammar(delimiter, True, start)) for delimiter in DELIMITERS}
    longest = max(DELIMITERS, key=lambda delimiter: len(headers[delimiter]))
    others = {name for names in headers.values() for name in names if name in fields}
    return Grammar(longest, True, start) if others <= set(headers[longest]) else None


def _first_row(text: str) -> int:
    """Where the first line that is not empty begins."""
    return len(text) - len(text.lstrip("\r\n"))


def _header(text: str, grammar: Grammar) -> list[str]:
    try:
        first = next(_rows(text, grammar), [])
    except _UnreadableError:
        return []
    cells = (text[cell.start : cell.end] for cell in first)
    return [_folded(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell) for cell in cells]
