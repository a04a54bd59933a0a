"""`headgate mask`, from the command line to what it prints."""

import json
import subprocess
import sys
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


# -- for whom, and where from ------------------------------------------------------------------------------------------

AT = {
    "masks": [
        {"id": "here", "match": {"target": "customers"}, "fields": ["$.name"]},
        {"id": "there", "match": {"target": {"environment": "dev"}}, "detect": ["EMAIL_ADDRESS"]},
        {
            "id": "not-for-officers",
            "match": {"path": "/v1/{rest...}"},
            "except": {"principal": {"groups": ["officers"]}},
            "fields": ["$.ssn"],
        },
    ]
}
PERSON = '{"name": "Ana", "to": "ana@example.com", "ssn": "1"}'


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        ([], '{"name": "[REDACTED]", "to": "[EMAIL_ADDRESS]", "ssn": "[REDACTED]"}'),
        (["--target", "customers"], '{"name": "[REDACTED]", "to": "ana@example.com", "ssn": "[REDACTED]"}'),
        (
            ["--target", "customers", "--principal", "{id: ana, kind: human, groups: [officers]}"],
            '{"name": "[REDACTED]", "to": "ana@example.com", "ssn": "1"}',
        ),
        (
            ["--principal", "{id: ana, kind: human, groups: [support]}"],
            '{"name": "[REDACTED]", "to": "[EMAIL_ADDRESS]", "ssn": "[REDACTED]"}',
        ),
    ],
    ids=["anywhere", "target", "excepted", "not-excepted"],
)
def test_masks_that_cannot_hold_there_or_for_him_do_not(rules: Path, arguments: list[str], masked: str) -> None:
    (rules / "masking.yaml").write_text(yaml.safe_dump(AT))
    result = _mask(rules, "--type", "application/json", *arguments, given=PERSON)
    assert (result.exit_code, result.stdout) == (0, masked)


def test_a_target_that_does_not_exist_is_wrong_usage(rules: Path) -> None:
    result = _mask(rules, "--type", "application/json", "--target", "nowhere", given=BODY)
    assert result.exit_code == 2
    assert "`nowhere` is not a target; accepted: `customers`" in result.stderr


def test_tokens_need_their_key(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = [{"id": "a", "match": {}, "fields": ["$.name"], "as": {"default": "token"}}]
    (rules / "masking.yaml").write_text(yaml.safe_dump({"masks": masks, "token_key": "env:MASK_KEY"}))
    monkeypatch.delenv("MASK_KEY", raising=False)
    refused = _mask(rules, "--type", "application/json", given='{"name": "Ana"}')
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "secret `env:MASK_KEY` is not set" in refused.stderr
    monkeypatch.setenv("MASK_KEY", "0123456789abcdef")
    first, second = (_mask(rules, "--type", "application/json", given='{"name": "Ana"}').stdout for _ in range(2))
    assert first == second != '{"name": "Ana"}'


# -- what flows --------------------------------------------------------------------------------------------------------


RUN = "from headgate.cli.main import main; main()"


def _process(rules: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-c", RUN, "mask", "--rules", str(rules), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_lines_from_a_pipe_are_masked_as_they_come(rules: Path) -> None:
    """The second line is written only when the first has come back."""
    with _process(rules, "--type", "application/x-ndjson") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(2):
            process.stdin.write(BODY.replace("1.0", str(number)).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == MASKED.replace("1.0", str(number)).encode() + b"\n"
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_what_flows_and_cannot_be_masked_ends_with_an_error(rules: Path) -> None:
    with _process(rules, "--type", "application/x-ndjson") as process:
        out, err = process.communicate(f"{BODY}\n{{ana@example.com\n{BODY}\n".encode())
    assert process.returncode == 1
    assert f"{MASKED}\n".encode().startswith(out)
    assert b"cannot be masked as `application/x-ndjson`: invalid-json" in err
    assert b"ana@" not in err
