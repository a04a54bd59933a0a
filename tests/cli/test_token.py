"""`headgate token`: what it prints, and what it never prints."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from tests.identity.samples import Sample

from headgate.cli.main import main
from headgate.identity.development import DevelopmentKey
from headgate.identity.store import IdentityStore

IDENTITY = "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "bundle.yaml").write_text("name: test\nversion: 1.0.0\n")
    (folder / "identity.yaml").write_text(IDENTITY)
    (folder / "targets.yaml").write_text("targets:\n  - {name: api, hosts: [api.example]}\n")
    (folder / "policy.yaml").write_text("rules:\n  - {id: all, effect: allow, match: {}}\n")
    (folder / "masking.yaml").write_text("masks: []\n")
    return folder


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["token", *map(str, arguments)], input=stdin)


def mint(state: Path, *arguments: str) -> str:
    result = run("mint", "--state", state, *arguments)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def test_mint_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    result = run("mint", "--state", tmp_path)
    token = result.output.strip()
    assert result.stderr == ""
    assert token.count(".") == 2
    assert len(result.output.splitlines()) == 1
    found = claims(token)
    assert (found["sub"], found["kind"], found["aud"]) == ("dev", "human", ["headgate-dev"])
    assert found["exp"] - found["iat"] == 3600


def test_mint_puts_into_the_token_what_it_is_told(tmp_path: Path) -> None:
    who = ("--id", "ana", "--kind", "ci", "--group", "support", "--group", "web", "--email", "a@b.example")
    token = mint(
        tmp_path,
        *who,
        "--environment",
        "dev",
        "--scope",
        "read",
        "--scope",
        "write",
        "--for",
        "15m",
        "--audience",
        "x",
        "--claim",
        "n=7",
        "--claim",
        "t=a=b",
    )
    found = claims(token)
    assert found["groups"] == ["support", "web"]
    assert (found["env"], found["email"], found["scope"]) == (["dev"], "a@b.example", "read write")
    assert (found["n"], found["t"], found["aud"], found["kind"]) == (7, "a=b", ["x"], "ci")
    assert found["exp"] - found["iat"] == 900


def test_mint_makes_an_agent_that_acts_for_its_owner(tmp_path: Path) -> None:
    found = claims(mint(tmp_path, "--id", "bot", "--owner", "ana"))
    assert (found["sub"], found["act"], found["kind"]) == ("ana", {"sub": "bot"}, "agent")


def test_mint_prints_json_on_request(tmp_path: Path) -> None:
    found = json.loads(mint(tmp_path, "--json"))
    assert found["seconds"] == 3600
    assert claims(found["token"])["sub"] == found["claims"]["sub"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "1 hour"], "not a duration"),
        (["--for", "0s"], "accepted: from `1s` to `30d`"),
        (["--for", "31d"], "accepted: from `1s` to `30d`"),
        (["--claim", "exp=1"], "`exp` cannot be set"),
        (["--claim", "novalue"], "`novalue` cannot be set"),
        (["--kind", "root"], "root"),
    ],
)
def test_mint_refuses_what_it_cannot_put_into_a_token(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("mint", "--state", tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_key_that_cannot_be_used_is_one_plain_line(tmp_path: Path) -> None:
    DevelopmentKey.open(tmp_path)
    (tmp_path / "keys" / "development.pem").chmod(0o644)
    result = run("mint", "--state", tmp_path)
    assert result.exit_code == 1
    assert "others may read or replace" in result.output
    assert len(result.output.splitlines()) == 1


def test_inspect_says_why_a_token_is_accepted(tmp_path: Path, rules: Path) -> None:
    token = mint(tmp_path, "--id", "ana")
    result = run("inspect", token, "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 0, result.output
    assert "accepted by `dev`" in result.output
    assert "id: ana; " in result.output
    assert "kind: human" in result.output
    assert "it must stand in `Authorization: Bearer`, to a forward proxy `Proxy-Authorization`" in result.output
    assert token.rpartition(".")[2] not in result.output


def test_inspect_says_why_a_token_is_refused(tmp_path: Path, rules: Path) -> None:
    token = mint(tmp_path, "--audience", "other")
    result = run("inspect", "-", "--rules", rules, "--state", tmp_path, stdin=token + "\n")
    assert result.exit_code == 1
    assert "refused: audience-mismatch: the token is for another audience" in result.output
    assert 'found: ["other"]' in result.output
    assert "required: one of headgate-dev" in result.output
    assert "not reached" in result.output
    assert token.rpartition(".")[2] not in result.output


@pytest.mark.parametrize(("text", "stdin"), [("-", ""), ("-", " \n"), ("", None)])
def test_inspect_says_when_there_is_no_token(rules: Path, text: str, stdin: str | None) -> None:
    result = run("inspect", text, "--rules", rules, stdin=stdin)
    assert result.exit_code == 2
    assert "there is no token to inspect; accepted: a token, or `-` and one on standard input" in result.stderr


def test_inspect_as_json_holds_every_step(tmp_path: Path, rules: Path) -> None:
    token = mint(tmp_path, "--id", "ana", "--group", "b", "--group", "a", "--claim", 'x={"y": [1]}')
    result = run("inspect", token, "--rules", rules, "--state", tmp_path, "--json")
    found = json.loads(result.output)
    assert (found["accepted"], found["reason"], found["provider"]) == (True, None, "dev")
    assert (found["places"], found["needs_proof"], found["workload_only"]) == (["authorization"], False, False)
    assert (found["revoked"], found["releases"]) == (None, None)
    assert found["principal"]["groups"] == ["a", "b"]
    assert found["principal"]["claims"]["x"] == {"y": [1]}
    assert all(step["reason"] is None for step in found["steps"])
    refused = json.loads(run("inspect", token + "x", "--rules", rules, "--state", tmp_path, "--json").output)
    assert refused["accepted"] is False
    assert refused["steps"][-1]["reason"] == refused["reason"]


def test_inspect_makes_no_key(tmp_path: Path, rules: Path) -> None:
    token = mint(tmp_path)
    result = run("inspect", token, "--rules", rules, "--state", tmp_path / "other")
    assert "refused: keys-unavailable" in result.output
    assert not (tmp_path / "other").exists()


def test_inspect_shows_what_a_token_holds_without_obeying_it(tmp_path: Path, rules: Path) -> None:
    key = DevelopmentKey.open(tmp_path)
    token = key.mint({"sub": "ana", "kind": "human", "aud": "\x1b[31m\r\n[red]"}, now=time.time())
    result = run("inspect", token, "--rules", rules, "--state", tmp_path)
    assert "\x1b" not in result.output
    assert "\\x1b[31m" in result.output


def test_inspect_fetches_keys_and_says_when_it_cannot(tmp_path: Path, rules: Path) -> None:
    (rules / "identity.yaml").write_text(
        "providers:\n  - {name: corp, preset: oidc, issuer: headgate-development, audiences: [headgate-dev], "
        "jwks: 'http://127.0.0.1:1/jwks.json', algorithms: [ES256], kind: human}\n"
    )
    result = run("inspect", mint(tmp_path), "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 1
    assert "the keys of `corp` could not be fetched: no answer (ConnectError)" in result.output
    assert "refused: keys-unavailable" in result.output


def test_inspect_reports_rules_that_cannot_be_used(tmp_path: Path, rules: Path) -> None:
    (rules / "identity.yaml").write_text(IDENTITY.replace("audiences: [headgate-dev]", "audiences: []"))
    result = run("inspect", "x.y.z", "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 1
    assert "identity.yaml:2:" in result.output
    assert "Traceback" not in result.output


def test_a_claim_may_be_at_a_pointer(tmp_path: Path) -> None:
    found = claims(mint(tmp_path, "--claim", "/workload/commit=abc", "--claim", "/workload/name=shop"))
    assert found["workload"] == {"commit": "abc", "name": "shop"}


# ------------------------------------------------------------------------------------------------------------- inspect


def test_a_revoked_token_is_refused(tmp_path: Path, rules: Path) -> None:
    token, state = mint(tmp_path, "--id", "ana"), tmp_path
    store = IdentityStore(state)
    store.prepare()
    accepted = run("inspect", token, "--rules", rules, "--state", state, "--json")
    assert (accepted.exit_code, json.loads(accepted.output)["revoked"]) == (0, False)
    store.revoke("principal", "ana", by="ops", now=time.time(), lasts=60)
    refused = run("inspect", token, "--rules", rules, "--state", state)
    assert refused.exit_code == 1
    assert "refused: revoked: " in refused.output


def test_a_state_that_cannot_be_read_is_one_plain_line(tmp_path: Path, rules: Path) -> None:
    token = mint(tmp_path)
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    result = run("inspect", token, "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 1
    assert "it is not a SQLite database" in result.output
    assert "Traceback" not in result.output


def test_a_token_that_needs_a_proof_says_so(tmp_path: Path, rules: Path) -> None:
    bound = '{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}'
    token = mint(tmp_path, "--claim", f"cnf={bound}")
    refused = run("inspect", token, "--rules", rules, "--state", tmp_path)
    assert refused.exit_code == 1
    assert "refused: key-bound: " in refused.output
    binding = "session_binding: {dpop: optional, public_url: 'https://guard.example'}\n"
    (rules / "identity.yaml").write_text(IDENTITY + binding)
    result = run("inspect", token, "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 0, result.output
    assert "it must stand in `Authorization: DPoP`\n" in result.output
    assert "each request needs a proof of the key that it is bound to, in `DPoP`" in result.output


def test_a_token_of_a_workload_says_so(tmp_path: Path, rules: Path) -> None:
    (rules / "identity.yaml").write_text(IDENTITY.replace("}", ", as: workload}") + "anonymous: allow\n")
    result = run("inspect", mint(tmp_path), "--rules", rules, "--state", tmp_path)
    assert result.exit_code == 0, result.output
    assert "it says which code calls; another token has to say who" in result.output


# -------------------------------------------------------------------------------------------------- keys of a provider


class Endpoint(ThreadingHTTPServer):
    """Answers each path with what is put there, and says which were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def provided(rules: Path, state: Path, provider: dict[str, Any], *said: str) -> Callable[[], dict[str, Any]]:
    """Inspect, as often as it is called, a token of this provider that was minted once."""
    name = str(provider["name"])
    (rules / "identity.yaml").write_text(yaml.safe_dump({"providers": [provider]}))
    minted = run("mint", "--provider", name, "--rules", rules, "--key", state / "own.pem", "--new-key", *said)
    assert minted.exit_code == 0, minted.output

    def inspected() -> dict[str, Any]:
        result = run("inspect", "-", "--rules", rules, "--state", state, "--json", stdin=minted.stdout)
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return inspected


