"""`headgate token mint`: development tokens, and tokens in the shape of any other provider from a local key."""

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from headgate.cli.options import JSON, RULES, STATE, seconds_of
from headgate.cli.screen import visible
from headgate.cli.tokenkeys import KID, PEM, local_key, make_key
from headgate.errors import HeadgateError

if TYPE_CHECKING:  # pydantic and cryptography take time to import, and most commands need none of them
    from headgate.identity.localkeys import LocalKey
    from headgate.identity.minting import Minted, Wishes
    from headgate.identity.provider import Provider

KINDS = ("human", "service", "agent", "ci")


@click.command()
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
@click.option(
    "--claim", "claims", multiple=True, metavar="NAME=VALUE", help="Any claim, by name or JSON Pointer: JSON, or text."
)
@click.option("--provider", "name", metavar="NAME", help="In the shape of this provider of the rules.")
@click.option("--key", type=PEM, metavar="KEY.pem", help="The private key that stands in for the provider's.")
@click.option("--new-key", is_flag=True, help="Make KEY.pem, with mode 0600, if there is none.")
@KID
@RULES
@STATE
@JSON
@click.pass_context
def mint(
    context: click.Context,
    /,
    name: str | None,
    key: Path | None,
    new_key: bool,
    kid: str | None,
    rules: Path,
    state: Path,
    as_json: bool,
    **said: Any,
) -> None:
    """Print a token of the `development` provider, signed with the key in the state folder; or of any other.

    Without options it is for what the shipped rules know: a person in group `support`, environment `dev`. An empty
    value (`--group ""`) stands for none.

    With --provider it has the shape of that provider's tokens (header, issuer, audience, signer, what the rules
    require), signed with a key of yours. It is believed where the rules name that key, so on your own machine only:

    \b
    headgate token mint --provider iap --key iap.pem --new-key
    headgate token jwks --key iap.pem > rules/keys/iap.json     # with `jwks: file:keys/iap.json` in identity.yaml
    headgate token mint --provider iap --key iap.pem --id "accounts.google.com:7" --email ana@corp.example
    headgate token mint --provider jobs --key jobs.pem --claim repository=corp/shop --claim /sha=4b825dc6...
    """
    provider = _provider(name, rules) if name else None
    given = {option for option in said if context.get_parameter_source(option) is ParameterSource.COMMANDLINE}
    if provider is None or provider.preset == "development":
        if key or new_key or kid:
            what = "accepted with `--provider` only, of another preset than `development`"
            raise click.UsageError(f"`--key`, `--new-key` and `--kid` are for the keys of other providers; {what}")
        _print_development(said, given, provider, state, as_json)
    elif key is None:
        raise click.UsageError(
            "`--key` is missing; accepted: a private key in PEM, or with `--new-key` where to put it"
        )
    else:
        wishes = _wishes(said, given)
        _print_minted(_minted(provider, key, new_key, kid, wishes), provider, wishes, as_json)


# ---------------------------------------------------------------------------------------------------------- development


def _print_development(
    said: Mapping[str, Any], given: set[str], provider: "Provider | None", state: Path, as_json: bool
) -> None:
    from headgate.identity.development import RESERVED, DevelopmentKey
    from headgate.identity.presets import BEARER, DEVELOPMENT, PRESETS

    audiences = sorted(provider.audiences) if provider and "audiences" not in given else said["audiences"]
    subject, owner = said["subject"], said["owner"]
    content = {
        "sub": owner or subject,
        "act": {"sub": subject} if owner else None,
        "kind": "agent" if owner else said["kind"],
        "aud": list(audiences),
        "groups": _listed(said["groups"]),
        "env": _listed(said["environments"]),
        "email": said["email"],
        "scope": " ".join(said["scopes"]),
    }
    claims = _with_claims({}, _claims(said["claims"], RESERVED))
    claims |= {member: value for member, value in content.items() if value}
    seconds = seconds_of(said["lifetime"], PRESETS[DEVELOPMENT].max_lifetime or 0)
    minted = DevelopmentKey.open(state).mint(claims, seconds, now=time.time())
    report = {"token": minted, "seconds": seconds, "claims": claims, "places": [BEARER]}
    click.echo(json.dumps(report) if as_json else minted)


# -------------------------------------------------------------------------------------------------- any other provider


