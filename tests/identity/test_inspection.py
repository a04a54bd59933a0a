"""Why a token is or is not accepted, step by step, by the same checks that judge traffic."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.conftest import NOW, identity
from tests.identity.samples import NAMES, Sample, rows

from headgate.identity import dsse
from headgate.identity.callers import Callers, Made
from headgate.identity.credentials import Presented, Shown
from headgate.identity.findings import IN_USE, JUDGED, MAX_SHOWN, READ
from headgate.identity.inspection import ORDER, Inspection, Step, in_words, inspect
from headgate.identity.jwks import KeySet
from headgate.identity.memory import Memory
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.releaselist import write_list
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocation, Revocations
from headgate.identity.tokens import JUDGING, READING
from headgate.model import Principal

THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
NOBODY = Revocations({})
Ask = Callable[..., Inspection]


@pytest.fixture
def ask(issuer: Any, tmp_path: Path) -> Ask:
    """Inspect a token of the usual oidc provider; keywords change its rules."""

    def ask(text: str, revocations: Revocations | None = NOBODY, file: Any = None, **changes: Any) -> Inspection:
        written = issuer.written(tmp_path, max_lifetime="1h", **changes)
        return inspect(text, identity(tmp_path, written, **(file or {})), lambda *_: issuer.keys, NOW, revocations)

    return ask


def step(found: Inspection, name: str) -> Step:
    return next(step for step in found.steps if step.name == name)


def test_an_accepted_token_passes_every_step(ask: Ask, issuer: Any) -> None:
    found = ask(issuer.token())
    assert found.reason is None
    assert (found.provider, found.not_reached) == ("corp-sso", ())
    assert isinstance(found.principal, Principal)
    assert tuple(step.name for step in found.steps) == ORDER
    assert (found.needs_proof, found.workload, found.revoked, found.listed) == (False, False, False, None)


def test_every_check_of_the_proxy_is_one_of_its_steps_and_has_its_words() -> None:
    assert tuple(READ) == tuple(name for name, _ in READING)
    assert tuple(JUDGED) == tuple(name for name, _ in JUDGING)
    assert (*READ, "provider", *JUDGED, *IN_USE) == ORDER


def test_the_first_failed_step_ends_it(ask: Ask, issuer: Any) -> None:
    found = ask(issuer.token(aud="web"))
    assert found.reason is Reason.AUDIENCE_MISMATCH
    assert found.steps[-1] == Step("audience", Reason.AUDIENCE_MISMATCH, "web", "one of payments")
    assert found.not_reached[:3] == ("expiry", "not before", "issued at")
    assert (found.principal, found.places) == (None, ("authorization",))


def test_times_are_shown_for_people(ask: Ask, issuer: Any) -> None:
    found = ask(issuer.token(exp=NOW - 100))
    assert found.steps[-1].found == "2023-11-14T22:11:40Z"
    assert found.steps[-1].required == "after 2023-11-14T22:13:20Z, 30 s of skew granted"
    assert ask(issuer.token(exp="soon")).steps[-1].found == "soon"


def test_an_unknown_issuer_and_a_broken_token_are_told_apart(ask: Ask, issuer: Any) -> None:
    unknown = ask(issuer.token(iss="https://evil.example"))
    assert (unknown.steps[-1].name, unknown.reason) == ("provider", Reason.ISSUER_UNKNOWN)
    assert unknown.steps[-1].required == "one of https://sso.example.com"
    assert unknown.places == ()
    broken = ask("e30.e30")
    assert (broken.steps[-1].name, broken.reason) == ("form", Reason.TOKEN_SEGMENTS)
    assert broken.steps[-1].found == "2 segments"


def test_missing_keys_are_named(issuer: Any, tmp_path: Path) -> None:
    found = inspect(issuer.token(), issuer.rules(tmp_path), lambda *_: Rejected(Reason.KEYS_UNAVAILABLE), NOW)
    assert found.steps[-1] == Step("key", Reason.KEYS_UNAVAILABLE, "ec", "keys of the provider")


def test_keys_are_asked_for_by_the_id_that_the_token_names(issuer: Any, tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def keys_for(provider: Provider, kid: str | None) -> KeySet:
        asked.append((provider.name, kid))
        return issuer.keys  # type: ignore[no-any-return]  # the fixture's

    rules = issuer.rules(tmp_path)
    inspect(issuer.token(), rules, keys_for, NOW)
    inspect(issuer.sign({"alg": "ES256"}, issuer.claims()), rules, keys_for, NOW)
    inspect("e30.e30", rules, keys_for, NOW)
    assert asked == [("corp-sso", "ec"), ("corp-sso", None)]


# ----------------------------------------------------------------------------------------- the same as at the proxy


def at_the_proxy(text: str, places: tuple[str, ...], rules: IdentityRules, keys: KeySet) -> Principal | Rejected:
    callers = Callers(lambda _: keys, lambda: NOBODY, Replays(NOW), Memory())
    return callers.identify(Presented((Shown(text, places),)), Made("GET", "/"), rules, NOW)


@pytest.mark.parametrize("name", NAMES)
def test_it_never_disagrees_with_the_proxy(name: str, tmp_path: Path) -> None:
    """For every row of every preset's table, whatever is wrong."""
    sample = Sample(name)
    for row in (row for row in rows() if row.preset == name):
        rules = sample.rules(tmp_path, row.changes.get("provider"))
        keys, token = sample.keys(rules.providers[0]), sample.token(row.changes)
        judged = at_the_proxy(token, sample.places, rules, keys)
        found = inspect(token, rules, lambda *_, keys=keys: keys, NOW, NOBODY)
        assert found.reason == (judged.reason if isinstance(judged, Rejected) else None), row
        assert found.principal == (judged if isinstance(judged, Principal) else None), row
        assert found.places in ((), sample.places), row
        assert token.rpartition(".")[2] not in repr(found), row


