"""`headgate sessions`: what it revokes, lists and lifts, and what it says when it cannot."""

import json
import re
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import COMMANDS, main
from headgate.identity.store import IdentityStore
from headgate.model import Kind, Principal, Session

ANA = Principal("ana", Kind.HUMAN, "corp-sso", person="E123", session=Session("s-1"), claims={"jti": "t-1"})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    IdentityStore(tmp_path / "state").prepare()
    return tmp_path / "state"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["sessions", *map(str, arguments)])


def revoke(state: Path, *arguments: str) -> dict[str, Any]:
    result = run("revoke", *arguments, "--state", state, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def is_revoked(state: Path, principal: Principal = ANA, after: float = 1.0) -> bool:
    return IdentityStore(state).latest().covers(principal, time.time() + after)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--session", "s-1"],
        ["--session", "s-1", "--provider", "corp-sso"],
        ["--session", "s-1", "--provider", "*"],
        ["--principal", "ana"],
        ["--principal", "corp-sso/ana"],
        ["--principal", "ana", "--provider", "corp-sso"],
        ["--principal", "E123"],
        ["--token", "t-1"],
        ["--token", "t-1", "--provider", "corp-sso"],
    ],
)
def test_each_way_of_naming_a_caller_cuts_it_off_for_a_day(state: Path, arguments: list[str]) -> None:
    revoke(state, *arguments)
    assert is_revoked(state)
    assert is_revoked(state, after=86400 - 60)
    assert not is_revoked(state, after=86400 + 60)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--session", "s-1", "--provider", "github"],
        ["--principal", "github/ana"],
        ["--principal", "corp-sso/ana", "--provider", "*"],
        ["--token", "ana"],
    ],
)
def test_who_is_not_meant_is_not_cut_off(state: Path, arguments: list[str]) -> None:
    revoke(state, *arguments)
    assert not is_revoked(state)


@pytest.mark.parametrize(
    ("arguments", "provider", "name"),
    [
        (["--principal", "corp-sso/ana"], "corp-sso", "ana"),
        (["--principal", "corp-sso/team/bot"], "corp-sso", "team/bot"),
        (["--principal", "team/bot", "--provider", "corp-sso"], "corp-sso", "team/bot"),
        (["--principal", "team/bot", "--provider", "*"], None, "team/bot"),
        (["--principal", "spiffe://corp.example/bot"], None, "spiffe://corp.example/bot"),
        (["--principal", "repo:octo/octo:ref:refs/heads/main"], None, "repo:octo/octo:ref:refs/heads/main"),
        (["--principal", "/ana"], None, "/ana"),
        (["--session", "corp-sso/s-1"], None, "corp-sso/s-1"),
    ],
)  # fmt: skip
def test_a_provider_stands_before_the_first_slash_where_it_can_be_one(
    state: Path, arguments: list[str], provider: str | None, name: str
) -> None:
    found = revoke(state, *arguments)
    assert (found["provider"], found["name"]) == (provider, name)


def test_revoke_as_json_says_all_that_is_kept(state: Path) -> None:
    found = revoke(state, "--session", "s-1", "--for", "15m", "--reason", "laptop stolen")
    times = [datetime.fromisoformat(found.pop(name)).timestamp() for name in ("created", "expires")]
    assert times[1] - times[0] == 900
    assert found.pop("by")
    assert found == {"id": 1, "kind": "session", "provider": None, "name": "s-1", "reason": "laptop stolen"}


def test_revoke_says_what_it_did_until_when_and_how_to_take_it_back(state: Path) -> None:
    result = run("revoke", "--principal", "corp-sso/ana", "--for", "8h", "--state", state)
    assert result.exit_code == 0
    assert re.fullmatch(r"revoked caller `ana` by provider `corp-sso` until [\dT:-]+Z\n", result.stdout)
    assert result.stderr == f"to take it back: headgate sessions lift 1 --state {state}\n"


def test_how_to_take_it_back_names_the_state_folder_only_where_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, named in ((".headgate", ""), ("the other", " --state 'the other'")):
        IdentityStore(tmp_path / folder).prepare()
        result = run("revoke", "--session", "s-1", "--state", folder)
        assert result.stderr == f"to take it back: headgate sessions lift 1{named}\n"


def test_lift_takes_it_back(state: Path) -> None:
    number = revoke(state, "--session", "s-1")["id"]
    result = run("lift", str(number), "--state", state)
    assert (result.exit_code, result.output) == (0, "lifted the revocation of session `s-1` by any provider\n")
    assert not is_revoked(state)
    again = run("lift", str(number), "--state", state)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == "Error: there is no revocation 1; `headgate sessions list` shows what there is\n"


