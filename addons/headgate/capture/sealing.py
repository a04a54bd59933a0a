"""Originals: what was sent and received before masking, sealed so that only the holder of a private key can read it.

A sealed box (libsodium's `crypto_box_seal`: X25519, XSalsa20-Poly1305) is made with the public key alone, so that this
proxy cannot open what it has written. Both keys are lines of text that say which of the two they are: whoever gives
the proxy the private one is told, and nothing starts.
"""

import json
import struct
import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from headgate.capture.record import MAX_BODY, Fields, Line
from headgate.errors import HeadgateError

SIZE = 32
PUBLIC, PRIVATE = "headgate-seal-public:", "headgate-seal-private:"
LARGEST_FILE = 1024
LARGEST = 2 * MAX_BODY + 1024 * 1024
"""Bytes that an opened original may have: two bodies, and what stands above them."""

FORMAT = 1
_SIZES = struct.Struct(">BII")


@dataclass(frozen=True, slots=True)
class Part:
    """One direction; `size` counts the bytes of the whole body. `body` is None where it flowed past, not kept."""

    headers: Fields = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Original:
    """A request and what its upstream answered, if it did, as they came; without credentials."""

    line: Line = field(repr=False)
    request: Part
    status: int | None = None
    response: Part | None = None

    @property
    def weight(self) -> int:
        return 2048 + sum(len(part.body or b"") for part in (self.request, self.response) if part)


def part_of(fields: Fields, body: bytes | None) -> Part:
    return Part(fields, body if body is None else body[:MAX_BODY], len(body or b""))


class Sealer:
    """Seals to one public key; `strip` takes the credentials off, here, in the writer's thread."""

    def __init__(self, public: bytes, strip: Callable[[Original], Original]) -> None:
        self._box, self._strip = SealedBox(PublicKey(public)), strip

    def seal(self, original: Original) -> bytes:
        """Randomness comes from libsodium, which takes none from others."""
        return bytes(self._box.encrypt(zlib.compress(_packed(self._strip(original)), 1)))


def opened(data: bytes, private: bytes) -> Original:
    """What was sealed; HeadgateError when this is not its key, or when it is damaged."""
    try:
        packed = SealedBox(PrivateKey(private)).decrypt(data)
    except (CryptoError, ValueError, TypeError):
        raise HeadgateError(
            "the original cannot be opened with this key: it is not its key, or it is damaged"
        ) from None
    try:
        stream = zlib.decompressobj()
        return _unpacked(stream.decompress(packed, LARGEST))
    except (zlib.error, struct.error, ValueError, KeyError, TypeError):
        raise HeadgateError("the original was opened, and is not one that this version knows") from None


# -- keys -------------------------------------------------------------------------------------------------------------


def make_pair(randomness: Callable[[int], bytes]) -> tuple[str, str]:
    """A private key and its public key, as the lines that files hold."""
    private = PrivateKey(randomness(SIZE))
    return _line(PRIVATE, bytes(private)), _line(PUBLIC, bytes(private.public_key))


def read_public(path: Path) -> bytes:
    """The public key in the file at `path`; HeadgateError says what is wrong with it."""
    text = _read(path)
    if text.startswith(PRIVATE):
        raise HeadgateError(
            f"`{path}` holds a private key, which must stay away from this proxy; accepted: the public key of its pair"
        )
    key = _key(path, text, PUBLIC, "a public key made by `headgate flows keys`")
    try:
        SealedBox(PublicKey(key)).encrypt(b"")
    except CryptoError:  # some points of the curve are no keys
        raise HeadgateError(f"`{path}` is not a key that can be sealed to; accepted: one of another pair") from None
    return key


def read_private(path: Path) -> bytes:
    text = _read(path)
    if text.startswith(PUBLIC):
        raise HeadgateError(f"`{path}` holds a public key, which opens nothing; accepted: the private key of its pair")
    return _key(path, text, PRIVATE, "a private key made by `headgate flows keys`")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE).decode("ascii", "replace").strip()
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise HeadgateError(f"the key `{path}` cannot be read: {cause}") from None


def _key(path: Path, text: str, kind: str, accepted: str) -> bytes:
    """The bytes of a key; nothing of what a file holds is quoted."""
    try:
        key = b64decode(text.removeprefix(kind), validate=True) if text.startswith(kind) else b""
    except NotBase64:
        key = b""
    if len(key) != SIZE:
        raise HeadgateError(f"`{path}` is not a key; accepted: {accepted}")
    return key


def _line(kind: str, key: bytes) -> str:
    return f"{kind}{b64encode(key).decode()}\n"


# -- as bytes ---------------------------------------------------------------------------------------------------------


def _packed(original: Original) -> bytes:
    line, sent, got = original.line, original.request, original.response
    head = {
        "line": [_text(line.method), line.scheme, line.host, line.port, _text(line.target), _text(line.version)],
        "status": original.status,
        "request": _head(sent),
        "response": _head(got) if got else None,
    }
    bodies = [sent.body or b"", (got.body or b"") if got else b""]
    above = json.dumps(head, separators=(",", ":")).encode()
    return _SIZES.pack(FORMAT, len(above), len(bodies[0])) + above + b"".join(bodies)


def _head(part: Part) -> dict[str, object]:
    fields = [[_text(name), _text(value)] for name, value in part.headers]
    return {"headers": fields, "size": part.size, "kept": part.body is not None}


def _unpacked(data: bytes) -> Original:
    version, above, first = _SIZES.unpack_from(data)
    if version != FORMAT:
        raise ValueError
    start = _SIZES.size + above
    head = json.loads(data[_SIZES.size : start])
    method, scheme, host, port, target, at = head["line"]
    line = Line(_bytes(method), scheme, host, port, _bytes(target), _bytes(at))
    request = _part(head["request"], data[start : start + first])
    response = _part(head["response"], data[start + first :]) if head["response"] else None
    return Original(line, request, head["status"], response)


def _part(head: dict[str, object], body: bytes) -> Part:
    fields = head["headers"]
    if not isinstance(fields, list) or not isinstance(head["size"], int):
        raise TypeError
    return Part(
        tuple((_bytes(name), _bytes(value)) for name, value in fields), body if head["kept"] else None, head["size"]
    )


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
