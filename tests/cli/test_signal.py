"""`headgate signal`: what it sets, clears and lists, and what it says when it cannot."""

import getpass
import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import COMMANDS, main
from headgate.cli.notes import user
from headgate.policy.store import SignalStore

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    SignalStore(tmp_path / "state").prepare()
    return tmp_path / "state"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["signal", *map(str, arguments)])


def put(state: Path, *arguments: str) -> dict[str, Any]:
    result = run("set", *arguments, "--state", state, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def is_set(state: Path, after: float = 1.0) -> frozenset[str]:
    return SignalStore(state).latest().at(time.time() + after)


def test_a_signal_is_set_for_an_hour(state: Path) -> None:
    put(state, "incident")
    assert is_set(state) == {"incident"}
    assert is_set(state, after=3600 - 60) == {"incident"}
    assert is_set(state, after=3600 + 60) == frozenset()


def test_a_signal_is_set_for_as_long_as_said_the_last_word_counts(state: Path) -> None:
    put(state, "incident", "--for", "7d")
    assert is_set(state, after=7 * 86400 - 60) == {"incident"}
    put(state, "incident", "--for", "15m")
    assert is_set(state, after=16 * 60) == frozenset()


def test_set_as_json_says_all_that_is_kept(state: Path) -> None:
    found = put(state, "incident", "--for", "15m", "--reason", "failover")
    times = [datetime.fromisoformat(found.pop(name)).timestamp() for name in ("since", "until")]
    assert times[1] - times[0] == 900
    assert found == {"name": "incident", "reason": "failover", "by": user()}


def test_set_and_clear_say_what_they_did(state: Path) -> None:
    result = run("set", "incident", "--for", "8h", "--state", state)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(rf"signal `incident` is set until {TIME}\n", result.stdout)
    result = run("clear", "incident", "--state", state)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(rf"signal `incident` is cleared; it was set until {TIME}\n", result.stdout)
    assert is_set(state) == frozenset()


def test_clear_prints_json_on_request(state: Path) -> None:
    made = put(state, "incident")
    assert json.loads(run("clear", "incident", "--state", state, "--json").output) == made


def test_what_is_not_set_cannot_be_cleared(state: Path) -> None:
    result = run("clear", "incident", "--state", state)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: signal `incident` is not set; `headgate signal list` shows what is\n"


def test_list_shows_what_is_set_one_line_each(state: Path) -> None:
    put(state, "month-end", "--for", "2d")
    put(state, "incident", "--reason", "failover")
    result = run("list", "--state", state)
    lines = [re.sub(TIME, "TIME", re.sub(r"\s+", " ", line)) for line in result.stdout.splitlines()]
    assert lines == [
        "signal ends since by reason",
        f"incident TIME TIME {user()} failover",
        f"month-end TIME TIME {user()} -",
    ]
    listed = json.loads(run("list", "--state", state, "--json").output)
    assert [signal["name"] for signal in listed] == ["incident", "month-end"]


def test_history_shows_who_did_what(state: Path) -> None:
    put(state, "incident", "--reason", "failover")
    run("clear", "incident", "--reason", "all is well", "--state", state)
    lines = [
        re.sub(TIME, "TIME", re.sub(r"\s+", " ", line))
        for line in run("list", "--history", "--state", state).stdout.splitlines()
    ]
    assert lines == [
        "time what signal ends by reason",
        f"TIME set incident TIME {user()} failover",
        f"TIME clear incident - {user()} all is well",
    ]
    first, second = json.loads(run("list", "--history", "--state", state, "--json").output)
    assert (first["id"], first["what"], first["name"], first["by"]) == (1, "set", "incident", user())
    assert (second["what"], second["until"], second["reason"]) == ("clear", None, "all is well")
    assert re.fullmatch(TIME, second["time"])


def test_list_says_when_there_is_nothing(state: Path) -> None:
    for arguments, said in ((["list"], "no signal is set\n"), (["list", "--history"], "no signal was ever set\n")):
        result = run(*arguments, "--state", state)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
        assert json.loads(run(*arguments, "--state", state, "--json").output) == []


def test_list_shows_reasons_without_obeying_them(state: Path) -> None:
    put(state, "incident", "--reason", "a\u202eb[bold red][link=x]\u2028")
    for arguments in (["list"], ["list", "--history"]):
        assert "a\\u202eb[bold red][link=x]\\u2028" in run(*arguments, "--state", state).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set", "In Cident"], "`In Cident` is not the name of a signal; accepted: up to 64 lower-case letters"),
        (["set", ""], "is not the name of a signal"),
        (["set", "\x1b[2J"], "`\\x1b[2J` is not the name of a signal"),
        (["set", "x" * 65], "is not the name of a signal"),
        (["clear", "In Cident"], "`In Cident` is not the name of a signal"),
        (["set"], "Missing argument 'NAME'"),
        (["set", "a", "--for", "1 day"], "not a duration"),
        (["set", "a", "--for", "0s"], "accepted: from `1s` to `7d`"),
        (["set", "a", "--for", "8d"], "accepted: from `1s` to `7d`"),
        (["set", "a", "--reason", "a\nb"], "one line of up to 500 characters"),
        (["set", "a", "--reason", "x" * 501], "one line of up to 500 characters"),
        (["clear", "a", "--reason", "\udcff"], "one line of up to 500 characters"),
    ],
    ids=ascii,
)
def test_wrong_usage_is_said_and_changes_nothing(state: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "--state", state)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.output)
    assert SignalStore(state).changes() == []


COMMAND_LINES = [["set", "incident"], ["clear", "incident"], ["list"], ["list", "--history"]]


@pytest.mark.parametrize("command", COMMAND_LINES, ids=" ".join)
def test_a_folder_that_no_proxy_reads_is_not_made(tmp_path: Path, command: list[str]) -> None:
    """A signal in a folder beside the proxy's would look set."""
    result = run(*command, "--state", tmp_path / "other")
    assert result.exit_code == 1
    assert "there is no state at" in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("command", COMMAND_LINES, ids=" ".join)
def test_a_state_that_cannot_be_used_is_one_plain_line(state: Path, command: list[str]) -> None:
    (state / "state.db").write_bytes(b"garbage" * 1000)
    result = run(*command, "--state", state)
    assert result.exit_code == 1
    assert "it is not a SQLite database" in result.output
    assert len(result.output.splitlines()) == 1


def test_who_is_unknown_where_the_machine_does_not_say(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert put(state, "incident")["by"] == "unknown"


@pytest.mark.parametrize("command", [[], ["set"], ["clear"], ["list"]], ids=" ".join)
def test_help_shows_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "\n  headgate signal " in result.output
    assert "signal" in COMMANDS
