"""`headgate demo`: the whole chain on loopback, with real requests, and where to look afterwards."""

import json
import signal
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from headgate.demo.play import Played
    from headgate.demo.stage import Stage


@click.command()
@click.option("--keep", is_flag=True, help="Stay up afterwards, with mitmweb to explore, until Ctrl-C.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def demo(keep: bool, json_wanted: bool) -> None:
    """A sample API, a sample identity provider and the proxy, on loopback: real requests, allowed and refused.

    A support agent, a CI job, an AI agent and a stranger call; each request is shown with its verdict, why, and what
    was masked in the answer. Exits with 1 if any did not end as it must. Writes to `.headgate-demo` only.

    \b
    headgate demo
    headgate demo --keep
    headgate demo --json | jq '.scenes[] | {who, what, verdict, why}'
    """
    from headgate.demo.stage import FOLDER, stage

    with _ended_by_signals(), ExitStack() as down:
        with _status("starting the sample API, the sample identity provider and the proxy", quiet=json_wanted):
            on = down.enter_context(stage(Path.cwd() / FOLDER, time.time, web=keep))
        played = _play(on, quiet=json_wanted)
        if json_wanted:
            _print_json(on, played)
        else:
            _print(on, played)
        if keep:
            _stay(on)
    if not played.as_expected:
        raise SystemExit(1)


def _status(what: str, *, quiet: bool) -> AbstractContextManager[object]:
    from rich.console import Console

    return nullcontext() if quiet else Console(stderr=True).status(what)


def _play(on: "Stage", *, quiet: bool) -> "Played":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from headgate.demo.play import play
    from headgate.demo.scenes import SCENES

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("calling", total=len(SCENES))
        return play(on, time.time, lambda scene: progress.update(task, advance=1, description=scene.who))


def _print(on: "Stage", played: "Played") -> None:
    from headgate.demo import show

    console = show.console()
    show.print_outcomes(console, played.outcomes)
    console.print("", show.conclusion(played), "", sep="\n")
    hints = [("Where to look", show.where_to_look(on, played.outcomes, Path.cwd()))]
    if on.web:
        addresses = {"mitmweb": on.web, "the proxy": on.url}
        hints = [("Up until Ctrl-C", addresses), ("Requests to try", show.explore(on)), *hints]
    for title, entries in hints:
        show.print_hints(console, title, entries)


def _print_json(on: "Stage", played: "Played") -> None:
    from headgate.demo.show import as_json

    click.echo(json.dumps(as_json(on, played, Path.cwd()), indent=2))


def _stay(on: "Stage") -> None:
    """Until Ctrl-C, or until the proxy ends by itself."""
    try:
        on.proxy.wait()
    except KeyboardInterrupt:
        return
    raise click.ClickException(on.proxy.obituary())


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: with everything it started."""

    def leave(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
