"""`headgate flows`: what was recorded, one line each or everything about one.

Reads the capture of a state folder, also while a proxy writes it. All that a peer sent is escaped before it is shown.
"""

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.flowshown import described, opened, place, said, why
from headgate.cli.lazygroup import LazyGroup
from headgate.cli.options import JSON, STATE, moment
from headgate.cli.screen import print_table

if TYPE_CHECKING:
    from headgate.capture.entries import Summary

COLUMNS = ("time", "id", "principal", "method", "where", "verdict", "why", "status", "masked")


COMMANDS = {
    "export": ("headgate.cli.flows_exchange:export_flows", "Write flows as mitmproxy's file, HAR, curl or raw HTTP."),
    "impact": ("headgate.cli.flows_impact:impact", "Decide and mask recorded flows again under changed rules."),
    "import": ("headgate.cli.flows_exchange:import_flows", "Take in flows from mitmproxy's file or HAR, masked first."),
    "index": ("headgate.cli.flows_keep:index_flows", "Make what was recorded searchable (`flows list --search`)."),
    "keys": ("headgate.cli.flows_keys:keys", "Make the pair of keys for sealed originals."),
    "prune": ("headgate.cli.flows_keep:prune_flows", "Delete flows that are old, or more than may be kept."),
    "replay": ("headgate.cli.flows_replay:replay", "Send recorded requests through the chain again; show differences."),
    "rescrub": ("headgate.cli.flows_rescrub:rescrub_flows", "Mask what older rules let into the capture."),
    "save": ("headgate.cli.flows_exchange:save_flows", "Save flows for the test suite, with what is expected of them."),
    "session": ("headgate.cli.flows_session:show_session", "Show one caller's session from first to last request."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def flows() -> None:
    """What was recorded: every request, refused ones too, masked before it was written.

    \b
    headgate flows list --refused --since 1h
    headgate flows show 3f2a91c0
    headgate flows impact --rules changed/
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
@click.option("--search", "words", metavar="TEXT", help="Only with these words in them (`headgate flows index`).")
@click.option("--filter", "expression", metavar="EXPR", help="Only what mitmproxy's filter expression says, and more.")
@JSON
def list_flows(
    state: Path, limit: int, words: str | None, expression: str | None, as_json: bool, **wanted: Any
) -> None:
    """List recorded flows, the newest first.

    --search finds whole words, phrases in quotes and beginnings (`refund*`) in what was recorded, masked as it was, and
    brings its index up to date first. --filter takes what mitmproxy takes (`~m POST & ~c 403`), and `~decision`,
    `~rule`, `~principal` and `~mask`.

    \b
    headgate flows list --limit 20
    headgate flows list --principal ana@corp.example --host "*.internal"
    headgate flows list --refused --json | jq '.[].reason'
    headgate flows list --search '"card declined" 4711*' --since 7d
    headgate flows list --filter '~principal ^ana@ & ~mask CREDIT_CARD & !~c 200'
    """
    from headgate.capture.layout import summary_json

    found = _found(state, limit, words, expression, wanted)
    if as_json:
        click.echo(json.dumps([summary_json(summary) for summary in found], indent=2))
    elif found:
        print_table(COLUMNS, [_row(summary) for summary in found], flexible=("principal", "where", "why"))
    else:
        click.echo("no recorded flow matches", err=True)


def _found(
    state: Path, limit: int, words: str | None, expression: str | None, wanted: dict[str, Any]
) -> "list[Summary]":
    from headgate.capture.entries import Filter
    from headgate.capture.store import Store

    if expression is not None:
        since = wanted.pop("since")
        if words is not None or any(wanted.values()):
            raise click.UsageError("--filter says it all; accepted beside it: --since and --limit")
        from headgate.replay.filters import select

        entries = select(Store(state), expression, since=since, bodies=False, newest_first=True)
        return [entry.summary for entry in islice(entries, limit)]
    if words is None:
        return Store(state).summaries(Filter(**wanted), limit)
    from headgate.capture.fulltext.store import search
    from headgate.cli.flows_keep import CAPTURE, bring_up_to_date

    bring_up_to_date(state)
    return search(state / CAPTURE, words, Filter(**wanted), limit)


@flows.command("show")
@click.argument("name", metavar="ID")
@STATE
@click.option(
    "--open",
    "key",
    metavar="KEYFILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Private key (`flows keys`): show the original, too, where `headgate_capture=sealed` kept it.",
)
@click.option(
    "--messages", "most", type=click.IntRange(min=0), default=100, show_default=True, help="At most so many messages."
)
@JSON
def show_flow(name: str, state: Path, key: Path | None, most: int, as_json: bool) -> None:
    """Show everything about one flow; of a WebSocket its messages, too.

    ID is a flow id or a decision id (a refused caller was told one), or the beginning of either.

    \b
    headgate flows show 3f2a91c0
    headgate flows show 01K2J8Z5Q6 --json
    headgate flows show 3f2a91c0 --open sealing.key
    """
    from headgate.capture.layout import entry_json, message_json, original_json
    from headgate.capture.sealing import read_private
    from headgate.capture.store import Store

    store = Store(state)
    entry = store.entry(name)
    decision = entry.summary.decision_id
    original = store.original(decision, read_private(key)) if key else None
    messages = list(islice(store.messages(decision), most)) if entry.kind != "http" else []
    if as_json:
        report = entry_json(entry)
        report["recorded"]["messages"] = [message_json(message) for message in messages]
        if original:
            report["original"] = original_json(original)
        click.echo(json.dumps(report, indent=2))
        return
    for line in (*described(entry), *said(messages, most), *(opened(original) if original else ())):
        click.echo(line)


def _row(summary: "Summary") -> tuple[str, ...]:
    return (
        datetime.fromtimestamp(summary.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        summary.flow_id[:8],
        summary.principal or "-",
        summary.method,
        place(summary) + summary.path,
        summary.verdict,
        why(summary),
        str(summary.status or "-"),
        str(summary.masked or "-"),
    )
