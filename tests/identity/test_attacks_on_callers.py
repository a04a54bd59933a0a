"""Attacks with good tokens, and around tokens: shown elsewhere, signed by another key, in fields that look like others,
in numbers that cost, and by clients that leave. Everything is as behind the proxy, from the fields of a request on.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from mitmproxy.connection import ConnectionState
from tests.identity.conftest import ALGORITHMS, NOW, base64url, identity
from tests.identity.endpoint import running
from tests.identity.test_identity_addon import Rotating, proxy_bearer
from tests.identity.virtual_time import run

from headgate.identity.callers import Callers, Made
from headgate.identity.credentials import Presented, Shown, presented
from headgate.identity.hygiene import Clean, Mode, RawRequest, check
from headgate.identity.jwks import KeySet
from headgate.identity.memory import SIZE, Memory, Verified
from headgate.identity.peers import MAX_HOPS, compile_trusted
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Malformed, Reason, Rejected
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.model import Principal, Refusal

# --------------------------------------------------------------------------------------------- one provider for another

TAG = "0" * 64
SIGNER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
TIMES = {"iat": NOW - 10, "exp": NOW + 600}


@dataclass(frozen=True)
class Shape:
    """A kind of token as its provider makes it: where it stands, what is in it, and how it is signed."""

    spec: Mapping[str, Any]
    place: str
    claims: Mapping[str, Any]
    header: Mapping[str, Any]
    algorithm: str = "ES256"
    padded: bool = False


SHAPES = {
    "corp": Shape(
        {
            "preset": "oidc",
            "issuer": "https://sso.corp.example",
            "audiences": ["guard"],
            "algorithms": ["ES256"],
            "kind": "human",
        },
        BEARER,
        {"iss": "https://sso.corp.example", "aud": "guard", "sub": "ana", **TIMES},
        {},
    ),
    "partner": Shape(
        {
            "preset": "oidc",
            "issuer": "https://sso.partner.example",
            "audiences": ["guard"],
            "algorithms": ["ES256"],
            "kind": "human",
        },
        BEARER,
        {"iss": "https://sso.partner.example", "aud": "guard", "sub": "ana", **TIMES},
        {},
    ),
    "iap": Shape(
        {"preset": "google-iap", "audiences": ["/projects/1/global/backendServices/2"]},
        "header:x-goog-iap-jwt-assertion",
        {"iss": "https://cloud.google.com/iap", "aud": "/projects/1/global/backendServices/2", "sub": "ana", **TIMES},
        {},
    ),
    "access": Shape(
        {"preset": "cloudflare-access", "issuer": "https://team.cloudflareaccess.com", "audiences": [TAG]},
        "header:cf-access-jwt-assertion",
        {"iss": "https://team.cloudflareaccess.com", "aud": [TAG], "sub": "ana", "type": "app", **TIMES},
        {},
        "RS256",
    ),
    "pomerium": Shape(
        {"preset": "pomerium", "issuer": "app.example.com", "audiences": ["app.example.com"]},
        "header:x-pomerium-jwt-assertion",
        {"iss": "app.example.com", "aud": "app.example.com", "sub": "ana", **TIMES},
        {},
    ),
    "mesh": Shape(
        {"preset": "spiffe-jwt", "issuer": "spiffe://prod.example", "audiences": ["guard"]},
        BEARER,
        {"aud": ["guard"], "sub": "spiffe://prod.example/shop", **TIMES},
        {},
    ),
    "alb": Shape(
        {"preset": "aws-alb", "issuer": "https://idp.corp.example", "audiences": ["client-1"], "signers": [SIGNER]},
        "header:x-amzn-oidc-data",
        {"sub": "ana", "email": "ana@corp.example"},
        {"iss": "https://idp.corp.example", "client": "client-1", "signer": SIGNER, "exp": NOW + 60},
        padded=True,
    ),
}


class Federation:
    """Every shape as a provider of its own, with a key of its own that goes by the same id as all the others."""

    def __init__(self, folder: Path) -> None:
        self.private: dict[str, Any] = {
            name: rsa.generate_private_key(65537, 2048)
            if shape.algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
            for name, shape in SHAPES.items()
        }
        specs = []
        for name, shape in SHAPES.items():
            (folder / f"{name}.json").write_bytes(self.jwks(name))
            specs.append({"name": name, "jwks": f"file:{name}.json", **shape.spec})
        self.rules = identity(folder, *specs)
        self.memory = Memory()

    def jwks(self, name: str) -> bytes:
        kind = RSAAlgorithm if SHAPES[name].algorithm == "RS256" else ECAlgorithm
        jwk = kind.to_jwk(self.private[name].public_key(), as_dict=True)
        return json.dumps({"keys": [{**jwk, "kid": "k", "key_ops": ["verify"]}]}).encode()

    def token(self, shape: str, key: str) -> str:
        """A token of one provider's shape, signed by another's key as that key signs."""
        form, algorithm = SHAPES[shape], SHAPES[key].algorithm
        header = {"alg": algorithm, "kid": "k", **form.header}
        parts = (base64url(json.dumps(part).encode(), padded=form.padded) for part in (header, form.claims))
        signed = ".".join(parts)
        return (
            f"{signed}.{base64url(ALGORITHMS[algorithm].sign(signed.encode(), self.private[key]), padded=form.padded)}"
        )

    def ask(self, text: str, *places: str) -> Verified | Rejected:
        def keys_of(provider: Provider) -> KeySet | Rejected:
            return provider.keys.static or Rejected(Reason.KEYS_UNAVAILABLE)

        return self.memory.token(Shown(text, places), self.rules, keys_of, NOW)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation(tmp_path_factory.mktemp("federation"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_counts_with_its_own_key_in_its_own_place_only(federation: Federation, shape: str) -> None:
    """Every shape, signed by every key, shown in every place; the keys of all providers have one id."""
    places = {form.place for form in SHAPES.values()}
    for key in SHAPES:
        text = federation.token(shape, key)
        for place in places:
            found = federation.ask(text, place)
            if key == shape and place == SHAPES[shape].place:
                assert isinstance(found, Verified), found
                assert found.provider.name == shape
            else:
                assert isinstance(found, Rejected), (key, place)


def test_what_was_believed_in_its_place_is_not_believed_in_another(federation: Federation) -> None:
    """Nor the other way round: what is remembered of a token is remembered with the place where it stood."""
    for shape, form in SHAPES.items():
        text = federation.token(shape, shape)
        elsewhere = next(other.place for other in SHAPES.values() if other.place != form.place)
        for _ in range(2):
            assert isinstance(federation.ask(text, form.place), Verified)
            assert isinstance(federation.ask(text, elsewhere), Rejected)


def test_two_providers_of_one_token_are_one_too_many(federation: Federation) -> None:
    """A token whose issuer is one provider's and whose subject is in another's trust domain."""
    claims = {**SHAPES["corp"].claims, "sub": "spiffe://prod.example/admin"}
    for key in ("corp", "mesh", "partner"):
        signed = (
            f"{base64url(json.dumps({'alg': 'ES256', 'kid': 'k'}).encode())}.{base64url(json.dumps(claims).encode())}"
        )
        text = f"{signed}.{base64url(ALGORITHMS['ES256'].sign(signed.encode(), federation.private[key]))}"
        assert federation.ask(text, BEARER) == Rejected(Reason.ISSUER_AMBIGUOUS)


def test_a_key_that_is_withdrawn_or_stale_proves_nothing_any_more(issuer: Any, tmp_path: Path) -> None:
    """Not even for a token that was believed a moment ago."""
    rules, memory, text = issuer.rules(tmp_path), Memory(), issuer.token()

    def ask(keys: KeySet | Rejected) -> Verified | Rejected:
        return memory.token(Shown(text, (BEARER,)), rules, lambda _: keys, NOW)

    for gone, reason in (
        (issuer.key_set("ec384", "rsa"), Reason.UNKNOWN_KEY),
        (Rejected(Reason.KEYS_STALE), Reason.KEYS_STALE),
        (KeySet([replace(issuer.key_set("stranger").keys[0], kid="ec")]), Reason.SIGNATURE_INVALID),
    ):
        assert isinstance(ask(issuer.keys), Verified)
        found = ask(gone)
        assert isinstance(found, Rejected)
        assert found.reason is reason


# --------------------------------------------------------------------------------------------------- any change at all


@dataclass
class Door:
    """From the fields of a request to the caller, as behind the proxy."""

    rules: IdentityRules
    callers: Callers

    def ask(self, *fields: tuple[bytes, bytes], mode: Mode = Mode.REVERSE) -> Principal | Rejected | Refusal:
        taken = self.rules.taken if mode is Mode.REVERSE else replace(self.rules.taken, headers=frozenset())
        raw = RawRequest(mode, b"GET", "http", "a", 80, b"", b"/v1/x", ((b"Host", b"a"), *fields))
        clean = check(raw, lambda *_: False, taken)
        if not isinstance(clean, Clean):
            return clean
        found = presented(mode, clean, self.rules)
        return found if isinstance(found, Rejected) else self.identify(found)

    def identify(self, found: Presented) -> Principal | Rejected:
        return self.callers.identify(found, Made("GET", "/v1/x"), self.rules, NOW)


def door_of(rules: IdentityRules) -> Door:
    def keys_of(provider: Provider) -> KeySet | Rejected:
        return provider.keys.static or Rejected(Reason.KEYS_UNAVAILABLE)

    return Door(rules, Callers(keys_of, lambda: Revocations.of(()), Replays(started=0.0), Memory()))


@pytest.fixture(scope="module")
def door(federation: Federation) -> Door:
    return door_of(federation.rules)


def carriers(federation: Federation) -> list[tuple[Mode, bytes, bytes]]:
    """A good request of each sort: who asks, by which field, with what in it."""
    bearer, access = federation.token("corp", "corp").encode(), federation.token("access", "access").encode()
    return [
        (Mode.REVERSE, b"Authorization", b"Bearer " + bearer),
        (Mode.REVERSE, b"Cookie", b"a=1; CF_Authorization=" + access + b"; b=2"),
        (Mode.REVERSE, b"X-Amzn-Oidc-Data", federation.token("alb", "alb").encode()),
        (Mode.FORWARD, b"Proxy-Authorization", b"Bearer " + bearer),
        (Mode.FORWARD, b"Proxy-Authorization", b"Basic " + base64.b64encode(b"token:" + bearer)),
    ]


@given(data=st.data())
def test_no_change_of_a_field_makes_another_caller(federation: Federation, door: Door, data: st.DataObject) -> None:
    """The scheme may be spelled in capitals and followed by blanks; nothing else is another spelling of a proof."""
    mode, name, value = data.draw(st.sampled_from(carriers(federation)))
    unchanged = door.ask((name, value), mode=mode)
    assert isinstance(unchanged, Principal)
    place = data.draw(st.integers(0, len(value) - 1))
    byte = bytes([data.draw(st.integers(0, 255) | st.sampled_from(b" =;,.\t\"'\\"))])
    cut = data.draw(st.integers(0, 1))
    found = door.ask((name, value[:place] + byte + value[place + cut :]), mode=mode)
    assert isinstance(found, Rejected | Refusal) or found == unchanged


# ------------------------------------------------------------------------------------------ what a request may cost


def test_more_proofs_than_could_count_are_not_verified(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has one caller and runs in one workload: who sends a cookie jar of tokens makes no work."""
    seen: list[str] = []
    memory = Memory()
    monkeypatch.setattr(Memory, "token", lambda _self, shown, *_: seen.append(shown.text) or Rejected(Reason.EXPIRED))
    made = door_of(federation.rules)
    made.callers.memory = memory
    jar = "; ".join(f"CF_Authorization=a.b.{number}" for number in range(1000))
    assert made.ask((b"Cookie", jar.encode())) == Rejected(Reason.TWO_TOKENS)
    assert seen == []


