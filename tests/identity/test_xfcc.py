"""What of Envoy's header about a client certificate is believed, and what makes it mean nothing."""

from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.pki import Holder, alternative, authority, dns, issue, svid, uri

from headgate.identity.certificates import verify_certificate
from headgate.identity.reasons import Reason
from headgate.identity.strictjson import thawed
from headgate.identity.xfcc import parse_xfcc

HASH = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688"
BY = "By=spiffe://prod.example/ns/edge/sa/gateway"
SPIFFE_ID = "spiffe://prod.example/ns/pay/sa/api"
ROOT = authority("root")
API = svid(SPIFFE_ID, ROOT)


def digest(holder: Holder) -> str:
    return holder.certificate.fingerprint(hashes.SHA256()).hex()


def escaped(holder: Holder) -> str:
    """PEM as Envoy writes it into the header."""
    return quote(holder.pem.decode(), safe="-")


def said(text: str) -> dict[str, Any]:
    claims = parse_xfcc(text.encode())
    assert not isinstance(claims, Reason), claims
    read: dict[str, Any] = thawed(claims)
    return read


def refused(text: str) -> Reason:
    claims = parse_xfcc(text.encode())
    assert isinstance(claims, Reason), claims
    return claims


def test_an_element_as_a_mesh_writes_it() -> None:
    claims = said(f'{BY};Hash={HASH};Subject="";URI={SPIFFE_ID}')
    assert claims == {
        "id": SPIFFE_ID,
        "uri": [SPIFFE_ID],
        "dns": [],
        "email": [],
        "spiffe": {"trust_domain": "prod.example", "path": "/ns/pay/sa/api"},
        "sha256": HASH,
    }


def test_an_element_with_everything() -> None:
    claims = said(
        f'{BY};Hash={HASH};Subject="emailAddress=ops@corp.example,CN=Batch,O=Corp\\, Inc.,C=US";'
        "URI=https://corp.example/batch?a=b;URI=urn:uuid:1;DNS=Batch.corp.example;DNS=b.corp.example"
    )
    assert claims == {
        "id": r"1.2.840.113549.1.9.1=ops@corp.example,CN=Batch,O=Corp\, Inc.,C=US",
        "uri": ["https://corp.example/batch?a=b", "urn:uuid:1"],
        "dns": ["batch.corp.example", "b.corp.example"],
        "email": [],
        "subject": r"1.2.840.113549.1.9.1=ops@corp.example,CN=Batch,O=Corp\, Inc.,C=US",
        "common_name": "Batch",
        "sha256": HASH,
    }


@pytest.mark.parametrize(
    ("text", "caller"),
    [
        (f"URI={SPIFFE_ID}", SPIFFE_ID),
        (f"uri={SPIFFE_ID}", SPIFFE_ID),
        (f'URI="{SPIFFE_ID}"', SPIFFE_ID),
        (f"URI=;URI={SPIFFE_ID};DNS=", SPIFFE_ID),
        (f"Hash={HASH};URI=;DNS=a.example", "a.example"),
        ("DNS=a.example;DNS=a.example", "a.example"),
        ("By=a;By=b;DNS=a.example", "a.example"),
        ('Subject="CN=ana";DNS=a.example;DNS=b.example', "CN=ana"),
        (r'Subject="CN=\"ana\"\;URI=\\\,"', r"CN=\"ana\"\;URI=\\\,"),
        (r'Subject="CN=ana\\";DNS=a.example', "a.example"),
        (r'Subject="CN=\C3\A9lan"', "CN=élan"),
        (f"Hash={HASH}", None),
        ("By=spiffe://prod.example/gateway", None),
    ],
)
def test_the_caller_is_found(text: str, caller: str | None) -> None:
    assert said(text).get("id") == caller


