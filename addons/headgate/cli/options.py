"""Options that several commands take, and how they are read."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from headgate.cli.screen import visible

STATE_FOLDER = ".headgate"
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=STATE_FOLDER,
    show_default=True,
    metavar="DIR",
    help="The proxy's state folder.",
)
RULES = click.option(
    "--rules", type=click.Path(path_type=Path), default="rules", show_default=True, help="The rules folder."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def seconds_of(lasts: str, longest: float) -> float:
    """What `--for` says, in seconds; BadParameter beyond `longest`."""
    from headgate.match import duration

    try:
        seconds = duration(lasts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not 0 < seconds <= longest:
        accepted = f"from `1s` to `{longest / 86400:g}d`"
        raise click.BadParameter(f"too long or nothing; accepted: {accepted}", param_hint="--for")
    return seconds


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A time, or how long ago, in seconds since the epoch."""
    if value is None:
        return None
    if ago := re.fullmatch(r"(\d{1,9})([smhd])", value):
        return time.time() - int(ago[1]) * UNITS[ago[2]]
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        message = f"`{visible(value)}` is not a time: `90s`, `15m`, `2h`, `7d` or ISO 8601 is accepted"
        raise click.BadParameter(message, ctx, param) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
