"""What an operator's commands write down beside what they do: who, when and why."""

import getpass
import re
from datetime import UTC, datetime

import click

from headgate.cli.screen import visible

MAX_REASON = 500


def user() -> str:
    """The user of this machine, as far as it says."""
    try:
        return visible(getpass.getuser()[:100])
    except (OSError, KeyError):
        return "unknown"


def iso(seconds: float) -> str:
    """A time in epoch seconds for people and programs to read, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def one_line(reason: str) -> str:
    """What `--reason` says; BadParameter for more than a line, control characters, and bytes that are no text."""
    if len(reason) > MAX_REASON or re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", reason):
        raise click.BadParameter(f"accepted: one line of up to {MAX_REASON} characters", param_hint="--reason")
    return reason
