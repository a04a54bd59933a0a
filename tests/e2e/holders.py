"""Callers with client certificates, honest and not, and TLS connections on which they show them."""

import socket
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from tests.e2e.output import PATIENCE
from tests.e2e.wire import Answer, answer_on
from tests.identity import pki
from tests.identity.pki import Holder

LONG = (-1, 20_000)
"""Days, from a moment some years ago: valid whenever these tests are run."""

ROOT = pki.authority("root", days=LONG)
MIDDLE = pki.authority("middle", ROOT, days=LONG)
BUILDS = pki.authority("builds", days=LONG)


def caller(name: str, *names: pki.Extension, issuer: Holder = MIDDLE, days: tuple[int, int] = LONG) -> Holder:
    return pki.issue(name, issuer, *names, days=days)


ANA_ID = "spiffe://prod.example/ana"
ANA = caller("ana", pki.uri(ANA_ID))
SHOP = caller("shop", pki.dns("shop.corp.example"))
PLAIN = caller("plain")
EXPIRED = caller("ana", pki.uri(ANA_ID), days=(-2, -1))
STRANGER = caller("ana", pki.uri(ANA_ID), issuer=pki.authority("root", days=LONG))
BUILD = caller("till", pki.uri("spiffe://builds.example/till"), issuer=BUILDS)

NOBODY = pki.issue("ana", days=LONG)
"""Who has a key, and what certificates this key can sign."""

BITS = x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\x01\x02", _ASN1Type.BitString)


def spoiled(was: str, becomes: str, holder: Holder = NOBODY) -> bytes:
    """The certificate of `holder` with some bytes changed (in hexadecimal): its key still fits, no signature does."""
    assert was in holder.der.hex()
    return bytes.fromhex(holder.der.hex().replace(was, becomes))


ODD = {
    "a date that is none": spoiled("170d3233", "170d5858"),
    "a version that is not there yet": spoiled("a003020102", "a003020103"),
    "a name of a type that is none": spoiled("0c03616e61", "0d03616e61"),
    "a name that is no text": pki.issue(x509.Name([BITS]), key=NOBODY.key, days=LONG).der,
}
"""Certificates for the key of NOBODY that OpenSSL takes and others stumble over."""


def context(
    holder: Holder | None = None, *, instead: bytes | None = None, chain: Sequence[bytes] | None = None
) -> ssl.SSLContext:
    """Of a client that shows the certificate of `holder`, or `instead`, then those of its issuers, or `chain`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if holder:
        with tempfile.TemporaryDirectory() as folder:
            made.load_cert_chain(write(Path(folder), holder, instead=instead, chain=chain))
    return made


def write(folder: Path, holder: Holder, *, instead: bytes | None = None, chain: Sequence[bytes] | None = None) -> Path:
    """The file that a client is given as its own: certificates, and the key of the first."""
    ders = (instead or holder.der, *(holder.chain[1:] if chain is None else chain))
    key = holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "own.pem"
    path.write_bytes("".join(map(ssl.DER_cert_to_PEM_cert, ders)).encode() + key)
    return path


class Line:
    """One TLS connection, on which requests go one after the other."""

    def __init__(self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self._host = f"127.0.0.1:{port}"
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket = context.wrap_socket(plain, session=session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def get(self, *fields: str, path: str = "/v1/things") -> Answer:
        lines = (f"GET {path} HTTP/1.1", f"Host: {self._host}", *fields, "", "")
        self.socket.sendall("\r\n".join(lines).encode())
        return answer_on(self.socket)