@pytest.mark.parametrize("first", ["sso", "alb"])
def test_a_token_that_two_providers_may_mean_is_told_of_by_the_one_that_gets_furthest(
    issuer: Any, tmp_path: Path, first: str
) -> None:
    """A load balancer names its user's issuer, too, whose own tokens stand in another place."""
    alb = Sample("aws-alb")
    providers = [{**issuer.written(tmp_path), "issuer": alb.case["claims"]["iss"]}, alb.written()]
    rules = identity(tmp_path, *(providers if first == "sso" else reversed(providers)))
    keys = alb.keys(alb.provider(tmp_path))

    def keys_for(provider: Provider, _kid: str | None) -> KeySet:
        return keys if provider.name == "aws-alb" else issuer.keys  # type: ignore[no-any-return]  # the fixture's

    found = inspect(alb.token(), rules, keys_for, NOW)
    assert (found.reason, found.provider, found.places) == (None, "aws-alb", ("header:x-amzn-oidc-data",))
    late = inspect(alb.token({"exp": "now-60"}), rules, keys_for, NOW)
    assert (late.reason, late.provider) == (Reason.EXPIRED, "aws-alb")
    own = inspect(issuer.token(iss=alb.case["claims"]["iss"]), rules, keys_for, NOW)
    assert (own.reason, own.provider) == (None, "corp-sso")


def test_padding_is_judged_as_at_the_place_of_the_provider(tmp_path: Path) -> None:
    alb, iap = Sample("aws-alb"), Sample("google-iap")
    for sample, changed in ((alb, {"padded": False}), (iap, {"padded": True, "claims": {"pad": "xxxxx"}})):
        rules = sample.rules(tmp_path)
        keys = sample.keys(rules.providers[0])
        found = inspect(sample.token(changed), rules, lambda *_, keys=keys: keys, NOW)
        assert (found.steps[-1].name, found.reason) == ("form", Reason.TOKEN_ENCODING)
        assert found.places == sample.places


def test_a_provider_of_certificates_is_nobody_s_for_a_token(issuer: Any, tmp_path: Path) -> None:
    edge = {"name": "edge", "preset": "forwarded-client-cert"}
    rules = identity(tmp_path, edge, trusted_proxies=["10.0.0.1"])
    found = inspect(issuer.token(), rules, lambda *_: issuer.keys, NOW)
    assert (found.steps[-1].name, found.reason) == ("provider", Reason.ISSUER_UNKNOWN)


# ----------------------------------------------------------------------------------------------- what the moment says


def binding(dpop: str) -> dict[str, Any]:
    return {"session_binding": {"dpop": dpop, "public_url": "https://guard.example"}}


