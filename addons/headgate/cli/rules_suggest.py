"""`headgate rules suggest`: allow rules for what callers were seen to do, ready to be read, pasted and tested.

What was recorded is decided again by the rules in a folder, as far as its record tells; signals are taken for not set.
Only what these rules refuse for want of a rule that allows is worth a suggestion.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON, RULES, STATE, moment
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:  # pydantic and sqlite-utils take time to import
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.capture.store import Store
    from headgate.model import Decision
    from headgate.policy.engine import Policy
    from headgate.policy.suggest.sightings import Seen, Sightings

MOST_POLICIES = 64


@click.command()
@STATE
@RULES
@click.option("--target", metavar="NAME", help="Only what went to this target.")
@click.option("--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC).")
@click.option(
    "--min", "least", type=click.IntRange(min=1), default=1, show_default=True, help="Only what was seen so often."
)
@click.option("--anonymous", is_flag=True, help="Also for callers who prove nothing.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a new file.")
@JSON
def suggest(
    state: Path,
    rules: Path,
    target: str | None,
    since: float | None,
    least: int,
    anonymous: bool,
    write: Path | None,
    as_json: bool,
) -> None:
    """Suggest rules that allow what was recorded, from an observed target above all.

    Requests that reached their target are grouped by path, method and groups of callers; nothing is suggested for what
    only ever ended in an error. The answer is a policy file with tests, to be read before it is used: what was done is
    not always what should be allowed. Rules that exist already count, and nothing is suggested against a rule that
    denies.

    \b
    headgate rules suggest --target payments --since 7d --min 3
    headgate rules suggest --write rules/policy/suggested.yaml
    headgate rules suggest --json | jq '.still_refused'
    """
    from headgate.bundle.load import load_bundle
    from headgate.capture.store import Store
    from headgate.cli import suggested
    from headgate.policy.engine import PolicyRules
    from headgate.policy.suggest.checks import check
    from headgate.policy.suggest.proposals import propose

    bundle = load_bundle(rules)
    _checked(bundle, target, write)
    sightings, again = _seen(Store(state), bundle, target, since)
    taken = [rule.ref.id for rule in bundle.policy.rules]
    suggestions, left = propose(sightings, least, anonymous=anonymous, taken=taken)
    outcome = check(PolicyRules(bundle.targets, bundle.policy), suggestions, left, again)
    if write is not None and outcome.suggestions:
        _write(write, _schema(write) + suggested.as_yaml(sightings, outcome, rules))
    if as_json:
        click.echo(json.dumps(suggested.as_json(sightings, outcome), indent=2))
    elif outcome.suggestions and write is None:
        click.echo(suggested.as_yaml(sightings, outcome, rules), nl=False)
    else:
        first = f"wrote {visible(str(write))}" if outcome.suggestions else "there is nothing to suggest"
        for line in (first, *suggested.report(sightings, outcome, rules)):
            click.echo(line, err=not outcome.suggestions)


def _checked(bundle: "Bundle", target: str | None, write: Path | None) -> None:
    names = bundle.targets.known_names()
    if target is not None and target not in names:
        accepted = ", ".join(f"`{name}`" for name in sorted(names)) or "none, for there are no targets"
        raise click.BadParameter(
            f"`{visible(target)[:80]}` is not a target; accepted: {accepted}", param_hint="--target"
        )
    if write is not None and os.path.lexists(write):
        raise click.BadParameter(
            f"`{visible(str(write))[:80]}` is there already; accepted: a new file", param_hint="--write"
        )


# -- what was seen ----------------------------------------------------------------------------------------------------


class Deciding:
    """Decides again on recorded requests, what their record lacks being unknown."""

    def __init__(self, bundle: "Bundle") -> None:
        self._targets = bundle.targets
        self._policies: dict[Any, tuple[Policy, Policy]] = {}

    def __call__(self, policy: "Policy", seen: "Seen") -> "Decision":
        from headgate.policy.engine import decide

        known = self._as_recorded(policy, seen)
        return decide(known, self._targets, seen.principal, seen.target, seen.request, now=seen.time)

    def _as_recorded(self, policy: "Policy", seen: "Seen") -> "Policy":
        """The rules, unknown where they ask for what is not recorded; few records differ in what they lack."""
        from headgate.policy.unrecorded import without

        found = seen.lacks
        key = (id(policy), found.lacks)
        if key not in self._policies:
            if len(self._policies) >= MOST_POLICIES:
                self._policies.clear()
            self._policies[key] = policy, without(policy, found.unrecorded)
        return self._policies[key][1]


def _seen(store: "Store", bundle: "Bundle", target: str | None, since: float | None) -> "tuple[Sightings, Deciding]":
    from headgate.policy.suggest.sightings import Sightings

    sightings, again = Sightings(), Deciding(bundle)
    bodies = any(rule.matcher.reads_body for rule in bundle.policy.rules)
    with _progress(store.count_answered(since)) as advance:
        for entry in store.answered(since, bodies=bodies):
            advance()
            found = _of(entry, bundle)
            if found is None:
                if target is None and entry.summary.method != "CONNECT":
                    sightings.leave_out("unknown-target")
            elif target in (None, found.target.name):
                sightings.add(found, again(bundle.policy, found))
    return sightings, again


def _of(entry: "Entry", bundle: "Bundle") -> "Seen | None":
    """What a record says was seen; None for tunnels, and where it went nowhere that these rules know."""
    from headgate.policy.suggest.sightings import Seen
    from headgate.replay.recorded import recorded

    summary = entry.summary
    target = bundle.targets.resolve(summary.scheme, summary.host, summary.port)
    if target is None or summary.method == "CONNECT":
        return None
    found = recorded(entry, bundle)
    if found.principal is None:
        return None
    request = found.request
    if summary.status == 101 and not request.values("upgrade"):  # where no headers are kept
        request = replace(request, headers=(*request.headers, ("upgrade", "websocket")))
    known = replace(found, lost=found.lost - {"path"})  # what is masked in a path stays within its segment
    well = summary.refusal is None and (summary.status or 500) < 400
    return Seen(summary.decision_id, summary.time, found.principal, request, target, well, known)


@contextmanager
def _progress(total: int) -> "Iterator[Any]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("reading the capture"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


# -- the file that is written ------------------------------------------------------------------------------------------


def _schema(file: Path) -> str:
    """For editors, where the schemas lie beside the rules."""
    beside = file.absolute().parent
    for up, folder in (("", beside), ("../", beside.parent)):
        if (folder / "schema" / "policy.json").is_file():
            return f"# yaml-language-server: $schema={up}schema/policy.json\n#\n"
    return ""


def _write(file: Path, text: str) -> None:
    """All of it at once, for a proxy may follow the folder; what begins with a dot is none of the rules."""
    new = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.rename(file)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise HeadgateError(f"`{visible(str(file))[:80]}` cannot be written: {reason}") from None
