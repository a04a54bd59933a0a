"""The whole benchmark once, with next to nothing of everything: that it runs, and what its result looks like."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headgate.bench import run as running
from headgate.bench.run import Scale
from headgate.cli.main import main

LEAST = Scale(cycles=1, seconds=0.2, rounds=1, documents=1, sizes=(1_000,), largest=20_000)

STAGES = {"capture", "audit", "identity", "policy", "assertion", "masking"}


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "QUICK", LEAST)
        done = CliRunner().invoke(main, ["bench", "--quick", "--json"])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_machine_is_described(result: dict[str, Any]) -> None:
    assert set(result["machine"]) == {"processor", "cores", "python", "system", "packages"}
    assert all(result["machine"].values())


def test_every_figure_of_the_design_is_there_with_its_bar(result: dict[str, Any]) -> None:
    bars = {figure["bar"] for figure in result["figures"]}
    assert bars >= {
        "at least 1.0 x (aim 1.3 x)",
        "at most 25 us",
        "at most 2 x",
        "at most 1.3 x",
        "at most 15 us",
        "at least 20 x",
        "at least 10 x",
        "at least 10,000/s",
        "at most 5 %",
        "at most 5 ms",
        "at most 20 ms",
        "at least 98 %",
        "at least 95 %",
    }
    assert all(figure["low"] <= figure["median"] <= figure["high"] for figure in result["figures"])
    assert all((figure["met"] is None) == (figure["bar"] is None) for figure in result["figures"])


def test_each_stage_is_accounted_for(result: dict[str, Any]) -> None:
    alone = result["one_request_at_a_time"]
    assert alone["bare"]["stage_us"] == {}
    assert set(alone["chain"]["stage_us"]) == STAGES
    assert set(alone["chain, detection"]["stage_us"]) == STAGES


def test_it_is_shown_that_the_load_is_not_the_bottleneck(result: dict[str, Any]) -> None:
    assert result["soundness"]["direct_over_fastest_proxied"] > 0
    assert 0 <= result["soundness"]["load_busy"] <= 1


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also when it fails: here, because the chain has no rules."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("headgate.bench.bundle.policy_rules", lambda _: "none")
    done = CliRunner().invoke(main, ["bench", "--quick"])
    assert done.exit_code == 1
    assert "the chain ended; its last lines:" in done.stderr
    assert "policy.yaml" in done.stderr
    assert list(tmp_path.iterdir()) == []
