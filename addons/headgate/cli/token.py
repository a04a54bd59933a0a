"""`headgate token`: make tokens for trying things out, and find out why a token is or is not accepted."""

import asyncio
import json
import os
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.screen import print_table, visible

if TYPE_CHECKING:  # pydantic, cryptography and httpx take time to import, and most commands need none of them
    from headgate.identity.inspection import Inspection, Step
    from headgate.identity.jwks import KeySet
    from headgate.identity.presets import Provider
    from headgate.identity.reasons import Rejected

KINDS = ("human", "service", "agent", "ci")
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=".headgate",
    show_default=True,
    metavar="DIR",
    help="The proxy's state folder.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="token")
def token() -> None:
    """Development tokens, and why a token is or is not accepted.

    \b
    headgate token mint --id ana --group support
    headgate token inspect - < token.txt
    """


@token.command()
@click.option("--id", "subject", default="dev", show_default=True, help="Who calls.")
@click.option("--kind", type=click.Choice(KINDS), default="human", show_default=True)
@click.option("--group", "groups", multiple=True, default=("support",), show_default=True, help="May be repeated.")
@click.option(
    "--environment", "environments", multiple=True, default=("dev",), show_default=True, help="May be repeated."
)
@click.option("--email", help="The caller's address.")
@click.option("--scope", "scopes", multiple=True, help="A session scope; may be repeated.")
@click.option("--owner", help="Makes an agent that acts for this subject.")
@click.option("--audience", "audiences", multiple=True, default=("headgate-dev",), show_default=True)
@click.option("--for", "lifetime", default="1h", show_default=True, help="How long it is valid, such as `15m` or `7d`.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="Any other claim: JSON, or else text.")
@STATE
@JSON
def mint(
    subject: str,
    kind: str,
    groups: tuple[str, ...],
    environments: tuple[str, ...],
    email: str | None,
    scopes: tuple[str, ...],
    owner: str | None,
    audiences: tuple[str, ...],
    lifetime: str,
    claims: tuple[str, ...],
    state: Path,
    as_json: bool,
) -> None:
    """Print a token of the `development` provider, signed with the key in the state folder.

    Without options it is for what the shipped rules know: a person in group `support`, environment `dev`. An empty
    value (`--group ""`) stands for none.
    """
    from headgate.identity.development import DevelopmentKey

    content = {
        **_extra(claims),
        "sub": owner or subject,
        "act": {"sub": subject} if owner else None,
        "kind": "agent" if owner else kind,
        "aud": list(audiences),
        "groups": [group for group in groups if group],
        "env": [environment for environment in environments if environment],
        "email": email,
        "scope": " ".join(scopes),
    }
    content = {name: value for name, value in content.items() if value}
    seconds = _seconds(lifetime)
    minted = DevelopmentKey.open(state).mint(content, seconds, now=time.time())
    click.echo(json.dumps({"token": minted, "seconds": seconds, "claims": content}) if as_json else minted)


@token.command()
@click.argument("text", metavar="TOKEN")
@click.option("--rules", type=click.Path(path_type=Path), default="rules", show_default=True, help="The rules folder.")
@STATE
@JSON
@click.pass_context
def inspect(context: click.Context, text: str, rules: Path, state: Path, as_json: bool) -> None:
    """Show each check of TOKEN, what it found and what it wanted; `-` reads the token from standard input.

    Exit code 0: accepted, 1: not. A token on the command line can be seen by others on this machine while this runs.
    """
    from headgate.bundle.load import load_bundle
    from headgate.identity.inspection import inspect as examine

    given = sys.stdin.read().strip() if text == "-" else text
    identity = load_bundle(rules).identity
    found = examine(given, identity, lambda provider: _keys(provider, state), time.time())
    if as_json:
        click.echo(json.dumps(_report(found)))
    else:
        _show(found)
    context.exit(0 if found.reason is None else 1)


def _extra(claims: tuple[str, ...]) -> dict[str, Any]:
    from headgate.identity.development import RESERVED

    extra: dict[str, Any] = {}
    for claim in claims:
        name, equals, value = claim.partition("=")
        if not name or not equals or name in RESERVED:
            accepted = f"NAME=VALUE, with a name other than {', '.join(sorted(RESERVED))}"
            message = f"`{visible(name[:40])}` cannot be set; accepted: {accepted}"
            raise click.BadParameter(message, param_hint="--claim")
        try:
            extra[name] = json.loads(value)
        except ValueError:
            extra[name] = value
    return extra


def _seconds(lifetime: str) -> float:
    from headgate.identity.presets import DEVELOPMENT, PRESETS
    from headgate.identity.rules import duration

    try:
        seconds = duration(lifetime)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not 0 < seconds <= (PRESETS[DEVELOPMENT].max_lifetime or 0):
        raise click.BadParameter("too long or nothing; accepted: from `1s` to `30d`", param_hint="--for")
    return seconds


def _keys(provider: "Provider", state: Path) -> "KeySet | Rejected":
    """The provider's keys as a starting proxy would get them; inspecting makes no key."""
    from headgate.identity.development import DevelopmentKey
    from headgate.identity.fetch import FetchError
    from headgate.identity.presets import DEVELOPMENT
    from headgate.identity.reasons import Reason, Rejected

    if provider.static_keys is not None:
        return provider.static_keys
    if provider.preset == DEVELOPMENT:
        made = os.path.lexists(state / "keys" / "development.pem")
        return DevelopmentKey.open(state).keys if made else Rejected(Reason.KEYS_UNAVAILABLE)
    try:
        return asyncio.run(_fetched(provider.jwks_url or ""))
    except FetchError as error:
        click.echo(f"the keys of `{provider.name}` could not be fetched: {error}", err=True)
        return Rejected(Reason.KEYS_UNAVAILABLE)


async def _fetched(url: str) -> "KeySet":
    from headgate.identity.fetch import fetch, key_client

    async with key_client() as client:
        return await fetch(client, url)


def _report(found: "Inspection") -> dict[str, Any]:
    return {
        "accepted": found.reason is None,
        "reason": found.reason,
        "provider": found.provider,
        "principal": _plain(found.principal),
        "steps": [_step(step) for step in found.steps],
        "not_reached": list(found.not_reached),
    }


def _step(step: "Step") -> dict[str, Any]:
    meaning = step.reason.meaning if step.reason else None
    return {
        "step": step.name,
        "reason": step.reason,
        "meaning": meaning,
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
        click.echo(f"refused: {found.reason.value}: {found.reason.meaning}")
    else:
        click.echo(f"accepted by `{found.provider}`")
