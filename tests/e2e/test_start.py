"""A start that cannot succeed ends with exit 1 and says why, each problem in one line, before anything is served."""

import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from tests.e2e.conftest import Start
from tests.e2e.proxy import CHAIN, FAULT_DOORS, SCRIPTS, Proxy, write_rules
from tests.e2e.upstream import Upstream


def ended(proxy: Proxy) -> list[str]:
    """What a proxy said that ended before it listened."""
    assert proxy.wait() == 1, proxy.output.text
    assert "listening" not in proxy.output.text
    assert "Traceback" not in proxy.output.text
    lines = [line.partition("headgate: ")[2].strip() for line in proxy.output.lines if line.startswith("headgate: ")]
    assert lines, proxy.output.text
    return lines


@pytest.mark.parametrize("door", FAULT_DOORS)
def test_rules_that_do_not_parse_are_reported_all_together_with_file_and_line(
    attempt: Start, tmp_path: Path, door: str
) -> None:
    rules = write_rules(
        tmp_path / "rules",
        policy="rules:\n\t- {id: tab}\n",
        targets="targets:\n  - {name: api, hosts: [127.0.0.1], hosts: [localhost]}\nunknown: refuse\n",
        masking="masks:\n  - {id: m, match: {}, fields: ['$..ssn'], operatorz: x}\n",
        identity="providers:\n  - {name: dev, preset: development, audiences: 7}\n",
    )
    reported = "\n".join(ended(attempt(door=door, rules=rules)))
    for place in (
        r"policy\.yaml:2:\d+: ",
        r"targets\.yaml:2:\d+: ",
        r"masking\.yaml:2:\d+: ",
        r"identity\.yaml:2:\d+: ",
    ):
        assert re.search(place, reported), reported


def test_a_missing_rules_folder(attempt: Start, tmp_path: Path) -> None:
    (problem,) = ended(attempt(rules=tmp_path / "nowhere"))
    assert "nowhere" in problem


def test_a_file_where_the_rules_folder_should_be(attempt: Start, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").touch()
    (problem,) = ended(attempt(rules=tmp_path / "rules.yaml"))
    assert "rules.yaml" in problem


def test_a_folder_where_a_rules_file_should_be(attempt: Start, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules")
    (rules / "policy.yaml").unlink()
    (rules / "policy.yaml").mkdir()
    assert any("policy.yaml" in problem for problem in ended(attempt(rules=rules)))


def test_a_rule_that_refers_to_nothing(attempt: Start, tmp_path: Path) -> None:
    policy = "rules:\n  - {id: r, effect: allow, match: {target: nowhere}}\n"
    rules = write_rules(tmp_path / "rules", policy=policy)
    (problem,) = ended(attempt(rules=rules))
    assert re.match(r".*policy\.yaml:2:\d+: .*`nowhere`", problem)


@pytest.mark.parametrize("door", ["mitmdump", "headgate run"])
def test_a_file_where_the_state_folder_should_be(attempt: Start, tmp_path: Path, door: str) -> None:
    (tmp_path / "taken").touch()
    (problem,) = ended(attempt(door=door, state=tmp_path / "taken"))
    assert "taken" in problem


def test_a_state_folder_that_lies_in_a_file(attempt: Start, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    (problem,) = ended(attempt(state=tmp_path / "taken/state"))
    assert "taken/state" in problem


@pytest.mark.parametrize("taken", ["capture.db", "keys"])
def test_something_else_in_the_state_folder(attempt: Start, tmp_path: Path, taken: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / taken).write_text("neither a database nor a folder, but a text that is long enough to be looked at\n" * 20)
    (problem,) = ended(attempt(state=state))
    assert taken in problem


def test_a_state_folder_that_cannot_be_written(attempt: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    if os.geteuid():
        state.mkdir(mode=0o500)
    else:  # nothing is forbidden to root but what the system itself keeps
        state = Path("/proc/self/state")
    (problem,) = ended(attempt(state=state))
    assert "state" in problem


@pytest.mark.parametrize("door", ["mitmdump", "mitmweb", "headgate run"])
def test_a_port_in_use(attempt: Start, door: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        proxy = attempt(door=door, port=taken.getsockname()[1])
        assert proxy.wait() == 1
    assert re.search(r"failed to listen on 127\.0\.0\.1:\d+ .*address already in use", proxy.output.text)
    assert "Traceback" not in proxy.output.text


@pytest.mark.parametrize("door", ["mitmweb", "headgate web"])
def test_a_port_in_use_for_the_window(attempt: Start, door: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        proxy = attempt("--web-port", str(taken.getsockname()[1]), door=door)
        assert proxy.wait() == 1
    assert re.search(r"Web server failed to listen on .*Address already in use", proxy.output.text, re.IGNORECASE)


FAILING = {
    "ImportError": "raise ImportError('c4n4ry')",
    "AddonHalt": "from mitmproxy.exceptions import AddonHalt\nraise AddonHalt",
    "OptionsError": "from mitmproxy.exceptions import OptionsError\nraise OptionsError('c4n4ry')",
    "CancelledError": "import asyncio\nraise asyncio.CancelledError",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize("failing", FAILING)
def test_a_guard_that_cannot_be_loaded_keeps_mitmproxy_from_serving(
    attempt: Start, tmp_path: Path, failing: str
) -> None:
    """mitmproxy logs some of these and goes on without the script; others it does not even log."""
    chain = Path(shutil.copy(CHAIN, tmp_path / "chain.py"))
    (tmp_path / "headgate").mkdir()
    (tmp_path / "headgate/__init__.py").write_text(FAILING[failing])
    (problem,) = ended(attempt(chain=chain))
    assert problem.startswith(f"cannot start: {failing}")


def test_the_guard_refuses_until_it_has_rules(attempt: Start, upstream: Upstream) -> None:
    """As it would be if a start took its time: the guard is there, and nobody has told it by what to judge."""
    proxy = attempt(mode=f"reverse:{upstream.url}", door="headgate run", scripts_after=[SCRIPTS / "unready.py"])
    proxy.ready().output.wait_for("the guard has not begun")
    for token in ("", None):
        refused = proxy.get("/customers/7", token=token)
        assert (refused.status_code, refused.json()["reason"]) == (503, "not-ready")
        assert len(refused.json()["decision_id"]) == 26
    assert upstream.connections == 0


def test_the_rules_that_ship_serve_without_any_configuration(proxies: Start, upstream: Upstream) -> None:
    shipped = Path(__file__).resolve().parents[2] / "rules"
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=shipped).ready()
    assert proxy.get("/customers/7", token=None).status_code == 401
    assert upstream.connections == 0
