"""Which client certificates are believed, and whom they name: chains with real keys, each wrong in one way."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.pki import (
    NOW,
    Extension,
    Holder,
    alternative,
    authority,
    dns,
    extended,
    issue,
    limits,
    make_key,
    spire_authority,
    svid,
    uri,
    usage,
)

from headgate.identity.certificates import (
    MAX_CHAIN,
    Authorities,
    UnusableAuthorities,
    authorities,
    verify_certificate,
)
from headgate.identity.claims import lookup
from headgate.identity.reasons import Reason
from headgate.identity.strictjson import thawed
from headgate.identity.subjects import MAX_NAMES

CLIENT = extended(ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER = extended(ExtendedKeyUsageOID.SERVER_AUTH)
ANY = extended(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
CRITICAL_UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
UNCRITICAL_UNKNOWN = (CRITICAL_UNKNOWN[0], False)
IS_AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), True)
NO_AUTHORITY = (x509.BasicConstraints(ca=False, path_length=None), True)

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)


def of(holder: Holder, trusted: Authorities = ROOT.trusted, now: float = NOW) -> Any:
    return verify_certificate(holder.chain, trusted, now)


def accepted(holder: Holder, trusted: Authorities = ROOT.trusted) -> Any:
    claims = of(holder, trusted)
    assert not isinstance(claims, Reason), claims
    return claims


# ------------------------------------------------------------------------------------------------------------- whom


def test_a_spiffe_id_is_the_caller() -> None:
    root = spire_authority("prod.example")
    holder = svid("spiffe://prod.example/ns/pay/sa/api", spire_authority("prod.example", root))
    claims = accepted(holder, root.trusted)
    assert thawed(claims) == {
        "id": "spiffe://prod.example/ns/pay/sa/api",
        "uri": ["spiffe://prod.example/ns/pay/sa/api"],
        "dns": [],
        "email": [],
        "subject": "O=SPIRE,C=US",
        "spiffe": {"trust_domain": "prod.example", "path": "/ns/pay/sa/api"},
        "serial": "c0ffee",
        "sha256": holder.certificate.fingerprint(hashes.SHA256()).hex(),
        "nbf": NOW - 86400,
        "exp": NOW + 86400,
    }


def test_the_only_dns_name_is_the_caller_in_lower_case() -> None:
    mail = x509.RFC822Name("ops@corp.example")
    names = alternative(x509.DNSName("Batch.Corp.example"), x509.DNSName("batch.corp.example"), mail)
    claims = accepted(issue("Batch job", ROOT, names))
    assert claims["id"] == "batch.corp.example"
    assert claims["dns"] == ("batch.corp.example",)
    assert claims["email"] == ("ops@corp.example",)
    assert claims["common_name"] == "Batch job"


def test_otherwise_the_subject_is_the_caller() -> None:
    name = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp, Inc."),
        x509.NameAttribute(NameOID.COMMON_NAME, 'the "batch"'),
    ])  # fmt: skip
    for names in ([], [dns("a.example", "b.example")], [uri("https://corp.example/batch")]):
        claims = accepted(issue(name, ROOT, *names))
        assert claims["id"] == claims["subject"] == r"CN=the \"batch\",O=Corp\, Inc."


def test_several_common_names_are_none() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text) for text in ("ana", "eve")])
    claims = accepted(issue(name, ROOT))
    assert "common_name" not in claims
    assert claims["id"] == "CN=eve,CN=ana"


def test_a_certificate_that_names_nobody_has_no_id() -> None:
    claims = accepted(issue("", ROOT, (x509.SubjectAlternativeName([x509.DNSName("a.b"), x509.DNSName("c.d")]), True)))
    assert not {"id", "subject", "common_name", "spiffe"} & set(claims)


def test_claims_are_read_only() -> None:
    claims = accepted(issue("batch", ROOT, uri("https://a.example")))
    with pytest.raises(TypeError):
        claims["id"] = "eve"
    assert lookup(claims, ("uri", "0")) == "https://a.example"


NAMES = [
    pytest.param([uri("spiffe://prod.example/a", "spiffe://prod.example/b")], id="two SPIFFE IDs"),
    pytest.param([uri("spiffe://prod.example/a", "https://prod.example")], id="a SPIFFE ID and another URI"),
    pytest.param([uri("SPIFFE://prod.example/a")], id="the scheme in capitals"),
    pytest.param([uri("spiffe:prod.example/a")], id="no authority"),
    pytest.param([uri("spiffe://Prod.example/a")], id="a trust domain in capitals"),
    pytest.param([uri("spiffe:///a")], id="no trust domain"),
    pytest.param([uri("spiffe://prod.example")], id="no path"),
    pytest.param([uri("spiffe://prod.example/")], id="an empty path"),
    pytest.param([uri("spiffe://prod.example/a/")], id="a trailing slash"),
    pytest.param([uri("spiffe://prod.example//a")], id="an empty segment"),
    pytest.param([uri("spiffe://prod.example/./a")], id="a dot segment"),
    pytest.param([uri("spiffe://prod.example/a/..")], id="a segment of two dots"),
    pytest.param([uri("spiffe://prod.example/%61")], id="an escape"),
    pytest.param([uri("spiffe://prod.example/a?b=c")], id="a query"),
    pytest.param([uri("spiffe://prod.example/a#b")], id="a fragment"),
    pytest.param([uri("spiffe://prod.example:443/a")], id="a port"),
    pytest.param([uri("spiffe://eve@prod.example/a")], id="a user"),
    pytest.param([uri("spiffe://prod.example/" + "a" * 2040)], id="more than 2048 characters"),
    pytest.param([uri("https://prod.example/a b")], id="a blank in a URI"),
    pytest.param([uri("https://prod.example/\n")], id="a line end in a URI"),
    pytest.param([uri("no-scheme")], id="a URI without a scheme"),
    pytest.param([dns("*.corp.example")], id="a wildcard"),
    pytest.param([dns("corp.example\0.evil.example")], id="a NUL in a DNS name"),
    pytest.param([dns("10.0.0.1")], id="an address as DNS name"),
    pytest.param([dns("")], id="an empty DNS name"),
    pytest.param(
        [alternative(x509.RFC822Name._init_without_validation("ana@corp.example@evil.example"))],
        id="an address with two signs",
    ),
    pytest.param([dns(*(f"h{n}.corp.example" for n in range(MAX_NAMES + 1)))], id="more names than anybody has"),
]


@pytest.mark.parametrize("extensions", NAMES)
def test_a_name_in_another_form_is_refused(extensions: list[Extension]) -> None:
    assert of(issue("batch", ROOT, *extensions)) is Reason.CERTIFICATE_NAMES


def test_names_of_2048_characters_and_a_hundred_of_them_are_accepted() -> None:
    longest = "spiffe://prod.example/" + "a" * 2026
    assert accepted(issue("batch", ROOT, uri(longest)))["id"] == longest
    assert len(accepted(issue("b", ROOT, dns(*(f"h{n}.example" for n in range(MAX_NAMES)))))["dns"]) == MAX_NAMES


@pytest.mark.parametrize("text", ["ana\0", "ana\r\nX-User: eve", "ana\u202eeve", "ana\x85", "ana\u2028", "\x1b[2Jana"])
def test_a_subject_that_does_not_show_is_refused(text: str) -> None:
    assert of(issue(text, ROOT)) is Reason.CERTIFICATE_NAMES


def test_a_subject_that_is_no_text_is_refused() -> None:
    bits = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x00\x01", x509.name._ASN1Type.BitString)
    assert of(issue(x509.Name([bits]), ROOT)) is Reason.CERTIFICATE_NAMES


# ------------------------------------------------------------------------------------------------------------ chains


def test_a_chain_leads_to_a_listed_authority() -> None:
    for holder in (issue("direct", ROOT), issue("below", MIDDLE), issue("deep", authority("lower", MIDDLE))):
        claims = accepted(holder)
        assert claims["sha256"] == holder.certificate.fingerprint(hashes.SHA256()).hex()
        parsed = [x509.load_der_x509_certificate(der) for der in holder.chain]
        assert verify_certificate(parsed, ROOT.trusted, NOW) == claims


def test_what_comes_with_it_may_come_in_any_order_and_twice() -> None:
    lower = authority("lower", MIDDLE)
    holder = issue("deep", lower)
    stranger = authority("stranger")
    chain = [holder.der, stranger.der, MIDDLE.der, ROOT.der, MIDDLE.der, lower.der, holder.der]
    assert verify_certificate(chain, ROOT.trusted, NOW) == accepted(holder)


def test_what_the_caller_sends_makes_no_authority() -> None:
    stranger = authority("stranger")
    holder = issue("eve", stranger)
    assert verify_certificate([holder.der, stranger.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED
    good = issue("ana", ROOT)
    assert verify_certificate([holder.der, good.der, ROOT.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED


def test_only_the_first_certificate_is_the_caller() -> None:
    good, bad = issue("ana", ROOT), issue("eve", ROOT)
    assert verify_certificate([bad.der, good.der], ROOT.trusted, NOW)["common_name"] == "eve"  # type: ignore[index]


def test_a_missing_link_breaks_the_chain() -> None:
    holder = issue("below", MIDDLE)
    assert verify_certificate([holder.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED
    assert verify_certificate([holder.der], MIDDLE.trusted, NOW) == accepted(holder, MIDDLE.trusted)


def test_an_authority_of_the_same_name_is_another_one() -> None:
    twin = authority("root")
    assert of(issue("ana", twin)) is Reason.CERTIFICATE_UNTRUSTED
    assert of(issue("ana", authority("middle", twin))) is Reason.CERTIFICATE_UNTRUSTED
    both = authorities(twin.pem + ROOT.pem)
    assert accepted(issue("ana", ROOT), both)["id"] == accepted(issue("ana", twin), both)["id"] == "CN=ana"


def test_a_self_signed_certificate_proves_nothing() -> None:
    alone = issue("root")
    assert verify_certificate([alone.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED
    assert verify_certificate([alone.der, ROOT.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED


def test_an_authority_is_no_caller() -> None:
    for holder in (ROOT, MIDDLE, issue("eve", ROOT, IS_AUTHORITY)):
        assert verify_certificate([holder.der, ROOT.der], ROOT.trusted, NOW) is Reason.CERTIFICATE_UNFIT


@pytest.mark.parametrize(
    "extensions", [(), (NO_AUTHORITY,), (usage("key_cert_sign"),)], ids=("bare", "no CA", "a CA's usage")
)
def test_a_caller_is_no_authority(extensions: tuple[Extension, ...]) -> None:
    ana = issue("ana", ROOT, *extensions)
    assert of(issue("eve", ana)) is Reason.CERTIFICATE_UNTRUSTED


def test_path_lengths_are_kept_to() -> None:
    root = authority("root", path_length=0)
    assert accepted(issue("direct", root), root.trusted)
    assert of(issue("below", authority("middle", root)), root.trusted) is Reason.CERTIFICATE_UNTRUSTED
    assert accepted(issue("below", authority("middle", ROOT, path_length=0)))
    longer = authority("lower", authority("middle", ROOT, path_length=0))
    assert of(issue("deep", longer)) is Reason.CERTIFICATE_UNTRUSTED


def test_a_chain_may_be_ten_certificates_long() -> None:
    issuer = ROOT
    for number in range(MAX_CHAIN - 1):
        issuer = authority(f"level {number}", issuer)
    assert len(issue("deep", issuer).chain) == MAX_CHAIN
    assert accepted(issue("deep", issuer))
    assert of(issue("deeper", authority("one more", issuer))) is Reason.CERTIFICATE_MALFORMED


def test_many_authorities_of_one_name_cost_a_bounded_time() -> None:
    """Each could have signed any other; the verifier gives up instead of trying every order."""
    twins = [authority("twin", authority("twin")) for _ in range(MAX_CHAIN - 1)]
    holder = issue("eve", twins[0])
    assert verify_certificate([holder.der, *(twin.der for twin in twins)], ROOT.trusted, NOW) is (
        Reason.CERTIFICATE_UNTRUSTED
    )


# --------------------------------------------------------------------------------------------------------------- times


def test_a_certificate_is_valid_from_its_first_second_to_its_last() -> None:
    holder = issue("ana", ROOT, days=(0, 0))
    assert accepted(holder)["nbf"] == accepted(holder)["exp"] == NOW
    assert of(holder, now=NOW + 1) is Reason.CERTIFICATE_EXPIRED
    assert of(holder, now=NOW - 1) is Reason.CERTIFICATE_NOT_YET_VALID


@pytest.mark.parametrize("days", [(-9, -2), (2, 9)], ids=["expired", "not yet valid"])
def test_every_certificate_of_the_chain_has_to_be_valid(days: tuple[int, int]) -> None:
    assert of(issue("ana", authority("middle", ROOT, days=days))) is Reason.CERTIFICATE_UNTRUSTED
    root = authority("root", days=days)
    assert of(issue("ana", root), root.trusted) is Reason.CERTIFICATE_UNTRUSTED


def test_the_first_to_expire_ends_it() -> None:
    root = authority("root", days=(-3, 30))
    claims = accepted(issue("ana", authority("middle", root, days=(-1, 2)), days=(-2, 9)), root.trusted)
    assert (claims["nbf"], claims["exp"]) == (NOW - 86400, NOW + 2 * 86400)


def test_an_authority_that_expired_stays_beside_its_successor() -> None:
    key = make_key()
    old, new = authority("root", days=(-9, -2), key=key), authority("root", days=(-3, 9), key=key)
    both = authorities(old.pem + new.pem)
    assert accepted(issue("ana", new), both)
    assert both.expired(NOW) == ["CN=root"]
    assert both.expired(NOW - 5 * 86400) == []


# ------------------------------------------------------------------------------------------------------- what it is for


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param((), id="nothing said"),
        pytest.param((CLIENT,), id="clients"),
        pytest.param(
            (extended(ExtendedKeyUsageOID.CLIENT_AUTH, critical=True),),
            id="clients, critical",
        ),
        pytest.param((usage("digital_signature"), NO_AUTHORITY), id="signatures"),
        pytest.param((UNCRITICAL_UNKNOWN,), id="an unknown extension"),
        pytest.param(((x509.SubjectKeyIdentifier(b"x" * 20), False),), id="a key identifier"),
    ],
)
def test_a_certificate_for_clients_is_accepted(extensions: tuple[Extension, ...]) -> None:
    assert accepted(issue("ana", ROOT, *extensions))["id"] == "CN=ana"


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param((SERVER,), id="servers"),
        pytest.param((ANY,), id="anything"),
        pytest.param((extended(ExtendedKeyUsageOID.CODE_SIGNING),), id="code"),
        pytest.param((usage("key_encipherment"), CLIENT), id="no signatures"),
        pytest.param((usage("digital_signature", "key_cert_sign"),), id="certificates too"),
        pytest.param((usage("digital_signature", "crl_sign"),), id="revocation lists too"),
    ],
)
def test_a_certificate_for_something_else_is_refused(extensions: tuple[Extension, ...]) -> None:
    assert of(issue("ana", ROOT, *extensions)) is Reason.CERTIFICATE_UNFIT


@pytest.mark.parametrize(
    ("extensions", "believed"),
    [
        pytest.param((usage("key_cert_sign"),), True, id="signs certificates"),
        pytest.param((usage("digital_signature"),), False, id="signs none"),
        pytest.param((CLIENT,), True, id="for clients"),
        pytest.param((ANY,), True, id="for anything"),
        pytest.param((SERVER,), False, id="for servers"),
        pytest.param((CRITICAL_UNKNOWN,), False, id="an unknown critical extension"),
        pytest.param(
            (
                (
                    x509.AuthorityKeyIdentifier(b"x", [x509.DirectoryName(ROOT.certificate.subject)], 5),
                    False,
                ),
            ),
            True,
            id="named by its issuer and serial number",
        ),
    ],
)
def test_an_authority_in_between_is_for_issuing_to_clients(extensions: tuple[Extension, ...], believed: bool) -> None:
    result = of(issue("ana", authority("middle", ROOT, *extensions)))
    assert (result is not Reason.CERTIFICATE_UNTRUSTED) is believed


def test_an_unknown_critical_extension_is_refused() -> None:
    assert of(issue("ana", ROOT, CRITICAL_UNKNOWN)) is Reason.CERTIFICATE_UNTRUSTED


def test_basic_constraints_need_not_be_critical() -> None:
    root = authority("root", critical=False)
    assert accepted(issue("ana", authority("middle", root, critical=False)), root.trusted)


# ------------------------------------------------------------------------------------------------------ names limited

INSIDE = x509.DNSName("team.example")


@pytest.mark.parametrize(
    ("constraints", "names", "believed"),
    [
        pytest.param(limits([INSIDE]), dns("a.team.example"), True, id="within"),
        pytest.param(limits([INSIDE]), dns("a.other.example"), False, id="outside"),
        pytest.param(limits([INSIDE]), dns("evilteam.example"), False, id="a suffix without a dot"),
        pytest.param(limits(None, [INSIDE]), dns("a.team.example"), False, id="excluded"),
        pytest.param(limits(None, [INSIDE]), dns("a.other.example"), True, id="not excluded"),
        pytest.param(
            limits([INSIDE]), uri("spiffe://prod.example/a"), False, id="a SPIFFE ID, of which it says nothing"
        ),
        pytest.param(limits([INSIDE]), UNCRITICAL_UNKNOWN, False, id="a subject, of which it says nothing"),
        pytest.param(
            limits([x509.UniformResourceIdentifier("prod.example")]),
            dns("a.team.example"),
            False,
            id="URIs, which are not checked",
        ),
        pytest.param(
            limits(None, [x509.DirectoryName(ROOT.certificate.subject)]),
            dns("a.team.example"),
            False,
            id="subjects, which are not checked",
        ),
    ],
)
def test_name_constraints_hold(constraints: Extension, names: Extension, believed: bool) -> None:
    result = of(issue("ana", authority("middle", ROOT, constraints), names))
    assert (result is not Reason.CERTIFICATE_UNTRUSTED) is believed


# --------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("key", "digest", "believed"),
    [
        pytest.param(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), True, id="P-384"),
        pytest.param(ec.generate_private_key(ec.SECP521R1()), hashes.SHA512(), True, id="P-521"),
        pytest.param(rsa.generate_private_key(65537, 2048), hashes.SHA256(), True, id="RSA 2048"),
        pytest.param(rsa.generate_private_key(65537, 1024), hashes.SHA256(), False, id="RSA 1024"),  # noqa: S505 - refused
        pytest.param(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256(), False, id="secp256k1"),
        pytest.param(ec.generate_private_key(ec.SECP224R1()), hashes.SHA256(), False, id="P-224"),
        pytest.param(dsa.generate_private_key(2048), hashes.SHA256(), False, id="DSA"),
        pytest.param(ed448.Ed448PrivateKey.generate(), None, False, id="Ed448"),
    ],
)
def test_keys_are_strong_ones(key: Any, digest: Any, believed: bool) -> None:
    result = of(issue("ana", ROOT, key=key))
    assert (result is not Reason.CERTIFICATE_UNFIT) is believed
    middle = of(issue("ana", authority("middle", ROOT, key=key), digest=digest))
    assert (middle is not Reason.CERTIFICATE_UNTRUSTED) is believed
    root = authority("root", key=key, digest=digest)
    if believed:
        assert accepted(issue("ana", root, digest=digest), root.trusted)
    else:
        with pytest.raises(UnusableAuthorities, match="has a key that is not accepted"):
            authorities(root.pem)


def test_a_caller_may_have_an_ed25519_key_and_an_authority_may_not() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert accepted(issue("ana", ROOT, key=key))
    assert of(issue("ana", authority("middle", ROOT, key=key), digest=None)) is Reason.CERTIFICATE_UNTRUSTED
    with pytest.raises(UnusableAuthorities, match="has a key that is not accepted"):
        authorities(authority("root", key=key, digest=None).pem)


SHA_256, SHA_1 = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))  # ...WithRSAEncryption


def with_sha_1(holder: Holder, key: rsa.RSAPrivateKey) -> bytes:
    """The same certificate with a signature that nobody makes any more, cryptography included."""
    signed = holder.certificate.tbs_certificate_bytes.replace(SHA_256, SHA_1)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - to be refused
    return holder.der.replace(SHA_256, SHA_1)[: -len(signature)] + signature


def test_a_signature_with_sha_1_proves_nothing() -> None:
    key = rsa.generate_private_key(65537, 2048)
    root = authority("root", key=key)
    ana = issue("ana", root)
    assert accepted(ana, root.trusted)
    weak = x509.load_der_x509_certificate(with_sha_1(ana, key))
    key.public_key().verify(weak.signature, weak.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the same
    assert verify_certificate([weak], root.trusted, NOW) is Reason.CERTIFICATE_UNTRUSTED


# -------------------------------------------------------------------------------------------------------------- garbage


@pytest.mark.parametrize(
    "chain",
    [
        [],
        [b""],
        [b"garbage"],
        [ROOT.pem],
        [issue("ana", ROOT).der + b"\0"],
        [issue("ana", ROOT).der[:-1]],
        [b"garbage", issue("ana", ROOT).der],
        [issue("ana", ROOT).der, b"garbage"],
        [issue("ana", ROOT, uri("https://a.example/" + "a" * 40_000)).der],
    ],
    ids=("nothing", "no bytes", "garbage", "PEM", "longer", "shorter", "garbage first", "garbage last", "huge"),
)
def test_what_is_no_certificate_is_refused(chain: list[bytes]) -> None:
    assert verify_certificate(chain, ROOT.trusted, NOW) is Reason.CERTIFICATE_MALFORMED


ANA = issue("ana", MIDDLE, uri("spiffe://prod.example/ana"), usage("digital_signature"), CLIENT)


ODD = pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography warns of serial numbers and countries it reads


def flipped(der: bytes, at: int, bit: int) -> bytes:
    return der[:at] + bytes([der[at] ^ 1 << bit]) + der[at + 1 :]


def without_digest(claims: Any) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name != "sha256"}


@ODD
@given(at=st.integers(0, len(ANA.der) - 1), bit=st.integers(0, 7))
def test_no_bit_that_counts_can_be_changed(at: int, bit: int) -> None:
    """What the authority did not sign is how its signature is written: whoever can change that gains nothing."""
    claims = verify_certificate([flipped(ANA.der, at, bit), MIDDLE.der], ROOT.trusted, NOW)
    signed = ANA.der.index(ANA.certificate.tbs_certificate_bytes)
    if at < signed + len(ANA.certificate.tbs_certificate_bytes) or isinstance(claims, Reason):
        assert isinstance(claims, Reason)
    else:
        assert without_digest(claims) == without_digest(accepted(ANA))


@ODD
@given(at=st.integers(0, len(MIDDLE.der) - 1), bit=st.integers(0, 7))
def test_a_changed_authority_vouches_for_nothing_new(at: int, bit: int) -> None:
    claims = verify_certificate([ANA.der, flipped(MIDDLE.der, at, bit)], ROOT.trusted, NOW)
    assert isinstance(claims, Reason) or claims == accepted(ANA)


@ODD
@given(cuts=st.lists(st.tuples(st.integers(0, len(ANA.der)), st.integers(0, 3), st.binary(max_size=3)), min_size=1))
def test_a_certificate_cut_and_pasted_is_refused_and_nothing_worse(cuts: list[tuple[int, int, bytes]]) -> None:
    der = ANA.der
    for at, length, pasted in cuts:
        der = der[:at] + pasted + der[at + length :]
    claims = verify_certificate([der, MIDDLE.der], ROOT.trusted, NOW)
    assert isinstance(claims, Reason) or without_digest(claims) == without_digest(accepted(ANA))


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_refused(chain: list[bytes]) -> None:
    assert isinstance(verify_certificate(chain, ROOT.trusted, NOW), Reason)


# ------------------------------------------------------------------------------------------------- files of authorities


def test_a_file_holds_authorities_each_once_and_may_say_what_they_are() -> None:
    file = b"# of the platform team\n" + ROOT.pem + b"\nsubject=CN=middle\n" + MIDDLE.pem + ROOT.pem
    assert authorities(file).certificates == (ROOT.certificate, MIDDLE.certificate)


def private_pem(holder: Holder) -> bytes:
    pem: bytes = holder.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        pytest.param(b"", "it holds no certificate", id="nothing"),
        pytest.param(b"\xff\xfe", "it holds no certificate", id="no text"),
        pytest.param(ROOT.der, "it holds no certificate", id="DER"),
        pytest.param(ROOT.pem.replace(b"MII", b"NII", 1), "or one that cannot be read", id="damaged"),
        pytest.param(ROOT.pem[:-40], "or one that cannot be read", id="cut off"),
        pytest.param(ROOT.pem + private_pem(ROOT), "it holds a private key", id="with its key"),
        pytest.param(
            ROOT.pem + b"-----BEGIN EC PARAMETERS-----\n-----END EC PARAMETERS-----",
            "it holds something else than certificates",
            id="with parameters",
        ),
        pytest.param(ROOT.pem + issue("ana", ROOT).pem, "number 2 is not one of an authority", id="a caller"),
        pytest.param(issue("root").pem, "number 1 is not one of an authority", id="self-signed"),
        pytest.param(issue("root", None, NO_AUTHORITY).pem, "is not one of an authority", id="CA:FALSE"),
        pytest.param(authority("root", None, usage("crl_sign")).pem, "is not one of an authority", id="no keyCertSign"),
        pytest.param(
            authority("root", None, limits([x509.UniformResourceIdentifier("prod.example")])).pem,
            "has name constraints that cannot be checked",
            id="limited to URIs",
        ),
    ],
)
def test_what_is_no_file_of_authorities_is_refused(pem: bytes, said: str) -> None:
    with pytest.raises(UnusableAuthorities, match=said) as caught:
        authorities(pem)
    text = str(caught.value)
    assert "accepted" in text or "keyCertSign" in text
    assert "\n" not in text
    assert not any(line in text for line in pem.decode("latin-1").splitlines() if len(line) > 40)


def test_more_than_200_authorities_are_refused() -> None:
    key = make_key()
    many = b"".join(authority(f"root {number}", key=key).pem for number in range(201))
    with pytest.raises(UnusableAuthorities, match="more than 200"):
        authorities(many)


@ODD
@given(at=st.integers(0, len(ROOT.der) - 1), bit=st.integers(0, 7))
def test_any_authority_is_usable_or_one_error(at: int, bit: int) -> None:
    text = base64.b64encode(flipped(ROOT.der, at, bit))
    try:
        read = authorities(b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----\n")
    except UnusableAuthorities:
        return
    assert len(read.certificates) == 1


@given(st.binary())
def test_any_bytes_are_no_authorities(data: bytes) -> None:
    with pytest.raises(UnusableAuthorities):
        authorities(b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n")
