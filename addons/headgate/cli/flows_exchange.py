"""`headgate flows export`, `import` and `save`: recorded flows out to other tools and to the test suite, and in again.

What goes out has been masked when it was recorded; what comes in is masked first.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from headgate.cli.audited import record
from headgate.cli.options import JSON, RULES, STATE, moment
from headgate.cli.progress import progress
from headgate.cli.savedflows import flows, report, report_json
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.capture.store import Store

FORMATS = ("mitmproxy", "har", "curl", "raw")
BINARY = ("mitmproxy",)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
SHOWN = 20

FILTER = click.option("--filter", "expression", metavar="EXPR", help="Only these, as in `flows list --filter`.")
SINCE = click.option(
    "--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC)."
)
UNTIL = click.option("--until", callback=moment, metavar="TIME", help="Only earlier.")


@click.command("export")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="mitmproxy", show_default=True, help="What to write."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to; else standard output.",
)
@FILTER
@SINCE
@UNTIL
@STATE
def export_flows(
    ids: tuple[str, ...],
    kind: str,
    output: Path | None,
    expression: str | None,
    since: float | None,
    until: float | None,
    state: Path,
) -> None:
    """Write recorded flows for other tools: those with these IDs, or all that match.

    `mitmproxy` is mitmproxy's own file, which mitmweb opens, with each verdict as marker and comment; `har` is an HTTP
    Archive; `curl` gives one command for each request; `raw` is what HTTP/1 has on the wire. All of it as recorded:
    masked, without credentials, and long bodies cut.

    Exit code 0: written, 1: it could not be, or nothing matched, 2: wrong usage.

    \b
    headgate flows export -o day.flows --since 24h && mitmweb -r day.flows
    headgate flows export --format har -o refused.har --filter "~decision refused"
    headgate flows export --format curl 3f2a91c0
    """
    from headgate.capture.store import Store
    from headgate.replay.exporting import export

    if ids and (expression or since or until):
        raise click.UsageError("accepted: either IDs, or --filter, --since and --until")
    if kind in BINARY and output is None and sys.stdout.isatty():
        raise click.UsageError("that is no text for a terminal; accepted: --output FILE")
    store = Store(state)
    wanted = (store.entry(one) for one in ids) if ids else _matching(store, expression, since, until)
    with progress("exporting", None) as advance, _output(output) as file:
        done = export(store, wanted, kind, file, advance)
        if not done.flows:
            raise HeadgateError("no recorded flow matches, so that there is nothing to export")
    record(state, "export", format=kind, flows=done.flows, filter=_asked(expression), ids=list(ids)[:SHOWN])
    left = f"; {done.left_out} are no HTTP, which {kind} cannot hold" if done.left_out else ""
    click.echo(f"exported {flows(done.flows)}{left}", err=True)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@STATE
@RULES
@JSON
def import_flows(file: Path, state: Path, rules: Path, as_json: bool) -> None:
    """Take the flows of a mitmproxy file or an HTTP Archive into the capture, masked.

    Nobody has masked them and nobody knows who called, so every mask of the rules is applied, and no exception;
    credentials go in any case, and what cannot be masked loses its body. Nobody has decided about them either: they
    are listed as `imported`, with the effect `deny`, since no rule has allowed them. A flow that is there already is
    left as it is, so that a second attempt adds nothing twice. A proxy may be running. Of a file that cannot be read
    to its end, nothing comes in.

    Exit code 0: imported, 1: it could not be, 2: wrong usage.

    \b
    headgate flows import recorded.flows
    headgate flows import browser.har --rules rules --json
    """
    from headgate.bundle.load import load_bundle
    from headgate.replay.imported.importing import count, take_in
    from headgate.replay.imported.plans import every_mask, key_of
    from headgate.replay.imported.writer import ImportWriter

    bundle = load_bundle(rules)
    plan = every_mask(bundle, key_of(bundle.masking))
    total = count(file)
    with ImportWriter(state, secrets.token_bytes) as writer, progress("importing", total) as advance:
        done = take_in(file, writer, plan, advance)
    record(state, "import", file=file.name[:200], flows=done.new, known=done.known, rules=bundle.sha256)
    if as_json:
        click.echo(json.dumps({"imported": done.new, "known": done.known, "left_out": done.left_out}))
        return
    said = [f"imported {flows(done.new)}"]
    said += [f"{done.known} were there already"] if done.known else []
    said += [f"{done.left_out} are neither HTTP nor TCP and were left out"] if done.left_out else []
    click.echo("; ".join(said))


@click.command("save")
@click.argument("name")
@FILTER
@SINCE
@UNTIL
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most so many.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default="flows",
    show_default=True,
    metavar="DIR",
    help="Where recordings for tests are.",
)
@click.option("--update", is_flag=True, help="Replace what is there under this name, its expectations too.")
@STATE
@RULES
@JSON
def save_flows(
    name: str,
    expression: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    into: Path,
    update: bool,
    state: Path,
    rules: Path,
    as_json: bool,
) -> None:
    """Save flows for the test suite, as flows/NAME.db with flows/NAME.expected.yaml beside it.

    They are masked once more, under the rules given; what detection still finds is listed by place. The database has
    the same bytes for the same content. Callers, their groups and claims, and the addresses they came from are kept,
    since rules ask for them; names of sessions become numbers. Read the YAML before you commit: it is what the rules
    say of each flow now.

    Exit code 0: written, 1: it could not be, or nothing matched, 2: wrong usage.

    \b
    headgate flows save checkout --filter "~d shop.internal & ~m POST" --since 1h
    headgate flows save refusals --filter "~decision refused" --update
    """
    from headgate.bundle.load import load_bundle
    from headgate.capture.store import Store
    from headgate.replay.saved.saving import save

    if not NAME.match(name):
        shown = visible(name[:80])
        raise click.UsageError(f"`{shown}` is no name for a recording; accepted: letters, digits, `-` and `_`")
    if not update and (into / f"{name}.db").exists():
        raise HeadgateError(f"`{into / f'{name}.db'}` is there already; accepted: --update, or another name")
    store, bundle = Store(state), load_bundle(rules)
    named = None if rules == Path("rules") else rules.as_posix() if not rules.is_absolute() else None
    with progress("saving", None) as advance:
        wanted = _at_most(limit, _matching(store, expression, since, until))
        saved = save(store, wanted, bundle, into, name, rules=named, advance=advance)
    if as_json:
        click.echo(json.dumps(report_json(saved), indent=2))
        return
    for line in report(saved):
        click.echo(visible(line))


def _asked(expression: str | None) -> str | None:
    """A filter as the log may tell it for ever: who looks for a value to see whether it is there types that value."""
    if expression is None:
        return None
    from headgate.replay.expression import told
    from headgate.replay.filters import CODES

    return told(expression, CODES)[:500]


def _matching(store: "Store", expression: str | None, since: float | None, until: float | None) -> "Iterator[Entry]":
    if expression is None:
        return store.walk(since=since, until=until)
    from headgate.replay.filters import select

    return select(store, expression, since=since, until=until)


def _at_most(limit: int, entries: "Iterator[Entry]") -> "Iterator[Entry]":
    for number, entry in enumerate(entries):
        if number == limit:
            raise HeadgateError(f"more than {limit} flows match; accepted: a narrower --filter, or a larger --limit")
        yield entry


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    """A file that appears whole, its owner's alone as the capture is; standard output, where a terminal gets what it
    cannot take for a command."""
    if path is None:
        yield _Shown(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer  # type: ignore[misc]
        sys.stdout.flush()
        return
    if path.exists() and not path.is_file():
        raise HeadgateError(f"`{path}` is no file; accepted: a file to be written, or no --output")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise HeadgateError(f"`{path}` cannot be written: {(error.strerror or 'unknown').lower()}") from None
    finally:
        draft.unlink(missing_ok=True)


class _Shown:
    """Writes bytes to a terminal as what they show, never as what they command."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        text = data.replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
        return self._file.write(visible(text, keep="\n\t").encode("utf-8", "backslashreplace"))