def test_no_more_hops_are_read_than_there_may_be() -> None:
    """Each entry that looks like a trusted proxy makes the one before it be read: thousands fit into a request."""
    trusted = compile_trusted(["10.0.0.0/8"])
    hops = [f"10.0.{number // 250}.{number % 250}".encode() for number in range(5000)]
    few = b",".join([b"192.0.2.1", *hops[: MAX_HOPS - 1]])
    assert trusted.source("10.0.0.1", [few]) == "192.0.2.1"
    assert trusted.source("10.0.0.1", [b",".join([*hops, b"192.0.2.1"])]) == "192.0.2.1"
    assert trusted.source("10.0.0.1", [b",".join([b"192.0.2.1", *hops[:MAX_HOPS]])]) is Malformed.FORWARDED_FOR
    assert trusted.source("10.0.0.1", [b",".join(hops)]) is Malformed.FORWARDED_FOR


def test_what_is_refused_is_remembered_within_bounds(issuer: Any, tmp_path: Path) -> None:
    rules, memory = issuer.rules(tmp_path), Memory(size=50)
    signed, good = issuer.token().rpartition(".")[0], base64.urlsafe_b64decode(issuer.token().rpartition(".")[2] + "==")
    for number in range(200):
        forged = f"{signed}.{base64url(number.to_bytes(4) + good[4:])}"
        memory.token(Shown(forged, (BEARER,)), rules, lambda _: issuer.keys, NOW)
    assert (len(memory._cases), len(memory._bad)) == (0, 50)
    assert SIZE < 10_000


