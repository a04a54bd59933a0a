"""Checkpoints (c2sp.org/tlog-checkpoint): how long the log was, and what its root was, in a note that its key signed.

Whoever keeps one elsewhere can show later whether the log still begins with what it covered.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headgate.audit import note as notes
from headgate.audit.merkle import SIZE
from headgate.audit.note import BEGIN, LARGEST, Note, NoteError, Verifier, parse

NO_CHECKPOINT = "it is no checkpoint: origin, size and root are accepted, each in a line"
MOST_LINES = 32
"""Lines of text that a checkpoint may have where many stand one after the other."""

_COUNT = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log named `origin` had `size` entries, and this root."""

    origin: str
    size: int
    root: bytes


def signed(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The note; its key has the name of the log, as the specification recommends."""
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"
    return notes.sign(text, checkpoint.origin, key)


def read(text: str | bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint in a note, signed by this key for the log that it is named after; `NoteError` for anything else.

    Lines after the third are not ours to read, and are signed as well.
    """
    note = parse(text)
    checkpoint = claimed(note)
    if checkpoint.origin != verifier.name:
        raise NoteError("it is of another log")
    if not notes.verify(note, verifier):
        raise NoteError("it is signed by another key")
    return checkpoint


def claimed(note: Note) -> Checkpoint:
    """What a note says, whoever signed it."""
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or "" in lines or not _COUNT.fullmatch(lines[1]):
        raise NoteError(NO_CHECKPOINT)
    root = notes.decoded(lines[2])
    if root is None or len(root) != SIZE:
        raise NoteError(NO_CHECKPOINT)
    return Checkpoint(lines[0], int(lines[1]), root)


def notes_in(lines: Iterable[str]) -> Iterator[str]:
    """The signed notes in any text: one after the other, or as members of JSON objects, one object a line.

    A line may have something before its object, such as what a syslog daemon puts there. `lines` may be pieces of
    several lines each; whatever is no note is passed over.
    """
    text: list[str] = []
    signatures: list[str] = []
    blank = False
    for line in (line for piece in lines for line in piece.removesuffix("\n").split("\n")):
        if blank and line.startswith(BEGIN):
            signatures.append(line)
            continue
        if signatures:
            yield _joined(text, signatures)
        if not line and text and not blank:
            blank = True
            continue
        if signatures or blank or not line or len(text) >= MOST_LINES:
            text, signatures, blank = [], [], False
        if "{" in line:
            text = []
            yield from _notes_within(line)
        elif line:
            text.append(line)
    if signatures:
        yield _joined(text, signatures)


def _joined(text: list[str], signatures: list[str]) -> str:
    return "\n".join([*text, "", *signatures, ""])


def _notes_within(line: str) -> Iterator[str]:
    """Members of the object in a line, and of those in it, that look like notes."""
    if len(line) > LARGEST or "\\n\\n" not in line:
        return
    try:
        found = json.loads(line[line.index("{") :])
    except (ValueError, RecursionError):
        return
    members = list(found.values())
    members += [inner for member in members if isinstance(member, dict) for inner in member.values()]
    yield from (member for member in members if isinstance(member, str) and f"\n\n{BEGIN}" in member)
