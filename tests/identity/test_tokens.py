"""Which tokens are believed: the table, the attacks that broke other verifiers, and any bytes at all."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from jwt.utils import der_to_raw_signature
from tests.identity.conftest import ISSUER, identity, judge, verify

from headgate.identity.credentials import Shown
from headgate.identity.jwks import KeySet
from headgate.identity.memory import KeyWanted, Memory, Verified
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import MAX_TOKEN, Case, Token, read
from headgate.model import Kind, Principal

NOT_FROM_A_TOKEN = {
    Reason.NO_TOKEN, Reason.UNSUPPORTED_SCHEME, Reason.CREDENTIALS_MALFORMED, Reason.TWO_TOKENS, Reason.OTHER_TOKEN,
    Reason.WORKLOAD_ONLY, Reason.BINDING_REQUIRED, Reason.REPLAY_STORE_FULL, Reason.REVOKED, Reason.REVOCATIONS_UNKNOWN,
    Reason.KEYS_UNAVAILABLE, Reason.KEYS_STALE, Reason.DEVELOPMENT_OFF_LOOPBACK,
    *(reason for reason in Reason if reason.startswith(("proof-", "certificate-", "forwarded-"))),
}  # fmt: skip
OF_OTHER_PRESETS = {Reason.SIGNER_MISMATCH, Reason.CLAIMS_UNLIKE_PRESET}
BEYOND_THE_TABLE = {Reason.TOKEN_TOO_LONG, Reason.KID_MISSING, Reason.ISSUER_AMBIGUOUS}


def at(value: Any, now: int) -> Any:
    """`now`, `now+5` and `huge` as numbers; anything else as it is."""
    if value == "huge":
        return 10**399
    found = re.match(r"now([+-]\d+)?\Z", value) if isinstance(value, str) else None
    return now + int(found[1] or 0) if found else value


def token_of(case: dict[str, Any], issuer: Any) -> str:
    if "text" in case:
        return str(case["text"])
    key = case.get("key", "ec")
    header = {"alg": "ES256", "kid": key, "typ": "JWT", **case.get("header", {})}
    claims = {name: at(value, issuer.now) for name, value in case.get("claims", {}).items()}
    claims |= {name: str(claims[name]) for name in case.get("text_claims", ())}
    head = case["head"].encode() if "head" in case else {k: v for k, v in header.items() if v is not None}
    payload = case["payload"].encode() if "payload" in case else issuer.claims(**claims)
    token: str = issuer.sign(head, payload, key)
    if "signed_as" in case:
        signed = token.rpartition(".")[0]
        signature = get_default_algorithms()[case["signed_as"]].sign(signed.encode(), issuer.private[key])
        token = f"{signed}.{b64(signature)}"
    return token


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def shown(case: Case, name: str) -> Any:
    assert case.principal is not None
    found = {
        "thumbprint": case.thumbprint,
        "scopes": case.principal.session.scopes,
        "commit": case.principal.workload.commit,
    }  # fmt: skip
    value = found[name] if name in found else getattr(case.principal, name)
    return sorted(value) if isinstance(value, frozenset) else value


def asked(text: str, rules: IdentityRules, keys: KeySet | Rejected, now: float) -> Verified | Rejected:
    """The token as it stands in `Authorization`, with nothing remembered."""
    return Memory().token(Shown(text, (BEARER,)), rules, lambda _: keys, now)


def test_the_table(token_case: dict[str, Any], issuer: Any, tmp_path: Path) -> None:
    rules = issuer.rules(tmp_path, **token_case.get("provider", {}))
    text = token_of(token_case, issuer)
    result = judge(text, rules.providers[0], issuer.keys, issuer.now)
    by_rules = asked(text, rules, issuer.keys, issuer.now)
    if "reason" in token_case:
        assert result == Rejected(Reason(token_case["reason"]))
        assert isinstance(by_rules, Rejected)
        assert by_rules.reason == token_case.get("by_rules", token_case["reason"])
    else:
        assert isinstance(result, Case), result
        assert {name: shown(result, name) for name in token_case["expect"]} == token_case["expect"]
        assert by_rules == Verified(rules.providers[0], result.principal, result.thumbprint)  # type: ignore[arg-type]


def test_every_reason_a_token_can_have_is_in_the_table() -> None:
    table = (Path(__file__).parents[1] / "cases" / "tokens.yaml").read_text(encoding="utf-8")
    reached = {Reason(code) for code in re.findall(r"(?:reason|by_rules): ([a-z-]+)", table)}
    assert reached == set(Reason) - NOT_FROM_A_TOKEN - OF_OTHER_PRESETS - BEYOND_THE_TABLE


def test_every_reason_has_a_meaning() -> None:
    assert all(re.fullmatch(r"[a-z-]+", reason) and reason.meaning for reason in Reason)


def refused(token: str, provider: Provider, keys: KeySet, now: float) -> Reason:
    result = verify(token, provider, keys, now)
    assert isinstance(result, Rejected), result
    return result.reason


def test_a_token_may_be_8_kib_and_no_longer(issuer: Any, provider: Provider) -> None:
    token = issuer.token(filler="x" * 5800)
    assert len(token) <= MAX_TOKEN
    assert isinstance(verify(token, provider, issuer.keys, issuer.now), Principal)
    assert refused(issuer.token(filler="x" * 6000), provider, issuer.keys, issuer.now) is Reason.TOKEN_TOO_LONG
    assert refused("x" * 10_000_000, provider, issuer.keys, issuer.now) is Reason.TOKEN_TOO_LONG


def test_a_public_key_is_never_taken_for_a_secret(issuer: Any, provider: Provider) -> None:
    """HS256 keyed with the public key in every form it is published in (2017-11424, 2022-29217, 2026-48526)."""
    for name in ("ec", "rsa"):
        public = issuer.private[name].public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        forms = [
            pem,
            pem.strip(),
            pem.replace(b"\n", b"\r\n"),
            b" " + pem,
            der,
            json.dumps(issuer.jwk(name)).encode(),
            b"",
        ]
        for algorithm in ("HS256", "hs256"):
            header = {"alg": algorithm, "kid": name, "typ": "JWT"}
            signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(issuer.claims()).encode())}"
            for secret in forms:
                forged = f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
                assert refused(forged, provider, issuer.keys, issuer.now) is Reason.ALGORITHM_REFUSED


def test_claims_in_another_encoding_are_refused(issuer: Any, provider: Provider) -> None:
    text = json.dumps(issuer.claims())
    header = {"alg": "ES256", "kid": "ec"}
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        token = issuer.sign(header, text.encode(encoding))
        assert refused(token, provider, issuer.keys, issuer.now) is Reason.TOKEN_JSON
    token = issuer.sign(header, text.replace("ana", "ann\xe9").encode("latin-1"))
    assert refused(token, provider, issuer.keys, issuer.now) is Reason.TOKEN_JSON


def test_claims_nested_without_end_are_refused(issuer: Any, provider: Provider) -> None:
    for depth in (40, 1000, 2500):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            deep = opened * (depth // len(opened)) + "1" + closed * (depth // len(opened))
            token = issuer.sign({"alg": "ES256", "kid": "ec"}, f'{{"iss": "x", "a": {deep}}}'.encode())
            if depth // len(opened) > 32:
                assert refused(token, provider, issuer.keys, issuer.now) is Reason.TOKEN_JSON


def test_a_key_in_the_header_is_not_a_key(issuer: Any, provider: Provider) -> None:
    """A token signed by a stranger who brings the key along (2018-0114, 2026-27962)."""
    token = issuer.token({"jwk": issuer.jwk("stranger"), "kid": "stranger"}, key="stranger")
    assert refused(token, provider, issuer.keys, issuer.now) is Reason.HEADER_REFUSED


def test_two_keys_that_fit_need_a_key_id(issuer: Any, provider: Provider) -> None:
    keys = issuer.key_set("ec", "stranger")
    token = issuer.sign({"alg": "ES256"}, issuer.claims())
    assert refused(token, provider, keys, issuer.now) is Reason.KID_MISSING


def test_a_signature_has_exactly_one_encoding(issuer: Any, provider: Provider) -> None:
    """DER, truncated, prolonged, zero and empty ECDSA signatures (RFC 7518, section 3.4)."""
    signed, _, signature = issuer.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    half = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    for forged in (der, raw[:-1], raw + b"\0", b"\0" * 64, b"\xff" * 64, raw[:half], b"\0" + raw, raw * 2, b"\0"):
        assert refused(f"{signed}.{b64(forged)}", provider, issuer.keys, issuer.now) is Reason.SIGNATURE_INVALID


def test_a_high_s_is_a_legitimate_signature(issuer: Any, provider: Provider) -> None:
    """JOSE does not ask for a low s; the other form of a signature is as good as the first."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signed, _, signature = issuer.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = decode_dss_signature(encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])))
    other = der_to_raw_signature(encode_dss_signature(r, order - s), issuer.private["ec"].curve)
    result = verify(f"{signed}.{b64(other)}", provider, issuer.keys, issuer.now)
    assert isinstance(result, Principal)