# ------------------------------------------------------------------------------------------------- fields of a request


FOLDED = [
    "X!Forwarded!User",
    "X'Forwarded'User",
    "X~Forwarded*User",
    "X+Forwarded-User",
    "X-Forwarded|User",
    "X`Forwarded^User",
]


@pytest.mark.parametrize("name", FOLDED)
def test_a_name_that_some_gateway_reads_as_an_identity_is_refused(door: Door, name: str) -> None:
    """Servers of CGI make an underscore of whatever is no letter or digit (lighttpd), not of hyphens alone."""
    found = door.ask((name.encode(), b"eve"))
    assert isinstance(found, Refusal)
    assert found.reason == "aliased-header"


UNSIGNED = [
    "Remote-User",
    "Remote-Groups",
    "Remote-Email",
    "Remote-Name",
    "X-Remote-User",
    "X-Forwarded-Groups",
    "X-Auth-Request-Email",
    "X-Authenticated-Userid",
    "X-Authenticated-Groups",
    "X-Authenticated-Scope",
    "X-Consumer-Username",
    "X-Credential-Identifier",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert",
    "X-Client-Cert-Present",
    "X-Client-Cert-Spiffe",
    "X-Arr-Clientcert",
    "X-Ssl-Cert",
    "X-Ssl-Client-Dn",
    "Ssl-Client-Verify",
    "X-Userinfo",
    "Oidc-Claim-Sub",
    "Oidc-Access-Token",
    "Iv-User",
    "Iv-Groups",
    "Sm-User",
    "Tailscale-App-Capabilities",
    "Cf-Client-Cert-Sha256",
]


