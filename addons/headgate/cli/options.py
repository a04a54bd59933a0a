"""Options that several commands take, and how they are read."""

from pathlib import Path

import click

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
