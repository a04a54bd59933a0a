"""The key of the log: it signs checkpoints, and names the log that they are of.

The name (`headgate.local/` and chance, or as configured) is drawn once and stands in the key's own line, so that the
log of another key is noticed whatever it is called. A key is never replaced: where there is a log and no key to it,
somebody has to say what is meant. What verifies, and no more, stands beside it in a file of its own, to be given away.

The last checkpoint is kept with the key, too: a log that was removed or set back while nobody ran is noticed then.
"""

import base64
import hmac
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headgate.audit import checkpoint
from headgate.audit.checkpoint import Checkpoint
from headgate.audit.note import ED25519, KEY_SIZE, LARGEST, NoteError, Verifier, decoded, read_verifier, verifier_of
from headgate.bundled import beginning
from headgate.errors import HeadgateError
from headgate.secret import read_private

Randomness = Callable[[int], bytes]

MARK = "PRIVATE+KEY+"
DIGESTS = b"headgate audit digests 1"


class Known(NamedTuple):
    """A log that is known to have existed: so many entries with this root; and the frontier of its tree, if this
    process has seen it."""

    size: int
    root: bytes
    frontier: bytes | None = None


@dataclass(frozen=True, slots=True)
class AuditKey:
    """`digests` is the key of keyed digests, which follows from the one that signs."""

    verifier: Verifier
    private: Ed25519PrivateKey = field(repr=False)
    digests: bytes = field(repr=False)

    @property
    def origin(self) -> str:
        return self.verifier.name

    def sign(self, size: int, root: bytes) -> str:
        return checkpoint.signed(Checkpoint(self.origin, size, root), self.private)

    def digest(self, data: bytes) -> str:
        """HMAC-SHA256 of `data`, in hex."""
        return hmac.digest(self.digests, data, "sha256").hex()

    def written(self) -> str:
        """The line that the key is kept as."""
        data = base64.b64encode(ED25519 + self.private.private_bytes_raw()).decode()
        return f"{MARK}{self.origin}+{self.verifier.id.hex()}+{data}"


def load_key(state: Path, randomness: Randomness, origin: str | None = None) -> AuditKey:
    """The key in `state`/keys/audit.key, made if there is neither key nor log; raises OSError or HeadgateError.

    `origin` names a log that is to be begun; one that was begun under another name is refused.
    """
    path = state / "keys" / "audit.key"
    if not path.exists():
        if (state / "audit.db").exists():
            raise HeadgateError(
                f"`{path}` is missing, which signs the log that is there: put it back, or move the log away"
            )
        keep_key(state, _made(origin or f"headgate.local/{randomness(8).hex()}", randomness(KEY_SIZE)))
    text = read_private(path, f"the key `{path}`", "accepted: mode 0600, in a folder of mode 0700")
    key = _read(text, path)
    if origin not in (None, key.origin):
        raise HeadgateError(f"the log in `{state}` has another origin than `{origin}`: it stays what it was begun as")
    _check_verifier(state, key)
    return key


def keep_key(state: Path, key: AuditKey) -> None:
    """Write the key and what verifies unless they are there: whole or not at all, whatever else runs meanwhile."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = state / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    _place(folder / "audit.key", key.written(), replace=False)
    if not (folder / "audit.pub").exists():
        _place(folder / "audit.pub", str(_read((folder / "audit.key").read_bytes(), folder).verifier), replace=False)


def load_verifier(state: Path) -> Verifier:
    """What verifies the log in `state`, as its public file says."""
    path = state / "keys" / "audit.pub"
    try:
        return read_verifier(beginning(path, LARGEST).decode("utf-8", "replace"))
    except FileNotFoundError:
        raise HeadgateError(f"`{path}` is missing: give the key that verifies, or name the folder of a proxy") from None
    except OSError as error:
        raise HeadgateError(f"`{path}` cannot be read: {(error.strerror or 'the system refused it').lower()}") from None
    except NoteError as error:
        raise HeadgateError(f"`{path}`: {error}") from None


def keep_last(state: Path, note: str) -> None:
    """Remember the last checkpoint; raises OSError."""
    _place(state / "keys" / "audit.last", note.rstrip("\n"), replace=True)


def load_last(state: Path) -> str | None:
    """The checkpoint that was remembered, as it stands there; what cannot be read is none that counts."""
    try:
        return beginning(state / "keys" / "audit.last", LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def last_known(state: Path, key: AuditKey) -> Known | None:
    """What the last checkpoint that was remembered says of the log, if this key has signed it."""
    note = load_last(state)
    try:
        said = checkpoint.read(note, key.verifier) if note else None
    except NoteError:
        return None
    return Known(said.size, said.root) if said else None


def _made(origin: str, seed: bytes) -> AuditKey:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    digests = hmac.digest(seed, DIGESTS, "sha256")
    return AuditKey(verifier_of(origin, private.public_key()), private, digests)


def _read(text: bytes, path: Path) -> AuditKey:
    name, _, rest = text.decode("utf-8", "replace").strip().removeprefix(MARK).partition("+")
    found, _, encoded = rest.partition("+")
    data = decoded(encoded) or b""
    try:
        if data[:1] == ED25519 and len(data) == 1 + KEY_SIZE and text.startswith(MARK.encode()):
            key = _made(name, data[1:])
            if key.verifier.id.hex() == found:
                return key
    except NoteError:
        pass
    raise HeadgateError(f"`{path}` is not a key of an audit log: `{MARK}NAME+HASH+BASE64` is accepted")


def _check_verifier(state: Path, key: AuditKey) -> None:
    if not (state / "keys" / "audit.pub").exists():
        keep_key(state, key)
    if str(load_verifier(state)) != str(key.verifier):
        raise HeadgateError(f"`{state / 'keys' / 'audit.pub'}` is not of the key beside it: remove it to have it made")


def _place(path: Path, line: str, *, replace: bool) -> None:
    """A file with this line, whole or not at all; an existing one is kept unless it is to be replaced."""
    if path.exists() and not replace:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
