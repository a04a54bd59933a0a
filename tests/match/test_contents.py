"""What the keys of `match:` that look into a request say of it; the truth table is cases/match-contents.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.match.asking import asked, facts_of

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "match-contents.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_what_the_contents_of_a_request_say(case: dict[str, Any]) -> None:
    holds = asked(case["match"], facts_of(case), widen=case.get("widen", False))
    assert holds is (None if case["holds"] == "unknown" else case["holds"])