@pytest.mark.parametrize("name", UNSIGNED)
def test_what_other_gateways_assert_means_nothing_from_a_caller(door: Door, name: str) -> None:
    raw = RawRequest(Mode.REVERSE, b"GET", "http", "a", 80, b"", b"/", ((b"Host", b"a"), (name.encode(), b"eve")))
    clean = check(raw, lambda *_: False, door.rules.taken)
    assert isinstance(clean, Clean)
    assert [pair for pair in clean.fields if pair[1] == b"eve"] == []
    assert "eve" not in repr(clean.request)
    alias = name.replace("-", "_").encode()
    refusal = check(replace(raw, fields=((b"Host", b"a"), (alias, b"eve"))), lambda *_: False, door.rules.taken)
    assert isinstance(refusal, Refusal)


# ----------------------------------------------------------------------------------------------- while a key is awaited


def test_who_leaves_while_a_key_is_awaited_leaves_nothing_behind(issuer: Any, tmp_path: Path) -> None:
    """A tunnel that is opened when its client has gone would be kept, with the token, for as long as the proxy runs."""
    stage = Rotating(issuer, tmp_path)
    stage.publish("ec")
    stage.endpoint.takes = 1.0

    async def test() -> None:
        async with running(stage.ring):
            opened = stage.tunnel(proxy_bearer(stage.token()))
            pending = stage.identity.http_connect(opened)
            assert pending is not None
            opened.client_conn.state = ConnectionState.CLOSED
            stage.identity.client_disconnected(opened.client_conn)
            await pending
            assert stage.exchange(opened).refusal is None
            assert stage.identity._tunnels == {}

    run(test)
