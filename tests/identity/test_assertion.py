"""What the upstream is told: signed by this proxy, for one target, one request and a short time."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.bundled import Files
from headgate.errors import HeadgateError, InvalidRules
from headgate.identity import headers, tokens
from headgate.identity.assertion import (
    MAX_LENGTH,
    TYPE,
    AssertionKey,
    AssertionKeys,
    Forward,
    ForwardSpec,
    compile_forward,
)
from headgate.identity.jwks import parse_jwks
from headgate.identity.presets import PRESETS
from headgate.identity.reasons import Malformed, Reason, Rejected
from headgate.identity.rules import IdentityFile, compile_identity
from headgate.model import Kind, Principal, Session, Workload

NOW = 1_700_000_000.75
NOT_A_KEY = "not an EC P-256 private key in PEM without a password"


def pem(key: Any = None) -> bytes:
    chosen = key or ec.generate_private_key(ec.SECP256R1())
    written: bytes = chosen.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written


CURRENT, NEXT = (AssertionKey.from_pem(pem()) for _ in range(2))
ANA = Principal(
    id="ana",
    kind=Kind.AGENT,
    provider="corp-sso",
    groups=frozenset({"support", "finance"}),
    email="ana@corp.example",
    owner="bo@corp.example",
    person="E-7",
    environments=frozenset({"prod", "dr"}),
    audiences=frozenset({"payments"}),
    workload=Workload("billing", "1.2.0", "c0ffee", "sha256:ab", "org/repo/.ci/release.yaml", "pod-uid", verified=True),
    session=Session("s-1", frozenset({"refunds:write", "refunds:read"}), NOW - 60),
    claims={"secret_claim": "kept here"},
    expires_at=NOW + 600,
)


def signed(principal: Principal = ANA, key: AssertionKey = CURRENT, **changes: Any) -> str:
    arguments = {"audience": "payments-prod", "issuer": "guard", "now": NOW, "ttl": 60.0, "token_id": "01J", **changes}
    return key.sign(principal, **arguments)


def read(assertion: str, keys: AssertionKeys | None = None, audience: str = "payments-prod") -> dict[str, Any]:
    """The claims as an upstream reads them, that knows nothing but the published keys."""
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps((keys or AssertionKeys((CURRENT,))).jwks())))
    key = published[jwt.get_unverified_header(assertion)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "aud", "iat", "exp", "jti", "sub"]}
    claims: dict[str, Any] = jwt.decode(
        assertion, key, algorithms=["ES256"], audience=audience, issuer="guard", options=options
    )
    return claims


# ---------------------------------------------------------------------------------------------------- the assertion


def test_the_upstream_reads_who_calls_from_what_the_published_key_verifies() -> None:
    assert read(signed()) == {
        "iss": "guard",
        "aud": "payments-prod",
        "iat": 1_700_000_000,
        "exp": 1_700_000_060,
        "jti": "01J",
        "sub": "ana",
        "kind": "agent",
        "provider": "corp-sso",
        "email": "ana@corp.example",
        "groups": ["finance", "support"],
        "owner": "bo@corp.example",
        "person": "E-7",
        "environments": ["dr", "prod"],
        "workload": {
            "name": "billing",
            "version": "1.2.0",
            "commit": "c0ffee",
            "digest": "sha256:ab",
            "workflow": "org/repo/.ci/release.yaml",
            "verified": True,
        },
        "session_id": "s-1",
        "scopes": ["refunds:read", "refunds:write"],
    }


def test_what_the_caller_has_not_is_left_out() -> None:
    claims = read(signed(Principal("job", Kind.CI, "ci")))
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti", "sub", "kind", "provider"}


def test_code_that_is_known_but_on_no_release_list_is_said_to_be_unverified() -> None:
    claims = read(signed(Principal("job", Kind.CI, "ci", workload=Workload(commit="c0ffee"))))
    assert claims["workload"] == {"commit": "c0ffee", "verified": False}


def test_an_assertion_names_its_key_and_is_no_ordinary_token() -> None:
    assert jwt.get_unverified_header(signed()) == {
        "alg": "ES256",
        "kid": CURRENT.kid,
        "typ": "headgate-assertion+jwt",
    }


def test_an_assertion_that_comes_back_is_not_a_callers_token(tmp_path: Path) -> None:
    """Not even where a provider is given this proxy's own issuer, keys and audience."""
    keys = json.dumps(AssertionKeys((CURRENT,)).jwks()).encode()
    (tmp_path / "own.json").write_bytes(keys)
    own = {"name": "own", "preset": "oidc", "issuer": "guard", "audiences": ["payments-prod"], "jwks": "file:own.json"}
    file = {"providers": [{**own, "algorithms": ["ES256"], "kind": "human"}]}
    provider = compile_identity(IdentityFile.model_validate(file), Files(tmp_path)).providers[0]
    token = tokens.read(signed())
    assert isinstance(token, tokens.Token)
    assert tokens.judged(token, provider, parse_jwks(keys), NOW) == Rejected(Reason.TYPE_REFUSED)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_takes_an_assertion_for_a_token(preset: str) -> None:
    assert TYPE.lower() not in PRESETS[preset].types