@pytest.mark.parametrize(
    ("dpop", "bound", "reason", "needs_proof"),
    [
        ("off", False, None, False),
        ("off", True, Reason.KEY_BOUND, False),
        ("optional", False, None, False),
        ("optional", True, None, True),
        ("required", False, Reason.BINDING_REQUIRED, False),
        ("required", True, None, True),
    ],
)
def test_whether_a_proof_of_possession_is_needed(
    ask: Ask, issuer: Any, dpop: str, bound: bool, reason: Reason | None, needs_proof: bool
) -> None:
    token = issuer.token(cnf={"jkt": THUMBPRINT}) if bound else issuer.token()
    found = ask(token, file=binding(dpop))
    assert (found.reason, found.needs_proof) == (reason, needs_proof)
    assert step(found, "possession").found == (f"bound to key {THUMBPRINT}" if bound else "bound to no key")
    assert found.steps[-1].name == ("possession" if reason else "release")


def revoked(kind: Any, value: str, provider: str | None = None, expires: float = NOW + 60) -> Revocations:
    return Revocations.of([Revocation(1, kind, provider, value, "", NOW - 60, expires, "ops")])


@pytest.mark.parametrize(
    ("revocations", "reason", "known", "words"),
    [
        (None, None, None, "not known: no state"),
        (NOBODY, None, False, "not revoked"),
        (revoked("principal", "eve"), None, False, "not revoked"),
        (revoked("principal", "ana", expires=NOW), None, False, "not revoked"),
        (revoked("principal", "ana"), Reason.REVOKED, None, "revoked"),
        (revoked("session", "s-1", "corp-sso"), Reason.REVOKED, None, "revoked"),
        (revoked("token", "t-1"), Reason.REVOKED, None, "revoked"),
    ],
)
def test_what_has_been_revoked(
    ask: Ask, issuer: Any, revocations: Revocations | None, reason: Reason | None, known: bool | None, words: str
) -> None:
    found = ask(issuer.token(sid="s-1", jti="t-1"), revocations)
    assert (found.reason, found.revoked) == (reason, known)
    assert step(found, "revocation").found == words


def test_a_revoked_token_that_needs_a_proof_is_revoked(ask: Ask, issuer: Any) -> None:
    token = issuer.token(cnf={"jkt": THUMBPRINT})
    assert ask(token, revoked("principal", "ana"), file=binding("optional")).reason is Reason.REVOKED


def test_a_token_that_says_which_code_calls_is_accepted_and_said_to_be_that(ask: Ask, issuer: Any) -> None:
    found = ask(issuer.token(), file={"anonymous": "allow"}, **{"as": "workload"})
    assert (found.reason, found.workload) == (None, True)
    assert not ask(issuer.token()).workload


COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
CODE = {"environment": "env", "workload.name": "app", "workload.commit": "sha"}


def listing(folder: Path, *environments: str, commit: str = COMMIT, not_after: str = "2100-01-01T00:00:00Z") -> Any:
    """The block `releases:`, with a list that is signed for it."""
    key = ed25519.Ed25519PrivateKey.generate()
    each = {"workload": "till", "commit": commit, "not_after": not_after}
    document = {"revision": 7, "releases": [{"environment": name, **each} for name in environments]}
    (folder / "list.json").write_bytes(dsse.sign(write_list(document), key))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "release.pub").write_bytes(pem)
    return {"releases": {"file": "list.json", "keys": ["release.pub"]}}


@pytest.mark.parametrize(
    ("released", "listed", "verified"),
    [
        ({"environments": ("prod", "staging")}, {"prod": True, "staging": True}, True),
        ({"environments": ("prod",)}, {"prod": True, "staging": False}, False),
        ({"environments": ("dev",)}, {"prod": False, "staging": False}, False),
        ({"not_after": "2023-11-14T22:13:19Z"}, {"prod": False, "staging": False}, False),
        ({"commit": "c2" * 20}, {"prod": False, "staging": False}, False),
    ],
)
def test_what_the_list_of_releases_says_of_each_environment(
    ask: Ask, issuer: Any, tmp_path: Path, released: dict[str, Any], listed: dict[str, bool], verified: bool
) -> None:
    environments = released.get("environments", ("prod", "staging"))
    block = listing(tmp_path, *environments, **{name: released[name] for name in released if name != "environments"})
    found = ask(issuer.token(env=["staging", "prod"], app="till", sha=COMMIT), file=block, claims=CODE)
    assert (found.reason, found.listed) == (None, listed)
    assert found.principal is not None
    assert found.principal.workload.verified is verified
    words = ", ".join(f"{name}: {'listed' if yes else 'not listed'}" for name, yes in listed.items())
    assert step(found, "release").found == f"name till, commit {COMMIT}; {words}"


