"""What identity.yaml may say."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.identity.conftest import identity as compiled

from headgate.errors import InvalidRules
from headgate.identity.assertion import Forward
from headgate.identity.dpop import SessionBinding
from headgate.identity.jwks import ALGORITHMS
from headgate.identity.presets import DEVELOPMENT_ISSUER, PRESETS
from headgate.identity.provider_rules import Algorithm, ProviderSpec
from headgate.identity.rules import IdentityFile
from headgate.identity.sources import KeySource

OIDC = {
    "name": "corp",
    "preset": "oidc",
    "issuer": "https://sso.example.com",
    "audiences": ["payments"],
    "jwks": "https://sso.example.com/jwks.json",
    "algorithms": ["ES256"],
    "kind": "human",
}
DEVELOPMENT = {"name": "dev", "preset": "development", "audiences": ["headgate-dev"]}


def problems(folder: Path, *providers: dict[str, Any], **file: Any) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(InvalidRules) as caught:
        compiled(folder, *providers, **file)
    return caught.value.problems


def test_a_provider_is_compiled_as_written(tmp_path: Path) -> None:
    rules = compiled(tmp_path, {**OIDC, "max_lifetime": "1h", "clock_skew": "1m"})
    (provider,) = rules.providers
    assert (provider.name, provider.issuer) == ("corp", OIDC["issuer"])
    assert provider.keys == KeySource(jwks="https://sso.example.com/jwks.json")
    assert (provider.audiences, provider.algorithms) == ({"payments"}, {"ES256"})
    assert (provider.max_lifetime, provider.clock_skew) == (3600, 60)
    assert provider.names == {OIDC["issuer"]}
    assert rules.places == {"authorization": (provider,)}
    assert not rules.anonymous


def test_defaults_are_the_safe_ones(tmp_path: Path) -> None:
    rules = compiled(tmp_path, OIDC)
    (provider,) = rules.providers
    assert (rules.anonymous, provider.clock_skew, provider.max_lifetime, provider.workload) == (False, 30, None, False)
    assert (rules.forward, rules.releases, rules.binding.dpop) == (None, None, "off")
    assert not rules.trusted_proxies.trusts("127.0.0.1")
    assert compiled(tmp_path, anonymous="allow").anonymous


def test_the_development_provider_needs_a_name_and_an_audience_only(tmp_path: Path) -> None:
    (provider,) = compiled(tmp_path, DEVELOPMENT).providers
    assert (provider.issuer, provider.algorithms) == (DEVELOPMENT_ISSUER, {"ES256"})
    assert provider.keys == KeySource()
    assert not provider.keys.fetched


@pytest.mark.parametrize("key", ["issuer", "audiences", "algorithms", "kind"])
def test_an_oidc_provider_without_what_makes_it_safe_is_refused(tmp_path: Path, key: str) -> None:
    ((where, message),) = problems(tmp_path, {name: value for name, value in OIDC.items() if name != key})
    assert where == ("providers", 0)
    assert message == f"`{key}` is missing; a provider of preset `oidc` needs it"


@pytest.mark.parametrize("key", ["issuer", "jwks", "algorithms", "claims"])
def test_what_a_preset_fixes_cannot_be_set(tmp_path: Path, key: str) -> None:
    value = {"claims": {"id": "sub"}}.get(key, OIDC.get(key))
    ((where, message),) = problems(tmp_path, {**DEVELOPMENT, key: value})
    assert where == ("providers", 0, key)
    assert message == f"`{key}` is fixed by preset `development`; leave it out"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"audiences": []}, ("audiences",)),
        ({"audiences": [""]}, ("audiences", 0)),
        ({"audiences": None}, ("audiences",)),
        ({"algorithms": []}, ("algorithms",)),
        ({"algorithms": ["HS256"]}, ("algorithms", 0)),
        ({"algorithms": ["none"]}, ("algorithms", 0)),
        ({"issuer": ""}, ("issuer",)),
        ({"name": "Corp SSO"}, ("name",)),
        ({"preset": "trust-me"}, ("preset",)),
        ({"kind": "anonymous"}, ("kind",)),
        ({"kind": []}, ("kind",)),
        ({"kind": [{"claims": {"/azp": 1.5}, "is": "ci"}]}, ("kind", 0, "claims", "/azp")),
        ({"kind": [{"claims": {"/azp": []}, "is": "ci"}]}, ("kind", 0, "claims", "/azp")),
        ({"claims": {"name": "sub"}}, ("claims", "name", "[key]")),
        ({"claims": {"id": ""}}, ("claims", "id")),
        ({"environment": []}, ("environment",)),
        ({"environment": ""}, ("environment", 0, "is")),
        ({"environment": [{"claims": {"/org": 7}}]}, ("environment", 0, "is")),
        ({"environment": [{"claims": {"/org": None}, "is": "prod"}]}, ("environment", 0, "claims", "/org")),
        ({"require": {}}, ("require",)),
        ({"require": {"azp": []}}, ("require", "azp")),
        ({"require": {"azp": {"is": "web"}}}, ("require", "azp")),
        ({"require": {"level": 1.5}}, ("require", "level")),
        ({"signers": []}, ("signers",)),
        ({"as": "admin"}, ("as",)),
        ({"role": "workload"}, ("role",)),
        ({"max_lifetime": "1 hour"}, ("max_lifetime",)),
        ({"max_lifetime": 60}, ("max_lifetime",)),
        ({"clock_skew": "-1s"}, ("clock_skew",)),
        ({"unknown": 1}, ("unknown",)),
    ],
)
def test_a_value_of_another_form_is_refused_where_it_stands(changes: dict[str, Any], where: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        IdentityFile.model_validate({"providers": [{**OIDC, **changes}]})
    assert [error["loc"] for error in caught.value.errors()] == [("providers", 0, *where)]


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"claims": {"id": "/a~2"}}, ("claims", "id"), "`~0`"),
        ({"kind": [{"claims": {"/a~": 1}, "is": "ci"}]}, ("kind", 0, "claims", "/a~"), "`~0`"),
        ({"kind": [{"is": "ci"}, {"is": "human"}]}, ("kind", 0), "must be the last"),
        ({"max_lifetime": "0s"}, ("max_lifetime",), "such as `1h`"),
        ({"clock_skew": "6m"}, ("clock_skew",), "up to `5m`"),
        ({"jwks": "http://sso.example.com/jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "http://localhost.evil.example/jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "https://user:pass@sso.example.com/jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "https:///jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "https://sso.example.com:x/jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "https://sso.example.com/jw ks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "ftp://sso.example.com/jwks"}, ("jwks",), "an `https://` URL"),
        ({"jwks": "keys.json"}, ("jwks",), "`file:PATH`"),
        ({"jwks": "file:../keys.json"}, ("jwks",), "not inside the bundle's folder"),
        ({"jwks": "file:/etc/keys.json"}, ("jwks",), "not inside the bundle's folder"),
        ({"jwks": "file:"}, ("jwks",), "not inside the bundle's folder"),
        ({"jwks": "file:missing.json"}, ("jwks",), "file `missing.json` cannot be read: no such file"),
        ({"jwks": "file:."}, ("jwks",), "not inside the bundle's folder"),
    ],
)
def test_what_could_not_work_is_refused_where_it_stands(
    tmp_path: Path, changes: dict[str, Any], where: tuple[Any, ...], message: str
) -> None:
    ((found, text),) = problems(tmp_path, {**OIDC, **changes})
    assert found == ("providers", 0, *where)
    assert message in text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_keys_may_come_without_tls_from_this_machine(tmp_path: Path, host: str) -> None:
    url = f"http://{host}/jwks.json"
    assert compiled(tmp_path, {**OIDC, "jwks": url}).providers[0].keys == KeySource(jwks=url)


def test_a_key_file_is_read_when_the_rules_are(tmp_path: Path, issuer: Any) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "corp.json").write_bytes(issuer.jwks("ec"))
    rules = compiled(tmp_path, {**OIDC, "jwks": "file:keys/corp.json"})
    keys = rules.providers[0].keys.static
    assert keys is not None
    assert not rules.providers[0].keys.fetched
    assert [key.kid for key in keys.keys] == ["ec"]


def test_a_key_file_that_cannot_be_used_is_a_problem_that_quotes_nothing(tmp_path: Path) -> None:
    for content in ("garbage", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0LW1hdGVyaWFs"}]}'):
        (tmp_path / "keys.json").write_text(content)
        ((where, message),) = problems(tmp_path, {**OIDC, "jwks": "file:keys.json"})
        assert where == ("providers", 0, "jwks")
        assert message.startswith("key file `keys.json` cannot be used: ")
        assert "c2VjcmV0" not in message


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    ((_, message),) = problems(tmp_path, {**OIDC, "jwks": "file:keys"})
    assert message == "file `keys` cannot be read: is a directory"


def test_a_pipe_or_a_device_is_no_key_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        ((_, message),) = problems(tmp_path, {**OIDC, "jwks": f"file:{name}"})
        assert message == f"file `{name}` cannot be read: not a file"


def test_two_providers_differ_in_name_and_issuer(tmp_path: Path) -> None:
    other = {**OIDC, "issuer": "https://other.example"}
    assert problems(tmp_path, OIDC, other) == [(("providers", 1, "name"), "two providers have the name `corp`")]
    same = {**OIDC, "name": "copy"}
    assert problems(tmp_path, OIDC, same) == [
        (("providers", 1, "issuer"), "two providers have the issuer `https://sso.example.com`")
    ]
    assert problems(tmp_path, DEVELOPMENT, {**DEVELOPMENT, "name": "dev2"}) == [
        (("providers", 1), f"two providers have the issuer `{DEVELOPMENT_ISSUER}`")
    ]
    squatter = {**OIDC, "name": "squatter", "issuer": DEVELOPMENT_ISSUER}
    assert problems(tmp_path, DEVELOPMENT, squatter)[0][0] == ("providers", 1, "issuer")


def test_each_block_is_compiled_into_the_rules(tmp_path: Path) -> None:
    forward = {"key": "env:KEY", "ttl": "30s", "drop_token": False}
    binding = {"dpop": "required", "public_url": "https://guard.example.com/"}
    rules = compiled(tmp_path, OIDC, forward=forward, session_binding=binding, trusted_proxies=["10.0.0.0/8"])
    assert rules.forward == Forward("X-Headgate-Assertion", "headgate", ("env:KEY",), 30.0, drop_token=False)
    assert rules.binding == SessionBinding("required", "https://guard.example.com")
    assert (rules.trusted_proxies.trusts("10.1.2.3"), rules.trusted_proxies.trusts("11.1.2.3")) == (True, False)


@pytest.mark.parametrize("providers", [(), ({**OIDC, "as": "workload"},)], ids=["none", "of workloads only"])
def test_rules_that_let_nobody_in_are_refused(tmp_path: Path, providers: tuple[dict[str, Any], ...]) -> None:
    assert problems(tmp_path, *providers) == [
        (("providers",), "no provider says who calls, and anonymous callers are refused: nobody could call")
    ]
    assert compiled(tmp_path, *providers, anonymous="allow").anonymous


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    bad = {**OIDC, "jwks": "keys.json", "clock_skew": "1h", "claims": {"id": "/~"}}
    other = {**bad, "issuer": "https://two.example", "name": "two"}
    assert [where for where, _ in problems(tmp_path, bad, other)] == [
        ("providers", at, *where) for at in (0, 1) for where in (("claims", "id"), ("clock_skew",), ("jwks",))
    ]
    files = {"releases": {"file": "none.json", "keys": ["none.pub"]}, "forward": {"key": ["env:A", "env:A"]}}
    places = [where for where, _ in problems(tmp_path, bad, other, trusted_proxies=["x"], **files)]
    assert places[6:] == [("releases", "keys", 0), ("releases", "file"), ("trusted_proxies", 0), ("forward", "key")]


def test_the_algorithms_of_the_schema_are_those_that_can_be_verified() -> None:
    assert set(Algorithm.__args__) == ALGORITHMS


def test_the_presets_of_the_schema_are_those_of_the_table() -> None:
    assert set(ProviderSpec.model_fields["preset"].annotation.__args__) == set(PRESETS)  # type: ignore[union-attr]


def test_the_schema_can_be_printed() -> None:
    assert "providers" in json.dumps(IdentityFile.model_json_schema())
