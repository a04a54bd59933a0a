"""`headgate flows prune` and `index`: what is done to a capture, also while a proxy writes it.

What changes the record goes into the audit log twice: what is about to be done, without which nothing is, and what was
done, also when it was interrupted.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.audited import record
from headgate.cli.notes import user
from headgate.cli.options import JSON, STATE
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.capture.retention import Pruned, Retention
    from headgate.capture.upkeep.writer import Pruner

CAPTURE = "capture.db"
Advance = Callable[[int], None]
"""Moves the progress bar by so much."""


# -- prune ------------------------------------------------------------------------------------------------------------


@click.command("prune")
@click.option("--older-than", metavar="AGE", help="Delete flows that ended longer ago: `12h`, `30d`.")
@click.option("--larger-than", metavar="SIZE", help="Delete the oldest until the file is no larger: `500MB`, `50GB`.")
@STATE
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@JSON
def prune_flows(older_than: str | None, larger_than: str | None, state: Path, dry_run: bool, as_json: bool) -> None:
    """Delete old flows, with all that belongs to them, and make the file smaller.

    It is done in small steps, also while a proxy records, and goes into the audit log.

    \b
    headgate flows prune --older-than 30d
    headgate flows prune --larger-than 50GB --dry-run
    """
    from headgate.capture.upkeep.writer import Pruner
    from headgate.replay.decoding import decoded

    retention = _retention(older_than, larger_than)
    pruner = Pruner(state / CAPTURE, decoded)
    size, due = pruner.room().file, _due(pruner, retention)
    if dry_run:
        _say_due(size, due, as_json=as_json)
        return
    limits = {"older_than": older_than or "", "larger_than": larger_than or ""}
    announce(state, "prune", **limits)
    pruned, settled = _prune(state, pruner, retention, due)
    after = pruner.room().file
    if as_json:
        print_json({**_counts(pruned), "bytes_before": size, "bytes_after": after})
    else:
        click.echo(
            f"deleted {pruned.flows:,} flows and {pruned.messages:,} messages: {_bytes(size)} to {_bytes(after)}"
        )
    if not settled:
        click.echo("the write-ahead log stays until nobody reads the capture any more", err=True)


def _retention(older_than: str | None, larger_than: str | None) -> "Retention":
    from headgate.capture.retention import Retention, parse_retention, parse_size

    if not (older_than or larger_than):
        raise click.UsageError("nothing to go by; accepted: --older-than AGE, --larger-than SIZE, or both")
    try:
        age = parse_retention(older_than).age if older_than else None
        if older_than and age is None:
            raise HeadgateError("that is a size; accepted: an age such as `12h` or `30d`")
    except HeadgateError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    try:
        size = parse_size(larger_than) if larger_than else None
    except HeadgateError as error:
        raise click.BadParameter(str(error), param_hint="--larger-than") from None
    return Retention(age, size)


def _due(pruner: "Pruner", retention: "Retention") -> int:
    """How many flows are due: by age for certain, by size as if all were of the same size."""
    due = pruner.due(time.time() - retention.age) if retention.age is not None else 0
    room = pruner.room()
    if retention.size is None or room.used <= retention.size:
        return due
    return max(due, -(-pruner.flows() * (room.used - retention.size) // room.used))


def _say_due(size: int, due: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"due": due, "bytes": size})
    else:
        click.echo(f"about {due:,} flows would be deleted from {_bytes(size)}")


def _prune(state: Path, pruner: "Pruner", retention: "Retention", due: int) -> "tuple[Pruned, bool]":
    from headgate.capture.retention import Pruned

    gone, now = Pruned(), time.time()
    try:
        with moving("deleting", due) as advance:
            while (pruned := pruner.step(retention, now)) is not None:
                gone += pruned
                advance(pruned.flows)
    finally:
        record(state, "pruned", **_counts(gone))
    return gone, pruner.settle()


def _counts(pruned: "Pruned") -> dict[str, int]:
    return {"flows": pruned.flows, "messages": pruned.messages, "bodies": pruned.bodies}


# -- index ------------------------------------------------------------------------------------------------------------


@click.command("index")
@STATE
@JSON
def index_flows(state: Path, as_json: bool) -> None:
    """Make the index for full-text search over what was recorded, masked as it was, or bring it up to date.

    It is part of the capture. From then on `flows list --search` keeps it up to date by itself.

    \b
    headgate flows index
    headgate flows list --search '"card declined" 4711*'
    """
    made, added = bring_up_to_date(state, make=True)
    if as_json:
        print_json({"made": made, "added": added})
    else:
        click.echo(f"{'made the index of' if made else 'added to the index'} {added:,} flows")


def bring_up_to_date(state: Path, *, make: bool = False) -> tuple[bool, int]:
    """Whether the index had to be made, and how many flows were added; HeadgateError where there is none to add to."""
    from headgate.capture.fulltext.writer import Index
    from headgate.replay.decoding import decoded

    path = state / CAPTURE
    index = Index(path, decoded)
    if not make and not index.exists():
        raise HeadgateError(f"`{path}` has no index yet: `headgate flows index` makes it")
    made, total = index.establish(), 0
    with moving("indexing", index.behind()) as advance:
        while added := index.advance():
            total += added
            advance(added)
    return made, total


# -- what they share --------------------------------------------------------------------------------------------------


def announce(state: Path, what: str, **facts: str | int) -> None:
    """Put on record what is about to be done; HeadgateError where that cannot be: then it may not be."""
    from headgate.audit.acts import record_act

    record_act(state, what, by=user(), now=time.time(), randomness=os.urandom, **facts)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"


@contextmanager
def moving(label: str, total: int) -> Iterator[Advance]:
    """A progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, advance=done)
