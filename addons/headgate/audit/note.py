"""Signed notes (c2sp.org/signed-note): text that people can read and keep anywhere, with signatures below it.

A key has a name, and is written as one line: `name+hash+base64` for the one that verifies, `PRIVATE+KEY+...` for the
one that signs, as the tools of the Go checksum database write them. Only Ed25519 is used. Signatures by keys that are
not known say nothing, for or against. What is no note is a `NoteError`, whatever bytes it is.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headgate.errors import HeadgateError

ED25519 = b"\x01"
KEY_SIZE = 32
LARGEST = 64 * 1024
MOST_SIGNATURES = 100
BEGIN = "\N{EM DASH} "

_NAME = re.compile(r"[^\s+\x00-\x1f\x7f-\x9f]{1,200}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VERIFIER = re.compile(r"([^\s+]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{1,100})")


class NoteError(HeadgateError):
    """No signed note, or no key for one; quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half of a key: `name`, and the four bytes that tell it from others of this name."""

    name: str
    id: bytes
    public: Ed25519PublicKey

    def __str__(self) -> str:
        data = base64.b64encode(ED25519 + self.public.public_bytes_raw()).decode()
        return f"{self.name}+{self.id.hex()}+{data}"


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """`text` ends with a line feed."""

    text: str
    signatures: tuple[Signature, ...]


def verifier_of(name: str, public: Ed25519PublicKey) -> Verifier:
    if not _NAME.fullmatch(name) or not is_text(name):
        raise NoteError("the name of a key has no spaces, no `+` and at most 200 characters")
    return Verifier(name, sha256(f"{name}\n".encode() + ED25519 + public.public_bytes_raw()).digest()[:4], public)


def read_verifier(text: str) -> Verifier:
    """The key that a line such as `name+hash+base64` stands for."""
    found = _VERIFIER.fullmatch(text.strip()) if len(text) < 1000 and is_text(text) else None
    data = decoded(found[3]) if found else None
    if not found or not data or data[:1] != ED25519 or len(data) != 1 + KEY_SIZE:
        raise NoteError("it is not a key that verifies notes: accepted: `NAME+HASH+BASE64` of an Ed25519 key")
    verifier = verifier_of(found[1], Ed25519PublicKey.from_public_bytes(data[1:]))
    if verifier.id.hex() != found[2]:
        raise NoteError("the hash in the key does not fit its name and its bytes")
    return verifier


def sign(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """`text`, which ends with a line feed, as a note signed by this key."""
    if not text.endswith("\n") or _CONTROL.search(text) or not is_text(text):
        raise NoteError("it cannot be signed: accepted: lines of UTF-8, the last one ended, without control characters")
    verifier = verifier_of(name, key.public_key())
    signature = base64.b64encode(verifier.id + key.sign(text.encode())).decode()
    return f"{text}\n{BEGIN}{name} {signature}\n"


def parse(note: str | bytes) -> Note:
    """The text and signatures of a note; nothing has been verified yet."""
    whole = _text(note)
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteError("it is not a signed note: text, an empty line and signatures are accepted")
    signatures = lines[:-1].split("\n")
    if len(signatures) > MOST_SIGNATURES:
        raise NoteError(f"it has more than {MOST_SIGNATURES} signatures")
    return Note(text + "\n", tuple(map(_signature, signatures)))


def verify(note: Note, verifier: Verifier) -> bool:
    """Whether this key has signed; `NoteError` where a signature that claims to be its own is not."""
    own = [s for s in note.signatures if s.name == verifier.name and s.id == verifier.id]
    for signature in own:
        try:
            verifier.public.verify(signature.signature, note.text.encode())
        except InvalidSignature:
            raise NoteError("its signature is not valid") from None
    return bool(own)


def _text(note: str | bytes) -> str:
    if len(note) > LARGEST:
        raise NoteError(f"it is longer than {LARGEST // 1024} KiB")
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError:
        raise NoteError("it is not UTF-8") from None
    if _CONTROL.search(whole) or not is_text(whole):
        raise NoteError("it holds control characters, or what is no text")
    return whole


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(BEGIN).partition(" ")
    data = decoded(encoded)
    if not line.startswith(BEGIN) or not space or not _NAME.fullmatch(name) or not data or len(data) < 5:
        raise NoteError("a line below its text is no signature")
    return Signature(name, data[:4], data[4:])


def decoded(text: str) -> bytes | None:
    """Base64 (RFC 4648, 4) in its one spelling; None for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if base64.b64encode(data).decode() == text else None


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: it has no lone surrogate."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
