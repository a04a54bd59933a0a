"""The result on a terminal: the machine, each figure next to its bar, the stages, and why the load can be trusted."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headgate.bench.chain import Alone
from headgate.bench.figures import Figure
from headgate.bench.run import Result

WIDE = 180
MET = {True: Text("met", style="green"), False: Text("not met", style="red"), None: Text("-", style="dim")}


def show(result: Result) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, emoji=False)
    for name, value in result.machine.items():
        console.print(Text.assemble((f"{name:10}", "bold"), value))
    for title, table in (("Figures", _figures(result)), ("One request at a time", _stages(result.alone))):
        console.print(Text(f"\n{title}", style="bold"))
        console.print(table)
    console.print()
    console.print(Text(soundness_text(result.soundness)))


def _figures(result: Result) -> Table:
    table = Table("figure", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("median", justify="right", no_wrap=True)
    table.add_column("lowest to highest", justify="right", no_wrap=True)
    for column in ("against", "bar", ""):
        table.add_column(column)
    for figure in result.figures:
        spread = f"{number(figure.sample.low)} to {number(figure.sample.high)}"
        bar = f"{figure.bar.side} {figure.bar.text}" if figure.bar else "none"
        table.add_row(figure.name, _measured(figure), spread, figure.reference, bar, MET[figure.met])
    return table


def _measured(figure: Figure) -> str:
    joint = "" if figure.unit.startswith("/") else " "
    return f"{number(figure.sample.median)}{joint}{figure.unit}"


def number(value: float) -> str:
    """Three digits that count, thousands marked: `1.32`, `14.3`, `12,400`."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _stages(alone: Mapping[str, Alone]) -> Table:
    """Medians in microseconds; what no stage accounts for is mitmproxy, the guard and the loopback interface."""
    names = list(dict.fromkeys(name for each in alone.values() for name in each.stages))
    table = Table("microseconds", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("whole request", *names, "the rest"):
        table.add_column(column, justify="right")
    for lane, each in alone.items():
        whole, spent = each.p50_ms * 1000, sum(each.stages.values())
        stages = [f"{each.stages[name]:,.0f}" if name in each.stages else "-" for name in names]
        table.add_row(lane, f"{whole:,.0f}", *stages, f"{whole - spent:,.0f}")
    return table


def soundness_text(known: Mapping[str, Any]) -> str:
    busy = "unknown here" if known["upstream_busy"] is None else f"{known['upstream_busy']:.0%}"
    return (
        f"The load is not the bottleneck: straight to the upstream it makes {known['direct_requests_per_second']:,} "
        f"requests/s, {known['direct_over_fastest_proxied']} times the fastest proxied round; during those it was busy "
        f"{known['load_busy']:.0%} of the time, the upstream {busy}."
    )
