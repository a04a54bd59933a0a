"""`headgate rules`: check a rules folder, and print the schemas of its files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.rules_explain import explain
from headgate.cli.rules_proofs import lint, test
from headgate.cli.rules_signing import sign, verify
from headgate.cli.rules_suggest import suggest
from headgate.cli.rules_versions import activate, diff, history, rollback
from headgate.errors import BundleError

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle


@click.group()
def rules() -> None:
    """Check and test a rules folder; explain answers; print schemas; activate, compare, roll back and sign versions."""


for versioning in (activate, history, diff, rollback, sign, verify):
    rules.add_command(versioning)
for proving in (explain, lint, test):
    rules.add_command(proving)
rules.add_command(suggest)


@rules.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default="rules")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(context: click.Context, folder: Path, as_json: bool) -> None:
    """Report every problem of the rules in DIR (default: rules), or that there is none.

    Exits with 0 when the rules can be used, else with 1.
    """
    from headgate.bundle.load import load_bundle

    try:
        report = _report(load_bundle(folder))
    except BundleError as error:
        report = {"ok": False, "problems": [_problem(problem) for problem in error.problems]}
        if not as_json:
            click.echo(str(error))
            click.echo(_count(len(error.problems), "problem"), err=True)
    else:
        if not as_json:
            click.echo(_summary(report))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    context.exit(0 if report["ok"] else 1)


@rules.command()
@click.argument("file", required=False)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Write one file for each into a folder.")
def schema(file: str | None, into: Path | None) -> None:
    """Print the JSON Schema of FILE (such as policy.yaml), or of every file of a bundle as one object.

    An editor completes and checks a rules file that begins with `# yaml-language-server: $schema=PATH`.
    """
    from headgate.bundle.files import schemas

    known = schemas()
    if file is not None:
        name = file if file.endswith(".yaml") else f"{file}.yaml"
        if name not in known:
            accepted = ", ".join(known)
            raise click.BadParameter(f"`{file}` is not a file of a bundle; accepted: {accepted}", param_hint="FILE")
        known = {name: known[name]}
    if into is None:
        click.echo(json.dumps(known if file is None else known[name], indent=2))
        return
    _write(known, into)


def _write(known: dict[str, Any], into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, content in known.items():
            (into / name).with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"`{into}` cannot be written: {(error.strerror or 'error').lower()}") from error


def _report(bundle: "Bundle") -> dict[str, Any]:
    from headgate.bundle.load import label

    return {
        "ok": True,
        "name": bundle.name,
        "version": bundle.version,
        "label": label(bundle),
        "sha256": bundle.sha256,
        "providers": len(bundle.identity.providers),
        "targets": len(bundle.targets.known_names()),
        "rules": len(bundle.policy.rules),
        "tests": len(bundle.policy.tests),
        "masks": len(bundle.masking.masks),
        "problems": [],
    }


def _summary(report: dict[str, Any]) -> str:
    counts = ", ".join(_count(report[f"{what}s"], what) for what in ("provider", "target", "rule", "test", "mask"))
    return f"ok: {report['name']} {report['version']}, {counts}, sha256 {report['sha256']}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _problem(problem: Any) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}
