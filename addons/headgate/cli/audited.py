"""Entries of the audit log and what `verify` found, in words; and putting on record what a command has done."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.notes import user
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:  # sqlite-utils and cryptography take time to import
    from headgate.audit.store import LogEntry
    from headgate.audit.verify import Report

PRUNED = "(pruned)"


def record(state: Path, what: str, **facts: Any) -> None:
    """Put on record what a command has just done.

    What it did stands whether or not this succeeds: nobody may be kept from revoking by a full disk. But it is said,
    and the command ends with 1.
    """
    from headgate.audit.acts import record_act

    try:
        record_act(state, what, by=user(), now=time.time(), randomness=os.urandom, **facts)
    except HeadgateError as error:
        raise HeadgateError(f"done, and in force, but not in the audit log: {error}") from None


# -- entries ----------------------------------------------------------------------------------------------------------


def line_of(entry: "LogEntry") -> str:
    """An entry as one line of JSON; sorted and without spaces, its leaf is what was hashed."""
    shown: dict[str, Any] = {"seq": entry.seq, "hash": entry.hash, "leaf": entry.leaf}
    if entry.leaf is None:
        shown["pruned"] = entry.body is None
    return json.dumps(shown, separators=(",", ":"))


def is_within(entry: "LogEntry", since: float | None, until: float | None) -> bool:
    """Whether its time is; an entry that says none is left out when one is asked for."""
    from headgate.audit.leaf import timestamp

    if since is None and until is None:
        return True
    said = str(entry.leaf.get("time", "")) if entry.leaf else ""
    after = since is None or said >= timestamp(since)
    return bool(said) and after and (until is None or said < timestamp(until))


def row_of(entry: "LogEntry") -> tuple[str, ...]:
    leaf = entry.leaf
    if leaf is None:
        said = PRUNED if entry.body is None else "(no entry of this log)"
        return tuple(map(visible, (str(entry.seq), "-", said, "-", "-", "-", "-")))
    kind = str(leaf.get("kind", "-"))
    who, what, verdict, why = (_DESCRIBED.get(kind) or _act)(leaf)
    time = str(leaf.get("time", "-"))
    return tuple(
        visible(str(cell)) for cell in (entry.seq, time, kind, who or "-", what or "-", verdict or "-", why or "-")
    )


Cells = tuple[Any, Any, Any, Any]


def _decision(leaf: Mapping[str, Any]) -> Cells:
    asked, who, refusal = _in(leaf, "request"), _in(leaf, "principal"), _in(leaf, "refusal")
    rules = leaf.get("rules")
    first = rules[0].get("id") if isinstance(rules, list) and rules and isinstance(rules[0], dict) else None
    what = f"{asked.get('method', '')} {asked.get('host', '')}{asked.get('path', '')}" if asked else None
    verdict = "refused" if refusal else "observed" if leaf.get("mode") == "observe" else leaf.get("effect")
    return who.get("id"), what, verdict, first or refusal.get("reason") or leaf.get("reason")


def _outcome(leaf: Mapping[str, Any]) -> Cells:
    refusal = _in(leaf, "refusal")
    why = refusal.get("reason") or leaf.get("error")
    masks = leaf.get("masks")
    masked = f"{len(masks)} masks" if isinstance(masks, list) and masks else None
    return None, leaf.get("decision_id"), leaf.get("status"), why or masked


def _activation(leaf: Mapping[str, Any]) -> Cells:
    bundle, note = _in(leaf, "bundle"), str(leaf.get("note") or "").splitlines()
    rules = f"{bundle.get('name')} {bundle.get('version')} ({str(bundle.get('sha256'))[:8]})" if bundle else None
    return leaf.get("by"), rules, leaf.get("how"), note[0] if note else None


def _start(leaf: Mapping[str, Any]) -> Cells:
    bundle = _in(leaf, "bundle")
    rules = f"{bundle.get('name')} {bundle.get('version')} ({str(bundle.get('sha256'))[:8]})" if bundle else None
    return None, rules, None, f"headgate {leaf.get('version')}" if leaf.get("version") else None


def _act(leaf: Mapping[str, Any]) -> Cells:
    facts = _in(leaf, "facts")
    inner = [(name, value) for name, value in facts.items() if not isinstance(value, dict)]
    inner += [pair for value in facts.values() if isinstance(value, dict) for pair in value.items()]
    said = ", ".join(f"{name} {value}" for name, value in inner if value not in (None, "", []))
    return leaf.get("by"), leaf.get("act"), None, said


_DESCRIBED = {
    "decision": _decision,
    "outcome": _outcome,
    "activation": _activation,
    "start": _start,
    "stop": _start,
}


def _in(leaf: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that should be an object: what was tampered with may be anything."""
    value = leaf.get(name)
    return value if isinstance(value, dict) else {}


# -- what verify found ------------------------------------------------------------------------------------------------


def report_json(report: "Report") -> dict[str, Any]:
    return {"ok": report.ok, **asdict(report)}


def printed_report(report: "Report") -> Iterator[str]:
    """First the answer, then what is proven and by what, then what is not."""
    span = f", from {report.first_time} to {report.last_time}" if report.first_time else ""
    name = f" `{visible(report.origin)}`" if report.origin else ""
    if report.ok:
        yield click.style("intact", fg="green", bold=True) + f": the log{name} has {report.entries:,} entries{span}"
    else:
        count = len(report.findings) + report.more
        yield click.style("not intact", fg="red", bold=True) + f": the log{name}, {count:,} findings"
    for finding in report.findings:
        yield f"  {click.style(finding.verdict, fg='red')}: {visible(finding.message)}"
    if report.more:
        yield f"  and {report.more:,} more"
    yield from _proven(report)
    yield from _open(report)


def _proven(report: "Report") -> Iterator[str]:
    covered = report.tail.first - 1 if report.tail else report.entries
    if report.ok and report.checkpoints and covered:
        yield f"signed:     entries 1 to {covered:,} are what the log's key signed ({report.checkpoints:,} checkpoints)"
    if report.foreign:
        yield f"foreign:    {report.foreign:,} checkpoints that were given are another log's, and prove nothing here"
    if report.given and report.ok:
        yield f"anchored:   it agrees with {report.given:,} checkpoints that were kept elsewhere"
    elif not report.given:
        yield (
            "anchored:   no checkpoint from elsewhere was given (--checkpoint), so that whoever holds the log's key "
            "could have written all of it anew"
        )


def _open(report: "Report") -> Iterator[str]:
    if report.tail:
        since = f", since {report.tail.since}" if report.tail.since else ""
        which = f"{report.tail.first:,} to {report.tail.last:,}"
        yield f"not signed: entries {which}{since}: no checkpoint covers them yet, they could be changed or cut off"
    if report.pruned:
        yield f"pruned:     {report.pruned:,} entries are there as hashes only; what they said cannot be read again"
    if report.crashes:
        listed = ", ".join(f"{number:,}" for number in report.crashes[:10])
        more = " and others" if len(report.crashes) > 10 else ""
        yield f"crashed:    the proxy ended without saying so before its starts at entries {listed}{more}"