def test_trailing_bytes_are_part_of_the_token(issuer: Any, provider: Provider) -> None:
    token = issuer.token()
    for extra in ("=", "A", ".", " ", "\n", "\0", ".AAAA", "%00", "\u2028"):
        assert isinstance(verify(token + extra, provider, issuer.keys, issuer.now), Rejected)
        assert isinstance(verify(extra + token, provider, issuer.keys, issuer.now), Rejected)


def test_the_json_form_of_a_signature_is_no_token(issuer: Any, provider: Provider) -> None:
    header, payload, signature = issuer.token().split(".")
    text = json.dumps({"protected": header, "payload": payload, "signature": signature})
    assert refused(text, provider, issuer.keys, issuer.now) is Reason.TOKEN_SEGMENTS


def test_a_token_is_judged_by_the_one_provider_of_its_issuer(issuer: Any, tmp_path: Path) -> None:
    rules = issuer.rules(tmp_path)
    asked_for: list[str] = []

    def keys_of(provider: Provider) -> KeySet:
        asked_for.append(provider.name)
        return issuer.keys  # type: ignore[no-any-return]  # the fixture's

    def ask(text: str) -> Verified | Rejected:
        return Memory().token(Shown(text, (BEARER,)), rules, keys_of, issuer.now)

    assert isinstance(ask(issuer.token()), Verified)
    assert ask(issuer.token(iss="https://sso.example.com.evil.example")) == Rejected(Reason.ISSUER_UNKNOWN)
    assert ask("not a token") == Rejected(Reason.TOKEN_SEGMENTS)
    assert asked_for == ["corp-sso"]


