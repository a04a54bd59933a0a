"""JSON documents that follow one another: what is split over several of them is found, and no piece of it goes on.

A document that holds pieces of texts (see `shape`) goes on at once with as much of each text as is safe; what is held
back stands before the next piece. When a text ends, what is left of it goes before the document that ends it, in a
copy of the last one that held a piece of it.

Everything else is masked within its document, for records are complete. Only where a document holds a single string
is it looked at together with the one before: what a finding over both of them covers is masked in the second. Where
such a value reaches over three documents, or begins or ends with a space as words of a text do, it is a piece from
then on. Data in base64, such as sound, is no text, and masked within its document, too.
"""

import re
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from headgate.masking.formats.jsontext import mask_json
from headgate.masking.operators import splice
from headgate.masking.plan import CannotMask, detect_nothing
from headgate.masking.streams.flow import Flow
from headgate.masking.streams.numbering import Numbering
from headgate.masking.streams.passage import Passage
from headgate.masking.streams.reach import reach_of
from headgate.masking.streams.record import Records, spelled
from headgate.masking.streams.seams import Seam
from headgate.masking.streams.shape import Name, Path, Piece, Shape, shape_of
from headgate.masking.streams.tree import tree_of

TEXTS = 1000
"""Texts that are remembered at a time in one stream."""

HELD = 8 * 1024 * 1024
"""Characters that all texts of one stream may keep together."""

MARK = "headgatepiece"
"""What stands for a piece while its document is masked, with as many letters more as make it the only one there."""

_MARKS = re.compile(f"{MARK}(z*)")
_DATA = re.compile(r"[A-Za-z0-9+/_-]{512,}={0,2}")
"""What no text has that is sent in pieces, and no value that begins or ends in one."""


class Extra(NamedTuple):
    """A document that stands for no other; `frame` is what came around the one that it is a copy of."""

    text: str
    frame: Any


class _Copy(NamedTuple):
    """A document as it went on, with marks for its pieces; `mark` is that of the one that matters."""

    document: str
    mark: str
    marks: tuple[str, ...]
    frame: Any

    def holding(self, text: str) -> Extra:
        document = self.document.replace(self.mark, spelled(text))
        for other in self.marks:
            document = document.replace(other, '""')
        return Extra(document, self.frame)


class _Text:
    """One text in pieces; `over` when it has ended, though more of it may come."""

    def __init__(self, flow: Passage) -> None:
        self.flow, self.over = flow, False
        self.copy: _Copy | None = None

    @property
    def size(self) -> int:
        """Characters that are kept for it."""
        return self.flow.size + (len(self.copy.document) if self.copy else 0)

    def rest(self) -> list[Extra]:
        """What is held back of it, in a copy of the last document that held a piece."""
        return [self.copy.holding(self.flow.release())] if self.copy and self.flow.waits else []


