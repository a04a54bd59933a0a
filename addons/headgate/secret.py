"""Secrets of this machine: rules name them, as `env:NAME` or `file:PATH`, and never hold them.

A reference is resolved when rules are taken up, never on the request path. A file counts only if nobody but its owner
could have read it or put it there: it is refused, not repaired, for whoever had it has the secret. An error names the
reference and never what it leads to; text that is no reference is not named either, since it may be the secret itself.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from pydantic import AfterValidator, Field

from headgate.errors import HeadgateError

ACCEPTED = "accepted: `env:NAME` or `file:PATH`, where the secret is, not the secret itself"
MAX_FILE = 64 * 1024
_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\x00-\x1f\x7f-\x9f`]{1,1000})\Z")


def reference(text: str) -> str:
    """`text` if it has the form of a reference; ValueError if it has not."""
    if not _REFERENCE.match(text):
        raise ValueError(f"not a reference to a secret; {ACCEPTED}")
    return text


Reference = Annotated[
    str, AfterValidator(reference), Field(json_schema_extra={"pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"})
]


def resolve(text: str, environ: Mapping[str, str], base: Path) -> bytes:
    """The secret that `text` refers to, never empty; relative paths start at `base`. HeadgateError if there is none."""
    try:
        kind, _, place = reference(text).partition(":")
    except ValueError as error:
        raise HeadgateError(str(error)) from None
    if kind == "env":
        found = environ.get(place, "").encode("utf-8", "surrogateescape")
    else:
        found = _referred_file(text, base / place)
    if not found.strip():
        raise HeadgateError(f"secret `{text}` is {'not set' if kind == 'env' else 'empty'}")
    return found


def _referred_file(text: str, path: Path) -> bytes:
    """A link is followed, once: what it leads to is what must be private."""
    try:
        return read_private(path.resolve(strict=True), f"secret `{text}`", "accepted: a file with mode 0600 or 0400")
    except (OSError, RuntimeError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "it leads to no file").lower()
        raise HeadgateError(f"secret `{text}` cannot be read: {reason}") from None


def read_private(path: Path, name: str, remedy: str) -> bytes:
    """The bytes of a file that only its owner, who runs this, can read or replace.

    Raises OSError when it cannot be opened, and HeadgateError, which calls it `name` and ends with `remedy`, when it
    should not be believed. Links are not followed; a pipe or a device does not keep us waiting.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise HeadgateError(f"{name} is not a file; {remedy}")
        if os.name == "posix":
            _check_owner(found, path.parent.stat(), name, remedy)
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise HeadgateError(f"{name} is longer than {MAX_FILE // 1024} KiB")
    return content


def _check_owner(found: os.stat_result, folder: os.stat_result, name: str, remedy: str) -> None:
    """The folder may be root's, who can read and replace everything anyway."""
    if found.st_uid != os.geteuid() or folder.st_uid not in (os.geteuid(), 0):
        raise HeadgateError(f"{name} or its folder belongs to another user; accepted: the user who runs this")
    if found.st_mode & 0o077 or folder.st_mode & 0o022:
        raise HeadgateError(f"others may read or replace {name}; {remedy}")


def signing_key(pem: bytes) -> EllipticCurvePrivateKey | None:
    """The EC P-256 private key that `pem` holds, not encrypted; None for anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) else None
