"""What changes for one exchange from one set of rules to another: cases in tests/cases/impact.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.replay.under_rules import Asked, capture, detector, make_bundle

from headgate.capture.record import Mode
from headgate.model import Refusal
from headgate.replay.comparison import MIRRORED, Change, compare
from headgate.replay.judge import decide_and_mask

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/impact.yaml").read_text(encoding="utf-8"))


def asked(given: dict[str, Any]) -> Asked:
    read = {
        "answer": str.encode,
        "body": str.encode,
        "mode": Mode,
        "signals": lambda names: None if names is None else frozenset(names),
        "exhausted": frozenset,
        "refusal": lambda parts: Refusal(*parts),
        "answer_headers": lambda fields: tuple((name.encode(), value.encode()) for name, value in fields),
    }
    return Asked(**{name: read.get(name, lambda value: value)(value) for name, value in given.items()})


def told(change: Change) -> str:
    place = f" {change.place[1]} {change.place[0]}" if change.place else ""
    return f"{change.kind}: {change.what}{place}"


@pytest.mark.parametrize("case", CASES, ids=[case["note"] for case in CASES])
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "old", **case.get("old", {}))
    new = make_bundle(tmp_path / "new", **case.get("new", {}))
    (entry,) = capture(tmp_path / "state", old, [asked(case.get("asked", {}))])
    before, after = (decide_and_mask(bundle, entry, recorded_under=old, detector=detector) for bundle in (old, new))
    assert sorted(map(told, compare(before, after))) == case["expect"]
    back = [change.kind for change in compare(after, before)]
    assert sorted(back) == sorted(MIRRORED.get(change.kind, change.kind) for change in compare(before, after))
    assert compare(before, before) == [] or not before.judged
    assert compare(after, after) == [] or not after.judged
