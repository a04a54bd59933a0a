"""`headgate flows`: what was recorded, one line each or everything about one.

Reads the capture of a state folder, also while a proxy writes it. All that a peer sent is escaped before it is shown.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli import verdicts
from headgate.cli.options import JSON, STATE, moment
from headgate.cli.screen import print_table, visible

if TYPE_CHECKING:
    from headgate.capture.entries import Entry, Recorded, Summary

DEFAULT_PORTS = {"http": 80, "https": 443}
COLUMNS = ("time", "id", "principal", "method", "where", "verdict", "why", "status", "masked")


@click.group()
def flows() -> None:
    """What was recorded: every request, refused ones too, masked before it was written.

    \b
    headgate flows list --refused --since 1h
    headgate flows show 3f2a91c0
    """


@flows.command("list")
@STATE
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--refused", is_flag=True, help="Only what was refused or withheld.")
@click.option("--principal", metavar="ID", help="Only this caller's.")
@click.option("--host", metavar="HOST", help="Only to this host; `*` stands for anything.")
@click.option("--effect", type=click.Choice(["allow", "approve", "deny"]), help="Only what policy decided so.")
@click.option("--reason", metavar="REASON", help="Only with this reason, such as no-rule-allows.")
@click.option("--since", callback=moment, metavar="TIME", help="Only later: `15m`, `2h`, `7d` ago, or ISO 8601 (UTC).")
@JSON
def list_flows(state: Path, limit: int, as_json: bool, **wanted: Any) -> None:
    """List recorded flows, the newest first.

    \b
    headgate flows list --limit 20
    headgate flows list --principal ana@corp.example --host "*.internal"
    headgate flows list --refused --json | jq '.[].reason'
    """
    from headgate.capture.entries import Filter
    from headgate.capture.layout import summary_json
    from headgate.capture.store import Store

    found = Store(state).summaries(Filter(**wanted), limit)
    if as_json:
        click.echo(json.dumps([summary_json(summary) for summary in found], indent=2))
    elif found:
        print_table(COLUMNS, [_row(summary) for summary in found], flexible=("principal", "where", "why"))
    else:
        click.echo("no recorded flow matches", err=True)


@flows.command("show")
@click.argument("name", metavar="ID")
@STATE
@JSON
def show_flow(name: str, state: Path, as_json: bool) -> None:
    """Show everything about one flow.

    ID is a flow id or a decision id (a refused caller was told one), or the beginning of either.

    \b
    headgate flows show 3f2a91c0
    headgate flows show 01K2J8Z5Q6 --json
    """
    from headgate.capture.layout import entry_json
    from headgate.capture.store import Store

    entry = Store(state).entry(name)
    if as_json:
        click.echo(json.dumps(entry_json(entry), indent=2))
        return
    for line in _described(entry):
        click.echo(line)


def _row(summary: "Summary") -> tuple[str, ...]:
    return (
        datetime.fromtimestamp(summary.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        summary.flow_id[:8],
        summary.principal or "-",
        summary.method,
        _place(summary) + summary.path,
        summary.verdict,
        _why(summary),
        str(summary.status or "-"),
        str(summary.masked or "-"),
    )


def _place(summary: "Summary") -> str:
    usual = DEFAULT_PORTS.get(summary.scheme) == summary.port
    return summary.host if usual else f"{summary.host}:{summary.port}"


def _why(summary: "Summary") -> str:
    """The rule that determined it, or the reason where none did."""
    if summary.refusal not in (None, "denied"):
        return summary.refusal_reason or summary.reason
    return (summary.error if summary.verdict == "failed" else None) or summary.rule or summary.reason


def _described(entry: "Entry") -> Iterator[str]:
    for label, value in _facts(entry):
        yield f"{click.style(f'{label:9}', bold=True)} {visible(value)}"
    yield from _message("request", entry.request)
    if entry.response:
        yield from _message("response", entry.response)


def _facts(entry: "Entry") -> Iterator[tuple[str, str]]:
    from headgate.capture.layout import iso

    summary = entry.summary
    took = f", {(summary.ended - summary.time) * 1000:,.0f} ms" if summary.ended else ""
    query = f"?{summary.query}" if summary.query else ""
    yield "flow", summary.flow_id
    yield "decision", summary.decision_id
    yield "time", iso(summary.time) + took
    reason = summary.refusal_reason or summary.reason
    yield "verdict", summary.verdict if reason == summary.verdict else f"{summary.verdict}: {reason}"
    yield from verdicts.rules_and_modes(entry)
    yield from _who(entry)
    yield "what", f"{summary.method} {summary.scheme}://{_place(summary)}{summary.path}{query}"
    if entry.query_names and summary.query is None:
        yield "query", f"{', '.join(entry.query_names)} (names only)"
    if entry.target:
        yield "target", f"{entry.target} ({entry.environment or 'no environment'})"
    if entry.bundle:
        yield "bundle", f"{entry.bundle['name']} {entry.bundle['version']} ({entry.bundle['sha256'][:12]})"
    yield from verdicts.checks(entry)
    yield "status", str(summary.status or "none") + (f" ({summary.error})" if summary.error else "")
    for mask in entry.masks:
        yield "masked", f"{mask['location']}: {mask['entity']}, {mask['operator']}, {mask['count']} times"
    if entry.stage_us:
        yield "stages", ", ".join(f"{stage} {spent:,} us" for stage, spent in entry.stage_us.items())
    yield from verdicts.trace(entry)


def _who(entry: "Entry") -> Iterator[tuple[str, str]]:
    who = entry.principal
    yield "who", f"{who['id']} ({who['kind']}, by {who['provider']})" if who else "unknown"
    if who:
        for label, name in (("groups", "groups"), ("runs in", "environment"), ("scopes", "scopes")):
            if who[name]:
                yield label, ", ".join(who[name])
        for label, name in (("owner", "owner"), ("email", "email"), ("session", "session_id")):
            if who[name]:
                yield label, who[name]
        if code := {name: value for name, value in who["workload"].items() if value}:
            yield "workload", ", ".join(f"{name} {value}" for name, value in code.items())
    yield "from", entry.source or "unknown"


def _message(title: str, message: "Recorded") -> Iterator[str]:
    yield ""
    kept = "" if message.headers is not None else ", only metadata kept"
    yield click.style(title, bold=True) + f" ({message.size:,} bytes{kept})"
    for name, value in message.headers or ():
        yield f"  {visible(name)}: {visible(value)}"
    if message.body:
        yield ""
        yield from (f"  {line}" for line in _body(message))
        if message.truncated:
            yield f"  ... cut after {len(message.body):,} of {message.size:,} bytes"


def _body(message: "Recorded") -> list[str]:
    """The body as people read it: JSON indented, other text as it is, anything else by its size."""
    binary = [f"(binary, {len(message.body):,} bytes kept)"]
    body = _decoded(message)
    if body is None or b"\0" in body:
        return binary
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if not (message.truncated and error.start > len(body) - 4):
            return binary
        text = body[: error.start].decode()  # cut within a character
    return [visible(line, keep="\t") for line in _indented(text.replace("\r\n", "\n")).split("\n")]


def _decoded(message: "Recorded") -> bytes | None:
    codings = [value for name, value in message.headers or () if name.lower() == "content-encoding"]
    if not codings:
        return message.body
    from headgate.masking.codings import decode
    from headgate.masking.plan import CannotMask

    try:
        return decode(message.body, codings)
    except CannotMask:
        return None


def _indented(text: str) -> str:
    """JSON with indentation; any other text, and JSON that would not come out the same, as it is."""
    try:
        return json.dumps(json.loads(text, object_pairs_hook=_members), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members
