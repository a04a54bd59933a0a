"""`headgate signal`: live signals that rules can match, set and cleared by an operator.

Writes to the state folder of a proxy, which reads it several times a second.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.audited import record
from headgate.cli.notes import iso, one_line, user
from headgate.cli.options import JSON, STATE, seconds_of
from headgate.cli.screen import print_table, visible

if TYPE_CHECKING:  # sqlite-utils takes time to import
    from headgate.policy.signals import Change, Signal

COLUMNS = ("signal", "ends", "since", "by", "reason")
HISTORY = ("time", "what", "signal", "ends", "by", "reason")
REASON = click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads the list.")


@click.group()
def signal() -> None:
    """Set and clear live signals, which rules match as `signal: NAME`.

    They count within a second, and end by themselves.

    \b
    headgate signal set incident --for 1h --reason "database failover"
    headgate signal list
    headgate signal clear incident
    """


@signal.command("set")
@click.argument("name")
@click.option("--for", "lasts", default="1h", show_default=True, metavar="TIME", help="Such as `15m`, up to `7d`.")
@REASON
@STATE
@JSON
def set_signal(name: str, lasts: str, reason: str, state: Path, as_json: bool) -> None:
    """Set the signal NAME from now on, for a limited time.

    A name is made of lower-case letters and digits, in words joined by `-`. To set a signal again replaces the time it
    was set for, whether that was longer or shorter.

    Exit code 0: set, 1: it could not be, 2: wrong usage.

    \b
    headgate signal set incident --for 1h
    headgate signal set month-end --for 2d --reason "closing the books" --json
    """
    from headgate.policy.signals import LONGEST
    from headgate.policy.store import SignalStore

    seconds = seconds_of(lasts, LONGEST)
    made = SignalStore(state).set(_name(name), lasts=seconds, reason=one_line(reason), by=user(), now=time.time())
    click.echo(json.dumps(_json(made)) if as_json else f"signal `{made.name}` is set until {iso(made.until)}")
    record(state, "signal-set", signal=made.name, until=iso(made.until), reason=made.reason)


@signal.command()
@click.argument("name")
@REASON
@STATE
@JSON
def clear(name: str, reason: str, state: Path, as_json: bool) -> None:
    """End the signal NAME now.

    Exit code 0: cleared, 1: it was not set, 2: wrong usage.

    \b
    headgate signal clear incident
    headgate signal clear incident --reason "all is well again"
    """
    from headgate.policy.store import SignalStore

    ended = SignalStore(state).clear(_name(name), reason=one_line(reason), by=user(), now=time.time())
    said = f"signal `{ended.name}` is cleared; it was set until {iso(ended.until)}"
    click.echo(json.dumps(_json(ended)) if as_json else said)
    record(state, "signal-cleared", signal=ended.name, until=iso(ended.until), reason=one_line(reason))


@signal.command("list")
@click.option("--history", is_flag=True, help="Everything that was ever set or cleared, the oldest first.")
@STATE
@JSON
def list_signals(history: bool, state: Path, as_json: bool) -> None:
    """List the signals that are set now, by name.

    \b
    headgate signal list
    headgate signal list --history
    headgate signal list --json | jq -r '.[].name'
    """
    from headgate.policy.store import SignalStore

    store = SignalStore(state)
    if history:
        changes = store.changes()
        _print(
            HISTORY, [_change_row(change) for change in changes], [_change_json(change) for change in changes], as_json
        )
    else:
        found = store.signals(time.time())
        _print(COLUMNS, [_row(one) for one in found], [_json(one) for one in found], as_json)


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]], found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif rows:
        print_table(columns, rows, flexible=("reason",))
    else:
        click.echo("no signal is set" if columns == COLUMNS else "no signal was ever set", err=True)


def _name(text: str) -> str:
    from headgate.match.signals import signal_name

    try:
        return signal_name(text)
    except ValueError as error:
        raise click.BadParameter(visible(str(error)), param_hint="NAME") from None


def _row(one: "Signal") -> tuple[str, ...]:
    return one.name, iso(one.until), iso(one.since), one.by, one.reason or "-"


def _change_row(change: "Change") -> tuple[str, ...]:
    until = "-" if change.until is None else iso(change.until)
    return iso(change.time), change.what, change.name, until, change.by, change.reason or "-"


def _json(one: "Signal") -> dict[str, Any]:
    return {
        "name": one.name,
        "since": iso(one.since),
        "until": iso(one.until),
        "reason": one.reason,
        "by": one.by,
    }


def _change_json(change: "Change") -> dict[str, Any]:
    return {
        "id": change.id,
        "time": iso(change.time),
        "what": change.what,
        "name": change.name,
        "until": None if change.until is None else iso(change.until),
        "reason": change.reason,
        "by": change.by,
    }