@pytest.mark.parametrize(
    "text",
    [
        f"URI={SPIFFE_ID},URI=spiffe://prod.example/eve",
        f"{BY};Hash={HASH};URI={SPIFFE_ID},{BY};Hash={HASH};URI={SPIFFE_ID}",
        f"URI={SPIFFE_ID},",
        f"URI={SPIFFE_ID}, garbage",
    ],
)
def test_several_hops_are_refused(text: str) -> None:
    assert refused(text) is Reason.FORWARDED_SEVERAL
    assert "SANITIZE_SET" in Reason.FORWARDED_SEVERAL.meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        ",",
        "=",
        "URI",
        SPIFFE_ID,
        f"URI={SPIFFE_ID};",
        f";URI={SPIFFE_ID}",
        f",URI={SPIFFE_ID}",
        f"URI={SPIFFE_ID};;DNS=a.example",
        f"URI={SPIFFE_ID}; DNS=a.example",
        f" URI={SPIFFE_ID}",
        f"URI ={SPIFFE_ID}",
        f"Uri\0={SPIFFE_ID}",
        f"URI={SPIFFE_ID}\r\n",
        f"URI={SPIFFE_ID}\tx",
        f"IP=10.0.0.1;URI={SPIFFE_ID}",
        f'URI="{SPIFFE_ID}',
        f'URI={SPIFFE_ID}"',
        f'URI="{SPIFFE_ID}"x',
        f'URI="{SPIFFE_ID}"xDNS=a.example',
        f'URI=x"{SPIFFE_ID}"',
        f'URI="{SPIFFE_ID}\\"',
        f"URI={SPIFFE_ID}\\",
        'Subject=CN=ana',
        'Subject="CN=ana',
        'Subject=""CN=ana""',
        'Subject="ana"',
        'Subject="/C=US/CN=ana"',
        'Subject="CN=ana;O=corp"',
        'Subject="CN=\\FF"',
        'Subject="CN="',
        'Subject="CN=é"',
        'Subject="CN=ana";Subject="CN=eve"',
        f"Hash={HASH};Hash={HASH}",
        f"Hash={HASH.upper()};URI={SPIFFE_ID}",
        f"Hash={HASH[:-1]};URI={SPIFFE_ID}",
        f"Hash=;URI={SPIFFE_ID}",
        "Cert=",
        'Cert="garbage"',
        'Cert="%2"',
        'Cert="%zz"',
        f'Cert="{escaped(API)}";Cert="{escaped(API)}"',
        f'Cert="{escaped(API)}{escaped(API)}"',
        f'Cert="{escaped(API)[3:]}"',
        f'Cert="{escaped(API).replace("%0A", "")}"',
        f'Cert="{quote(API.pem.decode().replace("MII", "NII", 1))}"',
        f'Cert="x%0A{escaped(API)}"',
    ],
)  # fmt: skip
def test_what_envoy_does_not_write_is_refused(text: str) -> None:
    assert refused(text) is Reason.FORWARDED_MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        f"URI={SPIFFE_ID};URI=spiffe://prod.example/eve",
        f"URI={SPIFFE_ID};URI=https://prod.example",
        "URI=spiffe://prod.example/a%2Fb",
        "URI=SPIFFE://prod.example/a",
        "URI=spiffe://prod.example",
        "URI=no-scheme",
        "DNS=*.corp.example",
        "DNS=10.0.0.1",
        'DNS="a.example;URI=spiffe://prod.example/eve"',
        r'Subject="CN=ana\0D\0Aeve"',
        r'Subject="CN=ana\E2\80\AEeve"',
    ],
)
def test_names_have_the_form_that_they_have_in_certificates(text: str) -> None:
    assert refused(text) is Reason.CERTIFICATE_NAMES


def test_a_certificate_is_what_the_claims_are_taken_from() -> None:
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp, Inc."),
        x509.NameAttribute(NameOID.COMMON_NAME, "élan"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ops@corp.example"),
    ])  # fmt: skip
    names = alternative(
        x509.UniformResourceIdentifier("https://a.example/"), x509.DNSName("A.example"), x509.RFC822Name("a@b.example")
    )
    holder = issue(name, ROOT, names)
    proven = verify_certificate(holder.chain, ROOT.trusted, 1_700_000_000)
    assert not isinstance(proven, Reason)
    expected = {key: value for key, value in thawed(proven).items() if key not in ("nbf", "exp")}
    subject = r'Subject="emailAddress=ops@corp.example,CN=\C3\A9lan,O=Corp\, Inc.,C=US"'
    assert said(f'Cert="{escaped(holder)}"') == expected
    assert said(f"Cert={escaped(holder)}") == expected
    assert (
        said(f'{BY};Hash={digest(holder)};Cert="{escaped(holder)}";{subject};URI=https://a.example/;DNS=A.example')
        == expected
    )


@pytest.mark.parametrize(
    "text",
    [
        f"Hash={HASH}",
        "URI=spiffe://prod.example/eve",
        "DNS=a.example",
        'Subject="CN=eve"',
        'Subject="C=US,O=SPIRE"',
    ],
)
def test_a_header_that_says_more_than_its_certificate_is_refused(text: str) -> None:
    assert refused(f'{text};Cert="{escaped(API)}"') is Reason.FORWARDED_MISMATCH


def test_a_header_may_say_less_than_its_certificate() -> None:
    holder = issue("batch", ROOT, dns("a.example", "b.example"))
    assert said(f'Cert="{escaped(holder)}";DNS=a.example')["dns"] == ["a.example", "b.example"]


def test_the_names_of_a_certificate_are_checked_as_if_it_had_been_seen() -> None:
    holder = issue("batch", ROOT, uri(SPIFFE_ID, "https://prod.example"))
    assert refused(f'Hash={digest(holder)};Cert="{escaped(holder)}"') is Reason.CERTIFICATE_NAMES


