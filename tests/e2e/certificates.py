"""A certificate authority for these tests, and a server's certificate from it."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)
NAMES = ("localhost", "api.example.org")


@dataclass(frozen=True)
class Certificates:
    """`authority` is the file to trust; `server` makes the context of a TLS server."""

    authority: Path
    chain: Path

    def server(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def issue(folder: Path) -> Certificates:
    """Write authority and server certificate into `folder`."""
    key, root = _key(), _name("headgate tests")
    authority = _builder(root, root, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    server_key = _key()
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, NAMES)]
    server = _builder(_name("upstream"), root, server_key).add_extension(
        x509.SubjectAlternativeName(addresses), critical=False
    )
    trusted, chain = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(_pem(authority.sign(key, hashes.SHA256())))
    secret = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(secret + _pem(server.sign(key, hashes.SHA256())))
    return Certificates(trusted, chain)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