def test_an_assertion_for_one_target_is_refused_by_another() -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        read(signed(), audience="payments-staging")


def test_an_assertion_of_another_key_is_refused() -> None:
    forged = signed(key=NEXT)
    with pytest.raises(KeyError):
        read(forged)
    head, _, _ = signed().split(".")
    _, claims, signature = forged.split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        read(f"{head}.{claims}.{signature}")


def test_an_assertion_that_no_upstream_would_take_is_not_made() -> None:
    crowded = Principal("ana", Kind.HUMAN, "corp-sso", groups=frozenset(f"team-{number:04}" for number in range(700)))
    with pytest.raises(HeadgateError, match="longer than 8 KiB"):
        signed(crowded)
    fits = Principal("ana", Kind.HUMAN, "corp-sso", groups=frozenset(f"team-{number:04}" for number in range(450)))
    assert MAX_LENGTH * 0.7 < len(signed(fits)) <= MAX_LENGTH


@given(
    st.builds(
        Principal,
        id=st.text(min_size=1, max_size=40),
        kind=st.sampled_from(Kind),
        provider=st.just("corp-sso"),
        groups=st.frozensets(st.text(max_size=20), max_size=5),
        email=st.none() | st.text(max_size=40),
    )
)
def test_whatever_a_caller_is_called_the_assertion_is_safe_in_a_header_and_verifies(principal: Principal) -> None:
    assertion = signed(principal)
    assert set(assertion) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert read(assertion)["sub"] == principal.id


# --------------------------------------------------------------------------------------------------------- the keys


def test_a_key_is_named_by_its_thumbprint() -> None:
    """The members and their order are those of RFC 7638, section 3.2."""
    members = json.dumps({name: CURRENT.jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    assert base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode() == CURRENT.kid + "="


def test_only_public_keys_are_published_and_our_own_reader_takes_them() -> None:
    published = AssertionKeys((CURRENT, NEXT)).jwks()
    for entry in published["keys"]:
        assert set(entry) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    taken = parse_jwks(json.dumps(published).encode())
    assert [(key.kid, key.algorithms) for key in taken.keys] == [(CURRENT.kid, {"ES256"}), (NEXT.kid, {"ES256"})]


def test_the_private_key_is_in_no_representation() -> None:
    assert "private" not in repr(AssertionKeys((CURRENT,)))


def sec1(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def test_the_same_key_has_the_same_name_in_either_form_of_pem() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert AssertionKey.from_pem(sec1(key)).kid == AssertionKey.from_pem(pem(key)).kid


P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"c4n4ry",
        b"\xff" * 100,
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ed25519.Ed25519PrivateKey.generate()),
        P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        P256.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")),
    ],
    ids=["empty", "text", "bytes", "p-384", "secp256k1", "rsa", "ed25519", "public", "der", "with a password"],
)
def test_what_cannot_sign_here_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(HeadgateError, match=NOT_A_KEY) as refused:
        AssertionKey.from_pem(content)
    assert "c4n4ry" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_in_a_rotation_the_first_key_signs_and_all_verify(tmp_path: Path) -> None:
    environ = {"OLD": pem().decode(), "NEW": pem().decode()}
    before = AssertionKeys.open(("env:OLD", "env:NEW"), environ, tmp_path)
    after = AssertionKeys.open(("env:NEW", "env:OLD"), environ, tmp_path)
    assert before.signing.kid != after.signing.kid
    for signing in (before, after):
        for known in (before, after):
            assert read(signed(key=signing.signing), known)["sub"] == "ana"


def test_a_reference_to_no_such_key_is_named_and_its_content_is_not(tmp_path: Path) -> None:
    environ = {"GOOD": pem().decode(), "BAD": "c4n4ry"}
    with pytest.raises(HeadgateError, match=f"secret `env:BAD` cannot sign assertions: {NOT_A_KEY}") as refused:
        AssertionKeys.open(("env:GOOD", "env:BAD"), environ, tmp_path)
    assert "c4n4ry" not in str(refused.value)
    with pytest.raises(HeadgateError, match="secret `env:GONE` is not set"):
        AssertionKeys.open(("env:GONE",), environ, tmp_path)


