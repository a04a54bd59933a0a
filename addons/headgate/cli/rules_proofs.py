"""`headgate rules test, lint`: whether rules do what their own tests say, and what in them is hardly meant."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON
from headgate.cli.rules_versions import reported
from headgate.cli.screen import visible

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.policy.coverage import Cover, Coverage
    from headgate.policy.engine import PolicyRules
    from headgate.policy.lint import Around
    from headgate.policy.mutants import Location, Mutant, Place
    from headgate.policy.proofs import Report

FOLDER = click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default="rules")


@click.command()
@FOLDER
@click.option("--coverage", "covered", is_flag=True, help="Say which rules and conditions the tests are about.")
@click.option("--mutate", is_flag=True, help="Say which small mistakes in the rules no test would notice.")
@JSON
@click.pass_context
def test(context: click.Context, folder: Path, covered: bool, mutate: bool, as_json: bool) -> None:
    """Run the tests that the rules in DIR (default: rules) hold under `tests:`.

    --coverage lists for each rule the tests in which it determines the answer, and the conditions that they do not show
    both met and failed. A rule that allows needs a test that it lets pass, and one that misses it by one condition.

    --mutate makes one small mistake after the other: a condition dropped or negated, a value of a list dropped, a rule
    or limit dropped, an effect or a mode turned round, isolation of environments off. Each must make some test fail.

    Exit code 0: all is well, 1: a test fails, a mistake is not noticed, or the rules cannot be used, 2: wrong usage.

    \b
    headgate rules test
    headgate rules test build/rules --coverage
    headgate rules test --mutate --json | jq -r '.mutants.survivors[] | "\\(.file):\\(.line): \\(.what)"'
    """
    with reported(as_json):
        from headgate.bundle.load import load_bundle
        from headgate.policy.coverage import coverage
        from headgate.policy.engine import PolicyRules
        from headgate.policy.proofs import run_tests

        bundle = load_bundle(folder)
        rules = PolicyRules(bundle.targets, bundle.policy)
        report = run_tests(rules)
        shown = coverage(rules) if covered else None
        tried = _tried(rules, bundle, folder) if mutate and not report.failed else None
        found = _json(bundle, report, shown, tried)
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            _print(report, shown, tried, mutate=mutate)
        context.exit(0 if found["ok"] else 1)


@click.command()
@FOLDER
@click.option("--strict", is_flag=True, help="Exit with 1 for findings that are only for information, too.")
@JSON
@click.pass_context
def lint(context: click.Context, folder: Path, strict: bool, as_json: bool) -> None:
    """Report what in the rules in DIR (default: rules) is accepted and hardly meant.

    Such as rules that never match, change nothing beside others, or let through too much; limits that are never
    reached; targets that nobody gets to.

    What is said to be dead or redundant surely is; not everything that is one is found.

    Exit code 0: nothing but information, 1: an error or a warning, or the rules cannot be used, 2: wrong usage.

    \b
    headgate rules lint
    headgate rules lint build/rules --strict
    headgate rules lint --json | jq -r '.findings[] | select(.severity == "error") | .message'
    """
    with reported(as_json):
        from headgate.bundle.load import load_bundle
        from headgate.policy.engine import PolicyRules
        from headgate.policy.lint import Severity
        from headgate.policy.lint import lint as check

        bundle = load_bundle(folder)
        findings = check(PolicyRules(bundle.targets, bundle.policy), _around(bundle, folder))
        counts = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
        wrong = len(findings) - (0 if strict else counts[Severity.INFO])
        if as_json:
            listed = [finding.as_json() for finding in findings]
            click.echo(json.dumps({"ok": not wrong, **_about(bundle), "findings": listed}, indent=2))
        else:
            for finding in findings:
                click.echo(visible(str(finding)))
            words = [
                f"{number} {severity}{'s' if severity is not Severity.INFO and number != 1 else ''}"
                for severity, number in counts.items()
                if number
            ]
            click.echo(", ".join(words) or "nothing found", err=True)
        context.exit(1 if wrong else 0)


# -- where things stand -----------------------------------------------------------------------------------------------


def _around(bundle: "Bundle", folder: Path) -> "Around":
    from headgate.policy.lint import Around

    identity = bundle.identity
    trusted = tuple(str(network) for network in identity.trusted_proxies.networks)

    def place(file: str, where: "Location") -> "Place":
        return _place(bundle, folder, file, where)

    return Around(identity.anonymous, trusted, place)


def _place(bundle: "Bundle", folder: Path, file: str, where: "Location") -> "Place":
    """The line of something in a file of the bundle, whose name is shown as problems show it."""
    from headgate.bundle.document import place_of
    from headgate.bundle.reader import read

    label = folder.name or folder.resolve().name
    if file not in bundle.contents:
        return f"{label}/policy", 0
    node, _ = read(bundle.contents[file])
    return f"{label}/{file}", place_of(node, where).line if node and where else 0


# -- mutants ----------------------------------------------------------------------------------------------------------


def _tried(rules: "PolicyRules", bundle: "Bundle", folder: Path) -> "tuple[int, list[Mutant]]":
    """How many mistakes were made, and those that no test noticed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from headgate.policy.mutants import mutants
    from headgate.policy.trial import Trial

    made = mutants(rules, _place(bundle, folder, "targets.yaml", ("isolate_environments",)))
    trial = Trial(rules)
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        tried = progress.track(made, description="")
        survivors = [mutant for mutant in tried if trial.noticed_by(mutant) is None]
    return len(made), survivors


