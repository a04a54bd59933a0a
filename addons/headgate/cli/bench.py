"""`headgate bench`: what the chain costs, as ratios taken in one run."""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headgate.bench.run import Result, Scale


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything, in under a minute; the spread is wider.")
@click.option("--seconds", type=click.FloatRange(min=0.2), help="How long each round of load lasts.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def bench(quick: bool, seconds: float | None, json_wanted: bool) -> None:
    """The whole chain against bare mitmdump, and each part of it against its reference, in turns, on this machine.

    Prints medians and spreads next to the bar each figure is meant to reach. Other work on the machine shows in the
    spread. Everything listens on loopback, and is written to a temporary folder.

    \b
    headgate bench
    headgate bench --quick --json | jq '.figures[] | {name, median, met}'
    """
    from headgate.bench.run import FULL, QUICK

    scale = QUICK if quick else FULL
    scale = replace(scale, seconds=seconds) if seconds else scale
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        result = _run(Path(folder), scale, quiet=json_wanted)
    if json_wanted:
        click.echo(json.dumps(result.json(), indent=2))
    else:
        from headgate.bench.show import show

        show(result)


def _run(folder: Path, scale: "Scale", *, quiet: bool) -> "Result":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from headgate.bench.run import run, steps

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("starting", total=steps(scale))

        def told(what: str) -> None:
            progress.update(task, advance=1, description=what)

        return run(folder, scale, told, time.time)
