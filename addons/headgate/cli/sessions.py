"""`headgate sessions`: cut off a session, a caller or a token before it ends by itself, and take that back.

Writes to the state folder of a proxy, which reads it several times a second.
"""

import getpass
import json
import re
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headgate.cli.audited import record
from headgate.cli.options import JSON, STATE, STATE_FOLDER, seconds_of
from headgate.cli.screen import print_table, visible

if TYPE_CHECKING:  # sqlite-utils and pydantic take time to import
    from headgate.identity.revocations import Kind, Revocation

COLUMNS = ("id", "what", "provider", "name", "ends", "by", "reason")
MAX_REASON = 500
NOUNS: "dict[Kind, str]" = {"session": "session", "principal": "caller", "token": "token"}
JWT = re.compile(r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.")
PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


class Named(NamedTuple):
    """What is to be revoked; without a provider, whichever says it."""

    kind: "Kind"
    provider: str | None
    value: str


@click.group()
def sessions() -> None:
    """Cut off a session, a caller or a single token, within a second and for a limited time.

    \b
    headgate sessions revoke --principal corp-sso/ana --for 8h --reason "laptop stolen"
    headgate sessions list
    headgate sessions lift 3
    """


@sessions.command()
@click.option("--session", metavar="ID", help="Every token of this session.")
@click.option("--principal", metavar="[PROVIDER/]ID", help="This caller and its agents, or this person.")
@click.option("--token", "jti", metavar="JTI", help="The one token with this id (its claim `jti`).")
@click.option("--provider", metavar="NAME", help="Only as this provider names it; `*`: any, the default.")
@click.option("--for", "lasts", default="24h", show_default=True, metavar="TIME", help="Such as `15m`, up to `30d`.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads the list.")
@STATE
@JSON
def revoke(
    session: str | None,
    principal: str | None,
    jti: str | None,
    provider: str | None,
    lasts: str,
    reason: str,
    state: Path,
    as_json: bool,
) -> None:
    """Refuse a session, a caller or a token from now on.

    A caller is named by its id, or by the person that a provider's `person` claim names; its agents are refused with
    it. An id with slashes is best given with --provider: what stands before the first slash is else taken for a
    provider where it can be one. To revoke again extends what is there.

    Exit code 0: revoked, 1: it could not be, 2: wrong usage.

    \b
    headgate sessions revoke --session 8f2c1e --reason "left at the airport"
    headgate sessions revoke --principal corp-sso/ana --for 8h
    headgate sessions revoke --principal team/bot --provider "*"
    headgate sessions revoke --token 01K2J8Z5Q6 --provider github --for 1h --json
    """
    from headgate.identity.revocations import LONGEST
    from headgate.identity.store import IdentityStore

    named = _named(session, principal, jti, provider)
    seconds = seconds_of(lasts, LONGEST)
    if len(reason) > MAX_REASON or not _is_plain(reason):
        raise click.BadParameter(f"accepted: one line of up to {MAX_REASON} characters", param_hint="--reason")
    made = IdentityStore(state).revoke(
        named.kind,
        named.value,
        provider=named.provider,
        reason=reason,
        by=_who(),
        now=time.time(),
        lasts=seconds,
    )
    if as_json:
        click.echo(json.dumps(_json(made)))
    else:
        click.echo(f"revoked {_described(made)} until {_iso(made.expires)}")
        click.echo(f"to take it back: headgate sessions lift {made.id}{_at(state)}", err=True)
    record(state, "revoked", revocation=_json(made))


@sessions.command("list")
@STATE
@JSON
def list_revocations(state: Path, as_json: bool) -> None:
    """List what is revoked now, the oldest first.

    \b
    headgate sessions list
    headgate sessions list --json | jq '.[] | select(.kind == "principal") | .name'
    """
    from headgate.identity.store import IdentityStore

    found = IdentityStore(state).revocations(time.time())
    if as_json:
        click.echo(json.dumps([_json(revocation) for revocation in found], indent=2))
    elif found:
        print_table(COLUMNS, [_row(revocation) for revocation in found], flexible=("name", "reason"))
    else:
        click.echo("nothing is revoked", err=True)


@sessions.command()
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@STATE
@JSON
def lift(number: int, state: Path, as_json: bool) -> None:
    """Take back the revocation that `headgate sessions list` shows under ID.

    Exit code 0: lifted, 1: there is no such revocation, 2: wrong usage.

    \b
    headgate sessions lift 3
    """
    from headgate.identity.store import IdentityStore

    lifted = IdentityStore(state).lift(number)
    click.echo(json.dumps(_json(lifted)) if as_json else f"lifted the revocation of {_described(lifted)}")
    record(state, "revocation-lifted", revocation=_json(lifted))


def _named(session: str | None, principal: str | None, jti: str | None, provider: str | None) -> Named:
    options: dict[Kind, str | None] = {"session": session, "principal": principal, "token": jti}
    given = [(kind, value) for kind, value in options.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("say what to revoke; accepted: exactly one of --session, --principal and --token")
    if provider not in (None, "*") and not PROVIDER.match(provider):
        message = f"`{visible(provider[:80])}` is not the name of a provider; accepted: as in identity.yaml, or `*`"
        raise click.BadParameter(message, param_hint="--provider")
    kind, value = given[0]
    before, slash, after = value.partition("/")
    if kind == "principal" and provider is None and slash and PROVIDER.match(before):
        provider, value = before, after
    if JWT.match(value):
        claim = {"session": "sid", "principal": "sub", "token": "jti"}[kind]
        message = f"that is a token, and would be kept and shown; accepted: what its claim `{claim}` says"
        raise click.BadParameter(message, param_hint=f"--{kind}")
    if not value or not _is_plain(value):
        raise click.BadParameter("accepted: an id, without control characters", param_hint=f"--{kind}")
    return Named(kind, None if provider == "*" else provider, value)


def _at(state: Path) -> str:
    """How the next command finds the same state; ids count up in each."""
    return "" if state == Path(STATE_FOLDER) else f" --state {visible(shlex.quote(str(state)))}"


def _is_plain(text: str) -> bool:
    """No control characters, and no bytes that are no text."""
    return not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text)


def _who() -> str:
    """The user of this machine, as far as it says."""
    try:
        return visible(getpass.getuser()[:100])
    except (OSError, KeyError):
        return "unknown"


def _described(revocation: "Revocation") -> str:
    provider = f"by provider `{revocation.provider}`" if revocation.provider else "by any provider"
    return f"{NOUNS[revocation.kind]} `{visible(revocation.value)}` {provider}"


def _row(revocation: "Revocation") -> tuple[str, ...]:
    return (
        str(revocation.id),
        NOUNS[revocation.kind],
        revocation.provider or "any",
        revocation.value,
        _iso(revocation.expires),
        revocation.by,
        revocation.reason or "-",
    )


def _json(revocation: "Revocation") -> dict[str, Any]:
    return {
        "id": revocation.id,
        "kind": revocation.kind,
        "provider": revocation.provider,
        "name": revocation.value,
        "reason": revocation.reason,
        "created": _iso(revocation.created),
        "expires": _iso(revocation.expires),
        "by": revocation.by,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