# -- what is printed --------------------------------------------------------------------------------------------------


def _json(
    bundle: "Bundle", report: "Report", shown: "Coverage | None", tried: "tuple[int, list[Mutant]] | None"
) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": not report.failed and not (tried and tried[1]), **_about(bundle)}
    found |= {"passed": len(report.proofs) - len(report.failed), "failed": len(report.failed)}
    found["tests"] = report.as_json()
    if shown is not None:
        found["coverage"] = shown.as_json()
    if tried is not None:
        made, survivors = tried
        listed = [{"file": one.file, "line": one.line, "what": one.what} for one in survivors]
        found["mutants"] = {"made": made, "noticed": made - len(survivors), "survivors": listed}
    return found


def _about(bundle: "Bundle") -> dict[str, str]:
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}


def _print(
    report: "Report", shown: "Coverage | None", tried: "tuple[int, list[Mutant]] | None", *, mutate: bool
) -> None:
    for proof in report.failed:
        click.echo(visible(str(proof)))
    if shown is not None:
        _print_coverage(shown)
    for mutant in tried[1] if tried else ():
        click.echo(visible(f"{mutant}: no test noticed"))
    all_of, failed = len(report.proofs), len(report.failed)
    if failed:
        click.echo(f"{failed} of {_count(all_of, 'test')} failed", err=True)
        if mutate:
            click.echo("no mutants were tried: they need tests that pass", err=True)
    else:
        click.echo(f"ok: {_count(all_of, 'test')} passed" if all_of else "there are no tests", err=not all_of)
    if tried is not None:
        made, survivors = tried
        said = f"{len(survivors)} not noticed" if survivors else "all noticed"
        click.echo(f"{_count(made, 'mutant')}, {said}", err=bool(survivors))


def _print_coverage(shown: "Coverage") -> None:
    for cover in shown.rules:
        click.echo(visible(f"{cover.ref.file}:{cover.ref.line}: rule {cover.ref.id}: {_shown(cover)}"))
    for limit in shown.limits:
        said = _count(len(limit.tests), "test") if limit.tests else "no test whose request it counts"
        click.echo(visible(f"{limit.file}:{limit.line}: limit {limit.id}: {said}"))
    click.echo(f"{shown.covered} of {_count(len(shown.rules), 'rule')} covered")


def _shown(cover: "Cover") -> str:
    said = [_count(len(cover.tests), "test")] if cover.tests else []
    for held, words in ((True, "never failed"), (False, "never met")):
        names = [one.name for one in cover.conditions if (one.failed if held else one.held) is False]
        said += [f"{words}: {_listed(names)}"] if names else []
    return "; ".join([*said, *cover.missing])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
