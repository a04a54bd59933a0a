"""Whether a client certificate proves who calls: its chain to an authority of the provider, checked offline.

What proves the caller is the TLS handshake, in which a client signs with the key of the certificate that it sends
first; nothing here does that. So the first certificate given must be the one that the handshake was about, and the
others only help to build the chain: they come from the caller and are believed for nothing else.

Strict is what RFC 5280 makes of a chain: signatures, validity of every certificate (the authority's too), CA and path
length, `keyCertSign` of authorities and `digitalSignature` of the caller where key usages are given, `clientAuth` where
extended key usages are given (an authority may have any usage), name constraints, and critical extensions. Keys are RSA
from 2048 bits or NIST curves (the caller's may be Ed25519), signatures use SHA-2. Not asked for is what only the public
web needs and internal authorities leave out: key identifiers, a subject alternative name, revocation lists (short lives
and the revocations of this proxy do that).

Name constraints are believed for DNS names, e-mail and IP addresses. An authority limited in another way (a URI or
directory name) cannot be checked and is refused, and one limited at all speaks for callers with a DNS name as id only:
its limits say nothing of the others. An intermediate authority may be listed by itself; then the chain ends there.

Sources: RFC 5280, section 6; spiffe.io, "X509-SVID", section 5.
"""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from headgate.identity.reasons import Reason
from headgate.identity.subjects import UNREADABLE, certificate_claims, read_certificate, with_claims

MAX_CHAIN = 10
MAX_AUTHORITIES = 200
ACCEPTED = "accepted: certificates of authorities in PEM, and nothing else"

_RSA_BITS = range(2048, 8193)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_CHECKED_NAMES = (x509.DNSName, x509.RFC822Name, x509.IPAddress)
_LABEL = re.compile(rb"-----BEGIN ([^-]*)-----")


class UnusableAuthorities(ValueError):
    """Why a file holds no authorities to believe, in words for the one who wrote the rules; never quotes it."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """The authorities of one provider, each once."""

    certificates: tuple[x509.Certificate, ...]
    store: Store = field(repr=False, compare=False)

    def expired(self, now: float) -> list[str]:
        """The subjects of those with which nobody can be verified any more."""
        past = (each for each in self.certificates if each.not_valid_after_utc.timestamp() < now)
        return [each.subject.rfc4514_string() for each in past]


def authorities(pem: bytes) -> Authorities:
    """The authorities in a file; UnusableAuthorities when one of them, or anything else in it, must not be there.

    One that has expired may stay: it verifies nobody, and its successor is usually in the file already.
    """
    labels = _LABEL.findall(pem)
    if any(b"PRIVATE KEY" in label for label in labels):
        raise UnusableAuthorities(f"it holds a private key; {ACCEPTED}")
    if any(label != b"CERTIFICATE" for label in labels):
        raise UnusableAuthorities(f"it holds something else than certificates; {ACCEPTED}")
    try:
        found = list(dict.fromkeys(x509.load_pem_x509_certificates(pem)))
    except UNREADABLE:
        raise UnusableAuthorities(f"it holds no certificate, or one that cannot be read; {ACCEPTED}") from None
    if len(found) > MAX_AUTHORITIES:
        raise UnusableAuthorities(f"it holds more than {MAX_AUTHORITIES} certificates")
    for number, certificate in enumerate(found, 1):
        if problem := _unfit_authority(certificate):
            raise UnusableAuthorities(f"of its certificates, number {number} {problem}")
    return Authorities(tuple(found), Store(found))


def verify_certificate(
    chain: Sequence[bytes | x509.Certificate], authorities: Authorities, now: float
) -> Mapping[str, Any] | Reason:
    """Whom the first certificate of `chain` (DER) names, if it is valid at `now` (epoch seconds); see `subjects`."""
    read = _read(chain)
    if isinstance(read, Reason):
        return read
    leaf, at = read[0], datetime.datetime.fromtimestamp(now, datetime.UTC)
    if reason := _unfit_caller(leaf) or _untimely(leaf, at):
        return reason
    path = _path(read, authorities, at)
    claims = certificate_claims(leaf) if path else Reason.CERTIFICATE_UNTRUSTED
    if isinstance(claims, Reason):
        return claims
    if any(_extension(issuer, x509.NameConstraints) for issuer in path) and claims.get("id") not in claims["dns"]:
        return Reason.CERTIFICATE_UNTRUSTED
    start = max(certificate.not_valid_before_utc for certificate in path)
    end = min(certificate.not_valid_after_utc for certificate in path)
    return with_claims(claims, nbf=int(start.timestamp()), exp=int(end.timestamp()))


def _read(chain: Sequence[bytes | x509.Certificate]) -> list[x509.Certificate] | Reason:
    if not 0 < len(chain) <= MAX_CHAIN:
        return Reason.CERTIFICATE_MALFORMED
    ders = [item if isinstance(item, bytes) else item.public_bytes(Encoding.DER) for item in chain]
    read = [certificate for certificate in map(read_certificate, ders) if certificate]
    return read if len(read) == len(chain) else Reason.CERTIFICATE_MALFORMED


def _untimely(leaf: x509.Certificate, at: datetime.datetime) -> Reason | None:
    if at > leaf.not_valid_after_utc:
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_NOT_YET_VALID if at < leaf.not_valid_before_utc else None


def _path(chain: list[x509.Certificate], authorities: Authorities, at: datetime.datetime) -> list[x509.Certificate]:
    """From the caller's certificate to an authority, or nothing."""
    builder = PolicyBuilder().store(authorities.store).time(at).max_chain_depth(MAX_CHAIN)
    verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_CALLER).build_client_verifier()
    try:
        return list(verifier.verify(chain[0], chain[1:]).chain)
    except (VerificationError, *UNREADABLE):
        return []


