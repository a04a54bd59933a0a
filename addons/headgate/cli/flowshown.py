"""A recorded flow as `headgate flows show` describes it: who, what, why, and what travelled. All of it is escaped."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from headgate.cli import verdicts
from headgate.cli.flows_wire import connections, said_line
from headgate.cli.screen import visible

if TYPE_CHECKING:
    from headgate.capture.entries import Entry, MessageEntry, Recorded, Summary
    from headgate.capture.sealing import Original

DEFAULT_PORTS = {"http": 80, "https": 443}


def place(summary: "Summary") -> str:
    usual = DEFAULT_PORTS.get(summary.scheme) == summary.port
    return summary.host if usual else f"{summary.host}:{summary.port}"


def why(summary: "Summary") -> str:
    """The rule that determined it, or the reason where none did."""
    if summary.refusal not in (None, "denied"):
        return summary.refusal_reason or summary.reason
    return (summary.error if summary.verdict == "failed" else None) or summary.rule or summary.reason


def described(entry: "Entry") -> Iterator[str]:
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
    yield "what", f"{summary.method} {summary.scheme}://{place(summary)}{summary.path}{query}"
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
    yield from connections(entry)


def opened(original: "Original") -> Iterator[str]:
    """What travelled before masking."""
    from headgate.capture.layout import recorded_of

    line = original.line
    yield ""
    yield click.style("original", bold=True) + " (without credentials)"
    yield "  " + visible(f"{line.method.decode('latin-1')} {line.target.decode('latin-1')}")
    yield from _message("original request", recorded_of(original.request))
    if original.response:
        yield from _message(f"original response, {original.status}", recorded_of(original.response))


def said(messages: "list[MessageEntry]", most: int) -> Iterator[str]:
    """The messages of a WebSocket, one line each."""
    if messages:
        yield ""
        yield click.style("messages", bold=True)
    for message in messages:
        yield f"  {said_line(message)}"
    if messages and len(messages) == most:
        yield f"  ... after {most:,} messages (--messages shows more)"


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
    from headgate.replay.decoding import decoded

    return decoded(message.body, codings)


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