def test_lift_prints_json_on_request(state: Path) -> None:
    made = revoke(state, "--session", "s-1")
    assert json.loads(run("lift", "1", "--state", state, "--json").output) == made


def test_list_shows_what_is_revoked_one_line_each(state: Path) -> None:
    revoke(state, "--session", "s-1", "--reason", "laptop stolen")
    revoke(state, "--principal", "corp-sso/ana")
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as connection:
        connection.execute("update revocations set expires = 4102444800 + id, by = 'root'")
        connection.execute("insert into revocations values (3, 'token', null, 'ended', '', 1, 2, 'root')")
    result = run("list", "--state", state)
    lines = [re.split(r"\s{2,}", line) for line in result.output.splitlines()]
    assert lines == [
        ["id", "what", "provider", "name", "ends", "by", "reason"],
        ["1", "session", "any", "s-1", "2100-01-01T00:00:01Z", "root", "laptop stolen"],
        ["2", "caller", "corp-sso", "ana", "2100-01-01T00:00:02Z", "root", "-"],
    ]
    listed = json.loads(run("list", "--state", state, "--json").output)
    assert [revocation["name"] for revocation in listed] == ["s-1", "ana"]


def test_list_says_when_there_is_nothing(state: Path) -> None:
    result = run("list", "--state", state)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing is revoked\n")
    assert json.loads(run("list", "--state", state, "--json").output) == []


def test_list_shows_names_without_obeying_them(state: Path) -> None:
    revoke(state, "--session", "a\u202eb[bold red]", "--reason", "[link=x]\u2028")
    result = run("list", "--state", state)
    assert "a\\u202eb[bold red]" in result.output
    assert "[link=x]\\u2028" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "exactly one of --session, --principal and --token"),
        (["--session", "a", "--principal", "b"], "exactly one of --session, --principal and --token"),
        (["--session", "a", "--token", "b"], "exactly one of --session, --principal and --token"),
        (["--session", ""], "accepted: an id"),
        (["--session", "a\nb"], "accepted: an id"),
        (["--session", "\udcff"], "accepted: an id"),
        (["--principal", "corp-sso/"], "accepted: an id"),
        (["--session", "a", "--provider", "Corp SSO"], "`Corp SSO` is not the name of a provider"),
        (["--session", "a", "--provider", "\x1b[2J"], "`\\x1b[2J` is not the name of a provider"),
        (["--session", "a", "--provider", ""], "`` is not the name of a provider"),
        (["--session", "a", "--for", "1 day"], "not a duration"),
        (["--session", "a", "--for", "0s"], "accepted: from `1s` to `30d`"),
        (["--session", "a", "--for", "31d"], "accepted: from `1s` to `30d`"),
        (["--session", "a", "--reason", "a\nb"], "one line of up to 500 characters"),
        (["--session", "a", "--reason", "x" * 501], "one line of up to 500 characters"),
    ],
)
def test_wrong_usage_is_said_and_revokes_nothing(state: Path, arguments: list[str], message: str) -> None:
    result = run("revoke", *arguments, "--state", state)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.output)
    assert IdentityStore(state).revocations(0) == []


@pytest.mark.parametrize("option", ["--token", "--session", "--principal"])
def test_a_whole_token_is_neither_kept_nor_shown(state: Path, option: str) -> None:
    result = run("revoke", option, "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmVk", "--state", state)
    assert result.exit_code == 2
    assert "that is a token" in result.output
    assert "c2lnbmVk" not in result.output
    assert IdentityStore(state).revocations(0) == []


@pytest.mark.parametrize("number", ["0", "-1", "x", ""])
def test_lift_takes_the_id_that_list_shows(state: Path, number: str) -> None:
    assert run("lift", "--state", state, "--", number).exit_code == 2


@pytest.mark.parametrize("command", [["revoke", "--session", "a"], ["list"], ["lift", "1"]])
def test_a_folder_that_no_proxy_reads_is_not_made(tmp_path: Path, command: list[str]) -> None:
    """A revocation in a folder beside the proxy's would look like one."""
    result = run(*command, "--state", tmp_path / "other")
    assert result.exit_code == 1
    assert "there is no state at" in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("command", [["revoke", "--session", "a"], ["list"], ["lift", "1"]])
def test_a_state_that_cannot_be_used_is_one_plain_line(state: Path, command: list[str]) -> None:
    (state / "state.db").write_bytes(b"garbage" * 1000)
    result = run(*command, "--state", state)
    assert result.exit_code == 1
    assert "it is not a SQLite database" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("command", [[], ["revoke"], ["list"], ["lift"]])
def test_help_shows_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "\n  headgate sessions " in result.output
    assert "sessions" in COMMANDS