# ------------------------------------------------------------------------------------------- what a certificate is for


def _unfit_caller(leaf: x509.Certificate) -> Reason | None:
    try:
        key = leaf.public_key()
    except UNREADABLE:
        return Reason.CERTIFICATE_UNFIT
    basic = _extension(leaf, x509.BasicConstraints)
    usage, extended = _extension(leaf, x509.KeyUsage), _extension(leaf, x509.ExtendedKeyUsage)
    for_clients = not _is_authority(basic) and _signs_handshakes(usage) and _authenticates_clients(extended)
    strong = _strong(key) or isinstance(key, ed25519.Ed25519PublicKey)
    return None if for_clients and strong else Reason.CERTIFICATE_UNFIT


def _unfit_authority(certificate: x509.Certificate) -> str | None:
    """What is wrong with a certificate as an authority, to follow `number 1`; each would fail every caller later."""
    try:
        basic, key = _extension(certificate, x509.BasicConstraints), certificate.public_key()
        usage, limits = _extension(certificate, x509.KeyUsage), _extension(certificate, x509.NameConstraints)
    except UNREADABLE:
        return f"cannot be read; {ACCEPTED}"
    if not (_is_authority(basic) and _signs_certificates(usage)):
        return "is not one of an authority (`CA:TRUE`, and `keyCertSign` where it has a key usage)"
    if not _strong(key):
        return "has a key that is not accepted; accepted: RSA of 2048 to 8192 bits, P-256, P-384 or P-521"
    if not _checkable(limits):
        return "has name constraints that cannot be checked; accepted: for DNS names, e-mail and IP addresses"
    return None


def _strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in _RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)


def _extension[Kind: x509.ExtensionType](certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(basic: x509.BasicConstraints | None) -> bool:
    return basic is not None and basic.ca


def _signs_handshakes(usage: x509.KeyUsage | None) -> bool:
    return usage is None or (usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign)


def _signs_certificates(usage: x509.KeyUsage | None) -> bool:
    return usage is None or usage.key_cert_sign


def _authenticates_clients(usages: x509.ExtendedKeyUsage | None) -> bool:
    return usages is None or ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _issues_for_clients(usages: x509.ExtendedKeyUsage | None) -> bool:
    return _authenticates_clients(usages) or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in (usages or ())


def _checkable(limits: x509.NameConstraints | None) -> bool:
    subtrees = (*(limits.permitted_subtrees or ()), *(limits.excluded_subtrees or ())) if limits else ()
    return all(isinstance(name, _CHECKED_NAMES) for name in subtrees)


def _requiring[Found](holds: Callable[[Found], bool]) -> Callable[[Policy, x509.Certificate, Found], None]:
    """A check as cryptography calls it: with the extension of one kind, or None where there is none."""

    def check(_policy: Policy, _certificate: x509.Certificate, extension: Found) -> None:
        if not holds(extension):
            raise ValueError

    return check


_CALLER = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _requiring(_signs_handshakes))
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _requiring(_authenticates_clients))
)
_AUTHORITY = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _requiring(_is_authority))
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _requiring(_signs_certificates))
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _requiring(_issues_for_clients))
    .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, _requiring(_checkable))
)
