"""A rules folder and its command, for the tests of `headgate rules explain`."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from headgate.cli.main import main

FILES = {
    "bundle.yaml": "name: test\nversion: 1.0.0\n",
    "identity.yaml": "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n",
    "targets.yaml": (
        "targets:\n"
        "  - {name: api, hosts: [api.internal], environment: prod}\n"
        "  - {name: trial, hosts: [trial.internal], environment: prod, observe: true}\n"
    ),
    "policy.yaml": """\
rules:
  - id: support-reads
    effect: allow
    match:
      principal: {groups: [support]}
      target: api
      method: GET
      path: "/v1/customers/{id}"
  - id: refunds
    effect: approve
    match: {method: POST, path: /v1/refunds}
    approval: {by: {groups: [leads]}}
    message: Ask a lead.
  - id: agents-never-delete
    effect: deny
    match: {principal: {kind: agent}, method: DELETE}
  - id: later
    effect: deny
    mode: shadow
    match: {not: {principal: {groups: [leads]}}, method: GET}
""",
    "masking.yaml": """\
masks:
  - {id: everywhere, match: {}, detect: [EMAIL_ADDRESS]}
  - {id: trial-only, match: {target: trial}, fields: ["$..ssn"]}
""",
}
ANA = "{id: ana, kind: human, groups: [support], environment: prod}"
CUSTOMER = "https://api.internal/v1/customers/42"


def write_rules(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


class Explain:
    """`headgate rules explain` in one folder of rules and state."""

    def __init__(self, folder: Path) -> None:
        self.rules, self.state = write_rules(folder / "rules"), folder / "state"

    def __call__(self, *words: str | Path, code: int = 0, stdin: str | None = None) -> Result:
        more = ["--rules", str(self.rules), "--state", str(self.state)]
        result = CliRunner().invoke(main, ["rules", "explain", *map(str, words), *more], input=stdin)
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str | Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*words, "--json").stdout)
        return found

    def answer(self, *words: str | Path) -> tuple[str, str]:
        """The effect and the reason, or the status and the reason of what never came so far."""
        found = self.json(*words)
        refusal, decision = found["refusal"], found["decision"]
        return (str(refusal["status"]), refusal["reason"]) if refusal else (decision["effect"], decision["reason"])