def test_a_name_that_would_write_further_keys_is_told_from_them_by_the_certificate() -> None:
    """Envoy does not quote URIs: only the certificate shows that this is one of them, and not a URI and a DNS name."""
    holder = issue("eve", ROOT, uri("https://eve.example/;DNS=admin.example"))
    line = f"Hash={digest(holder)};URI=https://eve.example/;DNS=admin.example"
    assert said(line)["id"] == "admin.example"
    assert refused(f'{line};Cert="{escaped(holder)}"') is Reason.FORWARDED_MISMATCH
    assert said(f'Cert="{escaped(holder)}"')["id"] == "CN=eve"


# ------------------------------------------------------------------------------------------------ verified once more


MIDDLE = authority("middle", ROOT)
BELOW = svid(SPIFFE_ID, MIDDLE)
NOW = 1_700_000_000


def verified(text: str, now: float = NOW) -> Any:
    return parse_xfcc(text.encode(), ROOT.trusted, now)


def certified(*chain: Holder, cert: Holder = BELOW) -> str:
    """As Envoy writes it with `cert` and `chain` set: the chain begins with the certificate itself."""
    return f'Hash={digest(cert)};Cert="{escaped(cert)}";Chain="{"".join(map(escaped, chain))}"'


def test_with_authorities_the_certificate_is_verified_here() -> None:
    claims = verified(certified(BELOW, MIDDLE))
    assert not isinstance(claims, Reason), claims
    assert claims == verify_certificate(BELOW.chain, ROOT.trusted, NOW)
    assert not isinstance(verified(f'Cert="{escaped(API)}"'), Reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"Hash={HASH};URI={SPIFFE_ID}", Reason.FORWARDED_UNPROVEN),
        (f'URI={SPIFFE_ID};Chain="{escaped(BELOW)}{escaped(MIDDLE)}"', Reason.FORWARDED_UNPROVEN),
        (f'Cert="{escaped(BELOW)}"', Reason.CERTIFICATE_UNTRUSTED),
        (certified(BELOW), Reason.CERTIFICATE_UNTRUSTED),
        (certified(MIDDLE, cert=svid(SPIFFE_ID, authority("middle", authority("root")))), Reason.CERTIFICATE_UNTRUSTED),
        (certified(BELOW, MIDDLE, cert=MIDDLE), Reason.CERTIFICATE_UNFIT),
        (certified(*[MIDDLE] * 10), Reason.CERTIFICATE_MALFORMED),
        (f'Cert="{escaped(BELOW)}";Chain=""', Reason.FORWARDED_MALFORMED),
        (f'Cert="{escaped(BELOW)}";Chain="{escaped(MIDDLE)}x"', Reason.FORWARDED_MALFORMED),
        (f'Cert="{escaped(BELOW)}{escaped(MIDDLE)}"', Reason.FORWARDED_MALFORMED),
        (f"{certified(BELOW, MIDDLE)};URI=spiffe://prod.example/eve", Reason.FORWARDED_MISMATCH),
        (certified(BELOW, MIDDLE).replace(digest(BELOW), HASH), Reason.FORWARDED_MISMATCH),
        (f"{certified(BELOW, MIDDLE)},{certified(BELOW, MIDDLE)}", Reason.FORWARDED_SEVERAL),
    ],
)
def test_what_cannot_be_verified_here_is_nobody_s(text: str, reason: Reason) -> None:
    assert verified(text) is reason


def test_a_certificate_that_has_ended_since_is_nobody_s() -> None:
    assert verified(certified(BELOW, MIDDLE), NOW + 10 * 86400) is Reason.CERTIFICATE_EXPIRED
    assert verified(certified(BELOW, MIDDLE), NOW - 10 * 86400) is Reason.CERTIFICATE_NOT_YET_VALID


GOOD = f'{BY};Hash={digest(API)};Cert="{escaped(API)}";Subject="O=SPIRE,C=US";URI={SPIFFE_ID}'.encode()


def test_the_good_one_is_good() -> None:
    assert said(GOOD.decode())["id"] == SPIFFE_ID


@pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography warns of serial numbers and countries it reads
@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_any_byte_changed_is_refused_or_changes_no_caller(at: int, byte: int) -> None:
    claims = parse_xfcc(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])
    assert isinstance(claims, Reason) or claims["id"] == SPIFFE_ID


PIECES = [
    "By=",
    "Hash=",
    "Subject=",
    "URI=",
    "DNS=",
    "Cert=",
    ";",
    ",",
    '"',
    "\\",
    '\\"',
    "CN=a",
    HASH,
    SPIFFE_ID,
    "a.b",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join) | st.text())
def test_any_text_is_claims_or_a_reason(text: str) -> None:
    claims = parse_xfcc(text.encode("utf-8", "surrogatepass"))
    assert isinstance(claims, Reason) or {"uri", "dns", "email"} <= set(claims)


@given(st.binary())
def test_any_bytes_are_claims_or_a_reason(data: bytes) -> None:
    assert isinstance(parse_xfcc(data), Reason)
