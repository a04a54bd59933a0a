"""What Envoy says of the client certificate that it saw, in its header `x-forwarded-client-cert`.

The header is not signed. It counts only when a listed peer sent it, and as much as that peer does: it must take the
header off what it receives (`SANITIZE_SET`), and verify certificates itself (a listener without `trusted_ca` forwards
what it was shown, unverified) unless the rules name authorities: then the header must hold the certificate, with its
issuers in `Chain`, and it is verified here. Exactly one element is accepted: of several hops none is surely the caller.

An element is `Key=value` joined by `;`, with the keys By, Hash, Cert, Chain, Subject, URI and DNS in any case. Values
may be quoted; within quotes a backslash escapes the next character. Subject is text as OpenSSL prints it (RFC 2253) and
keeps its escapes, which are the same for both. Envoy quotes no URI and no DNS name, so an authority that signs any
text as a URI could let its holders write further keys; with `Cert`, names come from the certificate and from it alone.

Source: Envoy's documentation, "HTTP header manipulation", and its `xfcc_value.cc`.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from headgate.identity.certificates import Authorities, verify_certificate
from headgate.identity.reasons import Reason
from headgate.identity.subjects import UNREADABLE, certificate_claims, named, read_certificate, with_claims

KEYS = frozenset(("by", "hash", "cert", "chain", "subject", "uri", "dns"))
REPEATABLE = frozenset(("by", "uri", "dns"))

ATTRIBUTES = {
    "emailAddress": NameOID.EMAIL_ADDRESS, "serialNumber": NameOID.SERIAL_NUMBER, "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME, "title": NameOID.TITLE, "initials": NameOID.INITIALS, "street": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE, "pseudonym": NameOID.PSEUDONYM, "dnQualifier": NameOID.DN_QUALIFIER,
    "generationQualifier": NameOID.GENERATION_QUALIFIER, "businessCategory": NameOID.BUSINESS_CATEGORY,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER, "unstructuredName": NameOID.UNSTRUCTURED_NAME,
    "jurisdictionC": NameOID.JURISDICTION_COUNTRY_NAME, "jurisdictionL": NameOID.JURISDICTION_LOCALITY_NAME,
    "jurisdictionST": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
}  # fmt: skip
"""Names that OpenSSL prints, beyond those of RFC 4514."""

_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\\]*))(?=[,;]|\Z)')
_PRINTABLE = re.compile(rb"[ -~]+\Z")
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9+/=. _~-]|%[0-9A-Fa-f]{2})+\Z")
_PEM = re.compile(rb"(?:-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?)+\Z")


def parse_xfcc(value: bytes, believed: Authorities | None = None, now: float = 0.0) -> Mapping[str, Any] | Reason:
    """Whom the certificate names that the peer saw; see `subjects`. `nbf` and `exp` are known if it is verified here,
    at `now` (epoch seconds), which it is where authorities are given."""
    pairs = _pairs(value)
    if isinstance(pairs, Reason):
        return pairs
    digest, subject = pairs.get("hash", [None])[0], _subject(pairs.get("subject", [""])[0])
    if subject is None or not (digest is None or _HASH.match(digest)):
        return Reason.FORWARDED_MALFORMED
    claims = named(subject, uris=filter(None, pairs.get("uri", ())), dns=filter(None, pairs.get("dns", ())))
    if isinstance(claims, Reason):
        return claims
    if "cert" in pairs:
        certified = _certified(pairs, believed, now)
        return certified if isinstance(certified, Reason) else _agreed(certified, claims, digest)
    return Reason.FORWARDED_UNPROVEN if believed else with_claims(claims, sha256=digest)


def _pairs(value: bytes) -> dict[str, list[str]] | Reason:
    """The values of each key, in order."""
    if not _PRINTABLE.match(value):
        return Reason.FORWARDED_MALFORMED
    text, found, at = value.decode("ascii"), dict[str, list[str]](), 0
    while pair := _PAIR.match(text, at):
        key, at = pair[1].lower(), pair.end()
        if key not in KEYS or (key in found and key not in REPEATABLE) or (key == "subject" and pair[2] is None):
            return Reason.FORWARDED_MALFORMED
        found.setdefault(key, []).append(pair[3] if pair[2] is None else pair[2])
        if at == len(text):
            return found
        if text[at] == ",":
            return Reason.FORWARDED_SEVERAL
        at += 1
    return Reason.FORWARDED_MALFORMED


def _subject(text: str) -> x509.Name | None:
    try:
        return x509.Name.from_rfc4514_string(text, ATTRIBUTES)
    except UNREADABLE:
        return None


def _certified(pairs: Mapping[str, list[str]], believed: Authorities | None, now: float) -> Mapping[str, Any] | Reason:
    """The claims of the certificate itself."""
    own = _certificates(pairs["cert"][0])
    if len(own) != 1:
        return Reason.FORWARDED_MALFORMED
    if believed is None:
        return certificate_claims(own[0])
    chain = _certificates(pairs["chain"][0]) if "chain" in pairs else []
    if "chain" in pairs and not chain:
        return Reason.FORWARDED_MALFORMED
    return verify_certificate([*own, *chain], believed, now)


def _agreed(claims: Mapping[str, Any], said: Mapping[str, Any], digest: str | None) -> Mapping[str, Any] | Reason:
    """The header must say nothing of its certificate that is not so."""
    same = said.get("subject") in (None, claims.get("subject")) and digest in (None, claims["sha256"])
    if not same or not all(set(said[names]) <= set(claims[names]) for names in ("uri", "dns")):
        return Reason.FORWARDED_MISMATCH
    return claims


def _certificates(escaped: str) -> list[x509.Certificate]:
    """From PEM with percent signs for what may not stand in a header; none if one of them cannot be read."""
    pem = unquote_to_bytes(escaped) if _ESCAPED.match(escaped) else b""
    if not _PEM.match(pem):
        return []
    try:
        ders = [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem)]
    except UNREADABLE:
        return []
    read = [certificate for certificate in map(read_certificate, ders) if certificate]
    return read if len(read) == len(ders) else []
