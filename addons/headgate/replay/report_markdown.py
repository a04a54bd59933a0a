"""The report for a pull request: a table of what changes, and why it fails."""

from collections.abc import Iterator

from headgate.replay.comparison import FAILING, Kind
from headgate.replay.report import MEANINGS, TITLES, Report, reasons, remarks, what_of
from headgate.replay.tally import Group, Key

_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>()#+!|~"} | {"@": "&#64;", "\n": " ", "\r": " "})
"""What means something in Markdown, or would call somebody by name."""

LONGEST = 300


def markdown(report: Report, limit: int) -> str:
    return "\n".join(_lines(report, limit)) + "\n"


def _lines(report: Report, limit: int) -> Iterator[str]:
    tally = report.tally
    verdict = (
        "❌ something is loosened" if report.failing else "❌ unknown" if report.fails else "✅ nothing is loosened"
    )
    yield f"### Policy impact: {verdict}"
    yield ""
    against = f"{plain(report.old.name)} {plain(report.old.version)}" if report.old else "the rules of each flow"
    yield f"{tally.flows:,} flows, {against} → {plain(report.new.name)} {plain(report.new.version)}"
    yield ""
    yield "| | flows | |"
    yield "|---|---:|---|"
    for kind in Kind:
        if tally.by_kind[kind]:
            yield f"| **{TITLES[kind]}** | {tally.by_kind[kind]:,} | {MEANINGS[kind]} |"
    yield f"| unchanged | {tally.unchanged:,} | |"
    for kind in Kind:
        yield from _section(report, kind, limit)
    for text in remarks(report):
        yield ""
        yield plain(text)


def _verdict(report: Report) -> str:
    if report.failing:
        return "❌ something is loosened"
    return "❌ not everything is known" if report.fails else "✅ nothing is loosened"


def _section(report: Report, kind: Kind, limit: int) -> Iterator[str]:
    groups = list(report.tally.of(kind))
    if not groups:
        return
    yield ""
    yield f"<details{' open' if kind in FAILING else ''}><summary>{TITLES[kind]}</summary>"
    yield ""
    yield "| change | rules | where | flows | examples | id |"
    yield "|---|---|---|---:|---|---|"
    for key, group in groups[:limit]:
        yield f"| {' | '.join(_cells(report, key, group))} |"
    if len(groups) > limit:
        yield f"| and {len(groups) - limit:,} more | | | | | |"
    yield ""
    yield "</details>"


def _cells(report: Report, key: Key, group: Group) -> Iterator[str]:
    yield "; ".join([plain(what_of(key)), *map(plain, reasons(group))])
    yield plain(" ".join(key.rules))
    yield plain(f"{key.method} {key.host}{key.path}")
    yield f"{group.count:,}"
    yield plain(", ".join(group.examples))
    yield f"{key.id}{' (allowed)' if report.is_allowed(key) else ''}"


def plain(text: str) -> str:
    """`text` as Markdown shows it, whatever it holds."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text[:LONGEST])
    return shown.translate(_SPECIAL)