def test_a_token_whose_key_is_not_there_says_which_key_is_wanted_of_whom(issuer: Any, tmp_path: Path) -> None:
    rules = issuer.rules(tmp_path)
    rotated, provider = issuer.token({"kid": "rotated"}), rules.providers[0]
    assert asked(rotated, rules, issuer.keys, issuer.now) == KeyWanted(Reason.UNKNOWN_KEY, provider, "rotated")
    for reason in (Reason.KEYS_UNAVAILABLE, Reason.KEYS_STALE):
        assert asked(rotated, rules, Rejected(reason), issuer.now) == KeyWanted(reason, provider, "rotated")
    unfit = asked(issuer.token({"alg": "RS256"}), rules, issuer.keys, issuer.now)
    assert unfit == Rejected(Reason.KEY_UNFIT)  # another fetch of the same key would not help


def test_a_token_that_does_not_say_its_key_wants_any(issuer: Any, tmp_path: Path) -> None:
    rules = issuer.rules(tmp_path)
    unnamed = issuer.sign({"alg": "ES256"}, issuer.claims())
    assert asked(unnamed, rules, Rejected(Reason.KEYS_UNAVAILABLE), issuer.now) == KeyWanted(
        Reason.KEYS_UNAVAILABLE, rules.providers[0], None
    )


def test_without_keys_the_reason_is_the_key_ring_s(issuer: Any, provider: Provider) -> None:
    for reason in (Reason.KEYS_UNAVAILABLE, Reason.KEYS_STALE):
        assert verify(issuer.token(), provider, Rejected(reason), issuer.now) == Rejected(reason)


def test_claims_are_read_only_at_every_depth(issuer: Any, provider: Provider) -> None:
    result = verify(issuer.token(a={"b": [{"c": 1}]}), provider, issuer.keys, issuer.now)
    assert isinstance(result, Principal)
    assert type(result.claims) is MappingProxyType
    with pytest.raises(TypeError):
        result.claims["a"]["b"][0]["c"] = 2
    with pytest.raises(TypeError):
        result.claims["sub"] = "eve"  # type: ignore[index]  # that it cannot be done is what is tested


def test_no_token_text_is_in_what_is_printed(issuer: Any, provider: Provider) -> None:
    token = issuer.token()
    result = verify(token, provider, issuer.keys, issuer.now)
    assert isinstance(result, Principal)
    assert token.rpartition(".")[2] not in repr(result)
    assert result.kind is Kind.HUMAN


def test_a_token_that_was_read_is_not_in_what_is_printed(issuer: Any, provider: Provider) -> None:
    text = issuer.token(email="ana@corp.example")
    token = read(text)
    assert isinstance(token, Token)
    case = judge(text, provider, issuer.keys, issuer.now)
    assert isinstance(case, Case)
    for segment in text.split("."):
        assert segment not in repr(token) + repr(case)
    token.forget()
    assert (token.text, token.parts.signed, token.parts.signature) == ("", b"", b"")
    assert token.claims["sub"] == "ana"


# ---------------------------------------------------------------------------------------------- segments with padding


SIGNER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
ALB = {
    "name": "alb",
    "preset": "aws-alb",
    "issuer": ISSUER,
    "audiences": ["client-1"],
    "signers": [SIGNER],
}


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return identity(tmp_path_factory.mktemp("alb"), ALB).providers[0]


