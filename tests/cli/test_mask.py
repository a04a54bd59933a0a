"""`headgate mask`, from the command line to what it prints."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from headgate.cli.main import main

FILES = {
    "bundle.yaml": {"name": "t", "version": "1.0.0"},
    "targets.yaml": {"targets": [{"name": "customers", "hosts": ["customers.internal"], "environment": "prod"}]},
    "policy.yaml": {"rules": [{"id": "all", "effect": "allow", "match": {"target": "customers"}}]},
    "masking.yaml": {
        "masks": [
            {"id": "one", "match": {"host": "a.internal"}, "fields": ["$.name"]},
            {"id": "two", "match": {"host": "b.internal"}, "detect": ["EMAIL_ADDRESS"]},
        ]
    },
}
BODY = '{"name": "Ana", "to": "ana@example.com", "n": 1.0}'
MASKED = '{"name": "[REDACTED]", "to": "[EMAIL_ADDRESS]", "n": 1.0}'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(yaml.safe_dump(content))
    shipped = Path(__file__).parents[2] / "rules" / "identity.yaml"
    (folder / "identity.yaml").write_text(shipped.read_text())
    return folder


def _mask(rules: Path, *arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(main, ["mask", "--rules", str(rules), *arguments], input=given)


def test_standard_input_is_masked_by_every_mask_of_the_bundle(rules: Path) -> None:
    result = _mask(rules, "--type", "application/json", given=BODY)
    assert (result.exit_code, result.stdout) == (0, MASKED)


def test_a_file_tells_its_type_by_its_ending(rules: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(BODY)
    assert _mask(rules, str(file)).stdout == MASKED


def test_findings_are_printed_as_json(rules: Path) -> None:
    result = _mask(rules, "--type", "application/json", "--findings", given=BODY)
    (finding,) = json.loads(result.stdout)
    assert finding == {"location": "/to", "entity": "EMAIL_ADDRESS", "start": 0, "end": 15, "score": 1.0}


def test_a_report_says_what_was_masked(rules: Path) -> None:
    report = json.loads(_mask(rules, "--type", "application/json", "--json", given=BODY).stdout)
    assert report["masked"] == MASKED
    assert report["masks"] == [
        {"location": "/name", "entity": "field", "operator": "redact", "count": 1},
        {"location": "/to", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 1},
    ]


def test_what_cannot_be_masked_is_an_error_that_shows_nothing_of_it(rules: Path) -> None:
    result = _mask(rules, "--type", "application/json", given="ana@example.com")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "invalid-json" in result.stderr
    assert "ana@" not in result.stderr


def test_a_type_that_is_not_known_is_wrong_usage(rules: Path) -> None:
    result = _mask(rules, given=BODY)
    assert result.exit_code == 2
    assert "accepted: --type" in result.stderr


def test_a_folder_without_rules_is_reported(tmp_path: Path) -> None:
    result = _mask(tmp_path / "nowhere", "--type", "text/plain", given="x")
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
