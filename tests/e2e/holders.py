"""Callers with client certificates, honest and not, and connections on which they show them."""

import socket
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.e2e.output import PATIENCE
from tests.e2e.wire import Answer, answer_on
from tests.identity import pki
from tests.identity.pki import Holder

LONG = (-1, 20_000)
"""Days, from a moment some years ago: valid while these tests are run."""

ROOT = pki.authority("root", days=LONG)
MIDDLE = pki.authority("middle", ROOT, days=LONG)
BUILDS = pki.authority("builds", days=LONG)
ANA_ID = "spiffe://prod.example/ana"


def caller(name: str, *names: pki.Extension, issuer: Holder = MIDDLE, days: tuple[int, int] = LONG) -> Holder:
    return pki.issue(name, issuer, *names, days=days)


ANA = caller("ana", pki.uri(ANA_ID))
SHOP = caller("shop", pki.dns("shop.corp.example"))
PLAIN = caller("plain")
EXPIRED = caller("ana", pki.uri(ANA_ID), days=(-2, -1))
STRANGER = caller("ana", pki.uri(ANA_ID), issuer=pki.authority("root", days=LONG))
BUILD = caller("till", pki.uri("spiffe://builds.example/till"), issuer=BUILDS)

IMPOSTOR = pki.issue("ana", days=LONG)
"""Who has a key, and a certificate that this key alone has signed."""

VERSION = bytes.fromhex("a003020102")
NAME = b"\x0c\x03ana"
TIMES = b"\x17\x0d"


def pem(*ders: bytes) -> bytes:
    return b"".join(ssl.DER_cert_to_PEM_cert(der).encode() for der in ders)


def key_pem(holder: Holder) -> bytes:
    written: bytes = holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written


def identified(certificate: bytes, chain: Sequence[bytes], holder: Holder) -> bytes:
    """What a client is given as its own: certificates and the key of the first."""
    return pem(certificate, *chain) + key_pem(holder)


def spoiled(was: bytes, becomes: bytes, holder: Holder = IMPOSTOR) -> bytes:
    """The certificate of `holder` with some bytes changed: no signature fits it, but the key still does."""
    assert was in holder.der
    return holder.der.replace(was, becomes)


WITHOUT_DATE = spoiled(TIMES + b"23", TIMES + b"XX")
OF_VERSION_4 = spoiled(VERSION, VERSION[:-1] + b"\x03")
OF_ODD_NAME = spoiled(NAME, b"\x0d\x03ana")
OF_BITS = pki.issue(
    x509.Name([x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\x01\x02", x509.name._ASN1Type.BitString)]),
    days=LONG,
)


def context(
    holder: Holder | None = None, *, certificate: bytes | None = None, chain: Sequence[bytes] | None = None
) -> ssl.SSLContext:
    """A client that shows the certificate of `holder` (or another with the same key) and `chain` after it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if holder:
        rest = holder.chain[1:] if chain is None else chain
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder, "own.pem")
            own.write_bytes(identified(certificate or holder.der, rest, holder))
            made.load_cert_chain(own)
    return made


class Line:
    """One TLS connection, on which requests are written one after the other."""

    def __init__(self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket = context.wrap_socket(plain, session=session)

    def get(self, *fields: str, path: str = "/v1/things") -> Answer:
        host = "%s:%d" % self.socket.getpeername()[:2]
        self.socket.sendall("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode())
        return answer_on(self.socket)
