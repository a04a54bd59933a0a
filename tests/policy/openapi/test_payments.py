"""Requests against one realistic description, in OpenAPI 3.0 and 3.1: the same answers."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.policy.openapi.samples import request

from headgate.policy.openapi import Description, compile_description

CASES_FOLDER = Path(__file__).parents[2] / "cases"
CASES = yaml.safe_load((CASES_FOLDER / "openapi.yaml").read_text(encoding="utf-8"))
DESCRIPTIONS: dict[str, Description] = {}


def payments(version: str) -> Description:
    if version not in DESCRIPTIONS:
        file = CASES_FOLDER / "openapi" / f"payments-{version}.yaml"
        DESCRIPTIONS[version] = compile_description(file.read_bytes(), file.name)
    return DESCRIPTIONS[version]


@pytest.mark.parametrize("version", ["3.0", "3.1"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_requests_against_the_payments_description(case: dict[str, Any], version: str) -> None:
    parts = {key: case[key] for key in ("query", "headers", "text", "json", "form") if key in case}
    found = payments(version).check(request(case.get("method", "GET"), case["path"], **parts))
    assert {violation.pointer: violation.what for violation in found} == case["expect"]
    assert len(found) == len(case["expect"])


def test_no_note_stands_twice() -> None:
    assert len({case["note"] for case in CASES}) == len(CASES)
