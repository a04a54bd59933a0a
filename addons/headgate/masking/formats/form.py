"""Masking of forms (application/x-www-form-urlencoded, https://url.spec.whatwg.org/#urlencoded-parsing).

A field is masked by its name, `form:NAME` or a path that is but a name, whether it stands alone or in brackets
(`user[password]`). Some readers part fields at semicolons, too: a name that is asked for counts there as well. Values
are detected in with their names as context, names only where `keys` says so. What is not masked keeps its spelling.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.runs import Part, Piece, Run
from headgate.masking.operators import splice
from headgate.masking.plan import Detect, Operator, Plan, strongest

_ENCODED = re.compile(r"((?:%[0-9A-Fa-f]{2})+)|\+")
_CHARACTER = re.compile(
    rb"[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
    rb"|.",
    re.DOTALL,
)
_LAST = re.compile(r"[\[.]([^\[\].]+)\]?\Z")
_SAFE = "*-._"


class _Pair:
    """source[start:end] is `name=value`, or a piece without a sign, which is all value."""

    __slots__ = ("end", "name", "start", "value")

    def __init__(self, source: str, start: int, end: int) -> None:
        sign = source.find("=", start, end)
        self.start, self.end = start, end
        self.value = sign + 1 if sign >= 0 else start
        self.name = "".join(piece.text for piece in form_pieces(source, start, max(sign, start)))

    @property
    def location(self) -> str:
        return f"form:{told(self.name)}"


def mask_form(text: str, plan: Plan, detect: Detect) -> Masked:
    refuse_large(text.count("&") + text.count(";"))
    edits = Edits(plan, detect)
    fields = asked(plan, plan.form)
    pairs = list(_pairs(text, 0, len(text), "&"))
    runs: list[Run] = []
    for pair in pairs:
        if fields and _mask_fields(text, pair, fields, edits):
            continue
        runs += _runs(text, pair, plan)
    edits.mask_runs(runs)
    if not edits.dropped:
        return edits.masked(text)
    return edits.masked(text)._replace(text=_without(text, pairs, edits))


def form_pieces(source: str, start: int, end: int) -> list[Piece]:
    """The characters of source[start:end], percent-encoded UTF-8; a byte that is none reads as U+FFFD."""
    pieces, at = [], start
    for match in _ENCODED.finditer(source, start, end):
        if match.start() > at:
            pieces.append(Piece(source[at : match.start()], at, match.start()))
        at = match.end()
        if match[1]:
            pieces += _decoded(match[1], match.start())
        else:
            pieces.append(Piece(" ", match.start(), at))
    if at < end:
        pieces.append(Piece(source[at:end], at, end))
    return pieces


def _decoded(encoded: str, start: int) -> Iterator[Piece]:
    for character in _CHARACTER.finditer(bytes.fromhex(encoded.replace("%", ""))):
        low, high = character.span()
        yield Piece(character[0].decode("utf-8", "replace"), start + 3 * low, start + 3 * high)


def _pairs(source: str, start: int, end: int, separator: str) -> Iterator[_Pair]:
    while start <= end:
        stop = source.find(separator, start, end)
        stop = end if stop < 0 else stop
        yield _Pair(source, start, stop)
        start = stop + 1


def _mask_fields(source: str, pair: _Pair, fields: Mapping[str, Operator], edits: Edits) -> bool:
    """Whether the pair is masked by its name, as a whole; a part of it that a semicolon parts may be, otherwise."""
    if operator := _operator(pair.name, fields):
        new = edits.field(_read(source, pair), operator, pair.location)
        if operator is Operator.DROP:
            edits.dropped.add((pair.start, pair.end))
        else:
            edits.made.append((pair.value, pair.end, write(new)))
        return True
    if source.find(";", pair.start, pair.end) < 0:
        return False
    inner = [(part, _operator(part.name, fields)) for part in _pairs(source, pair.start, pair.end, ";")]
    if not any(operator for _, operator in inner):
        return False
    # What else the pair holds is not told apart from the field by every reader, so that nothing of it is left.
    strongest = min((operator for _, operator in inner if operator), key=lambda known: known.rank)
    edits.made.append((pair.start, pair.end, write(edits.field(_read(source, pair), strongest, pair.location))))
    return True


def names_of(name: str) -> list[str]:
    """What a field may be asked for by: its name, and the last one that it has in brackets (`password`), or before
    empty ones."""
    whole = name.removesuffix("[]")
    last = _LAST.search(whole)
    return [name, whole, last[1]] if last else [name, whole]


def _operator(name: str, fields: Mapping[str, Operator]) -> Operator | None:
    return strongest(fields[known] for known in names_of(name) if known in fields)


def _read(source: str, pair: _Pair) -> str:
    return "".join(piece.text for piece in form_pieces(source, pair.value, pair.end))


def _runs(source: str, pair: _Pair, plan: Plan) -> Iterator[Run]:
    value = Part(form_pieces(source, pair.value, pair.end), pair.name, pair.location, write)
    yield Run([value], single=True, member=(pair.start, pair.end))
    if plan.keys and pair.value > pair.start:
        name = form_pieces(source, pair.start, pair.value - 1)
        yield Run([Part(name, "", pair.location, write)])


def write(text: str) -> str:
    return quote_plus(text, safe=_SAFE)


def _without(source: str, pairs: list[_Pair], edits: Edits) -> str:
    """The pairs that are left, each with its edits made."""
    made, at, kept = sorted(edits.made), 0, []
    for pair in pairs:
        inner = []
        while at < len(made) and made[at][0] <= pair.end and made[at][1] <= pair.end:
            inner.append(made[at])
            at += 1
        if (pair.start, pair.end) not in edits.dropped:
            moved = ((start - pair.start, end - pair.start, new) for start, end, new in inner)
            kept.append(splice(source[pair.start : pair.end], moved))
    return "&".join(kept)
