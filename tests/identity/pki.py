"""Authorities and callers with real keys and certificates, the good and the bad ones."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headgate.identity.certificates import Authorities, authorities

NOW = 1_700_000_000
DAY = datetime.timedelta(days=1)
AT = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class Holder:
    """Who holds a certificate and its key, and who issued it."""

    certificate: x509.Certificate
    key: Any
    issuer: "Holder | None" = None

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> list[bytes]:
        """What its holder sends in a handshake: everything but the root."""
        return [self.der, *self.issuer.chain] if self.issuer else []

    @property
    def trusted(self) -> Authorities:
        """As the only authority of a provider."""
        return authorities(self.pem)


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def usage(*names: str) -> Extension:
    return x509.KeyUsage(**{name: name in names for name in USAGES}), True


def extended(*usages: x509.ObjectIdentifier, critical: bool = False) -> Extension:
    return x509.ExtendedKeyUsage(usages), critical


def alternative(*names: x509.GeneralName) -> Extension:
    return x509.SubjectAlternativeName(names), False


def uri(*uris: str) -> Extension:
    return alternative(*map(x509.UniformResourceIdentifier, uris))


def dns(*names: str) -> Extension:
    return alternative(*map(x509.DNSName, names))


def limits(
    permitted: Sequence[x509.GeneralName] | None = None, excluded: Sequence[x509.GeneralName] | None = None
) -> Extension:
    return x509.NameConstraints(permitted, excluded), True


def issue(
    subject: x509.Name | str,
    issuer: Holder | None = None,
    *extensions: Extension,
    key: Any = None,
    days: tuple[int, int] = (-1, 1),
    digest: Any = hashes.SHA256(),  # noqa: B008 - a constant without state
) -> Holder:
    """A certificate with exactly these extensions, signed by its issuer, or by itself; `days` are counted from NOW."""
    key = key or make_key()
    name = common_name(subject) if isinstance(subject, str) else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(0xC0FFEE)
        .not_valid_before(AT + days[0] * DAY)
        .not_valid_after(AT + days[1] * DAY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Holder(builder.sign((issuer or Holder(None, key)).key, digest), key, issuer)  # type: ignore[arg-type]


def authority(name: str, issuer: Holder | None = None, *extensions: Extension, **how: Any) -> Holder:
    """An authority as internal ones are: no key identifiers; `path_length` limits those below it."""
    basic = x509.BasicConstraints(ca=True, path_length=how.pop("path_length", None))
    return issue(name, issuer, (basic, how.pop("critical", True)), *extensions, **how)


def spire_authority(trust_domain: str, issuer: Holder | None = None) -> Holder:
    """As SPIRE makes them."""
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain),
    ])  # fmt: skip
    basic = x509.BasicConstraints(ca=True, path_length=None)
    return issue(name, issuer, (basic, True), usage("key_cert_sign", "crl_sign"), uri(f"spiffe://{trust_domain}"))


def svid(spiffe_id: str, issuer: Holder) -> Holder:
    """An X.509-SVID as SPIRE issues it."""
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE"),
    ])  # fmt: skip
    return issue(
        name,
        issuer,
        usage("digital_signature", "key_encipherment", "key_agreement"),
        extended(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        uri(spiffe_id),
    )