def balanced(issuer: Any, **header: Any) -> str:
    """A token as AWS load balancers write it: segments end in `=`, here each of them, and the signature covers that."""
    head = {"typ": "JWT", "alg": "ES256", "kid": "ec", "iss": ISSUER, "client": "client-1", "signer": SIGNER, **header}
    head, claims = {"exp": issuer.now + 120, **head}, {"sub": "ana", "email": "ana@corp.example"}
    while len(json.dumps(head)) % 3 != 2:
        head["pad"] = head.get("pad", "") + "x"
    while len(json.dumps(claims)) % 3 != 1:
        claims["pad"] = claims.get("pad", "") + "x"
    token: str = issuer.sign(head, claims, padded=True)
    assert [len(segment) - len(segment.rstrip("=")) for segment in token.split(".")] == [1, 2, 2]
    return token


def test_padding_is_part_of_what_is_signed(issuer: Any, balancer: Provider) -> None:
    token = balanced(issuer)
    assert isinstance(verify(token, balancer, issuer.keys, issuer.now), Principal)
    assert refused(token.replace("=", ""), balancer, issuer.keys, issuer.now) is Reason.TOKEN_ENCODING
    for changed in (token[:-1], token + "=", token.replace("=", "%3D"), token.replace("=.", "==."), f"={token}"):
        assert refused(changed, balancer, issuer.keys, issuer.now) is Reason.TOKEN_ENCODING
    head, claims, signature = token.split(".")
    kept = (f"{head.rstrip('=')}.{claims}.{signature}", f"{head}.{claims.rstrip('=')}.{signature}")
    for changed in (*kept, f"{head}=.{claims}.{signature}", f"{head}.{claims[:-1]}.{signature}"):
        assert refused(changed, balancer, issuer.keys, issuer.now) is Reason.TOKEN_ENCODING


def test_what_needs_no_padding_has_none(issuer: Any, balancer: Provider) -> None:
    """Whoever signs without padding is no load balancer, whatever else fits."""
    head = {"alg": "ES256", "kid": "ec", "iss": ISSUER, "client": "client-1", "signer": SIGNER, "exp": issuer.now + 60}
    unpadded = issuer.sign(head, {"sub": "ana"})
    assert refused(unpadded, balancer, issuer.keys, issuer.now) is Reason.TOKEN_ENCODING


def test_a_provider_without_padding_takes_none(issuer: Any, provider: Provider) -> None:
    token = issuer.sign({"alg": "ES256", "kid": "ec"}, issuer.claims(), padded=True)
    assert refused(token, provider, issuer.keys, issuer.now) is Reason.TOKEN_ENCODING


@given(data=st.data())
def test_a_padded_token_with_any_byte_changed_is_rejected(balancer: Provider, issuer: Any, data: st.DataObject) -> None:
    token = balanced(issuer)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("=.A_-") | st.characters(max_codepoint=255))
    assume(letter != token[place])
    changed = token[:place] + letter + token[place + 1 :]
    assert isinstance(verify(changed, balancer, issuer.keys, issuer.now), Rejected)


# -------------------------------------------------------------------------------------------------------- any bytes


@pytest.fixture(scope="module")
def verified(issuer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    provider = issuer.provider(tmp_path_factory.mktemp("rules"))
    return lambda text: verify(text, provider, issuer.keys, issuer.now)


@given(text=st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_rejected_and_nothing_is_raised(verified: Any, text: str) -> None:
    assert isinstance(verified(text), Rejected)


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.text(), inner)
), max_leaves=6)  # fmt: skip


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "x"]), JSON | st.sampled_from(["ES256", "ec"])
    ),
    changes=st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "act", "groups", "email"]), JSON
    ),
)
def test_any_signed_claims_give_a_principal_or_a_reason(verified: Any, issuer: Any, header: Any, changes: Any) -> None:
    payload = json.dumps({**issuer.claims(), **changes}).encode("utf-8", "surrogatepass")
    head = {"alg": "ES256", "kid": "ec", **header}
    token = issuer.sign(json.dumps(head).encode("utf-8", "surrogatepass"), payload)
    assert isinstance(verified(token), Principal | Rejected)


@given(data=st.data())
def test_a_token_with_any_byte_changed_is_rejected(verified: Any, issuer: Any, data: st.DataObject) -> None:
    token = issuer.token()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(max_codepoint=255).filter(lambda other: other != token[place]))
    assert isinstance(verified(token[:place] + letter + token[place + 1 :]), Rejected)


@given(data=st.data())
def test_a_token_with_any_part_cut_out_or_repeated_is_rejected(verified: Any, issuer: Any, data: st.DataObject) -> None:
    token = issuer.token()
    start = data.draw(st.integers(0, len(token) - 1))
    end = data.draw(st.integers(start + 1, len(token)))
    assert isinstance(verified(token[:start] + token[end:]), Rejected)
    assert isinstance(verified(token[:end] + token[start:]), Rejected)
