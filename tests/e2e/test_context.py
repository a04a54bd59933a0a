"""Under what conditions a caller calls, at the door: environment, code version, session, proof of a key, revocation."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.e2e.conftest import Start
from tests.e2e.issuer import Key, jwks
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Reply, Upstream

from headgate.cli.main import main

ISSUER = "https://sso.corp.example"
COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
PUBLIC_URL = "https://guard.corp.example"
TARGETS = "targets:\n  - {name: api, hosts: [127.0.0.1], environment: prod}\nunknown: refuse\n"
POLICY = """
rules:
  - {id: all-may-read, effect: allow, match: {target: api, method: GET}}
  - {id: only-released-code-deploys, effect: allow,
     match: {principal: {workload: {verified: true}}, target: api, method: POST, path: /deployments}}
  - {id: fresh-sessions-pay, effect: allow,
     match: {principal: {session: {scopes: [pay], max_age: 5m}}, target: api, method: POST, path: /payments}}
"""


class Setting:
    """A proxy with one provider, whose keys come from a server, and with everything else that identity offers."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.key = Key("first")
        self.server = Upstream()
        self.publish(self.key)
        self.folder, self.rules = folder, folder / "rules"
        self.release_key = ed25519.Ed25519PrivateKey.generate()
        self.upstream = upstream

    def publish(self, *keys: Key) -> None:
        self.server.replies["/jwks.json"] = Reply(jwks(*keys))

    def write(self, **identity: Any) -> None:
        provider = {
            "name": "sso",
            "preset": "oidc",
            "issuer": ISSUER,
            "audiences": ["guard"],
            "algorithms": ["ES256"],
            "jwks": f"{self.server.url}/jwks.json",
            "kind": [{"claims": {"/azp": "ci"}, "is": "ci"}, {"is": "human"}],
            "claims": {"environment": "/env", "workload.name": "/app", "workload.commit": "/git"},
        }
        rules = {"providers": [provider], **identity}
        write_rules(self.rules, identity=json.dumps(rules), targets=TARGETS, policy=POLICY, masking="masks: []\n")

    def sign_releases(self, revision: int, commit: str = COMMIT) -> None:
        """With the command that operators use."""
        keys = self.rules / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        private = self.folder / "release.pem"
        private.write_bytes(
            self.release_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        private.chmod(0o600)
        (keys / "release.pub").write_bytes(
            self.release_key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        entry = {"environment": "prod", "workload": "shop", "commit": commit, "not_after": "2999-01-01T00:00:00Z"}
        document = self.folder / "releases.json"
        document.write_text(json.dumps({"revision": revision, "releases": [entry]}))
        out = self.rules / "releases.dsse.json"
        done = CliRunner().invoke(
            main, ["releases", "sign", str(document), "--key", str(private), "--out", str(out), "--force"]
        )
        assert done.exit_code == 0, done.output

    def token(self, key: Key | None = None, **claims: Any) -> str:
        return (key or self.key).token(**{"iss": ISSUER, "aud": "guard", "sub": "ana", "env": "prod", **claims})


@pytest.fixture
def setting(tmp_path: Path, upstream: Upstream) -> Iterator[Setting]:
    made = Setting(tmp_path, upstream)
    yield made
    made.server.stop()


@pytest.fixture
def start(setting: Setting, upstream: Upstream) -> Iterator[Any]:
    """Starts the proxy under these settings of identity.yaml; it must end without having shown a token."""
    running: list[Proxy] = []

    def started(**identity: Any) -> Proxy:
        setting.write(**identity)
        folder = setting.folder / f"proxy-{len(running)}"
        proxy = Proxy(folder, mode=f"reverse:{upstream.url}", rules=setting.rules, admin="127.0.0.1:0")
        running.append(proxy)
        return proxy.ready()

    yield started
    for proxy in running:
        proxy.finish()


def ask(proxy: Proxy, token: str, method: str = "GET", path: str = "/things", **headers: str) -> httpx.Response:
    scheme = "DPoP" if "DPoP" in headers else "Bearer"
    return proxy.request(method, path, token=None, headers={"Authorization": f"{scheme} {token}", **headers})


def ask_until(status: int, *arguments: Any) -> httpx.Response:
    deadline = time.monotonic() + PATIENCE
    while (answered := ask(*arguments)).status_code != status:
        assert time.monotonic() < deadline, answered.text
        time.sleep(0.05)
    return answered


def test_a_caller_of_another_environment_reaches_no_target(start: Any, setting: Setting, upstream: Upstream) -> None:
    proxy = start()
    assert ask(proxy, setting.token()).status_code == 200
    for token in (setting.token(env="staging"), setting.token(env=None)):
        refused = ask(proxy, token, "GET", "/things", **{"X-Environment": "prod", "X-Headgate-Environment": "prod"})
        assert (refused.status_code, refused.json()["reason"]) == (403, "environment-mismatch")
    assert upstream.paths() == ["GET /things"]


def test_a_rotated_key_drops_nobody(start: Any, setting: Setting) -> None:
    """The next key is published, and used at once: requests wait for it, and it is fetched once."""
    proxy = start()
    assert ask(proxy, setting.token()).status_code == 200
    rotated = Key("second")
    setting.publish(setting.key, rotated)
    fetched = len(setting.server.seen)
    token = setting.token(rotated)
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        for at in range(5):
            answered = client.get(f"{proxy.url}/things/{at}", headers={"Authorization": f"Bearer {token}"})
            assert answered.status_code == 200, answered.text
    assert len(setting.server.seen) == fetched + 1
    assert ask(proxy, setting.token()).status_code == 200


def test_a_long_body_does_not_wait_for_a_key(start: Any, setting: Setting, upstream: Upstream) -> None:
    """Nobody has proven anything yet, and what it sends would pile up."""
    proxy, rotated = start(), Key("second")
    assert ask(proxy, setting.token()).status_code == 200
    setting.publish(setting.key, rotated)
    headers = {"Authorization": f"Bearer {setting.token(rotated, scope='pay')}"}
    refused = proxy.request("POST", "/payments", token=None, headers=headers, content=b"x" * 100_000)
    assert (refused.status_code, refused.json()["reason"]) == (401, "unknown-key")
    assert proxy.request("POST", "/payments", token=None, headers=headers, content=b"x" * 1000).status_code == 200
    assert upstream.paths() == ["GET /things", "POST /payments"]


def test_a_withdrawn_key_and_a_made_up_one_are_refused(start: Any, setting: Setting, upstream: Upstream) -> None:
    proxy = start()
    withdrawn, rotated = setting.key, Key("second")
    setting.publish(rotated)
    assert ask(proxy, setting.token(rotated)).status_code == 200
    for token in (setting.token(withdrawn), setting.token(Key("stranger"))):
        refused = ask(proxy, token)
        assert (refused.status_code, refused.json()["reason"]) == (401, "unknown-key")
    assert upstream.paths() == ["GET /things"]


def test_released_code_may_and_other_code_may_not(start: Any, setting: Setting, upstream: Upstream) -> None:
    setting.sign_releases(5)
    proxy = start(releases={"file": "releases.dsse.json", "keys": ["keys/release.pub"]})
    good, other = setting.token(app="shop", git=COMMIT), setting.token(app="shop", git=OTHER_COMMIT)
    assert ask(proxy, good, "POST", "/deployments").status_code == 200
    for token in (other, setting.token(app="shop"), setting.token(git=COMMIT), setting.token(app="till", git=COMMIT)):
        assert ask(proxy, token, "POST", "/deployments").json()["reason"] == "no-rule-allows"
    assert proxy.flows("list")[0]["effect"] == "deny"

    setting.sign_releases(6, OTHER_COMMIT)
    assert ask_until(200, proxy, other, "POST", "/deployments").status_code == 200
    assert ask(proxy, good, "POST", "/deployments").status_code == 403

    setting.sign_releases(5)
    proxy.output.wait_for("changed rules cannot be used")
    assert ask(proxy, good, "POST", "/deployments").status_code == 403
    proxy.stop()
    again = Proxy(setting.folder / "again", mode=f"reverse:{upstream.url}", rules=setting.rules, state=proxy.state)
    try:
        assert ask(again.ready(), good, "POST", "/deployments").status_code == 403, "the last good rules run"
        assert "the rules that should be in force cannot be" in again.output.text
    finally:
        again.stop()


def test_a_tampered_release_list_never_comes_into_force(start: Any, setting: Setting) -> None:
    setting.sign_releases(5)
    proxy = start(releases={"file": "releases.dsse.json", "keys": ["keys/release.pub"]})
    signed = setting.rules / "releases.dsse.json"
    envelope = json.loads(signed.read_text())
    signed.write_text(json.dumps({**envelope, "signatures": []}))
    proxy.output.wait_for("changed rules cannot be used")
    assert ask(proxy, setting.token(app="shop", git=COMMIT), "POST", "/deployments").status_code == 200


def test_a_session_has_to_be_fresh_and_to_have_the_scope(start: Any, setting: Setting, upstream: Upstream) -> None:
    proxy, now = start(), int(time.time())
    assert ask(proxy, setting.token(scope="read pay"), "POST", "/payments").status_code == 200
    for token in (
        setting.token(scope="read"),
        setting.token(scope="pay:small"),
        setting.token(scope="pay", iat=now - 360),
        setting.token(scope="pay", auth_time=now - 3600),
        setting.token(scope="pay", iat=None),
    ):
        assert ask(proxy, token, "POST", "/payments").status_code == 403
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("named", [["--session", "s-1"], ["--principal", "sso/ana"], ["--token", "t-1"]])
def test_a_revocation_counts_at_once(start: Any, setting: Setting, named: list[str]) -> None:
    proxy = start()
    token, other = setting.token(sid="s-1", jti="t-1"), setting.token(sub="bob", sid="s-2", jti="t-2")
    assert ask(proxy, token).status_code == 200
    done = CliRunner().invoke(main, ["sessions", "revoke", *named, "--state", str(proxy.state), "--json"])
    assert done.exit_code == 0, done.output
    refused = ask_until(401, proxy, token)
    assert refused.json()["reason"] == "revoked"
    assert ask(proxy, other).status_code == 200


def test_a_lost_list_of_revocations_ends_in_refusal(start: Any, setting: Setting) -> None:
    """Its last state counts for some seconds; then nobody is believed."""
    proxy = start()
    assert ask(proxy, setting.token()).status_code == 200
    for file in proxy.state.glob("state.db*"):
        file.unlink()
    proxy.output.wait_for("every caller is refused")
    assert ask_until(401, proxy, setting.token()).json()["reason"] == "revocations-unknown"


def test_a_token_bound_to_a_key_needs_a_proof_for_each_request(
    start: Any, setting: Setting, upstream: Upstream
) -> None:
    proxy = start(session_binding={"dpop": "optional", "public_url": PUBLIC_URL})
    holder = Key("holder")
    token = setting.token(cnf={"jkt": holder.thumbprint})
    url = f"{PUBLIC_URL}/things"
    proof = holder.proof("GET", url, token)
    assert ask(proxy, token, DPoP=proof).status_code == 200
    assert upstream.seen[0].header("dpop") == upstream.seen[0].header("authorization") == []
    wrong = {
        "proof-replayed": proof,
        "proof-method-mismatch": holder.proof("POST", url, token),
        "proof-url-mismatch": holder.proof("GET", f"{proxy.url}/things", token),
        "proof-token-mismatch": holder.proof("GET", url, setting.token()),
        "proof-key-mismatch": Key("thief").proof("GET", url, token),
        "proof-stale": holder.proof("GET", url, token, iat=time.time() - 3600),
    }
    for reason, given in wrong.items():
        assert ask(proxy, token, DPoP=given).json()["reason"] == reason
    assert ask(proxy, token).json()["reason"] == "proof-missing"
    assert ask(proxy, setting.token()).status_code == 200
    assert len(upstream.seen) == 2


def test_where_binding_is_off_or_required(start: Any, setting: Setting) -> None:
    proxy, holder = start(), Key("holder")
    bound = setting.token(cnf={"jkt": holder.thumbprint})
    proof = holder.proof("GET", f"{PUBLIC_URL}/things", bound)
    assert ask(proxy, bound).json()["reason"] == "key-bound"
    assert ask(proxy, bound, DPoP=proof).status_code == 401
    setting.write(session_binding={"dpop": "required", "public_url": PUBLIC_URL})
    assert ask_until(401, proxy, setting.token()).json()["reason"] == "binding-required"
    proof = holder.proof("GET", f"{PUBLIC_URL}/things", bound)
    assert ask(proxy, bound, DPoP=proof).status_code == 200


# ------------------------------------------------------------------------------------------- what the upstream is told


@pytest.fixture
def signing_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of the proxies that this test starts."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    monkeypatch.setenv("GUARD_ASSERTION_KEY", pem)
    return pem


def test_the_upstream_is_told_who_calls(start: Any, setting: Setting, upstream: Upstream, signing_key: str) -> None:
    proxy = start(forward={"key": "env:GUARD_ASSERTION_KEY"})
    token = setting.token(email="ana@corp.example", groups=["support"], sid="s-1", scope="read")
    forged = {"X-Headgate-Assertion": "forged", "x-headgate-anything": "forged"}
    assert ask(proxy, token, "GET", "/things", **forged).status_code == 200
    (assertion,) = upstream.seen[0].header("x-headgate-assertion")
    assert b"forged" not in upstream.received
    (admin,) = proxy.output.wait_for(r"public keys on (http://127\.0\.0\.1:\d+)")
    with httpx.Client(trust_env=False) as client:
        published = client.get(f"{admin}/.well-known/headgate/jwks.json").json()
    header = jwt.get_unverified_header(assertion)
    assert (header["typ"], header["kid"]) == ("headgate-assertion+jwt", published["keys"][0]["kid"])
    key = jwt.PyJWK(published["keys"][0]).key
    told = jwt.decode(assertion, key, algorithms=["ES256"], audience="api", issuer="headgate")
    assert told["exp"] - told["iat"] == 60
    expected = {"sub": "ana", "kind": "human", "provider": "sso", "email": "ana@corp.example", "groups": ["support"]}
    assert expected.items() <= told.items()
    shown = proxy.flows("show", proxy.flows("list")[0]["decision_id"])
    assert told["jti"] == shown["decision_id"]
    everything = proxy.everything_shown()
    assert assertion.split(".")[2].encode() not in everything
    assert token.split(".")[2].encode() not in everything
    assert signing_key.splitlines()[1].encode() not in everything
    assert ask(proxy, assertion).status_code == 401, "it is no token to call with"


@pytest.mark.usefixtures("signing_key")
def test_the_callers_token_travels_only_where_the_rules_say_so(
    start: Any, setting: Setting, upstream: Upstream
) -> None:
    proxy = start(forward={"key": "env:GUARD_ASSERTION_KEY", "drop_token": False})
    token = setting.token()
    assert ask(proxy, token).status_code == 200
    assert upstream.seen[0].header("authorization") == [f"Bearer {token}"]
    assert token.split(".")[2].encode() not in proxy.everything_shown()


def test_a_key_that_cannot_be_had_ends_the_start(setting: Setting, attempt: Start, upstream: Upstream) -> None:
    setting.write(forward={"key": "env:GUARD_NO_SUCH_KEY"})
    proxy = attempt(mode=f"reverse:{upstream.url}", rules=setting.rules)
    assert proxy.wait() == 1
    assert "secret `env:GUARD_NO_SUCH_KEY` is not set" in proxy.output.text
    assert "Traceback" not in proxy.output.text
