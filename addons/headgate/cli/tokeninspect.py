"""`headgate token inspect`: why a token is or is not accepted, from a terminal."""

import json
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON, RULES, STATE
from headgate.cli.screen import print_table, visible
from headgate.cli.tokenkeys import provider_keys

if TYPE_CHECKING:  # pydantic and cryptography take time to import
    from headgate.identity.inspection import Inspection, Step
    from headgate.identity.revocations import Revocations


@click.command()
@click.argument("text", metavar="TOKEN")
@RULES
@STATE
@JSON
@click.pass_context
def inspect(context: click.Context, text: str, rules: Path, state: Path, as_json: bool) -> None:
    """Show each check of TOKEN, what it found and what it wanted; `-` reads the token from standard input.

    The checks are the proxy's own. Keys are fetched from where the rules say. A token on the command line can be seen
    by others on this machine while this runs.

    Exit code 0: accepted, 1: not, 2: wrong usage.

    \b
    headgate token inspect - < token.txt
    headgate token inspect - --rules rules --state .headgate --json < token.txt | jq .reason
    """
    from headgate.bundle.load import load_bundle
    from headgate.identity.inspection import inspect as examine

    given = sys.stdin.read().strip() if text == "-" else text
    if not given:
        raise click.UsageError("there is no token to inspect; accepted: a token, or `-` and one on standard input")
    identity = load_bundle(rules).identity
    found = examine(
        given, identity, lambda provider, kid: provider_keys(provider, kid, state), time.time(), _revocations(state)
    )
    if as_json:
        click.echo(json.dumps(_report(found)))
    else:
        _show(found)
    context.exit(0 if found.reason is None else 1)


def _revocations(state: Path) -> "Revocations | None":
    """What a proxy with this state refuses; None where no proxy has had it."""
    from headgate.identity.store import IdentityStore

    store = IdentityStore(state)
    return store.latest() if store.path.exists() else None


def _report(found: "Inspection") -> dict[str, Any]:
    return {
        "accepted": found.reason is None,
        "reason": found.reason,
        "provider": found.provider,
        "places": list(found.places),
        "needs_proof": found.needs_proof,
        "workload_only": found.workload,
        "revoked": found.revoked,
        "releases": found.listed,
        "principal": _plain(found.principal),
        "steps": [_step(step) for step in found.steps],
        "not_reached": list(found.not_reached),
    }


def _step(step: "Step") -> dict[str, Any]:
    return {
        "step": step.name,
        "reason": step.reason,
        "meaning": step.reason.meaning if step.reason else None,
        "found": step.found,
        "required": step.required,
    }


def _plain(value: Any) -> Any:
    """A model value as JSON has it; sets in order."""
    from headgate.identity.strictjson import thawed

    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return sorted(value) if isinstance(value, frozenset) else thawed(value)


def _show(found: "Inspection") -> None:
    rows: list[tuple[str, ...]] = [
        (step.name, "failed" if step.reason else "ok", step.found, step.required) for step in found.steps
    ]
    rows += [(name, "not reached", "", "") for name in found.not_reached]
    print_table(("check", "result", "found", "required"), rows, ("found", "required"))
    if found.reason:
        failed = found.steps[-1]
        click.echo(f"refused: {found.reason.value}: {found.reason.meaning}")
        click.echo(f"found: {visible(failed.found) or '-'}")
        click.echo(f"required: {visible(failed.required) or '-'}")
    else:
        click.echo(f"accepted by `{found.provider}`")
    for line in _remarks(found):
        click.echo(line)


def _remarks(found: "Inspection") -> list[str]:
    from headgate.identity.inspection import in_words

    remarks = []
    if found.places:
        places = " or ".join(in_words(place, bound=found.needs_proof) for place in found.places)
        remarks.append(f"it must stand in {places}")
    if found.needs_proof:
        remarks.append("each request needs a proof of the key that it is bound to, in `DPoP`")
    if found.workload:
        remarks.append("it says which code calls; another token has to say who")
    if found.principal and found.listed is not None:
        verified = "is" if found.principal.workload.verified else "is not"
        remarks.append(f"its code {verified} verified by the list of releases")
    return remarks