def jwks(state: Path) -> bytes:
    return run("jwks", "--key", state / "own.pem").output.encode()


def test_keys_are_fetched_from_the_url_of_the_rules(tmp_path: Path, rules: Path, endpoint: Endpoint) -> None:
    inspect = provided(rules, tmp_path, Sample("oidc").written({"jwks": f"{endpoint.url}/jwks.json"}))
    assert inspect()["reason"] == "keys-unavailable"
    endpoint.answers["/jwks.json"] = jwks(tmp_path)
    assert inspect()["reason"] is None
    assert endpoint.asked == ["/jwks.json"] * 2


def test_keys_are_discovered_at_the_issuer(tmp_path: Path, rules: Path, endpoint: Endpoint) -> None:
    inspect = provided(rules, tmp_path, Sample("oidc").written({"issuer": endpoint.url}))
    document = {"issuer": endpoint.url, "jwks_uri": f"{endpoint.url}/keys"}
    endpoint.answers["/.well-known/openid-configuration"] = json.dumps(document).encode()
    endpoint.answers["/keys"] = jwks(tmp_path)
    assert inspect()["reason"] is None
    assert endpoint.asked == ["/.well-known/openid-configuration", "/keys"]


def test_the_one_key_that_a_token_names_is_fetched(tmp_path: Path, rules: Path, endpoint: Endpoint) -> None:
    inspect = provided(rules, tmp_path, Sample("aws-alb").written({"jwks": f"{endpoint.url}/keys"}))
    assert inspect()["reason"] == "unknown-key"
    ((path, *_),) = ([path] for path in endpoint.asked)
    private = load_pem_private_key((tmp_path / "own.pem").read_bytes(), None)
    endpoint.answers[path] = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    accepted = inspect()
    assert (accepted["reason"], accepted["places"]) == (None, ["header:x-amzn-oidc-data"])
    assert re.fullmatch(r"/keys/[0-9a-f-]{36}", path)


