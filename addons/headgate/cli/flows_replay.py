"""`headgate flows replay`: recorded requests through the present rules once more, and what comes out otherwise."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON, RULES, STATE, moment
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.capture.store import Store
    from headgate.replay.rehearsal import Choose, Counts, Settings
    from headgate.replay.replaying import Outcome

COLOURS = {"same": "green", "differs": "red", "missing": "red", "failed": "red", "skipped": "yellow"}
SAMPLE = "sample"


@click.command("replay")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@STATE
@click.option("--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="Flows saved as flows/NAME.db.")
@click.option("--filter", "wanted", metavar="EXPR", help="Only these, by a filter expression as in `flows list`.")
@click.option("--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC).")
@RULES
@click.option("--to", metavar="URL", help="The upstream that answers: `http://127.0.0.1:9000`, or `sample`.")
@click.option("--offline", is_flag=True, help="Answer from the recordings; nothing leaves this process.")
@click.option("--own-host", is_flag=True, help="Name the upstream of --to in `Host`, not the recorded host.")
@click.option("--ignore-header", multiple=True, metavar="NAME", help="A response header that may differ; repeatable.")
@click.option("--ignore-json", multiple=True, metavar="PATH", help="A JSONPath whose values may differ; repeatable.")
@click.option("--ignore-query", multiple=True, metavar="NAME", help="Offline: a query parameter that may differ.")
@click.option("--twice", is_flag=True, help="With --to: send each twice; what differs between the two is noise.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Requests under way at once.")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds for each.")
@JSON
def replay(ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Send recorded requests through the present rules again, and show what comes out otherwise: verdict, masks,
    status, headers, body.

    Each is judged by the real chain as the caller and at the time of its recording, with the signals and limits of
    then; grants of approvals are not frozen, nor is what the upstream remembers. Requests go on as they were recorded:
    masked and without credentials, which is said of each that it concerns. WebSockets are skipped, as are flows
    without headers and bodies and those of callers that nobody has identified; they are counted.

    Offline, answers come from the recordings, each once and in order; a request that has none is shown with the
    nearest one and where it differs. The query's order and JSON's spelling do not matter. These response headers are
    never compared: age, cf-ray, connection, content-length, date, keep-alive, server-timing, traceparent,
    transfer-encoding, x-amzn-trace-id, x-correlation-id, x-request-id, x-runtime.

    Exit code 0: all the same, 1: something differs, is missing or failed, or there was nothing to replay, 2: wrong
    usage.

    \b
    headgate flows replay --to http://127.0.0.1:9000 --since 1h
    headgate flows replay --file flows/checkout.db --offline
    headgate flows replay 3f2a91c0 --to sample --rules new-rules --ignore-json '$..updated_at'
    """
    if options["offline"] == (options["to"] is not None):
        raise click.UsageError("say what answers; accepted: one of --to URL, --to sample and --offline")
    if options["offline"] and (options["twice"] or options["own_host"]):
        raise click.UsageError("--twice and --own-host are for an upstream; accepted: with --to")
    if ids and (options["wanted"] or options["since"] is not None):
        raise click.UsageError("flows are given by their ids or by --filter and --since, not by both")
    from headgate.capture.store import Store

    file: Path | None = options["file"]
    store = Store(file.parent, file.name) if file else Store(options["state"])
    choose, total = _chosen(store, ids, options["wanted"], options["since"])
    settings = _settings(options)
    with _upstream(settings) as ready:
        counts, interrupted = _run(choose, store, ready, _Printer(total, as_json=as_json))
    if interrupted or not counts.fine:
        raise SystemExit(1)


def _chosen(
    store: "Store", ids: tuple[str, ...], wanted: str | None, since: float | None
) -> "tuple[Choose, int | None]":
    """What reads the flows, and how many they are where that is known."""
    if ids:
        found = list(dict.fromkeys(store.entry(name).summary.decision_id for name in ids))
        return lambda: map(store.entry, found), len(found)
    if wanted is None:
        return lambda: store.walk(since=since), store.count(since=since)
    from headgate.replay import filters

    chosen = _parsed(wanted)
    return lambda: filters.select(store, chosen, since=since), None


def _parsed(wanted: str) -> Any:
    from headgate.replay import filters

    try:
        return filters.parse(wanted)
    except HeadgateError as error:
        raise click.BadParameter(visible(str(error)), param_hint="--filter") from None


def _settings(options: dict[str, Any]) -> "Settings":
    from headgate.bundle.load import load_bundle
    from headgate.replay.asked import Matching
    from headgate.replay.differences import VOLATILE, Rules
    from headgate.replay.documents import ignored_paths
    from headgate.replay.rehearsal import Settings
    from headgate.replay.replaying import decoded

    try:
        ignored = ignored_paths(options["ignore_json"])
    except ValueError as error:
        raise click.BadParameter(visible(str(error)), param_hint="--ignore-json") from None
    headers = VOLATILE | {name.lower() for name in options["ignore_header"]}
    return Settings(
        load_bundle(options["rules"]),
        options["to"],
        Rules(headers, ignored, options["offline"], decoded),
        Matching(ignore_query=frozenset(options["ignore_query"]), ignore_json=options["ignore_json"]),
        options["own_host"],
        options["timeout"],
        options["jobs"],
        options["twice"],
    )


