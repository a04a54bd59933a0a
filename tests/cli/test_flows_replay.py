"""`headgate flows replay`: what it takes, and how it tells what came out; the replays themselves are in tests/e2e."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli.recording import Sent, write_capture
from tests.e2e.proxy import write_rules

from headgate.cli import flows_replay
from headgate.cli.flows_replay import as_json, conclusion, lines, replay
from headgate.replay.differences import VOLATILE, Difference
from headgate.replay.matching import Miss
from headgate.replay.rehearsal import Counts
from headgate.replay.replaying import Outcome, State

PLAIN = Outcome("01A", "f1", "GET", "api.internal", "/v1/a", State.SAME)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "state", [Sent(), Sent(path="/v1/b")])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay, list(map(str, arguments)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what answers; accepted: one of --to URL, --to sample and --offline"),
        (("--offline", "--to", "sample"), "say what answers"),
        (("--offline", "--twice"), "--twice and --own-host are for an upstream"),
        (("--offline", "--own-host"), "--twice and --own-host are for an upstream"),
        (("01A", "--filter", "~m GET", "--offline"), "by their ids or by --filter and --since"),
        (("--offline", "--jobs", "0"), "--jobs"),
        (("--offline", "--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what_is_accepted(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("option", "value", "words"), [("--filter", "~", "--filter"), ("--ignore-json", "$[", "`$[` is not a JSONPath")]
)
def test_an_expression_that_is_none_is_wrong_usage(
    option: str, value: str, words: str, state: Path, tmp_path: Path
) -> None:
    rules = write_rules(tmp_path / "rules")
    result = run("--offline", "--state", state, "--rules", rules, option, value)
    assert (result.exit_code, words in result.output) == (2, True), result.output


@pytest.mark.parametrize("url", ["ftp://a", "127.0.0.1:9000", "http://a/path"])
def test_an_upstream_that_is_none_is_refused_before_anything_is_sent(url: str, state: Path, tmp_path: Path) -> None:
    result = run("--to", url, "--state", state, "--rules", write_rules(tmp_path / "rules"))
    assert (result.exit_code, "is no upstream; accepted" in str(result.exception)) == (1, True)


def test_a_file_that_is_no_capture_fails_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "saved.db").write_bytes(b"this is no database, and long enough to be one" * 100)
    result = run("--offline", "--file", tmp_path / "saved.db", "--rules", write_rules(tmp_path / "rules"))
    assert result.exit_code == 1
    assert "cannot be read" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_the_help_lists_every_header_that_is_never_compared() -> None:
    told = "".join(run("--help").output.split())
    assert ",".join(sorted(VOLATILE)) in told


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """Outcomes that a replay is said to have; what it was asked to do goes unheard."""
    told: list[Outcome] = []

    async def rehearse(_choose: Any, _fetch: Any, _settings: Any, tell: Any, counts: Counts) -> None:
        for outcome in told:
            counts.add(outcome)
            tell(outcome)

    monkeypatch.setattr("headgate.replay.rehearsal.rehearse", rehearse)
    return told


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((State.SAME, State.SAME), 0),
        ((State.SAME, State.SKIPPED), 0),
        ((State.SKIPPED,), 1),
        ((), 1),
        ((State.SAME, State.DIFFERS), 1),
        ((State.SAME, State.MISSING), 1),
        ((State.SAME, State.FAILED), 1),
    ],
    ids=["all the same", "some skipped", "all skipped", "none", "differs", "missing", "failed"],
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "JSON"])
def test_the_exit_code_says_whether_something_was_replayed_and_all_is_the_same(
    states: tuple[State, ...], code: int, form: tuple[str, ...], pretend: list[Outcome], state: Path, tmp_path: Path
) -> None:
    pretend += [replace(PLAIN, state=one, why="websocket") for one in states]
    result = run("--offline", "--state", state, "--rules", write_rules(tmp_path / "rules"), *form)
    assert result.exit_code == code, result.output
    if form:
        told = json.loads(result.stdout)
        assert [one["state"] for one in told["flows"]] == list(states)
        assert sum(told["summary"][one] for one in State) == len(states)


def test_an_outcome_is_a_line_and_what_differs_below_it() -> None:
    found = (
        Difference("status", "", "200", "201"),
        Difference("body", "/a", "1", "2"),
        Difference("body", "text", "3 bytes", "4 bytes", ("-one", "+two")),
    )
    outcome = replace(PLAIN, state=State.DIFFERS, differences=found, noise=2, notes=("the query was masked",))
    assert list(lines(outcome)) == [
        "\x1b[31mdiffers \x1b[0m 01A -   GET api.internal/v1/a",
        "    status: 200 -> 201",
        "    body /a: 1 -> 2",
        "    body text: 3 bytes -> 4 bytes",
        "      -one",
        "      +two",
        "    (2 differences between two replays are left out)",
        "    note: the query was masked",
    ]
    assert as_json(outcome)["differences"][2]["lines"] == ["-one", "+two"]


def test_what_others_have_sent_is_shown_and_not_obeyed() -> None:
    evil = "\x1b[2J\r\n"
    outcome = Outcome(
        *("01A", "f1", f"GET{evil}", evil, evil, State.MISSING, evil),
        differences=(Difference("header", evil, evil, evil, (evil,)),),
        notes=(evil,),
    )
    shown = "".join(lines(outcome)).replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert shown.isprintable()


def test_a_miss_names_the_nearest_and_the_fields() -> None:
    miss = Miss("different", "GET /a", "01B", "GET /b", ("path",))
    assert as_json(replace(PLAIN, miss=miss))["missing"] == {
        "reason": "different",
        "nearest": "01B",
        "differs": ["path"],
    }


def test_what_was_skipped_is_counted_by_its_reason() -> None:
    counts = Counts(Counter({State.SAME: 1200, State.SKIPPED: 3}), Counter({"websocket": 2, "metadata-only": 1}))
    assert conclusion(counts) == "replayed 1,200: 1,200 same; skipped 1 metadata-only, 2 websocket"
    assert conclusion(Counts()) == "replayed 0: nothing"


def test_to_the_sample_starts_the_sample_api_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, state: Path, tmp_path: Path
) -> None:
    seen: list[Any] = []

    async def rehearse(_choose: Any, _fetch: Any, settings: Any, _tell: Any, _counts: Counts) -> None:
        import httpx

        seen.append(settings.to)
        async with httpx.AsyncClient(trust_env=False) as client:
            seen.append((await client.get(f"{settings.to}/health")).status_code)

    monkeypatch.setattr("headgate.replay.rehearsal.rehearse", rehearse)
    run("--to", "sample", "--state", state, "--rules", write_rules(tmp_path / "rules"))
    assert seen[0].startswith("http://127.0.0.1:")
    assert seen[1] == 200


def test_ctrl_c_is_told_with_what_came_before_it(monkeypatch: pytest.MonkeyPatch, state: Path, tmp_path: Path) -> None:
    async def rehearse(_choose: Any, _fetch: Any, _settings: Any, tell: Any, counts: Counts) -> None:
        counts.add(PLAIN)
        tell(PLAIN)
        raise KeyboardInterrupt

    monkeypatch.setattr("headgate.replay.rehearsal.rehearse", rehearse)
    result = run("--offline", "--state", state, "--rules", write_rules(tmp_path / "rules"), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["summary"]["interrupted"], told["summary"]["same"]) == (1, True, 1)


def test_the_command_is_imported_without_what_it_needs_to_run() -> None:
    assert not [name for name in vars(flows_replay) if name in ("Chain", "Store", "rehearse", "mitmproxy")]
