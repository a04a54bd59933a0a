"""One caller out of all that a request shows: each proof must hold, and none counts for more than it proves."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.identity import pki
from tests.identity.conftest import NOW, identity

from headgate.identity import dsse
from headgate.identity.callers import ANONYMOUS, Callers, Made, combine
from headgate.identity.credentials import Presented, Shown, presented
from headgate.identity.hygiene import NOTHING_TAKEN, Clean, Mode, RawRequest, check
from headgate.identity.jwks import KeySet
from headgate.identity.memory import KeyWanted, Memory, Verified
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.releaselist import write_list
from headgate.identity.replays import Replays
from headgate.identity.revocations import Kind as Revoked
from headgate.identity.revocations import Revocation, Revocations
from headgate.model import Kind, Principal, Refusal, Session, Workload

TAG = "0123456789abcdef" * 4
TEAM = "https://team.cloudflareaccess.com"
HEADER, COOKIE = "header:cf-access-jwt-assertion", "cookie:CF_Authorization"
POMERIUM = "header:x-pomerium-jwt-assertion"
ACCESS = {"name": "access", "preset": "cloudflare-access", "issuer": TEAM, "audiences": [TAG]}
CODE = {
    "name": "code",
    "preset": "pomerium",
    "as": "workload",
    "issuer": "code.example",
    "audiences": ["code.example"],
    "claims": {"environment": "env", "workload.commit": "commit"},
}
MORE_CODE = {
    "name": "more-code",
    "preset": "teleport",
    "as": "workload",
    "issuer": "teleport.example",
    "audiences": ["http://localhost:8080"],
}
TELEPORT = "header:teleport-jwt-assertion"
CALL = Made("GET", "/v1/x")


@dataclass
class Desk:
    """Callers with everything they ask, in a test's hands."""

    rules: IdentityRules
    keys: KeySet | Rejected
    revocations: Revocations | None = field(default_factory=lambda: Revocations.of(()))
    now: float = NOW

    def __post_init__(self) -> None:
        self.callers = Callers(self.keys_of, lambda: self.revocations, Replays(started=0.0), Memory())

    def keys_of(self, _provider: Provider) -> KeySet | Rejected:
        return self.keys

    def ask(self, shown: Presented, call: Made | None = CALL) -> Principal | Rejected:
        return self.callers.identify(shown, call, self.rules, self.now)

    def caller(self, *tokens: Shown, call: Made = CALL, **more: Any) -> Principal:
        found = self.ask(Presented(tokens, **more), call)
        assert isinstance(found, Principal), found
        return found

    def refusal(self, *tokens: Shown, call: Made = CALL, **more: Any) -> Reason:
        found = self.ask(Presented(tokens, **more), call)
        assert isinstance(found, Rejected), found
        return found.reason


@pytest.fixture
def desk(issuer: Any, tmp_path: Path) -> Callable[..., Desk]:
    """A desk with these providers, whose keys are the issuer's; the first is the ordinary one."""

    def desk(*others: dict[str, Any], first: dict[str, Any] | None = None, **file: Any) -> Desk:
        return Desk(identity(tmp_path, issuer.written(tmp_path, **(first or {})), *others, **file), issuer.keys)

    return desk


def bearer(text: str, *places: str, bound: bool = False) -> Shown:
    return Shown(text, (*places, BEARER), bound)


def access_token(issuer: Any, **changes: Any) -> str:
    claims = {"iss": TEAM, "aud": [TAG], "sub": "ana", "type": "app", "iat": NOW, "exp": NOW + 60, **changes}
    token: str = issuer.sign({"alg": "RS256", "kid": "rsa", "typ": "JWT"}, claims, "rsa")
    return token


def code_token(issuer: Any, **changes: Any) -> Shown:
    claims = {"iss": "code.example", "aud": "code.example", "sub": "billing", "iat": NOW, "exp": NOW + 60, **changes}
    return Shown(issuer.sign({"alg": "ES256", "kid": "ec", "typ": "JWT"}, claims), (POMERIUM,))


