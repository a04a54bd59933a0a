"""What each preset demands of a provider and gives it; and which of several providers a token is for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.identity import pki
from tests.identity.conftest import identity

from headgate.errors import InvalidRules
from headgate.identity.hygiene import Taken
from headgate.identity.presets import BEARER, PRESETS, UUID
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason
from headgate.identity.sources import KeySource

ISSUER = "https://sso.example.com"
ALB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
ALB_GOV = "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
AVA = "arn:aws:ec2:us-east-1:123456789012:verified-access-instance/vai-0123456789abcdef0"
TAG = "0123456789abcdef" * 4

USUAL: dict[str, dict[str, Any]] = {
    "oidc": {"issuer": ISSUER, "audiences": ["payments"], "algorithms": ["ES256"], "kind": "human"},
    "google-iap": {"audiences": ["/projects/123/global/backendServices/456"]},
    "aws-alb": {"issuer": ISSUER, "audiences": ["client-1"], "signers": [ALB]},
    "aws-verified-access": {"issuer": ISSUER, "signers": [AVA]},
    "cloudflare-access": {"issuer": "https://team.cloudflareaccess.com", "audiences": [TAG]},
    "pomerium": {"issuer": "app.example.com", "audiences": ["app.example.com"]},
    "teleport": {"issuer": "teleport.example.com", "audiences": ["http://localhost:8080"]},
    "kubernetes": {"issuer": "https://cluster.example.com", "audiences": ["payments"]},
    "github-actions": {"audiences": ["payments"], "require": {"repository_owner": "octo-org"}},
    "gitlab": {"issuer": "https://gitlab.example.com", "audiences": ["payments"], "require": {"project_path": "a/b"}},
    "spiffe-jwt": {"issuer": "spiffe://prod.example", "audiences": ["payments"], "jwks": "https://spire.example/keys"},
    "mtls": {"ca": "file:ca.pem"},
    "forwarded-client-cert": {},
    "development": {"audiences": ["headgate-dev"]},
}
"""Of each preset no more than it demands."""

ANY = {
    "issuer": ISSUER, "audiences": ["a"], "jwks": "https://keys.example/jwks.json", "algorithms": ["ES256"],
    "signers": [ALB], "ca": "file:ca.pem", "max_lifetime": "1h", "claims": {"id": "sub"},
}  # fmt: skip

VENDORS = ["google-iap", "aws-alb", "aws-verified-access", "cloudflare-access", "github-actions"]
OWN = ["oidc", "pomerium", "teleport", "kubernetes", "gitlab", "spiffe-jwt"]


@pytest.fixture(autouse=True)
def ca(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pki.authority("corp").pem)


def written(preset: str, **changes: Any) -> dict[str, Any]:
    """A provider as identity.yaml has it; None takes a key out."""
    given = {"name": preset, "preset": preset, **USUAL[preset], **changes}
    return {key: value for key, value in given.items() if value is not None}


def rules_of(folder: Path, *providers: dict[str, Any], **file: Any) -> IdentityRules:
    return identity(folder, *providers, **{"trusted_proxies": ["10.0.0.1"], **file})


def provider_of(folder: Path, preset: str, **changes: Any) -> Provider:
    return rules_of(folder, written(preset, **changes)).providers[0]


def problems(folder: Path, *providers: dict[str, Any]) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(InvalidRules) as caught:
        rules_of(folder, *providers)
    return caught.value.problems


def problem(folder: Path, preset: str, **changes: Any) -> tuple[tuple[Any, ...], str]:
    """The only problem of one provider, and where in it."""
    ((where, message),) = problems(folder, written(preset, **changes))
    assert where[:2] == ("providers", 0)
    return where[2:], message


# ------------------------------------------------------------------------------------------------ what a preset demands


def test_here_are_all_presets() -> None:
    assert set(USUAL) == set(PRESETS)
    assert {name for name, preset in PRESETS.items() if preset.vendor_keys} == set(VENDORS)


@pytest.mark.parametrize("preset", USUAL)
def test_what_a_preset_demands_is_enough(tmp_path: Path, preset: str) -> None:
    provider = provider_of(tmp_path, preset)
    assert (provider.name, provider.preset, provider.workload) == (preset, preset, False)
    assert provider.audiences == frozenset(USUAL[preset].get("audiences", ()))


@pytest.mark.parametrize(("preset", "key"), [(preset, key) for preset, keys in USUAL.items() for key in keys])
def test_nothing_that_a_preset_demands_may_be_left_out(tmp_path: Path, preset: str, key: str) -> None:
    assert problem(tmp_path, preset, **{key: None}) == (
        (),
        f"`{key}` is missing; a provider of preset `{preset}` needs it",
    )


@pytest.mark.parametrize(("preset", "key"), [(name, key) for name, preset in PRESETS.items() for key in preset.fixed])
def test_nothing_that_a_preset_fixes_may_be_given(tmp_path: Path, preset: str, key: str) -> None:
    found = problems(tmp_path, written(preset, **{key: ANY[key]}))
    assert (("providers", 0, key), f"`{key}` is fixed by preset `{preset}`; leave it out") in found


@pytest.mark.parametrize(
    ("preset", "key"),
    [
        (name, key)
        for name, preset in PRESETS.items()
        for key in ("signers", "ca")
        if key not in (*preset.required, *preset.fixed, *preset.optional)
    ],
)
def test_signers_and_authorities_are_for_the_presets_that_have_them(tmp_path: Path, preset: str, key: str) -> None:
    where, message = problem(tmp_path, preset, **{key: ANY[key]})
    assert (where, message) == ((key,), f"preset `{preset}` has no `{key}`; leave it out")


def test_a_preset_that_only_a_peer_can_prove_needs_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRules) as caught:
        identity(tmp_path, written("forwarded-client-cert"))
    assert caught.value.problems == [
        (("providers", 0), "no peer is listed in `trusted_proxies`, so nobody would be believed")
    ]


# ----------------------------------------------------------------------------------------------------- forms, narrowing


@pytest.mark.parametrize(
    ("preset", "changes", "where", "example"),
    [
        ("google-iap", {"audiences": ["payments"]}, ("audiences", 0), "/projects/123/global/backendServices/456"),
        ("google-iap", {"audiences": ["/projects/x/apps/y"]}, ("audiences", 0), "/projects/123/global/backendServi"),
        ("google-iap", {"audiences": ["/projects/1/apps/y\n"]}, ("audiences", 0), "/projects/123/global/backendServi"),
        ("aws-alb", {"issuer": "http://sso.example.com"}, ("issuer",), "https://sso.example.com"),
        ("aws-alb", {"issuer": "https://SSO.example.com"}, ("issuer",), "https://sso.example.com"),
        ("aws-alb", {"signers": ["*"]}, ("signers", 0), "loadbalancer/app/NAME/0123456789abcdef"),
        ("aws-alb", {"signers": [AVA]}, ("signers", 0), "loadbalancer/app/NAME/0123456789abcdef"),
        ("aws-alb", {"signers": [ALB.replace("/app/", "/net/")]}, ("signers", 0), "loadbalancer/app/NAME"),
        ("aws-alb", {"signers": [ALB.replace("/shop/", "/*/")]}, ("signers", 0), "loadbalancer/app/NAME"),
        ("aws-alb", {"signers": [ALB.replace("123456789012", "")]}, ("signers", 0), "loadbalancer/app/NAME"),
        ("aws-alb", {"signers": [ALB.replace("eu-west-1", "evil.example/")]}, ("signers", 0), "loadbalancer/app/NAME"),
        ("aws-verified-access", {"signers": [ALB]}, ("signers", 0), "verified-access-instance/vai-0123456789abcdef0"),
        ("cloudflare-access", {"issuer": "https://evil.example"}, ("issuer",), "https://TEAM.cloudflareaccess.com"),
        ("cloudflare-access", {"issuer": "https://a.b.cloudflareaccess.com"}, ("issuer",), "https://TEAM.cloudflareac"),
        ("cloudflare-access", {"issuer": "https://t.cloudflareaccess.com/"}, ("issuer",), "https://TEAM.cloudflareac"),
        ("cloudflare-access", {"audiences": ["payments"]}, ("audiences", 0), "64 hexadecimal digits"),
        ("cloudflare-access", {"audiences": [TAG, TAG.upper()]}, ("audiences", 1), "64 hexadecimal digits"),
        ("pomerium", {"issuer": "https://app.example.com"}, ("issuer",), "app.example.com"),
        ("pomerium", {"issuer": "app.example.com/x"}, ("issuer",), "app.example.com"),
        ("pomerium", {"audiences": ["https://app.example.com"]}, ("audiences", 0), "app.example.com"),
        ("teleport", {"issuer": "https://teleport.example.com"}, ("issuer",), "the cluster's name"),
        ("teleport", {"audiences": ["localhost:8080"]}, ("audiences", 0), "the application's URI"),
        ("kubernetes", {"issuer": "kubernetes/serviceaccount"}, ("issuer",), "https://sso.example.com"),
        ("kubernetes", {"issuer": "https://user@cluster.example"}, ("issuer",), "https://sso.example.com"),
        ("kubernetes", {"issuer": "https://cluster.example?x"}, ("issuer",), "https://sso.example.com"),
        ("github-actions", {"issuer": "https://ghe.example.com"}, ("issuer",), "token.actions.githubusercontent.com"),
        ("github-actions", {"issuer": "https://token-actions.githubusercontent.com"}, ("issuer",), "githubusercontent"),
        ("gitlab", {"issuer": "gitlab.example.com"}, ("issuer",), "https://sso.example.com"),
        ("spiffe-jwt", {"issuer": "https://prod.example"}, ("issuer",), "spiffe://prod.example, the trust domain"),
        ("spiffe-jwt", {"issuer": "spiffe://prod.example/web"}, ("issuer",), "spiffe://prod.example, the trust domain"),
        ("spiffe-jwt", {"issuer": "spiffe://PROD.example"}, ("issuer",), "spiffe://prod.example, the trust domain"),
    ],
)
def test_what_has_not_the_form_of_its_preset_is_refused_where_it_stands(
    tmp_path: Path, preset: str, changes: dict[str, Any], where: tuple[Any, ...], example: str
) -> None:
    """A value that no token of the preset has could only be a mistake, or a way to believe somebody else."""
    found, message = problem(tmp_path, preset, **changes)
    (value,) = changes.values()
    text = value if isinstance(value, str) else value[where[-1]]
    assert found == where
    assert message.startswith(f"`{text}` has not the form of this preset; accepted: such as `")
    assert example in message


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("google-iap", {"audiences": ["/projects/1/apps/my-app", "/projects/1/locations/europe-west1/services/shop"]}),
        ("google-iap", {"audiences": ["/projects/1/apps/example.com:app"]}),
        ("pomerium", {"issuer": "https://app.example.com/"}),
        ("kubernetes", {"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/0123ABCD"}),
        ("kubernetes", {"issuer": "https://cluster.example:6443"}),
        ("github-actions", {"issuer": "https://token.actions.githubusercontent.com/octo-enterprise"}),
        ("aws-alb", {"signers": [ALB, ALB.replace("/shop/", "/other/")]}),
        ("teleport", {"audiences": ["https://grafana.teleport.example.com"]}),
    ],
)
def test_other_forms_that_tokens_of_the_preset_have_are_accepted(
    tmp_path: Path, preset: str, changes: dict[str, Any]
) -> None:
    provider = provider_of(tmp_path, preset, **changes)
    assert provider.issuer == changes.get("issuer", provider.issuer)
    assert provider.audiences == frozenset(changes.get("audiences", provider.audiences))
    assert provider.names == frozenset(changes.get("signers", [provider.issuer]))


def test_the_algorithms_of_a_preset_may_be_narrowed_and_never_widened(tmp_path: Path) -> None:
    assert provider_of(tmp_path, "pomerium").algorithms == {"ES256", "ES384", "ES512", "RS256", "EdDSA"}
    assert provider_of(tmp_path, "pomerium", algorithms=["ES256"]).algorithms == {"ES256"}
    assert provider_of(tmp_path, "oidc", algorithms=["PS512", "EdDSA"]).algorithms == {"PS512", "EdDSA"}
    assert problem(tmp_path, "aws-alb", algorithms=["ES256", "RS256"]) == (
        ("algorithms", 1),
        "preset `aws-alb` never signs with `RS256`; accepted: ES256",
    )
    assert problem(tmp_path, "teleport", algorithms=["PS256"]) == (
        ("algorithms", 0),
        "preset `teleport` never signs with `PS256`; accepted: RS256, ES256",
    )


def test_the_lifetime_of_a_preset_may_be_narrowed_and_never_widened(tmp_path: Path) -> None:
    assert provider_of(tmp_path, "development").max_lifetime == 30 * 86400
    assert provider_of(tmp_path, "development", max_lifetime="1h").max_lifetime == 3600
    assert problem(tmp_path, "development", max_lifetime="31d") == (
        ("max_lifetime",),
        "longer than preset `development` allows; accepted: up to `30d`",
    )
    assert provider_of(tmp_path, "pomerium", max_lifetime="365d").max_lifetime == 365 * 86400


def test_claims_and_kinds_of_a_preset_may_be_replaced_one_by_one(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, "teleport", claims={"groups": "/traits/team", "person": "email"}, kind="service")
    assert provider.mapped.paths == {
        "id": (("username",), ("sub",)),
        "groups": (("traits", "team"),),
        "person": (("email",),),
    }
    assert [row.value for row in provider.mapped.kinds] == ["service"]


def test_what_the_rules_require_is_added_to_what_the_preset_requires(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, "cloudflare-access", require={"/country": ["FR", "DE"]})
    assert provider.exact == ((("type",), ("app",)), (("country",), ("FR", "DE")))


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"environment": "prod", "claims": {"environment": "env"}}, ("environment",), "accepted: one of the two"),
        ({"environment": [{"is": "prod"}, {"is": "dev"}]}, ("environment", 0), "must be the last"),
        ({"environment": [{"claims": {"/a~": 1}, "is": "prod"}]}, ("environment", 0, "claims", "/a~"), "`~0`"),
        ({"require": {"/a~": 1}}, ("require", "/a~"), "`~0`"),
    ],
)
def test_tables_that_could_not_work_are_refused_where_they_stand(
    tmp_path: Path, changes: dict[str, Any], where: tuple[Any, ...], message: str
) -> None:
    found, text = problem(tmp_path, "oidc", **changes)
    assert found == where
    assert message in text


# -------------------------------------------------------------------------------------------------- where the keys are


@pytest.mark.parametrize(
    ("preset", "changes", "keys"),
    [
        ("oidc", {}, KeySource(discovery=ISSUER)),
        ("oidc", {"issuer": "http://localhost:8080/realm"}, KeySource(discovery="http://localhost:8080/realm")),
        ("google-iap", {}, KeySource(jwks="https://www.gstatic.com/iap/verify/public_key-jwk")),
        ("aws-alb", {}, KeySource(pem="https://public-keys.auth.elb.eu-west-1.amazonaws.com/", kid=UUID)),
        (
            "aws-alb",
            {"signers": [ALB_GOV]},
            KeySource(pem="https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/", kid=UUID),
        ),
        (
            "aws-verified-access",
            {},
            KeySource(pem="https://public-keys.prod.verified-access.us-east-1.amazonaws.com/", kid=UUID),
        ),
        ("cloudflare-access", {}, KeySource(jwks="https://team.cloudflareaccess.com/cdn-cgi/access/certs")),
        ("pomerium", {}, KeySource(jwks="https://app.example.com/.well-known/pomerium/jwks.json")),
        (
            "pomerium",
            {"issuer": "https://app.example.com/"},
            KeySource(jwks="https://app.example.com/.well-known/pomerium/jwks.json"),
        ),
        ("teleport", {}, KeySource(jwks="https://teleport.example.com/.well-known/jwks.json")),
        ("kubernetes", {}, KeySource(jwks="https://cluster.example.com/openid/v1/jwks")),
        (
            "kubernetes",
            {"issuer": "https://cluster.example.com:6443/a/"},
            KeySource(jwks="https://cluster.example.com:6443/a/openid/v1/jwks"),
        ),
        ("github-actions", {}, KeySource(jwks="https://token.actions.githubusercontent.com/.well-known/jwks")),
        (
            "github-actions",
            {"issuer": "https://token.actions.githubusercontent.com/octo"},
            KeySource(jwks="https://token.actions.githubusercontent.com/octo/.well-known/jwks"),
        ),
        ("gitlab", {}, KeySource(jwks="https://gitlab.example.com/oauth/discovery/keys")),
        ("spiffe-jwt", {}, KeySource(jwks="https://spire.example/keys", uses=frozenset(("sig", "jwt-svid")))),
        ("mtls", {}, KeySource()),
        ("forwarded-client-cert", {}, KeySource()),
        ("development", {}, KeySource()),
    ],
)
def test_keys_are_where_the_preset_says(tmp_path: Path, preset: str, changes: dict[str, Any], keys: KeySource) -> None:
    assert provider_of(tmp_path, preset, **changes).keys == keys


@pytest.mark.parametrize("issuer", ["sso", "http://sso.example.com", "https://ana@sso.example.com", "urn:sso"])
def test_an_issuer_that_cannot_be_asked_for_its_keys_needs_them_named(tmp_path: Path, issuer: str) -> None:
    assert problem(tmp_path, "oidc", issuer=issuer) == (
        ("jwks",),
        "`jwks` is missing, and the issuer is no `https://` URL at which it could be discovered",
    )
    named = provider_of(tmp_path, "oidc", issuer=issuer, jwks="https://keys.example/jwks.json")
    assert named.keys == KeySource(jwks="https://keys.example/jwks.json")


@pytest.mark.parametrize("preset", OWN)
def test_keys_of_one_s_own_provider_may_be_elsewhere(tmp_path: Path, preset: str) -> None:
    keys = provider_of(tmp_path, preset, jwks="https://mirror.example/jwks.json").keys
    assert (keys.jwks, keys.pem, keys.discovery) == ("https://mirror.example/jwks.json", None, None)


@pytest.mark.parametrize("preset", VENDORS)
@pytest.mark.parametrize(
    "url",
    [
        "https://mirror.example/jwks.json",
        "https://www.gstatic.com/iap/verify/public_key-jwk",
        "https://localhost.evil.example/",
        "https://127.0.0.1.evil.example/",
        "http://mirror.example/",
    ],
)
def test_keys_of_a_vendor_are_at_no_other_address_of_the_network(tmp_path: Path, preset: str, url: str) -> None:
    assert problem(tmp_path, preset, jwks=url) == (
        ("jwks",),
        "not a source of keys; accepted: `file:PATH` inside the bundle's folder, or a URL of a loopback host",
    )


@pytest.mark.parametrize("preset", VENDORS)
@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/keys", "https://localhost/keys", "http://[::1]:1/keys"])
def test_keys_of_a_vendor_may_be_mirrored_on_this_machine(tmp_path: Path, preset: str, url: str) -> None:
    keys = provider_of(tmp_path, preset, jwks=url).keys
    pem = PRESETS[preset].pem_kid is not None
    assert keys == (KeySource(pem=f"{url}/", kid=UUID) if pem else KeySource(jwks=url))
    assert provider_of(tmp_path, preset, jwks=f"{url}/").keys == (keys if pem else KeySource(jwks=f"{url}/"))


@pytest.mark.parametrize("preset", [*VENDORS, *OWN])
def test_keys_may_be_pinned_in_a_file(tmp_path: Path, issuer: Any, preset: str) -> None:
    (tmp_path / "pinned.json").write_bytes(issuer.jwks("ec", "rsa"))
    rules = rules_of(tmp_path, written(preset, jwks="file:pinned.json"))
    keys = rules.providers[0].keys
    assert keys.static is not None
    assert [key.kid for key in keys.static.keys] == ["ec", "rsa"]
    assert not keys.fetched


def test_a_spiffe_bundle_has_keys_for_tokens_beside_others(tmp_path: Path, issuer: Any) -> None:
    entries = [issuer.jwk("ec", use="jwt-svid"), issuer.jwk("rsa", use="x509-svid")]
    (tmp_path / "bundle.json").write_text(json.dumps({"keys": entries}))
    keys = provider_of(tmp_path, "spiffe-jwt", jwks="file:bundle.json").keys.static
    assert keys is not None
    assert [key.kid for key in keys.keys] == ["ec"]
    assert problem(tmp_path, "oidc", jwks="file:bundle.json")[0] == ("jwks",)


def test_signers_of_several_regions_need_a_provider_each(tmp_path: Path) -> None:
    assert problem(tmp_path, "aws-alb", signers=[ALB, ALB.replace("eu-west-1", "eu-west-2")]) == (
        ("signers",),
        "these are of several regions, whose keys differ; accepted: a provider for each region",
    )


@pytest.mark.parametrize(
    ("ca", "message"),
    [
        ("ca.pem", "not a bundle of authorities; accepted: `file:PATH` inside the bundle's folder, with PEM"),
        ("https://ca.example/ca.pem", "not a bundle of authorities; accepted: `file:PATH` inside the bundle's folder"),
        ("file:../ca.pem", "`../ca.pem` is not inside the bundle's folder"),
        ("file:none.pem", "file `none.pem` cannot be read: no such file"),
        ("file:key.pem", "file `key.pem` cannot be used: it holds a private key"),
        ("file:leaf.pem", "file `leaf.pem` cannot be used: of its certificates, number 1 is not one of an authority"),
    ],
)
def test_authorities_that_cannot_be_used_are_a_problem_of_the_rules(tmp_path: Path, ca: str, message: str) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nczNjcmV0\n-----END PRIVATE KEY-----\n")
    (tmp_path / "leaf.pem").write_bytes(pki.issue("leaf").pem)
    where, text = problem(tmp_path, "mtls", ca=ca)
    assert where == ("ca",)
    assert text.startswith(message)
    assert "czNjcmV0" not in text


def test_authorities_are_read_when_the_rules_are(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, written("mtls"))
    assert rules.providers[0].authorities is not None
    assert len(rules.providers[0].authorities.certificates) == 1


# --------------------------------------------------------------------------------------------------- several providers


def test_no_two_providers_may_claim_the_same_tokens(tmp_path: Path) -> None:
    """Whoever stands first would decide, under demands of its own."""
    cluster = written("kubernetes", issuer=ISSUER)
    assert problems(tmp_path, written("oidc"), cluster) == [
        (("providers", 1, "issuer"), f"two providers have the issuer `{ISSUER}`")
    ]
    again = written("aws-alb", name="again", signers=[ALB.replace("/shop/", "/web/"), ALB])
    assert problems(tmp_path, written("aws-alb"), again) == [
        (("providers", 1, "signers"), f"two providers have the signers `{ALB[:80]}`")
    ]
    actions = written("github-actions", name="again")
    assert problems(tmp_path, written("github-actions"), actions) == [
        (("providers", 1), "two providers have the issuer `https://token.actions.githubusercontent.com`")
    ]
    domain = written("spiffe-jwt", name="again")
    assert [where for where, _ in problems(tmp_path, written("spiffe-jwt"), domain)] == [("providers", 1, "issuer")]
    workload = written("oidc", name="code", **{"as": "workload"})
    assert [where for where, _ in problems(tmp_path, written("oidc"), workload)] == [("providers", 1, "issuer")]


def test_two_providers_that_read_one_unsigned_header_are_one_too_many(tmp_path: Path) -> None:
    one, two = written("forwarded-client-cert"), written("forwarded-client-cert", name="other")
    assert problems(tmp_path, one, two) == [
        (("providers", 1), "two providers have the preset `forwarded-client-cert`; accepted: one")
    ]


def test_tokens_that_stand_in_different_places_may_have_one_issuer(tmp_path: Path) -> None:
    domain = "app.example.com"
    rules = rules_of(tmp_path, written("pomerium", issuer=domain), written("teleport", issuer=domain))
    pomerium, teleport = rules.providers
    token, places = {"iss": domain}, list(rules.places)
    assert places == ["header:x-pomerium-jwt-assertion", "header:teleport-jwt-assertion"]
    assert rules.provider_of({}, token, places[:1]) is pomerium
    assert rules.provider_of({}, token, places[1:]) is teleport
    assert rules.provider_of({}, token, places) is Reason.ISSUER_AMBIGUOUS


def test_a_token_is_for_the_provider_that_it_names_and_that_reads_its_place(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, written("oidc"), written("aws-alb"), written("spiffe-jwt"), written("pomerium"))
    oidc, alb, spiffe, _ = rules.providers
    data = "header:x-amzn-oidc-data"
    assert rules.provider_of({}, {"iss": ISSUER}, [BEARER]) is oidc
    assert rules.provider_of({"signer": ALB}, {}, [data]) is alb
    assert rules.provider_of({}, {"sub": "spiffe://prod.example/web"}, [BEARER]) is spiffe
    assert rules.provider_of({}, {"iss": "x", "sub": "spiffe://prod.example/web"}, [BEARER]) is spiffe
    unknown = [
        ({}, {"iss": ISSUER}, ["header:x-pomerium-jwt-assertion"]),
        ({"iss": ISSUER}, {"iss": "other"}, [BEARER]),
        ({"signer": ALB[:-1]}, {}, [data]),
        ({}, {"sub": "spiffe://prod.example.evil/web"}, [BEARER]),
        ({}, {"iss": ISSUER}, ["header:x-goog-iap-jwt-assertion"]),
        ({}, {"iss": ISSUER}, []),
    ]
    for header, claims, places in unknown:
        assert rules.provider_of(header, claims, places) is Reason.ISSUER_UNKNOWN
    nameless: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
        ({"iss": ISSUER}, {}, [BEARER]),
        ({}, {"iss": [ISSUER]}, [BEARER]),
        ({}, {"iss": "", "sub": "ana"}, [BEARER]),
        ({}, {"sub": "spiffe://prod.example"}, [BEARER]),
        ({}, {"sub": "spiffe://prod.example/../web"}, [BEARER]),
        ({}, {"signer": ALB}, [data]),
        ({"signer": [ALB]}, {}, [data]),
        ({"iss": ISSUER}, {"iss": ISSUER}, [data]),
    ]
    for header, claims, places in nameless:
        assert rules.provider_of(header, claims, places) is Reason.ISSUER_INVALID


def test_a_token_that_two_providers_claim_is_for_neither(tmp_path: Path) -> None:
    """Its issuer is one's, its subject another's: which demands it must meet would be a matter of luck."""
    rules = rules_of(tmp_path, written("oidc"), written("spiffe-jwt"))
    claims = {"iss": ISSUER, "sub": "spiffe://prod.example/web"}
    assert rules.provider_of({}, claims, [BEARER]) is Reason.ISSUER_AMBIGUOUS


def test_rules_know_their_own_providers_only(tmp_path: Path) -> None:
    """An equal provider of rules that were replaced may have been made from other files."""
    (before,), rules = rules_of(tmp_path, written("oidc")).providers, rules_of(tmp_path, written("oidc"))
    assert before == rules.providers[0]
    assert before not in rules
    assert rules.providers[0] in rules


READ = Taken(frozenset((b"authorization", b"dpop")))


@pytest.mark.parametrize(
    ("presets", "file", "taken"),
    [
        (["oidc"], {}, READ),
        (["mtls", "forwarded-client-cert"], {}, Taken()),
        (
            ["cloudflare-access", "aws-alb"],
            {},
            Taken(frozenset((b"cf-access-jwt-assertion", b"x-amzn-oidc-data")), frozenset((b"CF_Authorization",))),
        ),
        (["oidc"], {"forward": {"key": "env:KEY"}}, READ),
        (["oidc"], {"forward": {"key": "env:KEY", "drop_token": True}}, READ),
        (["oidc"], {"forward": {"key": "env:KEY", "drop_token": False}}, replace(READ, travel=True)),
    ],
)
def test_what_callers_show_is_taken_off_where_a_provider_reads_it(
    tmp_path: Path, presets: list[str], file: dict[str, Any], taken: Taken
) -> None:
    assert rules_of(tmp_path, *map(written, presets), **file).taken == taken
