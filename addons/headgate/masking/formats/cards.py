"""Masking of vCard and iCalendar (RFC 6350, RFC 5545), whose lines may be folded anywhere.

A line is a property, read without its folds and with its backslashes undone, under the property's name; a name that is
asked for loses its value. What older vCards encode as quoted-printable is not read.
"""

import re

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.runs import Part, Piece, Run
from headgate.masking.plan import CannotMask, Detect, Plan

_LINE_END = re.compile(r"\r?\n(?![ \t])")
_SPECIAL = re.compile(r"(\r?\n[ \t])|\\([\\,;:])")
_MEANS = re.compile(r"[\\,;]")
_NAME = re.compile(r"(?:[A-Za-z0-9-]+\.)?([A-Za-z0-9-]+)(?=[;:])")
_QUOTED_PRINTABLE = re.compile(r"[^:]*;\s*(?:ENCODING\s*=\s*)?QUOTED-PRINTABLE", re.IGNORECASE)
_VALUE = re.compile(r'(?:[^":]|"[^"]*")*:')


def mask_cards(text: str, plan: Plan, detect: Detect) -> Masked:
    refuse_large(text.count("\n") + text.count("\\"))
    edits = Edits(plan, detect)
    fields = {name.casefold(): operator for name, operator in asked(plan).items()}
    runs, at = list[Run](), 0
    while at < len(text):
        found = _LINE_END.search(text, at)
        end = found.start() if found else len(text)
        line = Run([Part(_pieces(text, at, end), "", "", write)])
        name = _NAME.match(line.text)
        key = name[1] if name else ""
        if _QUOTED_PRINTABLE.match(line.text):
            raise CannotMask("quoted-printable-in-card")
        location = f"card:{told(key)}"
        value = _VALUE.match(line.text)
        operator = fields.get(key.casefold())
        if operator and value and value.end() < len(line.text):
            new = edits.field(line.text[value.end() :], operator, location)
            edits.change(line, [(value.end(), len(line.text), new)])
        else:
            runs.append(Run([Part(line.parts[0].pieces, key, location, write)]))
        at = found.end() if found else len(text)
    edits.mask_runs(runs)
    return edits.masked(text)


def write(text: str) -> str:
    return _MEANS.sub(r"\\\g<0>", text).replace("\n", "\\n")


def _pieces(source: str, start: int, end: int) -> list[Piece]:
    pieces, at = [], start
    for match in _SPECIAL.finditer(source, start, end):
        if match.start() > at:
            pieces.append(Piece(source[at : match.start()], at, match.start()))
        at = match.end()
        pieces.append(Piece(match[2] or "", match.start(), at))
    if at < end:
        pieces.append(Piece(source[at:end], at, end))
    return pieces