def test_without_an_environment_no_code_is_verified(ask: Ask, issuer: Any, tmp_path: Path) -> None:
    found = ask(issuer.token(app="till", sha=COMMIT), file=listing(tmp_path, "prod"), claims=CODE)
    assert found.listed == {}
    assert found.principal is not None
    assert not found.principal.workload.verified
    assert step(found, "release").found.endswith("; no environment")


# ------------------------------------------------------------------------------------------------------ what is shown


def test_no_step_shows_the_token_or_its_signature(ask: Ask, issuer: Any) -> None:
    token = issuer.token(email="ana@corp.example")
    for text in (token, issuer.token(aud="web"), token[:-4] + "AAAA", f"{token}x", token + ".x"):
        shown = repr(ask(text))
        for segment in text.split("."):
            assert len(segment) < 8 or segment not in shown


def test_long_values_are_cut(ask: Ask, issuer: Any) -> None:
    assert len(ask(issuer.token(aud=["x" * 3000])).steps[-1].found) == MAX_SHOWN + 1


def test_long_lists_are_cut(issuer: Any, tmp_path: Path) -> None:
    keys = KeySet(replace(issuer.keys.keys[0], kid=str(number)) for number in range(50))
    found = inspect(issuer.token(), issuer.rules(tmp_path), lambda *_: keys, NOW)
    assert found.steps[-1].reason is Reason.UNKNOWN_KEY
    assert found.steps[-1].required.endswith(" and 38 more")


def test_a_value_of_any_type_is_shown_as_the_token_has_it(ask: Ask, issuer: Any) -> None:
    assert ask(issuer.token(aud={"payments": [True, None, 1.5]})).steps[-1].found == '{"payments": [true, null, 1.5]}'
    assert ask(issuer.token({"typ": 7})).steps[-1].found == "7"


def test_places_are_named_for_people() -> None:
    assert in_words("header:cf-access-jwt-assertion") == "header `cf-access-jwt-assertion`"
    assert in_words("cookie:CF_Authorization") == "cookie `CF_Authorization`"
    assert in_words("authorization").startswith("`Authorization: Bearer`")
    assert in_words("authorization", bound=True) == "`Authorization: DPoP`"
    assert in_words("certificate") == "the certificate of the connection"


# ---------------------------------------------------------------------------------------------------- whatever it is

SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
MEMBERS = st.sampled_from(
    [
        "iss",
        "aud",
        "exp",
        "nbf",
        "iat",
        "sub",
        "cnf",
        "act",
        "events",
        "email",
        "kubernetes.io",
        "client",
        "signer",
        "typ",
    ]
)


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> IdentityRules:
    written = [Sample(name).written({"max_lifetime": "1h"} if name == "oidc" else {}) for name in NAMES]
    return identity(tmp_path_factory.mktemp("everybody"), *written)


@given(text=st.text() | st.text("eyJhbGciOiJ.=").map(lambda text: f"{text}.{text}.{text}"))
def test_any_text_is_told_about(everybody: IdentityRules, text: str) -> None:
    assert inspect(text, everybody, lambda *_: KeySet(()), NOW).reason is not None


@given(
    name=st.sampled_from(["oidc", "aws-alb", "aws-verified-access", "kubernetes", "spiffe-jwt", "cloudflare-access"]),
    header=st.dictionaries(MEMBERS, JSON, max_size=2),
    claims=st.dictionaries(MEMBERS, JSON, max_size=3),
)
def test_whatever_a_signed_token_holds_is_told_about(
    everybody: IdentityRules, name: str, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """By words for whatever check it fails, and with the same outcome as at the proxy."""
    sample = Sample(name)
    keys = sample.keys(next(provider for provider in everybody.providers if provider.name == name))
    token = sample.token({"header": header, "claims": claims})
    found = inspect(token, everybody, lambda *_: keys, NOW, NOBODY)
    judged = at_the_proxy(token, sample.places, everybody, keys)
    if found.provider == name:
        assert found.reason == (judged.reason if isinstance(judged, Rejected) else None)
    else:
        assert isinstance(judged, Rejected)
        assert found.reason is not None