def test_one_key_under_two_names_is_a_mistake(tmp_path: Path) -> None:
    """It would look like a rotation and be none."""
    same = pem().decode()
    with pytest.raises(HeadgateError, match="secret `env:B` holds a key that is named twice"):
        AssertionKeys.open(("env:A", "env:B"), {"A": same, "B": same}, tmp_path)


# -------------------------------------------------------------------------------------------------------- the rules


def compiled(**block: Any) -> Forward:
    return compile_forward(ForwardSpec.model_validate({"key": "env:ASSERTION_KEY", **block}))


def test_a_block_needs_only_a_key() -> None:
    assert compiled() == Forward("X-Headgate-Assertion", "headgate", ("env:ASSERTION_KEY",), 60.0, drop_token=True)


def test_everything_may_be_said() -> None:
    said = {"header": "x-headgate-caller", "issuer": "https://guard.example", "key": ["env:A", "file:keys/b.pem"]}
    block = compiled(**said, ttl="2m", drop_token=False)
    keys = ("env:A", "file:keys/b.pem")
    assert block == Forward("x-headgate-caller", "https://guard.example", keys, 120.0, drop_token=False)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "X-User",
        "Authorization",
        "X-Headgate",
        "X-Headgate-",
        "X-HeadgateAssertion",
        "X_Headgate_Assertion",
        "X-Headgate-A_B",
        "X-Headgate-A.B",
        "X-Headgate-A\r\nHost: b",
        "X-Headgate-A\n",
        "X-Headgate-Ä",
        "X-Headgate--A",
        "X-Headgate-" + "a" * 200,
    ],
)
def test_only_a_header_that_no_caller_can_bring_may_carry_it(header: str) -> None:
    with pytest.raises(ValidationError, match="not a header that is taken off every request"):
        compiled(header=header)


@given(st.from_regex(r"X-Headgate(-[A-Za-z0-9]{1,32}){1,4}", fullmatch=True), st.data())
def test_a_callers_copy_of_the_header_never_goes_on(header: str, data: st.DataObject) -> None:
    """In the plain spelling it is taken off; in any that an application could fold into it, the request is refused."""
    name = compiled(header=header).header
    spelled = "".join(data.draw(st.sampled_from(["-", "_", "."])) if char == "-" else char for char in name)
    spelled = data.draw(st.sampled_from([spelled, spelled.upper(), spelled.lower(), spelled.swapcase()]))
    found = headers.read(((b"Host", b"a.example"), (spelled.encode(), b"forged")))
    if isinstance(found, headers.Headers):
        assert [raw for _, raw, _ in found.kept] == [b"Host"]
    else:
        assert found is Malformed.ALIASED_HEADER
        assert spelled.lower() != name.lower()


@pytest.mark.parametrize("ttl", ["4s", "0s", "301s", "6m", "1h"])
def test_an_assertion_lives_between_five_seconds_and_five_minutes(ttl: str) -> None:
    assert (compiled(ttl="5s").ttl, compiled(ttl="5m").ttl) == (5.0, 300.0)
    with pytest.raises(InvalidRules) as refused:
        compiled(ttl=ttl)
    assert refused.value.problems == [(("ttl",), "an assertion is for one request; accepted: from `5s` to `5m`")]


def test_a_key_that_is_named_twice_is_reported_with_all_else() -> None:
    with pytest.raises(InvalidRules) as refused:
        compiled(key=["env:A", "env:A"], ttl="1h")
    assert [where for where, _ in refused.value.problems] == [("ttl",), ("key",)]


@pytest.mark.parametrize(
    "block",
    [
        {"key": "c4n4ry"},
        {"key": ["env:A", "c4n4ry"]},
        {"key": []},
        {"key": 7},
        {"key": ["env:A", "env:B", "env:C", "env:D", "env:E"]},
        {"ttl": 60},
        {"drop_token": "perhaps"},
        {"unknown": 1},
        {"header": None},
        {"issuer": ""},
    ],
    ids=str,
)
def test_what_the_schema_does_not_know_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compiled(**block)


def test_a_block_without_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="key"):
        ForwardSpec.model_validate({"ttl": "60s"})


def test_the_schema_can_be_printed_for_editors() -> None:
    properties = ForwardSpec.model_json_schema()["properties"]
    assert set(properties) == {"header", "issuer", "key", "ttl", "drop_token"}
