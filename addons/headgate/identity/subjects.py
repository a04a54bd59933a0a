"""Whom a certificate names, as claims of one shape, whether this proxy saw the certificate or a trusted peer did.

    id           the SPIFFE ID; without one the only DNS name; without one the subject; absent when there is none
    uri, dns, email      the subject alternative names of these kinds, each once; DNS names in lower case
    subject      the distinguished name as text (RFC 4514: most specific first); absent when empty
    common_name  the only common name of the subject; absent when there is none or several
    spiffe       {"trust_domain", "path"} of the SPIFFE ID; absent without one
    serial       the serial number, hexadecimal
    sha256       the SHA-256 of the whole certificate, hexadecimal; for the record only, since a signature can be
                 written in several ways, and each gives another one
    nbf, exp     from when and until when every certificate of the chain is valid, in seconds since the epoch

The three kinds of id cannot be taken for each other: a SPIFFE ID begins with `spiffe://`, a subject holds `=`, and a
DNS name holds neither. A certificate with a name in any but its one form names nobody: an upstream or a rule could
read it as another one.

Sources: RFC 5280, section 4.2.1.6; spiffe.io, "X509-SVID", sections 2 and 5.2 (a SPIFFE ID is the only URI).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from headgate.identity.reasons import Reason
from headgate.identity.spiffe import is_spiffe_id
from headgate.identity.strictjson import frozen
from headgate.match import canonical_host, is_address

MAX_NAMES = 100
MAX_SUBJECT = 1024
MAX_CERTIFICATE = 32 * 1024
UNREADABLE = (
    ValueError, TypeError, KeyError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip
"""What cryptography raises on a certificate, or on a part of one, that it cannot read."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2047}\Z")  # RFC 3986
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}\Z")


def read_certificate(der: bytes) -> x509.Certificate | None:
    """The certificate that `der` is, with extensions and names that can be read."""
    if len(der) > MAX_CERTIFICATE:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        readable = (certificate.extensions, certificate.subject, certificate.issuer, certificate.version)
    except UNREADABLE:
        return None
    return certificate if readable else None


def certificate_claims(certificate: x509.Certificate) -> Mapping[str, Any] | Reason:
    """Whom a certificate names; whether it proves that is for the caller to know. Without `nbf` and `exp`."""
    names = _alternative_names(certificate)
    claims = named(
        certificate.subject,
        uris=names.get_values_for_type(x509.UniformResourceIdentifier) if names else (),
        dns=names.get_values_for_type(x509.DNSName) if names else (),
        emails=names.get_values_for_type(x509.RFC822Name) if names else (),
    )
    if isinstance(claims, Reason):
        return claims
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    return with_claims(claims, serial=format(certificate.serial_number, "x"), sha256=digest)


def named(
    subject: x509.Name, *, uris: Iterable[str], dns: Iterable[str], emails: Iterable[str] = ()
) -> Mapping[str, Any] | Reason:
    """The claims that names alone make."""
    uri, email, hosts, text = list(dict.fromkeys(uris)), list(dict.fromkeys(emails)), _hosts(dns), _text(subject)
    if hosts is None or text is None or not all(map(_URI.match, uri)) or not all(map(_EMAIL.match, email)):
        return Reason.CERTIFICATE_NAMES
    spiffe = _spiffe(uri)
    if isinstance(spiffe, Reason) or len(uri) + len(hosts) + len(email) > MAX_NAMES:
        return Reason.CERTIFICATE_NAMES
    common = [attribute.value for attribute in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return with_claims(
        {"uri": uri, "dns": hosts, "email": email},
        id=uri[0] if spiffe else hosts[0] if len(hosts) == 1 else text or None,
        subject=text or None,
        common_name=common[0] if len(common) == 1 else None,
        spiffe=spiffe,
    )


def with_claims(claims: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    """`claims` and those of `more` that are known, read-only."""
    known: Mapping[str, Any] = frozen({**claims, **{name: value for name, value in more.items() if value is not None}})
    return known


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _hosts(names: Iterable[str]) -> list[str] | None:
    """DNS names, each once; a wildcard names no one caller, and an address is no name."""
    hosts = dict.fromkeys(canonical_host(name) for name in names)
    if None in hosts or any(host and is_address(host) for host in hosts):
        return None
    return [host for host in hosts if host]


def _text(subject: x509.Name) -> str | None:
    """RFC 4514; None with a value that is no text, or text that does not show (controls, reordering of letters)."""
    values = [attribute.value for attribute in subject]
    if not all(isinstance(value, str) and value.isprintable() for value in values):
        return None
    text = subject.rfc4514_string()
    return text if len(text) <= MAX_SUBJECT else None


def _spiffe(uris: list[str]) -> dict[str, str] | Reason | None:
    if not any(uri.lower().startswith("spiffe:") for uri in uris):
        return None
    if len(uris) > 1 or not is_spiffe_id(uris[0]):
        return Reason.CERTIFICATE_NAMES
    trust_domain, _, path = uris[0].removeprefix("spiffe://").partition("/")
    return {"trust_domain": trust_domain, "path": f"/{path}"}
