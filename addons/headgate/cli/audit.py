"""`headgate audit`: is the log of what was decided what it was, what does it say, and how it is kept.

Reads the audit log of a state folder, also while a proxy writes it. All that it holds is escaped before it is shown.
"""

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.audited import is_within, line_of, printed_report, report_json, row_of
from headgate.cli.notes import user
from headgate.cli.options import JSON, STATE, moment
from headgate.cli.screen import print_table
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.audit.store import AuditStore, LogEntry

COLUMNS = ("entry", "time", "kind", "who", "what", "verdict", "why")
KINDS = ("decision", "outcome", "approval", "activation", "start", "stop", "act")
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
LARGEST = 16 * 1024 * 1024
"""Bytes of a file with checkpoints."""

LOOK = 0.5
"""Seconds after which `tail --follow` looks again."""


@click.group()
def audit() -> None:
    """The log of every decision, its outcome and what was done to the rules, which nobody can change unnoticed.

    \b
    headgate audit verify
    headgate audit tail --follow
    headgate audit checkpoint > kept-elsewhere.txt
    """


@audit.command()
@click.option("--checkpoint", "checkpoints", type=FILE, multiple=True, metavar="FILE", help="One kept elsewhere.")
@click.option("--key", type=FILE, metavar="FILE", help="The log's public key, kept elsewhere; else keys/audit.pub.")
@STATE
@JSON
def verify(checkpoints: tuple[Path, ...], key: Path | None, state: Path, as_json: bool) -> None:
    """Say what of the log is proven, up to which entry and time, and what is not.

    Without --checkpoint it shows whether the log agrees with what its own key has signed. Only a checkpoint that was
    kept elsewhere proves it against somebody who holds that key: a file as `headgate audit checkpoint` prints it, or
    lines of events as a proxy sends them.

    Exit code 0: intact, 1: something is wrong, 2: wrong usage.

    \b
    headgate audit verify
    headgate audit verify --checkpoint kept-elsewhere.txt --key audit.pub
    headgate audit verify --json | jq '.findings[].message'
    """
    from headgate.audit.verify import verify as verified

    given, verifier = [_text(path) for path in checkpoints] or None, _text(key).strip() if key else None
    with _progress("verifying") as progress:
        report = verified(state, given=given, verifier=verifier, progress=progress)
    if as_json:
        click.echo(json.dumps(report_json(report), indent=2))
    else:
        for line in printed_report(report):
            click.echo(line)
    if checkpoints and not report.given:
        raise HeadgateError("none of the files given holds a checkpoint of this log: nothing was compared with them")
    if not report.ok:
        click.get_current_context().exit(1)