@contextmanager
def _upstream(settings: "Settings") -> "Iterator[Settings]":
    """The sample API is started for `--to sample`."""
    if settings.to != SAMPLE:
        yield settings
        return
    from dataclasses import replace

    from headgate.demo.api import SampleApi

    api = SampleApi()
    try:
        yield replace(settings, to=api.url)
    finally:
        api.close()


def _run(choose: "Choose", store: "Store", settings: "Settings", printer: "_Printer") -> "tuple[Counts, bool]":
    from headgate.replay.rehearsal import Counts, rehearse

    counts, interrupted = Counts(), False

    async def attempt() -> None:
        """Ctrl-C is noted here: what is cancelled may be a stage of the chain, which refuses and goes on."""
        task = asyncio.current_task()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            if task:
                task.cancel()

        with suppress(NotImplementedError, RuntimeError, ValueError):  # where the system or the thread has none
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        await rehearse(choose, store.entry, settings, printer.tell, counts)

    with printer:
        try:
            asyncio.run(attempt())
        except (KeyboardInterrupt, asyncio.CancelledError):
            interrupted = True
        printer.conclude(counts, interrupted=interrupted)
    return counts, interrupted


class _Printer:
    """Tells of each outcome as it comes, so that memory does not grow with them. A bar is shown where the outcomes go
    elsewhere than to the terminal."""

    def __init__(self, total: int | None, *, as_json: bool) -> None:
        self._json, self._total, self._told = as_json, total, 0
        self._bar: AbstractContextManager[Any] = nullcontext()
        self._advance: Any = lambda: None

    def __enter__(self) -> "_Printer":
        if sys.stderr.isatty() and not sys.stdout.isatty():
            self._bar = _progress()
            progress = self._bar.__enter__()
            task = progress.add_task("replaying", total=self._total)
            self._advance = lambda: progress.advance(task)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.__exit__(*exception)

    def tell(self, outcome: "Outcome") -> None:
        self._told += 1
        self._advance()
        if self._json:
            click.echo(('{"flows": [\n' if self._told == 1 else ",\n") + json.dumps(as_json(outcome)), nl=False)
            return
        for line in lines(outcome):
            click.echo(line)

    def conclude(self, counts: "Counts", *, interrupted: bool) -> None:
        if self._json:
            summary = {**dict.fromkeys(COLOURS, 0), **{str(state): n for state, n in counts.states.items()}}
            told = {**summary, "skipped_because": dict(sorted(counts.skipped.items())), "interrupted": interrupted}
            click.echo(("\n], " if self._told else '{"flows": [], ') + f'"summary": {json.dumps(told)}}}')
            return
        click.echo(("interrupted; " if interrupted else "") + conclusion(counts))


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)


def conclusion(counts: "Counts") -> str:
    found = {str(state): number for state, number in counts.states.items() if state != "skipped"}
    said = ", ".join(f"{number:,} {state}" for state, number in sorted(found.items())) or "nothing"
    skipped = ", ".join(f"{number:,} {why}" for why, number in sorted(counts.skipped.items()))
    return f"replayed {counts.replayed:,}: {said}" + (f"; skipped {skipped}" if skipped else "")


def lines(outcome: "Outcome") -> Iterator[str]:
    """One line for each, and below what differs."""
    state, replayed = str(outcome.state), outcome.replayed
    status = str(replayed.status) if replayed and replayed.status else "-"
    place = f"{outcome.method} {outcome.host}{outcome.path}"
    head = click.style(f"{state:8}", fg=COLOURS[state])
    yield f"{head} {visible(outcome.decision_id)} {status:3} {visible(place)}" + (
        f": {visible(outcome.why)}" if outcome.why else ""
    )
    for one in outcome.differences:
        yield f"    {one.part} {visible(one.where)}".rstrip() + f": {visible(one.recorded)} -> {visible(one.replayed)}"
        yield from (f"      {visible(line, keep=chr(9))}" for line in one.lines)
    if outcome.noise:
        yield f"    ({outcome.noise} differences between two replays are left out)"
    if outcome.state != "same":
        yield from (f"    note: {visible(note)}" for note in outcome.notes)


def as_json(outcome: "Outcome") -> dict[str, Any]:
    miss = outcome.miss
    return {
        "decision_id": outcome.decision_id,
        "flow_id": outcome.flow_id,
        "request": {"method": outcome.method, "host": outcome.host, "path": outcome.path},
        "state": str(outcome.state),
        "why": outcome.why,
        "status": {
            "recorded": outcome.recorded.status if outcome.recorded else None,
            "replayed": outcome.replayed.status if outcome.replayed else None,
        },
        "differences": [
            {"part": d.part, "where": d.where, "recorded": d.recorded, "replayed": d.replayed, "lines": list(d.lines)}
            for d in outcome.differences
        ],
        "noise": outcome.noise,
        "notes": list(outcome.notes),
        "missing": {"reason": miss.reason, "nearest": miss.nearest, "differs": list(miss.fields)} if miss else None,
    }
