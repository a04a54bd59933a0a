"""Recorded requests through the present chain once more: what changed in the upstream, in rules and in masks is found,
and offline nothing leaves.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.canary import CANARY, found_in
from tests.e2e.conftest import Start
from tests.e2e.proxy import PATIENCE, Proxy, mint, write_rules
from tests.e2e.upstream import Reply, Upstream

COMMAND = [sys.executable, "-c", "from headgate.cli.flows_replay import replay; replay()"]
AGENTS = (
    "rules:\n"
    "  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}\n"
    "  - {id: no-refunds, effect: deny, match: {path: /refunds}, message: Ask finance.}\n"
    "  - {id: nobody-deletes, effect: deny, match: {method: DELETE}, message: Nothing is deleted here.}\n"
)
JSON = {"Content-Type": "application/json"}
LOOKED_UP = """
import socket, sys
asked = []
sys.addaudithook(lambda event, args: asked.append((event, str(args)[:200])) if event.startswith("socket.") else None)
from headgate.cli.flows_replay import replay
try:
    replay()
finally:
    names = [one for one in asked if one[0] in ("socket.getaddrinfo", "socket.gethostbyname")]
    dialled = [one for one in asked if one[0] in ("socket.connect", "socket.sendto") and "127.0.0.1" not in one[1]]
    print("LEFT", len(names) + len(dialled), file=sys.stderr)