# ------------------------------------------------------------------------------------------------ nothing, or one proof


def test_who_shows_nothing_is_nobody_or_anonymous(desk: Callable[..., Desk]) -> None:
    assert desk().refusal() is Reason.NO_TOKEN
    assert desk(anonymous="allow").caller() is ANONYMOUS
    assert (ANONYMOUS.kind, ANONYMOUS.expires_at) == (Kind.ANONYMOUS, None)
    assert desk(anonymous="allow").caller(proof=b"anything") is ANONYMOUS  # a proof alone is about nothing


def test_who_shows_a_bad_proof_is_never_anonymous(desk: Callable[..., Desk], issuer: Any) -> None:
    lenient = desk(anonymous="allow")
    assert lenient.refusal(bearer("x.y.z")) is Reason.TOKEN_ENCODING
    assert lenient.refusal(bearer(issuer.token(aud="web"))) is Reason.AUDIENCE_MISMATCH
    assert lenient.refusal(bearer(issuer.token(iss="https://other.example"))) is Reason.ISSUER_UNKNOWN


def test_a_key_that_is_not_there_yet_is_said_to_be_wanted(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk()
    assert made.ask(Presented((bearer(issuer.token({"kid": "new"})),))) == KeyWanted(
        Reason.UNKNOWN_KEY, made.rules.providers[0], "new"
    )


# ---------------------------------------------------------------------------------------------------------- two tokens


def test_a_token_in_header_and_cookie_counts_once(desk: Callable[..., Desk], issuer: Any) -> None:
    caller = desk(ACCESS).caller(Shown(access_token(issuer), (HEADER, COOKIE)))
    assert (caller.id, caller.provider) == ("ana", "access")


def test_two_different_tokens_are_refused_however_good_each_is(desk: Callable[..., Desk], issuer: Any) -> None:
    both = desk(ACCESS)
    one, two = Shown(access_token(issuer), (HEADER,)), Shown(access_token(issuer, exp=NOW + 61), (COOKIE,))
    assert both.caller(one).id == both.caller(two).id == "ana"
    assert both.refusal(one, two) is Reason.TWO_TOKENS
    assert both.refusal(two, one) is Reason.TWO_TOKENS
    assert both.refusal(one, bearer(issuer.token())) is Reason.TWO_TOKENS
    assert both.refusal(one, two, bearer(issuer.token())) is Reason.TWO_TOKENS


def test_one_bad_proof_spoils_a_good_one_on_either_side_of_it(desk: Callable[..., Desk], issuer: Any) -> None:
    both = desk(ACCESS, CODE)
    good = Shown(access_token(issuer), (HEADER,))
    for bad, reason in (
        (Shown(access_token(issuer, exp=NOW - 60), (COOKIE,)), Reason.EXPIRED),
        (Shown("x", (COOKIE,)), Reason.TOKEN_SEGMENTS),
        (bearer(issuer.token(key="stranger", header={"kid": "ec"})), Reason.SIGNATURE_INVALID),
        (code_token(issuer, aud="other.example"), Reason.AUDIENCE_MISMATCH),
    ):
        assert both.refusal(good, bad) is reason
        assert both.refusal(bad, good) is reason


def test_a_token_counts_only_where_its_provider_reads_it(desk: Callable[..., Desk], issuer: Any) -> None:
    both = desk(ACCESS)
    assert both.refusal(Shown(issuer.token(), (HEADER,))) is Reason.ISSUER_UNKNOWN
    assert both.refusal(bearer(access_token(issuer))) is Reason.ISSUER_UNKNOWN
    assert both.caller(bearer(access_token(issuer), HEADER)).provider == "access"


# ------------------------------------------------------------------------------------------------- who, and which code


def test_a_workload_says_which_code_calls_and_nothing_of_who(desk: Callable[..., Desk], issuer: Any) -> None:
    shown = bearer(issuer.token(groups=["support"], app="claimed", exp=NOW + 600, sid="s1"))
    named = desk(CODE, first={"claims": {"workload.name": "app", "session.id": "sid"}})
    alone = named.caller(shown)
    assert alone.workload == Workload("claimed")
    caller = named.caller(code_token(issuer, groups=["admins"], sid="s2", email="x@y.example", commit="c1"), shown)
    assert (caller.id, caller.kind, caller.provider, caller.groups) == ("ana", Kind.HUMAN, "corp-sso", {"support"})
    assert (caller.email, caller.session.id, caller.audiences) == (None, "s1", {"payments"})
    assert caller.claims == alone.claims
    assert caller.workload == Workload("billing", commit="c1")
    assert caller.expires_at == NOW + 60


def test_a_workload_has_the_name_that_its_claims_give_it(desk: Callable[..., Desk], issuer: Any) -> None:
    named = desk({**CODE, "claims": {"workload.name": "app"}})
    shown = bearer(issuer.token())
    assert named.caller(shown, code_token(issuer, app="web")).workload.name == "web"
    assert named.caller(shown, code_token(issuer)).workload.name == "billing"


def test_the_earlier_end_counts(desk: Callable[..., Desk], issuer: Any) -> None:
    both = desk(CODE)
    early, late = bearer(issuer.token(exp=NOW + 30)), bearer(issuer.token(exp=NOW + 90))
    assert both.caller(early, code_token(issuer)).expires_at == NOW + 30
    assert both.caller(late, code_token(issuer)).expires_at == NOW + 60


@pytest.mark.parametrize(
    ("caller", "code", "both"),
    [
        (None, None, set()),
        ("prod", None, {"prod"}),
        (None, "prod", {"prod"}),
        ("prod", "prod", {"prod"}),
        (["prod", "staging"], ["staging", "dev"], {"staging"}),
        ("prod", "staging", set()),
    ],
)
def test_where_both_say_an_environment_only_what_both_say_counts(
    desk: Callable[..., Desk], issuer: Any, caller: Any, code: Any, both: set[str]
) -> None:
    """A production token in the hands of staging code is at home in neither."""
    made = desk(CODE, first={"claims": {"environment": "env"}})
    assert made.caller(bearer(issuer.token(env=caller)), code_token(issuer, env=code)).environments == both


def test_a_workload_alone_calls_for_nobody(desk: Callable[..., Desk], issuer: Any) -> None:
    assert desk(CODE).refusal(code_token(issuer)) is Reason.WORKLOAD_ONLY
    lenient = desk(CODE, anonymous="allow")
    caller = lenient.caller(code_token(issuer, env="prod", groups=["admins"]))
    assert (caller.id, caller.kind, caller.provider, caller.groups) == (
        "anonymous", Kind.ANONYMOUS, "anonymous", frozenset(),
    )  # fmt: skip
    assert (caller.workload.name, caller.environments, caller.expires_at) == ("billing", {"prod"}, NOW + 60)
    assert lenient.refusal(code_token(issuer, exp=NOW - 60)) is Reason.EXPIRED


def test_two_workloads_are_one_too_many(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk(CODE, MORE_CODE, anonymous="allow")
    claims = {"iss": "teleport.example", "aud": ["http://localhost:8080"], "sub": "app", "exp": NOW + 60}
    other = Shown(issuer.sign({"alg": "ES256", "kid": "ec"}, claims), (TELEPORT,))
    assert made.caller(other).workload.name == "app"
    assert made.refusal(code_token(issuer), other) is Reason.TWO_TOKENS
    assert made.refusal(code_token(issuer), other, bearer(issuer.token())) is Reason.TWO_TOKENS


def test_what_is_combined_does_not_depend_on_the_order(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk(CODE)
    one, two = bearer(issuer.token()), code_token(issuer, commit="c1")
    assert made.caller(one, two) == made.caller(two, one)
    assert combine([], anonymous=False) == Rejected(Reason.WORKLOAD_ONLY)


# ----------------------------------------------------------------------------------------------------- bound to a key


BINDING = {"public_url": "https://guard.example.com"}


def test_without_binding_a_token_of_a_key_holder_is_refused(desk: Callable[..., Desk], issuer: Any) -> None:
    for off in (desk(), desk(session_binding={"dpop": "off"})):
        token = issuer.bound_token()
        assert off.refusal(bearer(token)) is Reason.KEY_BOUND
        assert off.refusal(bearer(token, bound=True), proof=issuer.proof(token)) is Reason.KEY_BOUND
        assert off.refusal(bearer(issuer.token(), bound=True)) is Reason.UNSUPPORTED_SCHEME
        assert off.caller(bearer(issuer.token()), proof=b"anything").id == "ana"


def test_an_unbound_token_needs_no_proof_where_binding_is_optional(desk: Callable[..., Desk], issuer: Any) -> None:
    optional = desk(session_binding={"dpop": "optional", **BINDING})
    assert optional.caller(bearer(issuer.token())).id == "ana"
    unbound = issuer.token()
    assert optional.refusal(bearer(unbound, bound=True), proof=issuer.proof(unbound)) is Reason.BINDING_REQUIRED


def test_an_unbound_token_is_refused_where_binding_is_required(desk: Callable[..., Desk], issuer: Any) -> None:
    required = desk(ACCESS, session_binding={"dpop": "required", **BINDING})
    token = issuer.token()
    assert required.refusal(bearer(token)) is Reason.BINDING_REQUIRED
    assert required.refusal(bearer(token, bound=True), proof=issuer.proof(token)) is Reason.BINDING_REQUIRED
    assert required.refusal(Shown(access_token(issuer), (HEADER,))) is Reason.BINDING_REQUIRED


@pytest.mark.parametrize("binding", ["optional", "required"])
def test_a_bound_token_counts_with_a_new_proof_each_time(desk: Callable[..., Desk], issuer: Any, binding: str) -> None:
    made, token = desk(session_binding={"dpop": binding, **BINDING}), issuer.bound_token()
    shown = bearer(token, bound=True)
    assert made.caller(shown, proof=issuer.proof(token)).id == "ana"
    assert made.refusal(shown, proof=issuer.proof(token)) is Reason.PROOF_REPLAYED
    assert made.caller(shown, proof=issuer.proof(token, jti="proof-0002")).id == "ana"
    assert made.refusal(shown) is Reason.PROOF_MISSING


def test_a_bound_token_does_not_count_as_a_mere_bearer_token(desk: Callable[..., Desk], issuer: Any) -> None:
    """The scheme is part of it: whoever steals a proof with its token must not choose another (RFC 9449, 7.1)."""
    made, token = desk(ACCESS, session_binding={"dpop": "optional", **BINDING}), issuer.bound_token()
    given = issuer.proof(token)
    assert made.refusal(bearer(token)) is Reason.PROOF_MISSING
    assert made.refusal(bearer(token), proof=given) is Reason.PROOF_MISSING
    assert made.caller(bearer(token, bound=True), proof=given).id == "ana"


def test_a_bound_token_counts_nowhere_but_in_authorization(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk(ACCESS, session_binding={"dpop": "optional", **BINDING})
    elsewhere = access_token(issuer, cnf={"jkt": issuer.thumbprint()})
    assert made.refusal(Shown(elsewhere, (HEADER,)), proof=issuer.proof(elsewhere)) is Reason.PROOF_MISSING


def test_a_proof_is_for_one_request_with_one_token(desk: Callable[..., Desk], issuer: Any) -> None:
    made, token = desk(session_binding={"dpop": "required", **BINDING}), issuer.bound_token()
    shown, other = bearer(token, bound=True), issuer.bound_token(sub="eve")
    good = issuer.proof(token)
    assert made.refusal(shown, proof=good, call=Made("POST", "/v1/x")) is Reason.PROOF_METHOD_MISMATCH
    assert made.refusal(shown, proof=good, call=Made("GET", "/v1/y")) is Reason.PROOF_URL_MISMATCH
    assert made.refusal(shown, proof=issuer.proof(other)) is Reason.PROOF_TOKEN_MISMATCH
    assert made.refusal(shown, proof=issuer.proof(token, key="ec")) is Reason.PROOF_KEY_MISMATCH
    assert made.refusal(shown, proof=b"\xff\x00") is Reason.PROOF_MALFORMED
    assert made.caller(shown, proof=good).id == "ana"  # what was refused used nothing up


def test_where_no_url_can_be_given_no_proof_holds(desk: Callable[..., Desk], issuer: Any) -> None:
    """Through a tunnel the caller sees another proxy's URL than the one this proxy has."""
    made, token = desk(session_binding={"dpop": "optional", **BINDING}), issuer.bound_token()
    shown = bearer(token, bound=True)
    assert made.refusal(shown, proof=issuer.proof(token), call=Made("GET", None)) is Reason.PROOF_MISSING


def test_who_is_judged_again_has_shown_a_proof_once(desk: Callable[..., Desk], issuer: Any) -> None:
    made, token = desk(session_binding={"dpop": "optional", **BINDING}), issuer.bound_token()
    shown = Presented((bearer(token, bound=True),), proof=issuer.proof(token))
    assert isinstance(made.ask(shown), Principal)
    assert made.ask(shown) == Rejected(Reason.PROOF_REPLAYED)
    for _ in range(2):
        assert isinstance(made.ask(shown, None), Principal)
    assert made.ask(replace(shown, proof=None), None) == Rejected(Reason.PROOF_MISSING)
    made.rules = desk(session_binding={"dpop": "off"}).rules
    assert made.ask(shown, None) == Rejected(Reason.KEY_BOUND)


def test_who_is_judged_again_needs_all_else_that_a_request_needs(desk: Callable[..., Desk], issuer: Any) -> None:
    made, shown = desk(), Presented((bearer(issuer.token(jti="t-1")),))
    assert isinstance(made.ask(shown, None), Principal)
    made.revocations = revoked("token", "t-1")
    assert made.ask(shown, None) == Rejected(Reason.REVOKED)
    made.revocations = None
    assert made.ask(shown, None) == Rejected(Reason.REVOCATIONS_UNKNOWN)
    made.revocations, made.now = Revocations.of(()), NOW + 86400
    assert made.ask(shown, None) == Rejected(Reason.EXPIRED)
    assert made.ask(Presented(), None) == Rejected(Reason.NO_TOKEN)


def test_a_proof_is_not_used_up_while_the_key_of_another_token_is_awaited(
    desk: Callable[..., Desk], issuer: Any
) -> None:
    made, token = desk(CODE, session_binding={"dpop": "optional", **BINDING}), issuer.bound_token()
    shown = Presented((code_token(issuer), bearer(token, bound=True)), proof=issuer.proof(token))
    made.keys = issuer.key_set("rsa")
    assert isinstance(made.ask(shown), KeyWanted)
    made.keys = issuer.keys
    assert isinstance(made.ask(shown), Principal)


# ------------------------------------------------------------------------------------------- revocations, and releases


def revoked(kind: Revoked, value: str, provider: str | None = None, until: float = NOW + 60) -> Revocations:
    return Revocations.of([Revocation(1, kind, provider, value, "lost", NOW, until, "ops")])


def test_when_it_is_not_known_what_is_revoked_nobody_is_believed(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk(anonymous="allow")
    made.revocations = None
    assert made.refusal(bearer(issuer.token())) is Reason.REVOCATIONS_UNKNOWN
    assert made.refusal(bearer("x")) is Reason.TOKEN_SEGMENTS


@pytest.mark.parametrize(
    ("revocations", "covered"),
    [
        (revoked("principal", "ana"), True),
        (revoked("principal", "ana", "corp-sso"), True),
        (revoked("principal", "ana", "code"), False),
        (revoked("session", "s1"), True),
        (revoked("token", "t1"), True),
        (revoked("token", "s1"), False),
        (revoked("principal", "ana", until=NOW), False),
        (revoked("principal", "billing"), True),
        (revoked("principal", "billing", "code"), True),
        (revoked("principal", "eve"), False),
    ],
)
def test_what_is_revoked_is_refused_though_it_was_believed_before(
    desk: Callable[..., Desk], issuer: Any, revocations: Revocations, covered: bool
) -> None:
    """The code that calls can be revoked like who calls."""
    made = desk(CODE)
    shown = bearer(issuer.token(sid="s1", jti="t1"))
    code = code_token(issuer)
    assert made.caller(shown, code).id == "ana"
    made.revocations = revocations
    found = made.ask(Presented((shown, code)))
    assert found == Rejected(Reason.REVOKED) if covered else isinstance(found, Principal)


def test_the_owner_of_a_revoked_agent_and_the_agent_of_a_revoked_owner(desk: Callable[..., Desk], issuer: Any) -> None:
    made, agent = desk(), bearer(issuer.token(act={"sub": "robot"}))
    made.revocations = revoked("principal", "ana")
    assert made.refusal(agent) is Reason.REVOKED
    made.revocations = revoked("principal", "robot")
    assert made.refusal(agent) is Reason.REVOKED
    assert made.caller(bearer(issuer.token())).id == "ana"


def signed_releases(folder: Path, *listed: dict[str, Any]) -> dict[str, Any]:
    """`releases:`, with a list of these that a key of this test has signed."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "release.pub").write_bytes(pem)
    (folder / "releases.json").write_bytes(dsse.sign(write_list({"revision": 1, "releases": list(listed)}), key))
    return {"file": "releases.json", "keys": ["release.pub"]}


COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
LISTED = {"environment": "prod", "workload": "billing", "commit": COMMIT, "not_after": "2023-11-14T22:14:00Z"}


def test_releases_are_judged_each_time(desk: Callable[..., Desk], issuer: Any, tmp_path: Path) -> None:
    made = desk(CODE, releases=signed_releases(tmp_path, LISTED))
    shown, code = bearer(issuer.token()), code_token(issuer, env="prod", commit=COMMIT)
    assert made.caller(shown, code).workload.verified
    made.now = NOW + 50  # the list says until 22:14:00, which is 40 seconds after NOW
    assert not made.caller(shown, code).workload.verified
    made.now = NOW
    assert made.caller(shown, code).workload.verified


def test_code_is_verified_by_what_its_own_proof_says(desk: Callable[..., Desk], issuer: Any, tmp_path: Path) -> None:
    """Neither the person's token nor an environment that only one of them has lends it anything."""
    claims = {"workload.name": "app", "workload.commit": "commit", "environment": "env"}
    made = desk(CODE, first={"claims": claims}, releases=signed_releases(tmp_path, LISTED))
    stated = bearer(issuer.token(app="billing", commit=COMMIT, env="prod"))
    assert made.caller(stated).workload.verified
    assert not made.caller(stated, code_token(issuer, env="prod", commit="0" * 40)).workload.verified
    assert not made.caller(stated, code_token(issuer, env="prod")).workload.verified
    assert not made.caller(stated, code_token(issuer, env="staging", commit=COMMIT)).workload.verified
    assert made.caller(bearer(issuer.token()), code_token(issuer, env="prod", commit=COMMIT)).workload.verified


def test_without_a_list_no_code_is_verified(desk: Callable[..., Desk], issuer: Any) -> None:
    made = desk(CODE)
    assert not made.caller(bearer(issuer.token()), code_token(issuer, env="prod", commit=COMMIT)).workload.verified


# ------------------------------------------------------------------------------------------------------- certificates


CA = pki.authority("corp")
WEB = pki.issue("web", CA, pki.uri("spiffe://prod.example/web"))
XFCC = b"URI=spiffe://prod.example/web"
MESH = {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"}
ENVOY = {"name": "envoy", "preset": "forwarded-client-cert"}


@pytest.fixture
def meshed(desk: Callable[..., Desk], tmp_path: Path) -> Callable[..., Desk]:
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    return lambda *providers, **file: desk(*providers, trusted_proxies=["10.0.0.1"], **file)


def test_a_certificate_proves_who_calls(meshed: Callable[..., Desk]) -> None:
    caller = meshed(MESH).caller(certificates=tuple(WEB.chain))
    assert (caller.id, caller.provider, caller.kind) == ("spiffe://prod.example/web", "mesh", Kind.SERVICE)
    assert (caller.workload.name, caller.session) == ("spiffe://prod.example/web", Session())
    assert caller.expires_at == NOW + pki.DAY.total_seconds()


def test_a_certificate_that_proves_nothing_is_refused(meshed: Callable[..., Desk]) -> None:
    stranger = pki.issue("web", pki.authority("corp"), pki.uri("spiffe://prod.example/web"))
    lenient = meshed(MESH, anonymous="allow")
    assert lenient.refusal(certificates=tuple(stranger.chain)) is Reason.CERTIFICATE_UNTRUSTED
    assert lenient.refusal(certificates=(b"der",)) is Reason.CERTIFICATE_MALFORMED


def test_what_a_trusted_peer_saw_proves_who_calls(meshed: Callable[..., Desk]) -> None:
    made = meshed(ENVOY)
    caller = made.caller(forwarded=XFCC)
    assert (caller.id, caller.provider) == ("spiffe://prod.example/web", "envoy")
    assert made.refusal(forwarded=b"By=x;Hash") is Reason.FORWARDED_MALFORMED
    assert made.refusal(forwarded=XFCC + b"," + XFCC) is Reason.FORWARDED_SEVERAL
    assert made.refusal(forwarded=b"") is Reason.NO_TOKEN
    assert made.refusal(forwarded=b'Subject=""') is Reason.ID_MISSING


def test_a_certificate_and_a_token_are_two_proofs(meshed: Callable[..., Desk], issuer: Any) -> None:
    made, chain = meshed(MESH, ENVOY), tuple(WEB.chain)
    assert made.refusal(bearer(issuer.token()), certificates=chain) is Reason.TWO_TOKENS
    assert made.refusal(bearer(issuer.token()), forwarded=XFCC) is Reason.TWO_TOKENS
    assert made.refusal(certificates=chain, forwarded=XFCC) is Reason.TWO_TOKENS


def test_a_certificate_may_say_which_code_calls(meshed: Callable[..., Desk], issuer: Any) -> None:
    """A service behind a mesh calls for a person: the mesh says what runs, the token who asked for it."""
    made, chain = meshed({**MESH, "as": "workload", "environment": "prod"}), tuple(WEB.chain)
    caller = made.caller(bearer(issuer.token()), certificates=chain)
    assert (caller.id, caller.workload.name, caller.environments) == ("ana", "spiffe://prod.example/web", {"prod"})
    assert caller.expires_at == NOW + 600
    assert made.refusal(certificates=chain) is Reason.WORKLOAD_ONLY
    late = replace(made, now=NOW + 2 * pki.DAY.total_seconds())
    valid = bearer(issuer.token(exp=late.now + 60))
    assert late.refusal(valid, certificates=chain) is Reason.CERTIFICATE_EXPIRED


def test_a_certificate_can_be_revoked_by_the_name_it_gives(meshed: Callable[..., Desk]) -> None:
    made = meshed(MESH)
    assert made.caller(certificates=tuple(WEB.chain)).id == "spiffe://prod.example/web"
    made.revocations = revoked("principal", "spiffe://prod.example/web")
    assert made.refusal(certificates=tuple(WEB.chain)) is Reason.REVOKED


# ---------------------------------------------------------------------------------------------------------- any bytes


@pytest.fixture(scope="module")
def everything(issuer: Any, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Rules with a provider for every place there is."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "ca.pem").write_bytes(CA.pem)
    alb = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
    balanced = {"name": "alb", "preset": "aws-alb", "issuer": TEAM, "audiences": ["c"], "signers": [alb]}
    spiffe = {"name": "spire", "preset": "spiffe-jwt", "issuer": "spiffe://prod.example", "audiences": ["payments"]}
    providers = (ACCESS, CODE, MESH, ENVOY, balanced, {**spiffe, "jwks": issuer.key_file(folder)})
    rules = identity(
        folder,
        issuer.written(folder),
        *providers,
        trusted_proxies=["10.0.0.1"],
        session_binding={"dpop": "optional", **BINDING},
        releases=signed_releases(folder, LISTED),
    )
    return Desk(rules, issuer.keys, revoked("principal", "eve"))


NAMES = [
    b"Authorization", b"Proxy-Authorization", b"DPoP", b"Cookie", b"Cf-Access-Jwt-Assertion", b"X-Amzn-Oidc-Data",
    b"X-Pomerium-Jwt-Assertion", b"X-Forwarded-Client-Cert",
]  # fmt: skip
PREFIXES = [b"", b"Bearer ", b"DPoP ", b"Basic ", b"CF_Authorization=", b"a=1; CF_Authorization="]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_any_bytes_in_any_place_give_a_caller_or_a_reason(everything: Desk, issuer: Any, data: st.DataObject) -> None:
    """And a caller only where what was sent holds a proof that was made here."""
    claims = st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "cnf", "type", "act", "groups"]), JSON)
    signed = st.builds(lambda changes: issuer.token(**changes).encode(), claims)
    good = st.sampled_from([issuer.token(), access_token(issuer), code_token(issuer).text, issuer.bound_token()])
    value = st.builds(
        lambda prefix, text: prefix + text,
        st.sampled_from(PREFIXES),
        st.binary(max_size=40) | st.text(max_size=20).map(str.encode) | signed | good.map(str.encode) | st.just(XFCC),
    )
    fields = data.draw(st.lists(st.tuples(st.sampled_from(NAMES), value), max_size=4, unique_by=lambda pair: pair[0]))
    chain = data.draw(st.just(()) | st.just(tuple(WEB.chain)) | st.lists(st.binary(max_size=9), max_size=2).map(tuple))
    mode = data.draw(st.sampled_from([Mode.REVERSE, Mode.FORWARD]))
    rules = everything.rules
    taken = rules.taken if mode is Mode.REVERSE else NOTHING_TAKEN
    raw = RawRequest(mode, b"GET", "http", "a", 80, b"", b"/v1/x", ((b"Host", b"a"), *fields))
    clean = check(raw, lambda *_: False, taken)
    if isinstance(clean, Refusal):
        return
    assert isinstance(clean, Clean)
    trusted = data.draw(st.booleans())
    shown = presented(mode, clean, rules, certificates=chain, peer_trusted=trusted)
    if isinstance(shown, Rejected):
        return
    found = everything.ask(shown, Made("GET", "/v1/x" if mode is Mode.REVERSE else None))
    assert isinstance(found, Principal | Rejected)
    proven = shown.tokens or chain == tuple(WEB.chain) or (trusted and shown.forwarded)
    assert isinstance(found, Rejected) or proven


@given(text=st.text(alphabet="abcXYZ019-_.=~+/", max_size=60), header=JSON, claims=JSON, places=st.booleans())
def test_what_nobody_here_signed_is_never_believed(
    everything: Desk, text: str, header: Any, claims: Any, places: bool
) -> None:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    for made in (text, f"{'.'.join(parts)}.{text}"):
        shown = Shown(made, (BEARER, HEADER) if places else ("header:x-amzn-oidc-data",))
        assert isinstance(everything.ask(Presented((shown,))), Rejected)


def test_verified_is_what_a_proof_shows_and_not_yet_a_caller(desk: Callable[..., Desk], issuer: Any) -> None:
    """`combine` alone would take a bound token: that it was proven is checked before."""
    made = desk()
    found = made.callers.memory.token(bearer(issuer.bound_token()), made.rules, made.keys_of, NOW)
    assert isinstance(found, Verified)
    assert found.thumbprint == issuer.thumbprint()
    assert made.refusal(bearer(issuer.bound_token())) is Reason.KEY_BOUND
