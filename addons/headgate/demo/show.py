"""The demo on a terminal: one line for each request, then where to look; and the same as JSON."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headgate.demo.outcomes import Outcome
from headgate.demo.play import Played
from headgate.demo.stage import Stage

WIDE = 180
"""Columns for what is no terminal: a log, a pipe."""

ROOMY = 150
"""Columns from which on a request takes one line."""

LABELS = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "e-mail",
    "IBAN_CODE": "IBAN",
    "PHONE_NUMBER": "phone",
    "US_SSN": "SSN",
    "field": "field",
}

STYLES = {"allowed": "green", "refused": "red", "withheld": "yellow", "failed": "bold red"}


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, emoji=False)


def print_outcomes(to: Console, outcomes: Sequence[Outcome]) -> None:
    """One line for each where there is room, else what was masked or told below it; who calls is said once."""
    wide = to.width >= ROOMY
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("who", "what", "request", "verdict", "why", "masked, or told") if wide else ("", "verdict", "why"):
        table.add_column(column, overflow="fold", no_wrap=column in ("verdict", "why"))
    for who, of_caller in groupby(outcomes, lambda outcome: outcome.scene.who):
        if not wide:
            table.add_row(Text(who, style="bold"))
        for at, outcome in enumerate(of_caller):
            told = outcome.message or masked_text(outcome)
            request = Text(f"{outcome.scene.method} {outcome.scene.target}", style="dim")
            verdict = _verdict(outcome), Text(outcome.why)
            if wide:
                table.add_row(Text("" if at else who, style="bold"), outcome.scene.tries, request, *verdict, Text(told))
            else:
                table.add_row(f"  {outcome.scene.tries}", *verdict)
                if told:
                    table.add_row(Padding(Text(told, style="dim"), (0, 0, 0, 4)))
            for surprise in outcome.surprises():
                table.add_row(*[""] * wide, Text(f"  not as expected: {surprise}", style="bold red"))
    to.print(table)


def _verdict(outcome: Outcome) -> Text:
    verdict = outcome.entry.summary.verdict
    return Text(f"{verdict} ({outcome.got.status})", style=STYLES[verdict])


def masked_text(outcome: Outcome) -> str:
    """Such as `e-mail 2, IBAN`."""
    found = sorted((LABELS.get(entity, entity), count) for entity, count in outcome.masked.items())
    return ", ".join(f"{label} {count}" if count > 1 else label for label, count in found)


def conclusion(played: Played) -> Text:
    if played.as_expected:
        arrived = sum(outcome.scene.arrives for outcome in played.outcomes)
        text = (
            f"All {len(played.outcomes)} verdicts as expected. The sample API received exactly the {arrived} requests "
            "it should have; no personal value reached a caller, the record or the log. The audit log holds a "
            "decision and an outcome for each, and verifies; decided and masked again from the record, each comes "
            "to the same end."
        )
        return Text(text, style="green")
    count = sum(1 for outcome in played.outcomes if list(outcome.surprises()))
    lines = [f"{count} of {len(played.outcomes)} requests did not end as expected.", *played.wrong]
    return Text("\n".join(lines), style="bold red")


def where_to_look(on: Stage, outcomes: Sequence[Outcome], cwd: Path) -> dict[str, str]:
    """What to run next, by what it shows; each works when pasted."""
    command, state, rules = headgate_command(cwd), _shown(on.state, cwd), _shown(on.rules, cwd)
    masked = next((outcome for outcome in outcomes if outcome.masked), outcomes[0])
    refused = next((outcome for outcome in outcomes if outcome.message), outcomes[0])
    again = {} if on.web else {"the same in mitmweb, to explore": f"{command} demo --keep"}
    return {
        "everything that was recorded": f"{command} flows list --state {state}",
        "one answer, masked": f"{command} flows show {masked.entry.summary.decision_id} --state {state}",
        "one refusal": f"{command} flows show {refused.entry.summary.decision_id} --state {state}",
        "that nobody altered it": f"{command} audit verify --state {state}",
        "what changed rules would do": f"{command} flows impact --rules {rules} --state {state}",
        "the rules that decided": f"{rules}{os.sep}*.yaml",
        **again,
    }


def explore(on: Stage) -> dict[str, str]:
    """Requests to try while it is up: tokens come from the sample identity provider."""

    def curl(caller: str, rest: str) -> str:
        return f'curl -i -H "Authorization: Bearer $(curl -s {on.provider.url}/token/{caller})" {rest}'

    return {
        "support reads a customer": curl("ana", f"{on.url}/v1/customers/42"),
        "an agent books a refund": curl("copilot", f'-d \'{{"customer": 42, "amount": 84}}\' {on.url}/v1/refunds'),
        "a CI job reads a customer": curl("ci", f"{on.url}/v1/customers/42"),
        "a stranger": f"curl -i {on.url}/v1/customers/42",
        "past the proxy, unmasked": f"curl -i {on.api.url}/v1/customers/42",
    }


def print_hints(to: Console, title: str, entries: Mapping[str, str]) -> None:
    """Never wrapped, so that a command can be copied."""
    to.print(Text(title, style="bold"))
    wide = max(map(len, entries))
    for what, how in entries.items():
        to.print(Text.assemble((f"  {what:{wide}}  ", "dim"), how), soft_wrap=True)
    to.print()


def as_json(on: Stage, played: Played, cwd: Path) -> dict[str, Any]:
    return {
        "as_expected": played.as_expected,
        "wrong": list(played.wrong),
        "scenes": [_scene_json(outcome) for outcome in played.outcomes],
        "where_to_look": where_to_look(on, played.outcomes, cwd),
        "explore": {"proxy": on.url, "api": on.api.url, "provider": on.provider.url, "web": on.web} if on.web else None,
    }


def _scene_json(outcome: Outcome) -> dict[str, Any]:
    scene, summary = outcome.scene, outcome.entry.summary
    return {
        "who": scene.who,
        "what": scene.tries,
        "method": scene.method,
        "target": scene.target,
        "status": outcome.got.status,
        "verdict": summary.verdict,
        "why": outcome.why,
        "message": outcome.message,
        "masked": dict(sorted(outcome.masked.items())),
        "reached_api": scene.arrives,
        "decision_id": summary.decision_id,
        "surprises": list(outcome.surprises()),
    }


def headgate_command(cwd: Path) -> str:
    """How to run this `headgate` from here: by its name where the PATH has it, else by where it is."""
    here = Path(sys.executable).with_name("headgate")
    found = shutil.which("headgate")
    return "headgate" if found and Path(found).resolve() == here.resolve() else _shown(here, cwd)


def _shown(path: Path, cwd: Path) -> str:
    return shlex.quote(str(path.relative_to(cwd) if path.is_relative_to(cwd) else path))