def _provider(name: str, rules: Path) -> "Provider":
    from headgate.bundle.load import load_bundle

    providers = {provider.name: provider for provider in load_bundle(rules).identity.providers}
    if name not in providers:
        known = ", ".join(providers) or "none"
        raise click.BadParameter(f"`{visible(name[:80])}` is no provider of the rules; accepted: {known}")
    return providers[name]


def _wishes(said: Mapping[str, Any], given: set[str]) -> "Wishes":
    """What was said on the command line; the defaults are the development provider's."""
    from headgate.identity.minting import Wishes
    from headgate.model import Kind

    attributes = {
        "email": said["email"],
        "groups": _listed(said["groups"]) if "groups" in given else None,
        "environment": _listed(said["environments"]) if "environments" in given else None,
        "session.scopes": " ".join(said["scopes"]) or None,
    }
    return Wishes(
        id=said["subject"] if "subject" in given else None,
        kind=Kind(said["kind"]) if "kind" in given else None,
        owner=said["owner"],
        audiences=tuple(said["audiences"]) if "audiences" in given else (),
        lifetime=seconds_of(said["lifetime"], 30 * 86400.0) if "lifetime" in given else None,
        attributes={attribute: value for attribute, value in attributes.items() if value is not None},
        claims=_claims(said["claims"]),
    )


def _minted(provider: "Provider", path: Path, new_key: bool, kid: str | None, wishes: "Wishes") -> "Minted":
    from headgate.identity.minting import mint, shape_of, usual_algorithms

    shape_of(provider)  # before a key is made for a provider that takes none
    if new_key and not path.exists():
        make_key(path, usual_algorithms(provider)[0])
    key = local_key(path, kid)
    if key.algorithm(usual_algorithms(provider)) is None:
        accepted = ", ".join(usual_algorithms(provider))
        raise HeadgateError(
            f"the key signs with none of the algorithms of provider `{provider.name}`: {accepted}; "
            "`--new-key` makes one that does, where `--key` names no file yet"
        )
    minted = mint(provider, key, wishes, now=time.time(), token_id=str(uuid.uuid4()))
    _remark_on_keys(provider, key, path)
    return minted


def _remark_on_keys(provider: "Provider", key: "LocalKey", path: Path) -> None:
    """Say where the public key belongs, unless the rules have it there."""
    static = provider.keys.static
    held = static is not None and any(held.public == key.public.public for held in static.keys if held.kid == key.kid)
    if not held:
        file = f"keys/{provider.name}.json"
        click.echo(
            f"the keys of `{provider.name}` do not hold this one: `headgate token jwks --key {visible(str(path))}` "
            f"prints it for `jwks: file:{file}`",
            err=True,
        )


def _print_minted(minted: "Minted", provider: "Provider", wishes: "Wishes", as_json: bool) -> None:
    from headgate.identity.inspection import in_words
    from headgate.identity.minting import lifetime_of

    places = [in_words(place) for place in provider.shape.places]
    if as_json:
        report = {
            "token": minted.token,
            "provider": provider.name,
            "places": list(provider.shape.places),
            "seconds": lifetime_of(provider, wishes),
            "header": minted.header,
            "claims": minted.claims,
            "refused": minted.refused,
        }
        click.echo(json.dumps(report))
        return
    click.echo(f"put it into {' or '.join(places)}", err=True)
    if minted.refused:
        click.echo(f"as it is, it is refused: {minted.refused.value}: {minted.refused.meaning}", err=True)
    click.echo(minted.token)


# ------------------------------------------------------------------------------------------------------------- options


def _listed(values: tuple[str, ...]) -> list[str]:
    return [value for value in values if value]


def _claims(given: tuple[str, ...], reserved: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What each `--claim` sets, by its name or pointer as it was written."""
    from headgate.match.pointers import pointer

    claims: dict[str, Any] = {}
    for claim in given:
        name, equals, value = claim.partition("=")
        try:
            member = pointer(name)[0]
        except ValueError:
            member = ""
        if not member or not equals or member in reserved:
            but = f" other than {', '.join(sorted(reserved))}" if reserved else " or JSON Pointer"
            message = f"`{visible(name[:40])}` cannot be set; accepted: NAME=VALUE, with a name{but}"
            raise click.BadParameter(message, param_hint="--claim")
        claims[name] = _value(value)
    return claims


def _value(text: str) -> Any:
    """JSON, or else text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _with_claims(content: dict[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
    from headgate.identity.minting import put
    from headgate.match.pointers import pointer

    for name, value in claims.items():
        put(content, pointer(name), value)
    return content
