"""`headgate token mint --provider` and `headgate token jwks`: tokens in a provider's shape from a key of one's own."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.identity import pki
from tests.identity.samples import NAMES, Sample

from headgate.cli.main import main
from headgate.identity.localkeys import new_pem

TYPES = {"ec": "ES256", "ec384": "ES384", "rsa": "RS256"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the folder that the tests run in is taken."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rules = tmp_path / "rules"
    (rules / "keys").mkdir(parents=True)
    (rules / "bundle.yaml").write_text("name: test\nversion: 1.0.0\n")
    (rules / "targets.yaml").write_text("targets:\n  - {name: api, hosts: [api.example]}\n")
    (rules / "policy.yaml").write_text("rules:\n  - {id: all, effect: allow, match: {}}\n")
    (rules / "masking.yaml").write_text("masks: []\n")
    return rules


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["token", *map(str, arguments)], input=stdin)


def write(folder: Path, *providers: dict[str, Any], **file: Any) -> None:
    (folder / "identity.yaml").write_text(yaml.safe_dump({"providers": list(providers), **file}))


def make(path: Path, algorithm: str = "ES256") -> Path:
    path.touch(mode=0o600)
    path.write_bytes(new_pem(algorithm))
    return path


def secrets_of(path: Path) -> list[str]:
    """The lines of a key file that must never be shown."""
    return [line for line in path.read_text().splitlines() if "-----" not in line]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_a_key_set_a_token_and_why_it_is_accepted(name: str, folder: Path, tmp_path: Path) -> None:
    """What the help shows, for each preset: from no key to a token that the rules accept."""
    sample, key = Sample(name), tmp_path / "own.pem"
    provider, named = sample.written(), ("--provider", name)
    if name != "development":
        published = run("jwks", "--key", key, "--new-key", "--algorithm", TYPES[sample.case["key"]])
        assert published.exit_code == 0, published.output
        (folder / "keys" / "own.json").write_text(published.output)
        provider["jwks"], named = "file:keys/own.json", (*named, "--key", str(key))
    write(folder, provider)
    minted = run("mint", *named)
    assert minted.exit_code == 0, minted.output
    inspected = run("inspect", "-", "--json", stdin=minted.stdout)
    found = json.loads(inspected.output)
    assert (inspected.exit_code, found["reason"], found["provider"]) == (0, None, name)
    assert found["places"] == list(sample.places)
    if name != "development":
        place = sample.places[0].removeprefix("header:")
        assert minted.stderr.lower().startswith("put it into ")
        assert place in minted.stderr.lower()
        assert len(minted.stderr.splitlines()) == 1
        everything = published.output + minted.output + inspected.output
        assert not any(line in everything for line in secrets_of(key))


# -------------------------------------------------------------------------------------------------------------- output


def test_json_has_the_token_what_is_in_it_and_where_it_goes(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("cloudflare-access").written())
    key = make(tmp_path / "cf.pem", "RS256")
    result = run("mint", "--provider", "cloudflare-access", "--key", key, "--json", "--for", "5m", "--kid", "k1")
    found = json.loads(result.stdout)
    assert found["provider"] == "cloudflare-access"
    assert found["places"] == ["header:cf-access-jwt-assertion", "cookie:CF_Authorization"]
    assert (found["seconds"], found["refused"]) == (300, None)
    assert found["header"] == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert found["claims"]["exp"] - found["claims"]["iat"] == 300
    assert found["token"].count(".") == 2
    assert "put it into" not in result.stderr


def test_standard_output_holds_the_token_alone(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("google-iap").written())
    result = run("mint", "--provider", "google-iap", "--key", make(tmp_path / "iap.pem"))
    assert result.stdout.count("\n") == 1
    assert result.stdout.strip().count(".") == 2
    assert "put it into header `x-goog-iap-jwt-assertion`" in result.stderr


def test_it_says_where_the_public_key_belongs_until_it_is_there(folder: Path, tmp_path: Path) -> None:
    key, other = make(tmp_path / "sso.pem"), make(tmp_path / "other.pem")
    write(folder, Sample("oidc").written())
    words = "the keys of `oidc` do not hold this one: `headgate token jwks --key"
    assert words in run("mint", "--provider", "oidc", "--key", key).stderr
    (folder / "keys" / "sso.json").write_text(run("jwks", "--key", key).output)
    write(folder, Sample("oidc").written({"jwks": "file:keys/sso.json"}))
    assert words not in run("mint", "--provider", "oidc", "--key", key).stderr
    assert words in run("mint", "--provider", "oidc", "--key", other).stderr
    assert words in run("mint", "--provider", "oidc", "--key", key, "--kid", "other").stderr


def test_a_token_that_would_be_refused_is_minted_and_said_to_be_that(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("oidc").written())
    mint = ("mint", "--provider", "oidc", "--key", make(tmp_path / "sso.pem"), "--claim", "aud=web")
    result = run(*mint)
    assert result.exit_code == 0
    assert "as it is, it is refused: audience-mismatch: the token is for another audience" in result.stderr
    assert json.loads(run(*mint, "--json").stdout)["refused"] == "audience-mismatch"


def test_what_is_said_goes_where_the_provider_has_it(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("oidc").written({"claims": {"groups": "/realm/roles", "environment": "env"}}))
    said = ("--id", "ana", "--group", "web", "--environment", "dev", "--email", "a@b.example", "--scope", "read")
    more = ("--claim", "/realm/name=corp", "--claim", "n=7", "--claim", "t=x=y", "--audience", "payments")
    result = run("mint", "--provider", "oidc", "--key", make(tmp_path / "k.pem"), *said, *more, "--json")
    claims = json.loads(result.stdout)["claims"]
    assert (claims["sub"], claims["realm"], claims["env"]) == ("ana", {"roles": ["web"], "name": "corp"}, ["dev"])
    assert (claims["email"], claims["scope"], claims["n"], claims["t"]) == ("a@b.example", "read", 7, "x=y")
    assert claims["aud"] == "payments"


def test_the_defaults_of_the_development_provider_are_no_other_s(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("google-iap").written())
    claims = json.loads(run("mint", "--provider", "google-iap", "--key", make(tmp_path / "k.pem"), "--json").stdout)
    assert not {"groups", "env", "kind"} & claims["claims"].keys()
    assert claims["claims"]["aud"] == Sample("google-iap").case["provider"]["audiences"][0]
    refused = run("mint", "--provider", "google-iap", "--key", tmp_path / "k.pem", "--group", "web")
    assert refused.exit_code == 1
    assert "reads no `groups`" in refused.output


def test_a_development_provider_of_the_rules_gives_its_audience(folder: Path, tmp_path: Path) -> None:
    write(folder, {"name": "dev", "preset": "development", "audiences": ["b", "a"]})
    found = json.loads(run("mint", "--provider", "dev", "--state", tmp_path / "s", "--json").stdout)
    assert (found["claims"]["aud"], found["places"]) == (["a", "b"], ["authorization"])
    said = run("mint", "--provider", "dev", "--state", tmp_path / "s", "--json", "--audience", "x")
    assert json.loads(said.stdout)["claims"]["aud"] == ["x"]


# ---------------------------------------------------------------------------------------------------------------- keys


def test_a_new_key_is_for_its_owner_only_and_is_used_again(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("aws-verified-access").written())
    key = tmp_path / "ava.pem"
    mint = ("mint", "--provider", "aws-verified-access", "--key", key, "--json")
    first = json.loads(run(*mint, "--new-key").stdout)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert first["header"]["alg"] == "ES384"
    made = key.read_bytes()
    again, without = json.loads(run(*mint, "--new-key").stdout), json.loads(run(*mint).stdout)
    assert key.read_bytes() == made
    assert first["header"]["kid"] == again["header"]["kid"] == without["header"]["kid"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["ava.pem"]


def test_a_missing_key_is_made_only_on_request(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("oidc").written())
    for command in (("mint", "--provider", "oidc"), ("jwks",)):
        result = run(*command, "--key", tmp_path / "none.pem")
        assert result.exit_code == 1
        assert "none.pem` cannot be read: no such file or directory; `--new-key` makes one" in result.output
        assert not (tmp_path / "none.pem").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(folder: Path, tmp_path: Path, mode: int) -> None:
    write(folder, Sample("oidc").written())
    key = make(tmp_path / "k.pem")
    key.chmod(mode)
    for command in (("mint", "--provider", "oidc"), ("jwks",)):
        result = run(*command, "--key", key)
        assert result.exit_code == 1
        assert "others may read or replace key file" in result.output
        assert len(result.output.splitlines()) == 1


def test_a_key_in_a_folder_that_others_write_to_or_behind_a_link_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "others may read or replace" in run("jwks", "--key", make(shared / "k.pem")).output
    (tmp_path / "link.pem").symlink_to(make(tmp_path / "k.pem"))
    assert run("jwks", "--key", tmp_path / "link.pem").exit_code == 1


@pytest.mark.parametrize("content", [b"", b"hunter2-is-no-key", new_pem("ES256")[:-60]])
def test_a_file_that_holds_no_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    key = make(tmp_path / "k.pem")
    key.write_bytes(content)
    result = run("jwks", "--key", key)
    assert result.exit_code == 1
    assert "cannot be used: it holds no key that can sign tokens" in result.output
    assert len(result.output.splitlines()) == 1
    assert "hunter2" not in result.output
    assert not any(line in result.output for line in content.decode().splitlines() if line and "-----" not in line)


def test_a_key_that_signs_otherwise_than_the_provider_is_refused(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("github-actions").written())
    result = run("mint", "--provider", "github-actions", "--key", make(tmp_path / "k.pem"))
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: the key signs with none of the algorithms of provider `github-actions`: RS256;"
    )
    assert "`--new-key` makes one that does" in result.stderr
    assert len(result.stderr.splitlines()) == 1  # not where to publish a key that cannot be used


def test_a_new_key_is_of_the_kind_that_the_provider_signs_with(folder: Path, tmp_path: Path) -> None:
    write(folder, Sample("github-actions").written())
    result = run("mint", "--provider", "github-actions", "--key", tmp_path / "new.pem", "--new-key")
    assert result.exit_code == 0, result.output
    assert json.loads(run("jwks", "--key", tmp_path / "new.pem").output)["keys"][0]["kty"] == "RSA"


def test_a_key_set_holds_the_public_half_alone(tmp_path: Path) -> None:
    key = make(tmp_path / "k.pem", "RS256")
    result = run("jwks", "--key", key, "--kid", "rsa-1")
    (published,) = json.loads(result.output)["keys"]
    assert published.keys() == {"kty", "n", "e", "kid", "use"}
    assert (published["kid"], published["use"], result.stderr) == ("rsa-1", "sig", "")
    assert not any(line in result.output for line in secrets_of(key))


def test_a_key_cannot_be_made_where_nothing_can_be_written(tmp_path: Path) -> None:
    result = run("jwks", "--key", tmp_path / "none" / "k.pem", "--new-key")
    assert result.exit_code == 1
    assert "cannot be written: no such file or directory" in result.output


# --------------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--provider", "oidc"), "`--key` is missing"),
        (("--key", "k.pem"), "are for the keys of other providers"),
        (("--new-key",), "are for the keys of other providers"),
        (("--kid", "x"), "are for the keys of other providers"),
        (("--provider", "dev", "--key", "k.pem"), "are for the keys of other providers"),
        (("--provider", "none", "--key", "k.pem"), "`none` is no provider of the rules; accepted: oidc, dev"),
        (("--provider", "oidc", "--key", "k.pem", "--for", "31d"), "accepted: from `1s` to `30d`"),
        (("--provider", "oidc", "--key", "k.pem", "--claim", "=1"), "cannot be set"),
        (("--provider", "oidc", "--key", "k.pem", "--claim", "/a~2=1"), "cannot be set"),
        (("--claim", "/exp=1"), "`/exp` cannot be set"),
    ],
)
def test_wrong_usage(folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    make(tmp_path / "k.pem")
    write(folder, Sample("oidc").written(), {"name": "dev", "preset": "development", "audiences": ["x"]})
    result = run("mint", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_provider_of_certificates_says_how_to_get_one_and_no_key_is_made(folder: Path, tmp_path: Path) -> None:
    (folder / "ca.pem").write_bytes(pki.authority("root").pem)
    write(folder, {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"})
    result = run("mint", "--provider", "mesh", "--key", tmp_path / "k.pem", "--new-key")
    assert result.exit_code == 1
    assert "`mesh` takes client certificates, not tokens" in result.output
    assert "openssl req -x509" in result.output
    assert not (tmp_path / "k.pem").exists()


def test_rules_that_cannot_be_used_are_reported(folder: Path, tmp_path: Path) -> None:
    write(folder, {**Sample("oidc").written(), "issuer": ""})
    result = run("mint", "--provider", "oidc", "--key", make(tmp_path / "k.pem"))
    assert result.exit_code == 1
    assert "identity.yaml:" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ((), "headgate token jwks --key corp.pem > rules/keys/corp.json"),
        (("mint",), "headgate token mint --provider iap --key iap.pem --new-key"),
        (("jwks",), "headgate token jwks --key jobs.pem --new-key --algorithm RS256 > rules/keys/jobs.json"),
        (("inspect",), "headgate token inspect - < token.txt"),
    ],
)
def test_help_shows_examples(command: tuple[str, ...], example: str) -> None:
    assert example in run(*command, "--help").output
