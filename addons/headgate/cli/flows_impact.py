"""`headgate flows impact`: what proposed rules would have done with what was captured."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON, STATE_FOLDER, moment
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.replay.impact import Source, Task
    from headgate.replay.report import Report

FAILED = 3
COLOURS = {"loosened": "red", "mask-lost": "red", "unknown": "yellow", "drift": "yellow", "state-dependent": "yellow"}
FOLDER = click.Path(path_type=Path, file_okay=False)
OUTPUT = click.Path(path_type=Path, dir_okay=False)


@click.command("impact")
@click.argument("capture", metavar="[CAPTURE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rules", "new", type=FOLDER, required=True, metavar="DIR", help="The rules that are proposed.")
@click.option(
    "--against", "old", metavar="RULES", help="The rules to compare with: a folder, or a version in the state."
)
@click.option("--state", type=FOLDER, metavar="DIR", help=f"The proxy's state folder.  [default: {STATE_FOLDER}]")
@click.option("--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC).")
@click.option("--until", callback=moment, metavar="TIME", help="Only earlier.")
@click.option("--filter", "text", metavar="EXPRESSION", help="Only these flows, such as `~d api.internal & ~m POST`.")
@click.option("--decisions-only", is_flag=True, help="Leave masks out, which takes less time.")
@click.option("--open", "key", type=OUTPUT, metavar="KEY", help="Private key that opens sealed originals.")
@click.option(
    "--allow-loosening", "allowed", multiple=True, metavar="ID", help="A rule, mask or group that may; repeatable."
)
@click.option("--fail-on-unknown", is_flag=True, help="Exit code 3 also where a record does not say what changes.")
@click.option("--junit", type=OUTPUT, metavar="FILE", help="Write JUnit XML as well.")
@click.option("--markdown", type=OUTPUT, metavar="FILE", help="Write Markdown as well, for a pull request.")
@click.option("--example", type=click.IntRange(0, 100), default=3, show_default=True, help="Flows named of a group.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Groups shown of a kind.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes.  [default: one for each processor]")
@JSON
def impact(capture: Path | None, new: Path, old: str | None, state: Path | None, **options: Any) -> None:
    """Decide and mask what was captured again, under the rules in force and under those in DIR, and say what changes.

    CAPTURE is a file such as `.headgate/capture.db` or `flows/checkout.db`; without one, the state folder's. Without
    `--against`, each flow is compared with the rules that it was recorded under, which the state keeps. Time, caller,
    signals and limits are those of then; nothing is sent, told or spent. What a record does not say is UNKNOWN.

    Exit code 0: nothing is loosened, 1: it could not be done, 2: wrong usage, 3: something is loosened or a mask is
    lost, and not allowed by name.

    \b
    headgate flows impact --rules rules
    headgate flows impact --rules rules --against main/rules flows/checkout.db --markdown impact.md
    headgate flows impact --rules rules --since 7d --allow-loosening support-reads --json
    """
    from headgate.replay.impact import measure
    from headgate.replay.report import Report

    with _wrong_usage():
        task, bundle, against = _task(capture, new, old, state, options)
    with _progress(task) as advance:
        tally = measure(task, advance, processes=options["jobs"])
    allowed = tuple(options["allowed"])
    report = Report(
        tally, bundle, against, allowed, not options["decisions_only"], fail_on_unknown=options["fail_on_unknown"]
    )
    if unknown := report.unknown_names(_names(bundle, against or _kept(task))):
        listed = ", ".join(f"`{visible(name)[:80]}`" for name in unknown)
        raise click.BadParameter(
            f"{listed}: no such rule, mask or group; accepted: ids that the report shows",
            param_hint="--allow-loosening",
        )
    _write(report, options)
    _show(report, options["limit"], as_json=options["as_json"])
    if report.fails:
        raise click.exceptions.Exit(FAILED)


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """A filter that does not parse is wrong usage; the rest says what it is."""
    from headgate.replay.expression import NoFilter

    try:
        yield
    except NoFilter as wrong:
        raise click.BadParameter(str(wrong), param_hint="--filter") from None


def _task(
    capture: Path | None, new: Path, old: str | None, state: Path | None, options: dict[str, Any]
) -> "tuple[Task, Bundle, Bundle | None]":
    from headgate.bundle.load import load_bundle
    from headgate.capture.sealing import read_private
    from headgate.replay.filters import parse
    from headgate.replay.impact import Task, source_of

    if options["text"] is not None:
        parse(options["text"])
    home = state or Path(STATE_FOLDER)
    place = (capture.parent, capture.name) if capture else (home, "capture.db")
    kept = state or (place[0] if (place[0] / "state.db").is_file() else home)
    bundle = load_bundle(new)
    against, source, fallback = _against(old, kept)
    task = Task(
        place[0],
        place[1],
        source_of(bundle, new),
        source,
        fallback,
        options["since"],
        options["until"],
        options["text"],
        not options["decisions_only"],
        options["example"],
        kept,
        key=read_private(options["key"]) if options["key"] else None,
    )
    return task, bundle, against


def _against(old: str | None, state: Path) -> "tuple[Bundle | None, Source | None, Source | None]":
    """What to compare with: rules for all flows, or None for each its own, and then what serves where these are not
    kept."""
    from headgate.bundle.commands import find
    from headgate.bundle.load import load_bundle
    from headgate.bundle.store import BundleStore
    from headgate.replay.impact import Source, source_of
    from headgate.replay.pagework import restored

    store = BundleStore(state)
    if old is not None and Path(old).is_dir():
        bundle = load_bundle(Path(old))
        return bundle, source_of(bundle, Path(old)), None
    if old is not None:
        if not store.exists():
            raise HeadgateError(
                f"`{visible(old)[:80]}` is no folder, and there is no state at `{state}` that keeps rules"
            )
        found = restored(store, find(store, old).sha256)
        if found is None:
            raise HeadgateError(f"rules `{visible(old)[:80]}` cannot be used any more")
        return found, source_of(found, None), None
    active = store.active() if store.exists() else None
    return None, None, Source(active.sha256) if active is not None and active.sha256 else None


def _names(*bundles: "Bundle | None") -> set[str]:
    """The ids of all that could loosen something."""
    known: set[str] = set()
    for bundle in bundles:
        if bundle is not None:
            known |= {rule.ref.id for rule in bundle.policy.rules} | {limit.id for limit in bundle.policy.limits}
            known |= {mask.id for mask in bundle.masking.masks}
    return known


def _kept(task: "Task") -> "Bundle | None":
    """The rules that are in force, for their names."""
    from headgate.bundle.store import BundleStore
    from headgate.replay.pagework import restored

    return restored(BundleStore(task.rules_state or task.state), task.fallback.sha256) if task.fallback else None


@contextmanager
def _progress(task: "Task") -> Iterator[Callable[[int], None]]:
    """Tells how far it is, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from headgate.replay.pages.store import Pages

    total = Pages(task.state, task.capture).count(since=task.since, until=task.until)
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda flows: progress.advance(bar, flows)


def _write(report: "Report", options: dict[str, Any]) -> None:
    from headgate.replay.report_junit import junit
    from headgate.replay.report_markdown import markdown

    made = {"junit": junit(report), "markdown": markdown(report, options["limit"]).encode()}
    for path, data in ((options[name], data) for name, data in made.items() if options[name] is not None):
        try:
            path.write_bytes(data)
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise HeadgateError(f"`{visible(str(path))[:80]}` cannot be written: {cause}") from None


def _show(report: "Report", limit: int, *, as_json: bool) -> None:
    from headgate.replay.report import as_json as json_of
    from headgate.replay.report import lines

    if as_json:
        click.echo(json.dumps(json_of(report), indent=2))
        return
    for kind, text in lines(report, limit):
        shown = visible(text, keep="\n")
        click.echo(click.style(shown, fg=COLOURS.get(str(kind)), bold=True) if kind else shown)