class Deltas:
    """Of one stream, or of one direction of a WebSocket.

    Without `hold`, nothing is held back: of what is found only later, the beginning has gone.
    """

    def __init__(self, records: Records) -> None:
        self._records, self.hold = records, True
        self._texts: dict[Name, _Text] = {}
        self._seams: dict[Name, Seam] = {}
        self._numbering = Numbering()
        self._kept = 0  # at least what is kept for all texts

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return any(text.flow.waits for text in self._texts.values())

    def mask(self, text: str, event: str = "", frame: Any = None) -> tuple[list[Extra], str]:
        """What goes before the document, and the document as it goes on; CannotMask("invalid-json") if it is none."""
        shape = shape_of(tree_of(text), event)
        every = self._pieces(shape)
        pieces = [piece for piece in every if not self._is_data(piece)]
        if shape.alone and not every:
            text = self._with_seam(shape.alone, text)
        before = {piece.name for piece in every} - {piece.name for piece in pieces}
        extras = self._go_on(before, self._ended(shape) - {piece.name for piece in pieces})
        return extras, self._with_pieces(text, pieces, shape, frame) if pieces else self._records.mask_json(text)

    def leave(self, text: str) -> tuple[list[Extra], str] | None:
        """What goes before a document that somebody else masks by itself, and what he is to mask: of a single string,
        what is found over the seam is masked already. None when the document holds pieces, and is for `mask`."""
        shape = shape_of(tree_of(text))
        alone = shape.alone
        if (alone and self._is_piece(alone)) or not all(map(self._is_data, shape.pieces)):
            return None
        if alone:
            text = self._with_seam(alone, text)
        return self._go_on({piece.name for piece in shape.pieces}, self._ended(shape)), text

    def rest(self, *, paused: bool = False) -> list[Extra]:
        """What is held back of all texts; `paused`: more may come, and of documents that are not whole will."""
        texts = (text for text in self._texts.values() if not (paused and text.flow.unfinished))
        return [extra for text in texts for extra in text.rest()]

    def _pieces(self, shape: Shape) -> list[Piece]:
        pieces = [shape.alone] if shape.alone and self._is_piece(shape.alone) else shape.pieces
        return [piece._replace(name=self._named(piece.name)) for piece in pieces]

    def _is_data(self, piece: Piece) -> bool:
        """Whether a piece is none: of a document that is not whole, it may be."""
        if not _DATA.fullmatch(piece.node.text):
            return False
        path = piece.name.path
        return not any(text.flow.unfinished and name.path == path for name, text in self._texts.items())

    def _ended(self, shape: Shape) -> set[Name]:
        return {name for name in self._texts if any(map(name.is_over, shape.endings))}

    def _go_on(self, names: set[Name], ended: set[Name]) -> list[Extra]:
        """What is held back of these texts, some of which have ended."""
        extras = []
        for name, text in self._texts.items():
            if name in names | ended:
                extras += text.rest()
                text.over = text.over or name in ended
        return extras

    def _named(self, name: Name) -> Name:
        """The text that a piece belongs to, which may have to be called by another name than before."""
        before = self._numbering.before(name)
        known = self._texts.get(before) if before else None
        named = self._numbering.name(name, over=known is None or known.over)
        if before and known and named not in self._texts and named != name:
            self._texts[named] = self._texts.pop(before)
        return named

    def _with_pieces(self, text: str, pieces: list[Piece], shape: Shape, frame: Any) -> str:
        base = MARK + "z" * (1 + max((len(run) for run in _MARKS.findall(text)), default=0))
        marked = {f'"{base}-{number}-"': piece for number, piece in enumerate(pieces)}
        if self._records.plan.paths:
            marked = self._without_fields(text, marked)
        document = masked = self._records.mask_json(_spliced(text, marked), base)
        for mark, piece in marked.items():
            known = self._text(piece)
            known.copy = _Copy(document, mark, tuple(marked), frame)
            known.over = any(map(piece.name.is_over, shape.endings))
            said = piece.node.text
            out = known.flow.feed(said)
            if known.over or not self.hold:
                out += known.flow.release()
            masked = masked.replace(mark, piece.node.spelled if out == said else spelled(out))
            self._kept += len(said) + len(document)
        self._limit()
        return masked

    def _limit(self) -> None:
        if self._kept > HELD:
            self._kept = sum(text.size for text in self._texts.values())
        if self._kept > HELD:
            raise CannotMask("too-much-held-back")

    def _without_fields(self, text: str, marked: dict[str, Piece]) -> dict[str, Piece]:
        """The pieces that are not masked as fields; none if it depends on what they say whether something is one."""
        fields = replace(self._records.plan, detect=())
        document = mask_json(_spliced(text, marked), fields, detect_nothing)
        filtered = any("?" in path for path, _ in fields.paths)
        if filtered and mask_json(text, fields, detect_nothing).counts != document.counts:
            return {}
        return {mark: piece for mark, piece in marked.items() if mark in document.text}

    def _text(self, piece: Piece) -> _Text:
        if piece.name not in self._texts:
            self._make_room()
            location = _location(piece.name.path)
            flow = Flow(self._records, reach_of(self._records.plan), piece.node.key, location)
            self._texts[piece.name] = _Text(Passage(flow, partial(self._records.mask_embedded, location=location)))
        return self._texts[piece.name]

    def _make_room(self) -> None:
        if len(self._texts) >= TEXTS:
            done = next((name for name, text in self._texts.items() if not text.flow.waits), None)
            if done is None:
                raise CannotMask("too-many-texts")
            del self._texts[done]
            self._numbering.forget()

    def _is_piece(self, alone: Piece) -> bool:
        seam = self._seams.get(alone.name)
        if seam is not None and seam.turned:
            del self._seams[alone.name]
            self._text(alone).flow.sent(seam.before)
        return alone.name in self._texts

    def _with_seam(self, alone: Piece, text: str) -> str:
        """The document without what a finding covers that began in the one before."""
        name, node = alone
        if name not in self._seams:
            if len(self._seams) >= TEXTS:
                del self._seams[next(iter(self._seams))]
            self._seams[name] = Seam(self._records, node.key)
        value = node.text
        crossing = self._seams[name].cross(value)
        if crossing is None:
            return text
        new = self._records.replaced(value[: crossing.length], crossing.cut, _location(name.path))
        return splice(text, [(node.start, node.end, spelled(new + value[crossing.length :]))])


def _spliced(text: str, marked: dict[str, Piece]) -> str:
    return splice(text, [(piece.node.start, piece.node.end, mark) for mark, piece in marked.items()])


def _location(path: Path) -> str:
    """A JSON Pointer with `*` for each place in an array."""
    steps = ("*" if step.isdigit() or step[:1] == "=" else step.replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)