@audit.command()
@click.option("-n", "--count", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until interrupted.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only entries of this kind.")
@STATE
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an entry a line.")
def tail(count: int, follow: bool, kinds: tuple[str, ...], state: Path, as_json: bool) -> None:
    """Show the last entries, the oldest first.

    \b
    headgate audit tail -n 50
    headgate audit tail --kind activation --kind act
    headgate audit tail --follow --json | jq 'select(.leaf.effect == "deny")'
    """
    from headgate.audit.store import AuditStore

    store = AuditStore(state)
    found = store.tail(count, kinds)
    last = found[-1].seq if found else store.size()
    if as_json:
        for entry in found:
            click.echo(line_of(entry))
    elif found:
        print_table(COLUMNS, [row_of(entry) for entry in found], flexible=("who", "what", "why"))
    elif not follow:
        click.echo("no entry matches", err=True)
    if follow:
        for entry in followed(store, last, kinds, time.sleep):
            click.echo(line_of(entry) if as_json else "  ".join(row_of(entry)))


@audit.command()
@click.option("--now", is_flag=True, help="Sign one first, for what is there now.")
@STATE
@JSON
def checkpoint(now: bool, state: Path, as_json: bool) -> None:
    """Print the latest signed checkpoint, to be kept elsewhere, and on stderr the key that verifies it.

    It is a note in the format of c2sp.org/tlog-checkpoint. Kept where the proxy's machine cannot change it, it proves
    later that nothing up to its entry was changed since.

    Exit code 0: printed, 1: there is none, 2: wrong usage.

    \b
    headgate audit checkpoint > kept-elsewhere.txt 2> audit.pub
    headgate audit checkpoint --now --json
    """
    from headgate.audit.acts import sign_checkpoint
    from headgate.audit.checkpoint import read
    from headgate.audit.keys import load_verifier
    from headgate.audit.note import NoteError
    from headgate.audit.store import AuditStore

    if now:
        sign_checkpoint(state, now=time.time(), randomness=os.urandom)
    found, verifier = AuditStore(state).last_checkpoint(), load_verifier(state)
    if found is None:
        raise HeadgateError("no checkpoint was signed yet; accepted: --now to have one signed")
    try:
        read(found.note, verifier)
    except NoteError as error:
        raise HeadgateError(f"the last checkpoint does not count: {error} (see `headgate audit verify`)") from None
    key = str(verifier)
    if as_json:
        click.echo(json.dumps({"size": found.size, "time": found.time, "note": found.note, "key": key}, indent=2))
    else:
        click.echo(found.note, nl=False)
        click.echo(key, err=True)


@audit.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "ocsf"]), default="jsonl", show_default=True)
@click.option("--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC).")
@click.option("--until", callback=moment, metavar="TIME", help="Only earlier.")
@STATE
def export(form: str, since: float | None, until: float | None, state: Path) -> None:
    """Print the log as JSON lines: entries as they are, or events of OCSF 1.6.0.

    In OCSF a decision and its outcome are one `HTTP Activity` (class 4002) with the security_control profile.

    \b
    headgate audit export > audit.jsonl
    headgate audit export --format ocsf --since 1d | gzip > audit.ocsf.gz
    """
    from headgate.audit.ocsf import events
    from headgate.audit.store import AuditStore

    store = AuditStore(state)
    with _progress("exporting") as progress:
        entries = (entry for entry in _counted(store, progress) if is_within(entry, since, until))
        if form == "jsonl":
            for entry in entries:
                click.echo(line_of(entry))
            return
        for event in events((entry.seq, entry.leaf) for entry in entries if entry.leaf is not None):
            click.echo(json.dumps(event, separators=(",", ":")))


@audit.command()
@click.option("--before", callback=moment, required=True, metavar="TIME", help="`90d` ago, or ISO 8601 (UTC).")
@STATE
@JSON
def prune(before: float, state: Path, as_json: bool) -> None:
    """Drop what entries from before TIME say; that they were there stays provable.

    Of each entry its hash is kept, so that the log still verifies; that it was pruned, by whom and how far, becomes an
    entry itself.

    Exit code 0: pruned, 1: it could not be, 2: wrong usage.

    \b
    headgate audit prune --before 90d
    headgate audit prune --before 2027-01-01
    """
    from headgate.audit.pruning import prune_bodies

    with _progress("pruning") as progress:
        count = prune_bodies(state, before, by=user(), now=time.time(), randomness=os.urandom, progress=progress)
    said = f"{count:,} entries pruned; their hashes stay" if count else "nothing to prune"
    click.echo(json.dumps({"pruned": count}) if as_json else said)


def followed(
    store: "AuditStore", after: int, kinds: tuple[str, ...], pause: Callable[[float], None]
) -> "Iterator[LogEntry]":
    """Entries after number `after` as they are written, for ever."""
    while True:
        for entry in store.entries(after, kinds=kinds):
            after = entry.seq
            yield entry
        pause(LOOK)


def _counted(store: "AuditStore", progress: Callable[[int, int], None]) -> "Iterator[LogEntry]":
    total = store.size()
    for entry in store.entries(through=total):
        yield entry
        progress(entry.seq, total)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise HeadgateError(f"`{path}` cannot be read: {reason}") from None
    if len(data) > LARGEST:
        raise HeadgateError(f"`{path}` is longer than {LARGEST // 1024 // 1024} MiB")
    return data.decode("utf-8", "backslashreplace")


@contextmanager
def _progress(doing: str) -> Generator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns: tuple[Any, ...] = (TextColumn(doing), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda done, total: progress.update(task, completed=done, total=total)
