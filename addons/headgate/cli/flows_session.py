"""`headgate flows session`: what one caller did in one session, from the first request to the last."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli.options import JSON, STATE
from headgate.cli.screen import print_table, visible

if TYPE_CHECKING:
    from headgate.replay.session import Session, Step

COLUMNS = ("after", "", "id", "principal", "method", "where", "verdict", "why", "status", "masked")
SIGNS = {"refused": "!", "withheld": "!", "failed": "x", "observed": "?", "allowed": ""}


@click.command("session")
@click.argument("name", metavar="ID")
@click.option("--provider", metavar="NAME", help="Whose session, where several providers know one of this id.")
@STATE
@JSON
def show_session(name: str, provider: str | None, state: Path, as_json: bool) -> None:
    """Show one caller's session: every request in order, when it came after the first, and what came of it.

    ID is that of a session, or of a flow or decision in it. `!` marks what was refused or withheld, `x` what failed,
    `?` what would be refused if it were enforced; pauses of a minute and more are shown.

    \b
    headgate flows session 8f2c1e
    headgate flows session 3f2a91c0 --json | jq '.steps[] | select(.verdict == "refused")'
    """
    from headgate.capture.store import Store
    from headgate.replay.session import session_json, session_of

    found = session_of(Store(state), name, provider)
    if as_json:
        click.echo(json.dumps(session_json(found), indent=2))
        return
    for line in _head(found):
        click.echo(visible(line))
    click.echo()
    print_table(COLUMNS, list(_rows(found)), flexible=("principal", "where", "why"))


def _head(session: "Session") -> Iterator[str]:
    from headgate.capture.layout import iso

    who, first, last = session.principal, session.steps[0], session.steps[-1]
    names = sorted({step.entry.summary.principal or "unknown" for step in session.steps})
    kind = f"{who.get('kind', '-')}, " if len(names) == 1 else ""
    yield f"session {session.id} of {', '.join(names)} ({kind}by {who.get('provider', '-')})"
    count = len(session.steps)
    yield f"{iso(first.entry.summary.time)}, {count} request{'' if count == 1 else 's'} in {_time(last.after)}"
    counts = {
        "refused": session.count("refused"),
        "withheld": session.count("withheld"),
        "failed": session.count("failed"),
        "values masked": session.masked,
    }
    said = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    yield said or "nothing refused, nothing masked"


def _rows(session: "Session") -> Iterator[tuple[str, ...]]:
    from headgate.replay.session import GAP

    for step in session.steps:
        if step.pause >= GAP:
            yield ("", "", "", "", "", f"... {_time(step.pause)} without a request ...", "", "", "", "")
        yield _row(step)


def _row(step: "Step") -> tuple[str, ...]:
    from headgate.cli.flowshown import place, why

    summary = step.entry.summary
    return (
        f"+{_time(step.after)}",
        SIGNS.get(summary.verdict, ""),
        summary.flow_id[:8],
        summary.principal or "-",
        summary.method,
        place(summary) + (summary.path or ""),
        summary.verdict,
        why(summary),
        str(summary.status or "-"),
        str(summary.masked or "-"),
    )


def _time(seconds: float) -> str:
    """As a person reads it: `0.1s`, `4m10s`, `2h03m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