@pytest.mark.parametrize(("kid", "reason"), [("not-a-uuid", "unknown-key"), ("../../secret", "kid-refused")])
def test_a_key_id_of_another_form_is_never_asked_for(
    tmp_path: Path, rules: Path, endpoint: Endpoint, kid: str, reason: str
) -> None:
    sample = Sample("aws-alb")
    (rules / "identity.yaml").write_text(
        yaml.safe_dump({"providers": [sample.written({"jwks": f"{endpoint.url}/keys"})]})
    )
    token = sample.token({"header": {"kid": kid}})
    result = run("inspect", token, "--rules", rules, "--state", tmp_path, "--json")
    assert json.loads(result.stdout)["reason"] == reason
    assert endpoint.asked == []


def test_no_key_id_at_an_endpoint_of_single_keys(tmp_path: Path, rules: Path, endpoint: Endpoint) -> None:
    sample = Sample("aws-alb")
    (rules / "identity.yaml").write_text(
        yaml.safe_dump({"providers": [sample.written({"jwks": f"{endpoint.url}/keys"})]})
    )
    token = sample.token({"header": {"kid": "absent"}})
    result = run("inspect", token, "--rules", rules, "--state", tmp_path, "--json")
    assert json.loads(result.stdout)["reason"] == "kid-missing"
