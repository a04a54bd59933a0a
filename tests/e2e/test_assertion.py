"""What the upstream is told of a caller, by a real proxy, read as an upstream would: by the published keys alone."""

from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.e2e.canary import CANARY, remember
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import RULES, Proxy, write_rules
from tests.e2e.test_admin import ask
from tests.e2e.test_start import ended
from tests.e2e.upstream import Seen, Upstream

HEADER = "X-Headgate-Assertion"


def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def forwarding(block: str) -> str:
    """The identity.yaml of these tests with a `forward:` block."""
    return f"{RULES['identity.yaml']}forward: {{{block}}}\n"


@pytest.fixture(scope="module", params=["mitmdump", "headgate web"])
def proxy(
    request: pytest.FixtureRequest, proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    rules = write_rules(tmp_path_factory.mktemp("rules") / "rules", identity=forwarding("key: env:ASSERTION_KEY"))
    mode = f"reverse:{upstream.url}"
    environment = {"ASSERTION_KEY": pem()}
    return proxies(door=request.param, mode=mode, rules=rules, admin="127.0.0.1:0", environment=environment).warm()


def published(proxy: Proxy) -> jwt.PyJWKSet:
    return jwt.PyJWKSet.from_dict(ask(proxy, "/.well-known/headgate/jwks.json").json())


def told(proxy: Proxy, seen: Seen, header: str = HEADER) -> dict[str, Any]:
    """What a request said of its caller, as an upstream reads it that knows nothing but the published keys."""
    (assertion,) = seen.header(header)
    remember(assertion)
    key = published(proxy)[jwt.get_unverified_header(assertion)["kid"]]
    claims: dict[str, Any] = jwt.decode(assertion, key, algorithms=["ES256"], audience="api", issuer="headgate")
    return claims


def test_the_upstream_is_told_who_calls(proxy: Proxy, upstream: Upstream) -> None:
    assert proxy.get("/customers/7").status_code == 200
    claims = told(proxy, upstream.seen[0])
    assert (claims["sub"], claims["kind"], claims["provider"]) == ("ana", "human", "dev")
    assert (claims["groups"], claims["environments"]) == (["support"], ["dev"])
    assert claims["exp"] - claims["iat"] == 60
    assert upstream.seen[0].header("authorization") == []


def test_an_assertion_leads_to_the_record_of_its_decision(proxy: Proxy, upstream: Upstream) -> None:
    proxy.get("/customers/7")
    proxy.get("/customers/7")
    first, second = (told(proxy, seen)["jti"] for seen in upstream.seen)
    assert first != second
    for decision_id in (first, second):
        assert proxy.flows("show", decision_id)["verdict"] == "allowed"


@pytest.mark.parametrize("name", [HEADER, HEADER.lower(), HEADER.upper()])
def test_a_callers_own_copy_is_taken_off(proxy: Proxy, upstream: Upstream, name: str) -> None:
    assert proxy.get("/customers/7", headers={name: f"{CANARY}.forged"}).status_code == 200
    assert told(proxy, upstream.seen[0])["sub"] == "ana"


@pytest.mark.parametrize("name", ["X_Headgate_Assertion", "X-Headgate_Assertion", "x.headgate.assertion"])
def test_a_copy_in_a_spelling_that_an_upstream_could_take_for_it_is_refused(
    proxy: Proxy, upstream: Upstream, name: str
) -> None:
    refused = proxy.get("/customers/7", headers={name: f"{CANARY}.forged"})
    assert (refused.status_code, refused.json()["reason"]) == (400, "aliased-header")
    assert upstream.connections == 0


def test_a_copy_cannot_be_named_for_removal(proxy: Proxy, upstream: Upstream) -> None:
    """`Connection: X-Headgate-Assertion` would have a hop behind us take ours off."""
    refused = proxy.get("/customers/7", headers={"Connection": f"close, {HEADER}"})
    assert refused.status_code == 400
    assert upstream.connections == 0


def test_who_is_refused_is_vouched_for_nowhere(proxy: Proxy, upstream: Upstream) -> None:
    refused = proxy.request("DELETE", "/customers/7")
    assert refused.status_code == 403
    assert HEADER not in refused.headers
    assert upstream.connections == 0


def test_the_assertion_is_the_upstreams_alone(proxy: Proxy, upstream: Upstream) -> None:
    """For a minute it proves who calls to whoever holds it: no record, file, log or page may."""
    answer = proxy.get("/customers/7")
    (assertion,) = upstream.seen[0].header(HEADER)
    remember(assertion)
    proxy.settle()
    signature = assertion.rpartition(".")[2].encode()
    assert signature not in proxy.everything_shown()
    assert HEADER not in answer.headers


def test_the_callers_token_stays_on_where_the_rules_say_so(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    block = "key: env:ASSERTION_KEY, drop_token: false, header: X-Headgate-Caller, ttl: 5s"
    rules = write_rules(tmp_path / "rules", identity=forwarding(block))
    proxy = proxies(
        mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0", environment={"ASSERTION_KEY": pem()}
    ).warm()
    upstream.forget()
    token = proxy.token()
    assert proxy.get("/customers/7", token=token).status_code == 200
    assert upstream.seen[0].header("authorization") == [f"Bearer {token}"]
    claims = told(proxy, upstream.seen[0], "X-Headgate-Caller")
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ana", 5)


def test_a_forward_proxy_vouches_as_well_and_leaves_the_upstreams_own_credentials(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    rules = write_rules(tmp_path / "rules", identity=forwarding("key: env:ASSERTION_KEY"))
    proxy = proxies(rules=rules, admin="127.0.0.1:0", environment={"ASSERTION_KEY": pem()}).ready()
    url = f"http://127.0.0.1:{upstream.port}/plain"
    via = httpx.Proxy(proxy.url, headers={"Proxy-Authorization": f"Bearer {proxy.token()}"})
    with httpx.Client(proxy=via, trust_env=False, timeout=PATIENCE) as client:
        client.get(url, headers={"Authorization": f"Bearer {CANARY}"})
    (seen,) = upstream.seen
    assert told(proxy, seen)["sub"] == "ana"
    assert seen.header("authorization") == [f"Bearer {CANARY}"]
    assert seen.header("proxy-authorization") == []


def test_a_rotation_drops_nobody(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules", identity=forwarding("key: [env:OLD, env:NEW]"))
    environment = {"OLD": pem(), "NEW": pem()}
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0", environment=environment).warm()
    upstream.forget()
    known = {key.key_id for key in published(proxy).keys}
    proxy.get("/customers/7")
    (rules / "identity.yaml").write_text(forwarding("key: [env:NEW, env:OLD]"))
    proxy.output.wait_for(r"rules `test` \S+ are in force")
    proxy.get("/customers/7")
    signing = [jwt.get_unverified_header(remember(seen.header(HEADER)[0]))["kid"] for seen in upstream.seen]
    assert len(set(signing)) == 2
    assert set(signing) == known == {key.key_id for key in published(proxy).keys}


def test_rules_whose_key_cannot_be_had_are_refused_and_the_last_good_ones_stay(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    rules = write_rules(tmp_path / "rules", identity=forwarding("key: env:ASSERTION_KEY"))
    environment = {"ASSERTION_KEY": pem(), "BROKEN": CANARY}
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0", environment=environment).warm()
    upstream.forget()
    (rules / "identity.yaml").write_text(forwarding("key: env:BROKEN"))
    proxy.output.wait_for(r"secret `env:BROKEN` cannot sign assertions: not an EC P-256 private key")
    assert ask(proxy, "/healthz").json()["degraded"] == "rules-refused"
    assert proxy.get("/customers/7").status_code == 200
    assert told(proxy, upstream.seen[0])["sub"] == "ana"


@pytest.mark.parametrize("door", ["mitmdump", "headgate run"])
def test_without_its_key_a_proxy_does_not_start(attempt: Start, tmp_path: Path, door: str) -> None:
    rules = write_rules(tmp_path / "rules", identity=forwarding("key: env:ASSERTION_KEY"))
    (problem,) = ended(attempt(door=door, rules=rules))
    assert "secret `env:ASSERTION_KEY` is not set" in problem


def test_a_key_that_others_can_read_ends_the_start(attempt: Start, tmp_path: Path) -> None:
    (tmp_path / "assertion.pem").write_text(pem())
    (tmp_path / "assertion.pem").chmod(0o644)
    rules = write_rules(tmp_path / "rules", identity=forwarding(f"key: 'file:{tmp_path / 'assertion.pem'}'"))
    (problem,) = ended(attempt(rules=rules))
    assert "others may read or replace secret" in problem
    assert "BEGIN" not in problem


def test_a_key_in_the_rules_themselves_is_refused_and_not_repeated(attempt: Start, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules", identity=forwarding(f"key: {CANARY}"))
    problems = "\n".join(ended(attempt(rules=rules)))
    assert "not a reference to a secret" in problems
    assert CANARY not in problems
