"""The key of the capture: hashes of what is kept say "the same" and nothing else.

A plain hash of a short body, or of a principal, can be guessed by hashing guesses; with a key that stays in the state
folder it cannot, and two captures cannot be compared by those who hold only the files.
"""

import hmac
import os
from collections.abc import Callable
from pathlib import Path

from headgate.errors import HeadgateError

SIZE = 32


def keyed(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 of `data`, in hex."""
    return hmac.digest(key, data, "sha256").hex()


def load_key(state: Path, randomness: Callable[[int], bytes]) -> bytes:
    """The key in `state`/keys/capture.key, made there if there is none; only its owner may read it.

    Raises OSError when it can be neither read nor made, `HeadgateError` when it is not a key.
    """
    path = state / "keys" / "capture.key"
    keep_key(state, randomness(SIZE))
    text = path.read_bytes().strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != SIZE:
        raise HeadgateError(f"`{path}` is not a key: 64 hexadecimal digits are accepted; remove it to have one made")
    return key


def keep_key(state: Path, key: bytes) -> None:
    """Write `key` unless there is one: whole or not at all, whatever else starts or stops meanwhile."""
    folder = state / "keys"
    path, draft = folder / "capture.key", folder / f".capture.key.{os.getpid()}"
    if path.exists():
        return
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.hex().encode() + b"\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
