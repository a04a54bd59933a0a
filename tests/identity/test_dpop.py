"""Which proofs of a key are believed: the table, every spelling of a URL, the replay, and any bytes at all."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.utils import der_to_raw_signature, raw_to_der_signature
from pydantic import ValidationError

from headgate.errors import InvalidRules
from headgate.identity.dpop import (
    MAX_PROOF,
    SessionBinding,
    SessionBindingSpec,
    check_proof,
    compile_binding,
    same_url,
    thumbprint_of,
)
from headgate.identity.reasons import Reason
from headgate.identity.replays import Replays

NOW = 1_700_000_000
TOKEN = "a.b.c"
URL = "https://guard.example.com/v1/refunds"
TABLE = Path(__file__).parents[1] / "cases" / "dpop.yaml"
CASES = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
BEYOND_THE_TABLE = {Reason.PROOF_MISSING, Reason.PROOF_TOO_LONG, Reason.PROOF_REPLAYED, Reason.REPLAY_STORE_FULL}
ALGORITHMS = get_default_algorithms()
USUAL = {"ec384": "ES384", "ec521": "ES512", "rsa": "RS256", "weak": "RS256", "ed": "EdDSA"}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Client:
    """Holds keys, and proves that it does; also in ways that no honest client would."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ec384": ec.generate_private_key(ec.SECP384R1()),
            "ec521": ec.generate_private_key(ec.SECP521R1()),
            "rsa": rsa.generate_private_key(65537, 2048),
            "weak": rsa.generate_private_key(65537, 1024),  # noqa: S505 - that it is refused is what is tested
            "ed": ed25519.Ed25519PrivateKey.generate(),
            "stranger": ec.generate_private_key(ec.SECP256R1()),
        }

    def jwk(self, name: str) -> dict[str, Any]:
        public = self.private[name].public_key()
        if isinstance(public, rsa.RSAPublicKey):
            jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            jwk = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
        return {name: value for name, value in jwk.items() if name != "key_ops"}

    def thumbprint(self, name: str) -> str:
        return str(thumbprint_of(self.jwk(name)))

    def claims(self, **changes: Any) -> dict[str, Any]:
        ath = base64url(hashlib.sha256(TOKEN.encode()).digest())
        claims = {"htm": "GET", "htu": URL, "ath": ath, "iat": NOW, "jti": "a-proof-of-its-own", **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def proof(self, *, key: str = "ec", header: Any = None, **claims: Any) -> str:
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk(key), **(header or {})}
        return self.sign({name: value for name, value in head.items() if value is not None}, self.claims(**claims), key)

    def sign(self, header: Any, payload: Any, key: str = "ec") -> str:
        """A proof of exactly these two parts, signed with the algorithm that the header declares or the key's usual."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
        signed = ".".join(base64url(part) for part in parts)
        declared = header.get("alg") if isinstance(header, dict) else None
        fits = key in ("rsa", "weak") and declared in ("RS256", "RS512", "PS256")
        name = declared if fits else USUAL.get(key, "ES256")
        return f"{signed}.{base64url(ALGORITHMS[name].sign(signed.encode(), self.private[key]))}"


@pytest.fixture(scope="module")
def client() -> Client:
    return Client()


def check(client: Client, proof: str, replays: Replays | None = None, **changes: Any) -> Reason | None:
    usual = {"method": "GET", "url": URL, "token": TOKEN, "thumbprint": client.thumbprint("ec"), "now": NOW}
    return check_proof(proof, **{**usual, **changes}, replays=replays or Replays(started=0.0))


def at(value: Any) -> Any:
    """`now`, `now+5`, `huge` and `infinite` as numbers; anything else as it is."""
    if value in ("huge", "-huge", "infinite"):
        return {"huge": 10**399, "-huge": -(10**399), "infinite": float("inf")}[value]
    found = re.match(r"now([+-][\d.]+)?\Z", value) if isinstance(value, str) else None
    return NOW + float(found[1] or 0) if found else value


def proof_of(case: dict[str, Any], client: Client) -> str:
    key = case.get("key", "ec")
    jwk = {**client.jwk(case.get("jwk_of", key)), **case.get("jwk", {})}
    if case.get("jwk_padded"):
        jwk["x"] += "="
    claims = client.claims(**{name: at(value) for name, value in case.get("claims", {}).items()})
    if "jti_length" in case:
        claims["jti"] = "x" * case["jti_length"]
    if case.get("ath_padded"):
        claims["ath"] += "="
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk, **case.get("header", {})}
    head = case["head"].encode() if "head" in case else {k: v for k, v in header.items() if v is not None}
    payload = json.dumps(claims).replace("Infinity", "1e400").encode()
    return client.sign(head, case["payload"].encode() if "payload" in case else payload, key)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_table(case: dict[str, Any], client: Client) -> None:
    key = case.get("key", "ec")
    bound = case.get("bound", "ec" if key == "stranger" else key)
    changes = {"thumbprint": client.thumbprint(bound) if bound else "", "method": case.get("method", "GET")}
    proof = case["text"] if "text" in case else proof_of(case, client)
    found = check(client, proof, Replays(started=at(case.get("started", 0.0))), **changes)
    assert found == (Reason(case["reason"]) if "reason" in case else None)


def test_every_reason_that_a_proof_can_have_is_in_the_table() -> None:
    reached = {Reason(case["reason"]) for case in CASES if "reason" in case}
    assert reached | BEYOND_THE_TABLE == {reason for reason in Reason if reason.startswith(("proof-", "replay-"))}


def test_a_proof_may_be_8_kib_and_no_longer(client: Client) -> None:
    proof = client.proof(filler="x" * 5500)
    assert 7 * 1024 < len(proof) <= MAX_PROOF
    assert check(client, proof) is None
    assert check(client, client.proof(filler="x" * 6000)) is Reason.PROOF_TOO_LONG
    assert check(client, "x" * 10_000_000) is Reason.PROOF_TOO_LONG


def test_the_example_of_the_rfc_is_good_for_its_token_only_and_in_its_time() -> None:
    """RFC 9449, section 7.1: its proof and access token, and the thumbprint of section 6.1."""
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rs"
        "cEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2"
        "In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90"
        "ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFF"
        "byJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    )
    usual = {
        "method": "GET",
        "url": "https://resource.example.org/protectedresource",
        "token": "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        "thumbprint": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        "now": 1562262618.0,
    }

    def ask(**changes: Any) -> Reason | None:
        return check_proof(proof, **{**usual, **changes}, replays=Replays(started=0.0))

    assert ask() is None
    assert ask(token="another") is Reason.PROOF_TOKEN_MISMATCH
    assert ask(now=1562262618.0 + 3600) is Reason.PROOF_STALE


def test_the_thumbprint_is_the_one_of_the_rfcs() -> None:
    """RFC 7638, section 3.1 (RSA), and RFC 8037, appendix A.3 (Ed25519); other members do not count."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o"
        "knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHz"
        "u6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8"
        "awapJzKnqDKgw"
    )
    key = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint_of(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    edwards = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint_of(edwards) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    for jwk in ({}, {"kty": "EC"}, {"kty": ["EC"]}, {"kty": "oct", "k": "AAAA"}, {**edwards, "x": 7}):
        assert thumbprint_of(jwk) is None


# ----------------------------------------------------------------------------------------------------------------- URL


@pytest.mark.parametrize(
    "spelling",
    [
        "https://guard.example.com/v1/a@b",
        "HTTPS://Guard.Example.COM/v1/a@b",
        "https://guard.example.com:443/v1/a@b",
        "https://guard.example.com/v1/a%40b",
        "https://guard.example.com/%76%31/%61@b",
        "https://guard.example.com/v1/a@b?x=1",
        "https://guard.example.com/v1/a@b#part",
        "https://guard.example.com/v1/a@b?x=/../y#/..",
    ],
)
def test_one_url_in_many_spellings(spelling: str) -> None:
    """Scheme, host and port, escapes of what needs none; query and fragment do not count (RFC 9449, section 4.3)."""
    assert same_url(spelling, "https://guard.example.com/v1/a@b")
    assert same_url("https://guard.example.com/v1/a@b", spelling)


def test_an_empty_path_is_a_slash_and_escapes_have_no_case() -> None:
    assert same_url("https://guard.example.com", "https://guard.example.com/")
    assert same_url("https://guard.example.com?x", "https://guard.example.com/")
    assert same_url("https://guard.example.com/%c3%a9", "https://guard.example.com/%C3%A9")
    assert same_url("http://[::0:1]:80/", "http://[::1]/")


@pytest.mark.parametrize(
    "other",
    [
        "http://guard.example.com/v1",
        "https://guard.example.com:8443/v1",
        "https://guard.example.com:80/v1",
        "https://guard.example.com./v2",
        "https://example.com/v1",
        "https://guard.example.com.evil.example/v1",
        "https://guard.example.com@evil.example/v1",
        "https://guard.example.com:443@evil.example/v1",
        "https://user@guard.example.com/v1",
        "https://guard.example.com\\@evil.example/v1",
        "https://guard.example.com/V1",
        "https://guard.example.com/v1/",
        "https://guard.example.com//v1",
        "https://guard.example.com/./v1",
        "https://guard.example.com/x/../v1",
        "https://guard.example.com/x/%2e%2e/v1",
        "https://guard.example.com/v1%2Fx",
        "https://guard.example.com/%2Fv1",
        "https://guard.example.com/%2576%31",
        "https://guard.example.com/v1%",
        "https://guard.example.com/v1;x",
        "https://guard.example.com/v1 ",
        " https://guard.example.com/v1",
        "https://guard.example.com/v1\n",
        "https://guard.example.com/v\u0131",
        "https://guard.example.com\ud800/v1",
        "https://guard.example.com/v1?\u00e9",
        "http\u017f://guard.example.com/v1",
        "//guard.example.com/v1",
        "/v1",
        "https:/guard.example.com/v1",
        "https:guard.example.com/v1",
        "https:///v1",
        "https://guard.example.com:/v1",
        "https://guard.example.com:0443/v1x",
        "https://guard.example.com:99999/v1",
        "ftp://guard.example.com/v1",
        "",
    ],
)
def test_another_url_and_what_is_none(other: str) -> None:
    assert not same_url(other, "https://guard.example.com/v1")
    assert not same_url("https://guard.example.com/v1", other)


def test_what_is_no_url_equals_nothing_not_even_itself(client: Client) -> None:
    for url in ("", "/v1", "https://guard.example.com/x/../v1"):
        assert not same_url(url, url)
        assert check(client, client.proof(htu=url), url=url) is Reason.PROOF_URL_MISMATCH


URLS = st.text() | st.text("aA.:@/%2eE?#\\[]1").map(lambda rest: "https://" + rest)


@given(one=URLS, other=URLS)
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    assert same_url(one, other) is same_url(other, one)
    assert not same_url(one, other) or (same_url(one, one) and same_url(other, other))


# -------------------------------------------------------------------------------------------------------------- replay


def test_a_proof_is_taken_once(client: Client) -> None:
    proof, replays = client.proof(), Replays(started=0.0)
    assert check(client, proof, replays) is None
    assert check(client, proof, replays) is Reason.PROOF_REPLAYED
    assert check(client, client.proof(jti="another-proof"), replays) is None


def test_the_other_form_of_a_signature_is_the_same_proof(client: Client) -> None:
    """A high s is legitimate in JOSE; it makes another text of a proof that was used."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    proof, replays = client.proof(), Replays(started=0.0)
    signed, _, signature = proof.rpartition(".")
    curve = client.private["ec"].curve
    r, s = decode_dss_signature(raw_to_der_signature(base64.urlsafe_b64decode(signature + "=="), curve))
    other = f"{signed}.{base64url(der_to_raw_signature(encode_dss_signature(r, order - s), curve))}"
    assert other != proof
    assert check(client, other) is None
    assert check(client, proof, replays) is None
    assert check(client, other, replays) is Reason.PROOF_REPLAYED


def test_another_proof_with_the_same_id_is_the_same_proof(client: Client) -> None:
    replays = Replays(started=0.0)
    assert check(client, client.proof(), replays) is None
    assert check(client, client.proof(iat=NOW - 1), replays) is Reason.PROOF_REPLAYED


def test_the_same_id_of_another_key_is_another_proof(client: Client) -> None:
    replays = Replays(started=0.0)
    stranger = {"thumbprint": client.thumbprint("stranger")}
    assert check(client, client.proof(), replays) is None
    assert check(client, client.proof(key="stranger"), replays, **stranger) is None


def test_a_proof_that_fails_uses_nothing_up(client: Client) -> None:
    replays = Replays(started=0.0)
    proof = client.proof()
    assert check(client, proof, replays, method="POST") is Reason.PROOF_METHOD_MISMATCH
    assert check(client, proof, replays, now=NOW + 100) is Reason.PROOF_STALE
    assert replays.count == 0
    assert check(client, proof, replays) is None


def test_where_no_more_proofs_can_be_remembered_none_is_taken(client: Client) -> None:
    replays = Replays(started=0.0, size=1)
    assert check(client, client.proof(), replays) is None
    assert check(client, client.proof(jti="one-too-many"), replays) is Reason.REPLAY_STORE_FULL


# ----------------------------------------------------------------------------------------------------------- any bytes


@given(data=st.data())
def test_a_proof_with_any_character_changed_is_refused(client: Client, data: st.DataObject) -> None:
    proof = client.proof()
    place = data.draw(st.integers(0, len(proof) - 1))
    letter = data.draw(st.characters().filter(lambda other: other != proof[place]))
    assert isinstance(check(client, proof[:place] + letter + proof[place + 1 :]), Reason)


@given(data=st.data())
def test_a_proof_with_any_part_cut_out_or_repeated_is_refused(client: Client, data: st.DataObject) -> None:
    proof = client.proof()
    start = data.draw(st.integers(0, len(proof) - 1))
    end = data.draw(st.integers(start + 1, len(proof)))
    assert isinstance(check(client, proof[:start] + proof[end:]), Reason)
    assert isinstance(check(client, proof[:end] + proof[start:]), Reason)


@given(text=st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
@example(text="\ud800")
def test_any_text_is_refused_and_nothing_is_raised(client: Client, text: str) -> None:
    assert isinstance(check(client, text), Reason)


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.text(), inner)
), max_leaves=6)  # fmt: skip
KEY_MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use", "key_ops", "alg", "kid"])
WORDS = st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519", "AQAB", "AAAA", "sig", "ES256", "RS256", "EdDSA"])


@given(
    header=st.dictionaries(st.sampled_from(["typ", "alg", "kid", "jwk", "x"]), JSON | WORDS),
    jwk=st.dictionaries(KEY_MEMBERS, JSON | WORDS),
    claims=st.dictionaries(st.sampled_from(["htm", "htu", "ath", "iat", "exp", "nbf", "jti"]), JSON),
)
def test_any_signed_content_gives_a_reason_or_none(client: Client, header: Any, jwk: Any, claims: Any) -> None:
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {**client.jwk("ec"), **jwk}, **header}
    parts = [json.dumps(part).encode("utf-8", "surrogatepass") for part in (head, {**client.claims(), **claims})]
    assert isinstance(check(client, client.sign(*parts)), Reason | None)


@given(claims=st.dictionaries(st.sampled_from(["htm", "htu", "ath", "iat", "jti"]), JSON | WORDS, min_size=1))
def test_a_claim_of_any_other_value_is_refused(client: Client, claims: Any) -> None:
    """But for the time and the id, where other values may be good as well."""
    proof = client.sign(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": client.jwk("ec")},
        json.dumps({**client.claims(), **claims}).encode("utf-8", "surrogatepass"),
    )
    good = isinstance(claims.get("jti", "long enough"), str) and claims.keys() == {"jti"}
    assert good or isinstance(check(client, proof), Reason)


# ------------------------------------------------------------------------------------------------------- identity.yaml


def compiled(text: str) -> SessionBinding:
    return compile_binding(SessionBindingSpec.model_validate(yaml.safe_load(text)))


def test_no_section_binds_nothing() -> None:
    assert compile_binding(None) == SessionBinding("off", "")


@pytest.mark.parametrize("word", ["off", "'off'", "false", "no"])
def test_off_is_what_yaml_makes_of_it(word: str) -> None:
    assert compiled(f"dpop: {word}") == SessionBinding("off", "")


@pytest.mark.parametrize("word", ["on", "true", "0", "'no'", "Optional", "null", "[off]", "''"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(ValidationError):
        compiled(f"{{dpop: {word}, public_url: 'https://guard.example.com'}}")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://guard.example.com", "https://guard.example.com"),
        ("https://Guard.example.com:443/", "https://guard.example.com"),
        ("https://guard.example.com:8443", "https://guard.example.com:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_the_public_url_is_followed_by_a_path(url: str, meant: str) -> None:
    assert compiled(f"{{dpop: required, public_url: '{url}'}}") == SessionBinding("required", meant)
    assert compiled(f"{{dpop: off, public_url: '{url}'}}") == SessionBinding("off", meant)
    assert same_url(meant + "/v1", url.removesuffix("/") + "/v1")


@pytest.mark.parametrize(
    "url",
    [
        "http://guard.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "https://guard.example.com/path",
        "https://guard.example.com/?x",
        "https://guard.example.com?",
        "https://guard.example.com/#x",
        "https://user@guard.example.com",
        "https://",
        "guard.example.com",
        "ftp://guard.example.com",
        "https://guard.example.com:0",
        "https://guard example.com",
    ],
)
@pytest.mark.parametrize("word", ["off", "optional"])
def test_another_public_url_is_refused_with_its_place(url: str, word: str) -> None:
    with pytest.raises(InvalidRules, match="accepted: `https://HOST`") as refused:
        compiled(f"{{dpop: {word}, public_url: '{url}'}}")
    assert [where for where, _ in refused.value.problems] == [("public_url",)]


@pytest.mark.parametrize("word", ["optional", "required"])
def test_proofs_need_a_public_url(word: str) -> None:
    with pytest.raises(InvalidRules, match=f"`public_url` is missing; `dpop: {word}` needs"):
        compiled(f"dpop: {word}")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        compiled("{dpop: off, mtls: required}")