"""

Replay = Callable[..., Any]


@pytest.fixture(scope="module")
def recorded(proxies: Start, upstream: Upstream) -> Proxy:
    """A proxy that has recorded a morning, and has ended."""
    upstream.forget()
    upstream.replies["/refunds"] = Reply(b'{"refund": 1, "at": "09:00"}', status=201)
    upstream.replies["/notes"] = Reply(b'{"note": "one"}')
    proxy = proxies(mode=f"reverse:{upstream.url}").warm()
    proxy.get("/orders?b=2&a=1")
    proxy.request("POST", "/refunds", json={"amount": 5, "ssn": f"{CANARY}-1"})
    proxy.get("/notes")
    proxy.request("DELETE", "/customers/7")
    proxy.get("/orders", token=None)
    proxy.settle()
    proxy.stop()
    return proxy


@pytest.fixture
def replay(recorded: Proxy, tmp_path: Path) -> Replay:
    """`headgate flows replay` on that recording: what it printed as JSON, and its exit code."""

    def run(*options: str, rules: Path | None = None, command: list[str] = COMMAND, wanted: str | None = None) -> Any:
        chosen = ["--filter", wanted] if wanted else []
        done = subprocess.run(
            [
                *command,
                "--state",
                str(recorded.state),
                "--rules",
                str(rules or recorded.rules),
                "--json",
                *chosen,
                *options,
            ],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE * 6,
            check=False,
        )
        assert not found_in(done.stdout.encode() + done.stderr.encode())
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


@pytest.fixture
def morning(upstream: Upstream) -> Upstream:
    """The upstream as it was when the morning was recorded; it has seen nothing yet."""
    upstream.replies["/refunds"] = Reply(b'{"refund": 1, "at": "09:00"}', status=201)
    upstream.replies["/notes"] = Reply(b'{"note": "one"}')
    return upstream


def states(told: Any) -> dict[str, str]:
    """What became of each request; `/customers/7` was asked for more than once while the proxy got warm."""
    return {f"{one['request']['method']} {one['request']['path']}": one["state"] for one in told["flows"]}


def of(told: Any, place: str) -> Any:
    return next(one for one in told["flows"] if f"{one['request']['method']} {one['request']['path']}" == place)


def changes(told: Any, place: str) -> dict[str, tuple[str, str]]:
    found = of(told, place)["differences"]
    return {f"{one['part']} {one['where']}".strip(): (one["recorded"], one["replayed"]) for one in found}


def test_with_everything_as_it_was_nothing_differs(replay: Replay, morning: Upstream) -> None:
    code, told, _ = replay("--to", morning.url, wanted="!~u customers")
    assert states(told) == {
        "GET /orders": "skipped",  # the second, of nobody; the first is the same as it was
        "POST /refunds": "same",
        "GET /notes": "same",
    }
    assert (code, told["summary"]["same"], told["summary"]["skipped_because"]) == (0, 3, {"nobody-identified": 1})
    assert [seen for seen in morning.paths() if "orders" in seen] == ["GET /orders?b=2&a=1"]
    (sent,) = [seen for seen in morning.seen if seen.method == "POST"]
    assert json.loads(sent.body) == {"amount": 5, "ssn": "[REDACTED]"}
    assert not [name for name, _ in sent.headers if "headgate" in name.lower()]
    assert any("body" in note for note in of(told, "POST /refunds")["notes"])


def test_what_the_upstream_answers_otherwise_is_found(replay: Replay, morning: Upstream) -> None:
    morning.replies["/refunds"] = Reply(b'{"at": "10:00", "refund": 2}', status=202, headers={**JSON, "X-New": "1"})
    morning.replies["/notes"] = Reply(b'{"note": "two"}')
    code, told, _ = replay("--to", morning.url, "--ignore-json", "$.at", wanted="~u refunds | ~u notes")
    assert code == 1
    assert changes(told, "POST /refunds") == {
        "status": ("201", "202"),
        "header x-new": ("(none)", "1"),
        "body /refund": ("1", "2"),
    }
    assert changes(told, "GET /notes") == {"body /note": ('"one"', '"two"')}


def test_what_differs_from_one_answer_to_the_next_is_noise(replay: Replay, morning: Upstream) -> None:
    class Ticking(dict[str, Reply]):
        """Each answer says another time."""

        ticks = 0

        def get(self, *_: Any) -> Any:
            Ticking.ticks += 1
            return Reply(b'{"refund": 2, "at": "%d"}' % Ticking.ticks, status=201)

    morning.replies = Ticking()
    code, told, _ = replay("--to", morning.url, "--twice", wanted="~u refunds")
    assert (code, list(changes(told, "POST /refunds"))) == (1, ["body /refund"])
    assert of(told, "POST /refunds")["noise"] == 1
    assert len(morning.paths()) == 2


def test_what_the_rules_decide_otherwise_is_found_and_never_sent(
    replay: Replay, morning: Upstream, tmp_path: Path
) -> None:
    rules = write_rules(tmp_path / "stricter", policy=AGENTS)
    code, told, _ = replay("--to", morning.url, rules=rules, wanted="~u refunds")
    assert code == 1
    assert changes(told, "POST /refunds") == {
        "verdict effect": ("allow", "deny"),
        "verdict reason": (changes(told, "POST /refunds")["verdict reason"][0], "denied-by-rule"),
        "verdict rules": ("support-may", "no-refunds"),
        "verdict refusal": ("(none)", "denied: denied-by-rule"),
        "status": ("201", "403"),
    }
    assert morning.connections == 0


def test_what_the_masks_no_longer_cover_is_found_and_not_shown(
    replay: Replay, morning: Upstream, tmp_path: Path
) -> None:
    weaker = "masks:\n  - {id: personal-data, match: {target: api}, detect: [CREDIT_CARD]}\n"
    code, told, _ = replay(
        "--to",
        morning.url,
        rules=write_rules(tmp_path / "weaker", masking=weaker),
        wanted="~u customers & ~m GET & ~decision allowed",
    )
    assert code == 1
    found = changes(told, "GET /customers/7")
    assert found["body /ssn"][1] == found["body /contact/email"][1] == "(no longer masked: not shown)"
    assert any(place.startswith("verdict mask /contact/email") for place in found)


def test_offline_the_recording_answers_and_nothing_leaves(replay: Replay, morning: Upstream) -> None:
    before = morning.connections
    code, told, errors = replay("--offline", command=[sys.executable, "-c", LOOKED_UP], wanted="!~u customers")
    assert (code, told["summary"]["same"]) == (0, 3), told
    assert "LEFT 0" in errors
    assert morning.connections == before


def test_offline_a_mask_that_is_new_is_found(replay: Replay, tmp_path: Path) -> None:
    more = write_rules(tmp_path / "more", masking="masks:\n  - {id: m, match: {target: api}, fields: [$.refund]}\n")
    code, told, _ = replay("--offline", rules=more, wanted="~u refunds")
    assert code == 1
    assert changes(told, "POST /refunds")["body /refund"][0] == "1"


def test_offline_a_recording_that_has_run_out_answers_no_more_and_nobody_else_does(
    replay: Replay, morning: Upstream, tmp_path: Path
) -> None:
    """What was refused then and passes now has no answer: it gets neither another flow's nor the upstream's."""
    rules = write_rules(
        tmp_path / "looser", policy=AGENTS.replace("effect: deny, match: {method", "effect: allow, match: {method")
    )
    code, told, _ = replay("--offline", rules=rules, wanted="~m DELETE | ~u notes")
    assert (code, states(told)) == (1, {"DELETE /customers/7": "missing", "GET /notes": "same"})
    missing = of(told, "DELETE /customers/7")
    assert missing["missing"]["reason"] == "different"
    assert missing["missing"]["nearest"] == of(told, "GET /notes")["decision_id"]
    assert set(missing["missing"]["differs"]) == {"method", "path"}
    assert morning.connections == 0


def test_offline_a_request_that_rules_change_names_its_recording_and_the_field(replay: Replay, tmp_path: Path) -> None:
    policy = AGENTS.replace("effect: allow", "effect: allow, remove_query: [a]").replace("/refunds", "/nothing")
    code, told, _ = replay("--offline", rules=write_rules(tmp_path / "shaping", policy=policy), wanted="~u orders")
    missing = of(told, "GET /orders")["missing"]
    assert (code, missing["differs"], missing["nearest"]) == (1, ["query a"], of(told, "GET /orders")["decision_id"])


def test_ctrl_c_ends_it_and_says_how_far_it_came(recorded: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    upstream.replies["/notes"] = Reply(raw=b"", then="hold")
    process = subprocess.Popen(
        [
            *COMMAND,
            "--state",
            recorded.state,
            "--rules",
            recorded.rules,
            "--to",
            upstream.url,
            "--json",
            "--filter",
            "~u notes",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    try:
        assert upstream.arrived.wait(PATIENCE * 6)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE * 3)
    finally:
        process.kill()
        process.communicate()
        upstream.release.set()
    assert (process.returncode, json.loads(out)["summary"]["interrupted"]) == (1, True), errors
    assert "Traceback" not in errors


def test_an_upstream_that_does_not_answer_in_time_is_a_failure_that_says_so(replay: Replay, upstream: Upstream) -> None:
    upstream.replies["/notes"] = Reply(raw=b"", then="hold")
    code, told, _ = replay("--to", upstream.url, "--timeout", "0.5", wanted="~u notes")
    upstream.release.set()
    assert (code, of(told, "GET /notes")["why"]) == (1, "no answer within 0.5 seconds")


@pytest.fixture
def planted() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        yield listener


def test_a_recording_from_elsewhere_cannot_choose_where_bytes_go(
    replay: Replay, recorded: Proxy, planted: socket.socket, tmp_path: Path
) -> None:
    """Its hosts and targets are text to be compared: no connection follows from them."""
    import shutil
    import sqlite3

    folder = shutil.copytree(recorded.state, tmp_path / "elsewhere")
    there = f"127.0.0.1:{planted.getsockname()[1]}"
    with sqlite3.connect(folder / "capture.db") as database:
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {name}")
        database.execute("update flows set path = ? where path = '/notes'", [f"http://{there}/x"])
        database.execute(
            "update flows set host = '127.0.0.1', port = ? where path = '/refunds'", [planted.getsockname()[1]]
        )
        injected = "json_insert(req_headers, '$[#]', json_array('X-A', '1' || char(13) || char(10) || 'X-B: 2'))"
        database.execute(f"update flows set req_headers = {injected} where path = '/orders'")  # noqa: S608 - our own
    database.close()
    _, told, _ = replay("--state", str(folder), "--offline", wanted="!~u customers")
    assert {one["state"] for one in told["flows"]} <= {"skipped", "same", "missing", "differs"}
    assert of(told, f"GET http://{there}/x")["why"] == "not-sendable: its target is no path"
    with pytest.raises(TimeoutError):
        planted.accept()


def test_the_replays_listener_takes_nobody_elses_requests(recorded: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    """A good token counts as little as none: who is meant is said by a word that only the replay knows."""
    script = tmp_path / "intrude.py"
    script.write_text(
        "import asyncio, sys, httpx\n"
        "from pathlib import Path\n"
        "from headgate.bundle.load import load_bundle\n"
        "from headgate.replay.runner import Chain, Upstream\n"
        "async def main():\n"
        "    async with Chain(load_bundle(Path(sys.argv[1])), Upstream(sys.argv[2])) as chain:\n"
        "        async with httpx.AsyncClient(trust_env=False) as client:\n"
        "            token, word = {'Authorization': f'Bearer {sys.argv[3]}'}, {'X-Headgate-Replay-Of': '0' * 64}\n"
        "            for headers in ({}, token, word):\n"
        "                answer = await client.get(f'http://127.0.0.1:{chain.port}/notes', headers=headers)\n"
        "                print(answer.status_code, answer.json()['reason'])\n"
        "asyncio.run(main())\n"
    )
    arguments = [str(recorded.rules), upstream.url, mint(recorded.state)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE * 6,
        check=False,
    )
    assert done.stdout.splitlines() == ["503 not-a-replay"] * 3, done.stderr
    assert upstream.connections == 0
