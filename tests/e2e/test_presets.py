"""Tokens of access proxies, clusters and CI systems at the door: believed in their own place, and only there."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.e2e.canary import remember
from tests.e2e.conftest import Start
from tests.e2e.issuer import Key, jwks
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Reply, Upstream

TAG = "0123456789abcdef" * 4
BACKEND = "/projects/123456/global/backendServices/7890"
BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/guard/0123456789abcdef"
ALB_KID = "0a1b2c3d-0000-4000-8000-0123456789ab"
TEAM = "https://acme.cloudflareaccess.com"
CLUSTER = "https://kubernetes.default.svc"
IAP = "x-goog-iap-jwt-assertion"
CLOUDFLARE = "cf-access-jwt-assertion"
ALB = "x-amzn-oidc-data"

POLICY = "rules:\n  - {id: all-may, effect: allow, match: {target: api, method: [GET, POST]}}\n"
UNSIGNED = {
    "X-Forwarded-User": "eve",
    "X-Forwarded-Email": "eve@corp.example",
    "X-MS-CLIENT-PRINCIPAL": "eve",
    "X-MS-CLIENT-PRINCIPAL-NAME": "eve",
    "X-Amzn-Oidc-Identity": "eve",
    "X-Goog-Authenticated-User-Email": "eve@corp.example",
    "X-Auth-Request-Groups": "admins",
    "Remote-User": "eve",
    "X-Forwarded-Client-Cert": "Subject=eve",
}


class Issuers:
    """The keys of every provider of these rules."""

    def __init__(self) -> None:
        self.iap, self.alb, self.pods = Key("iap"), Key(ALB_KID), Key("pods", "RS256")
        self.cloudflare = Key("cf", "RS256")

    def iap_token(self, **claims: object) -> str:
        given = {
            "iss": "https://cloud.google.com/iap",
            "aud": BACKEND,
            "sub": "google:ana",
            "email": "ana@corp.example",
        }
        return self.iap.token(**{**given, **claims})

    def cloudflare_token(self, **claims: object) -> str:
        given = {"iss": TEAM, "aud": [TAG], "sub": "ana", "email": "ana@corp.example", "type": "app"}
        return self.cloudflare.token(**{**given, **claims})

    def pod_token(self, **claims: object) -> str:
        account = {
            "namespace": "shop",
            "serviceaccount": {"name": "till", "uid": "0" * 8 + "-0000-4000-8000-" + "0" * 12},
        }
        given = {"iss": CLUSTER, "aud": ["guard"], "sub": "system:serviceaccount:shop:till", "kubernetes.io": account}
        return self.pods.token(**{**given, **claims})

    def alb_token(self, **header: object) -> str:
        given = {
            "typ": "JWT",
            "iss": "https://idp.corp.example",
            "client": "guard-client",
            "signer": BALANCER,
            "exp": int(time.time()) + 100,
        }
        claims = {"sub": "ana", "email": "ana@corp.example", "pad": "x"}
        return remember(self.alb.sign({**given, **header}, claims, padded=True))


@pytest.fixture(scope="module")
def issuers() -> Issuers:
    return Issuers()


@pytest.fixture(scope="module")
def key_server(issuers: Issuers) -> Iterator[Upstream]:
    server = Upstream()
    server.replies[f"/{ALB_KID}"] = Reply(issuers.alb.pem)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(
    proxies: Start, upstream: Upstream, issuers: Issuers, key_server: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    upstream.forget()
    rules = tmp_path_factory.mktemp("presets") / "rules"
    human = {"environment": "dev"}
    providers = [
        {"name": "iap", "preset": "google-iap", "audiences": [BACKEND], "jwks": "file:iap.json", **human},
        {
            "name": "access",
            "preset": "cloudflare-access",
            "issuer": TEAM,
            "audiences": [TAG],
            "jwks": "file:cf.json",
            **human,
        },
        {
            "name": "pods",
            "preset": "kubernetes",
            "issuer": CLUSTER,
            "audiences": ["guard"],
            "jwks": "file:pods.json",
            **human,
        },
        {
            "name": "alb",
            "preset": "aws-alb",
            "issuer": "https://idp.corp.example",
            "audiences": ["guard-client"],
            "signers": [BALANCER],
            "jwks": f"{key_server.url}/",
            **human,
        },
    ]
    write_rules(rules, identity=json.dumps({"providers": providers}), policy=POLICY, masking="masks: []\n")
    (rules / "iap.json").write_bytes(jwks(issuers.iap))
    (rules / "cf.json").write_bytes(jwks(issuers.cloudflare))
    (rules / "pods.json").write_bytes(jwks(issuers.pods))
    return proxies(mode=f"reverse:{upstream.url}", rules=rules).ready()


def ask(proxy: Proxy, headers: dict[str, str]) -> httpx.Response:
    return proxy.request("GET", "/v1/things", token=None, headers=headers)


def who(proxy: Proxy) -> tuple[str, str, str]:
    """Provider, kind and id of the caller of the last flow."""
    shown = proxy.flows("show", proxy.flows("list")[0]["decision_id"])["principal"]
    return shown["provider"], shown["kind"], shown["id"]


def test_each_token_is_believed_in_its_own_place(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    shown = {
        ("iap", "human", "google:ana"): {IAP: issuers.iap_token()},
        ("access", "human", "ana"): {CLOUDFLARE: issuers.cloudflare_token()},
        ("access", "service", "ci.access"): {CLOUDFLARE: issuers.cloudflare_token(sub="", common_name="ci.access")},
        ("alb", "human", "ana"): {ALB: issuers.alb_token()},
        ("pods", "service", "system:serviceaccount:shop:till"): {"Authorization": f"Bearer {issuers.pod_token()}"},
    }
    for caller, headers in shown.items():
        answered = ask(proxy, headers)
        assert answered.status_code == 200, (caller, answered.text)
        assert who(proxy) == caller
    received = upstream.received.lower()
    assert not any(name.encode() in received for name in (IAP, CLOUDFLARE, ALB, "authorization"))


def test_a_token_in_another_place_is_no_token(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    for token in (issuers.iap_token(), issuers.cloudflare_token(), issuers.alb_token()):
        assert ask(proxy, {"Authorization": f"Bearer {token}"}).status_code == 401
    for name in (IAP, CLOUDFLARE, ALB, "x-pomerium-jwt-assertion"):
        assert ask(proxy, {name: issuers.pod_token()}).status_code == 401
    assert upstream.paths() == []


def test_a_cookie_holds_the_token_among_others(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    token = issuers.cloudflare_token()
    cookie = f"theme=dark; CF_Authorization={token}; lang=en"
    assert ask(proxy, {"Cookie": cookie}).status_code == 200
    assert ask(proxy, {"Cookie": cookie, CLOUDFLARE: token}).status_code == 200
    assert [seen.header("cookie") for seen in upstream.seen] == [["theme=dark; lang=en"]] * 2


def test_two_different_tokens_prove_nothing(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    pairs = [
        {CLOUDFLARE: issuers.cloudflare_token(), IAP: issuers.iap_token()},
        {CLOUDFLARE: issuers.cloudflare_token(), "Cookie": f"CF_Authorization={issuers.cloudflare_token(sub='eve')}"},
        {"Authorization": f"Bearer {issuers.pod_token()}", ALB: issuers.alb_token()},
    ]
    for headers in pairs:
        answered = ask(proxy, headers)
        assert (answered.status_code, answered.json()["reason"]) == (401, "two-tokens")
    assert upstream.paths() == []


def test_a_good_token_is_spoiled_by_a_bad_one(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    stranger = Key("cf", "RS256").token(iss=TEAM, aud=[TAG], sub="eve", type="app")
    answered = ask(proxy, {IAP: issuers.iap_token(), CLOUDFLARE: stranger})
    assert (answered.status_code, answered.json()["reason"]) == (401, "signature-invalid")
    assert upstream.paths() == []


def test_a_load_balancer_of_somebody_else_is_not_believed(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    other = BALANCER.replace("123456789012", "999999999999")
    answered = ask(proxy, {ALB: issuers.alb_token(signer=other)})
    assert (answered.status_code, answered.json()["reason"]) == (401, "issuer-unknown")
    unpadded = issuers.alb_token().replace("=", "")
    assert ask(proxy, {ALB: unpadded}).json()["reason"] in ("token-encoding", "signature-invalid")
    assert upstream.paths() == []


@pytest.mark.parametrize(
    "kid", ["../" + ALB_KID, ALB_KID.upper(), ALB_KID + "/", f"{ALB_KID}?x", "x" * 36, f"{ALB_KID}%2f"]
)
def test_a_key_id_chooses_no_other_path(
    proxy: Proxy, upstream: Upstream, key_server: Upstream, issuers: Issuers, kid: str
) -> None:
    asked = len(key_server.seen)
    assert ask(proxy, {ALB: issuers.alb_token(kid=kid)}).status_code == 401
    assert len(key_server.seen) == asked
    assert upstream.paths() == []


def test_what_is_not_signed_is_dropped(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    answered = ask(proxy, {**UNSIGNED, "Authorization": f"Bearer {issuers.pod_token()}"})
    assert answered.status_code == 200
    assert b"eve" not in upstream.received
    assert ask(proxy, UNSIGNED).json()["reason"] == "no-token"


@pytest.mark.parametrize("spelled", ["X_Goog_Iap_Jwt_Assertion", "X.Goog.Iap.Jwt.Assertion", "Cf_Access_Jwt-Assertion"])
def test_another_spelling_of_such_a_header_is_refused(
    proxy: Proxy, upstream: Upstream, issuers: Issuers, spelled: str
) -> None:
    headers = {spelled: issuers.iap_token(), "Authorization": f"Bearer {issuers.pod_token()}"}
    answered = ask(proxy, headers)
    assert (answered.status_code, answered.json()["reason"]) == (400, "aliased-header")
    assert upstream.paths() == []


def test_a_header_given_twice_is_refused(proxy: Proxy, upstream: Upstream, issuers: Issuers) -> None:
    token = issuers.iap_token()
    answer = proxy.raw(proxy.written("GET", "/", f"{IAP}: {token}", f"{IAP}: {token}", "Connection: close", token=None))
    assert b"duplicate-header" in answer
    assert upstream.paths() == []
