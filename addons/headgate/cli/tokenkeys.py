"""The keys that `headgate token` works with: private ones in files of one's own, and those that providers publish."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli.screen import visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:  # cryptography and httpx take time to import
    from headgate.identity.jwks import KeySet
    from headgate.identity.localkeys import LocalKey
    from headgate.identity.provider import Provider
    from headgate.identity.reasons import Rejected
    from headgate.identity.sources import KeySource

PEM = click.Path(path_type=Path, dir_okay=False)
KID = click.option("--kid", metavar="ID", help="The key's id; without it, one made of its thumbprint.")
REMEDY = "accepted: a file with mode 0600, in a folder that only its owner writes to"


def local_key(path: Path, kid: str | None) -> "LocalKey":
    """The private key in a file that nobody else can read; HeadgateError quotes nothing of what is in it."""
    from headgate.identity.localkeys import LocalKey
    from headgate.secret import read_private

    name = f"key file `{visible(str(path))}`"
    try:
        pem = read_private(path, name, REMEDY)
    except OSError as error:
        hint = "; `--new-key` makes one" if isinstance(error, FileNotFoundError) else ""
        raise HeadgateError(f"{name} cannot be read: {(error.strerror or 'error').lower()}{hint}") from None
    try:
        return LocalKey.from_pem(pem, kid)
    except HeadgateError as error:
        raise HeadgateError(f"{name} cannot be used: {error}") from None


def make_key(path: Path, algorithm: str) -> None:
    """Put a new key there, readable by its owner only; what is there already is never replaced."""
    from headgate.identity.localkeys import new_pem

    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(new_pem(algorithm))
            os.link(draft, path)
        finally:
            os.unlink(draft)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise HeadgateError(f"key file `{visible(str(path))}` cannot be written: {reason}") from None


def provider_keys(provider: "Provider", kid: str | None, state: Path) -> "KeySet | Rejected":
    """The keys that a starting proxy would verify a token with that names `kid`; this makes no key."""
    from headgate.identity.development import DevelopmentKey
    from headgate.identity.presets import DEVELOPMENT
    from headgate.identity.reasons import Reason, Rejected

    if provider.keys.static is not None:
        return provider.keys.static
    if provider.preset == DEVELOPMENT:
        made = os.path.lexists(state / "keys" / "development.pem")
        return DevelopmentKey.open(state).keys if made else Rejected(Reason.KEYS_UNAVAILABLE)
    return _published(provider.name, provider.keys, kid)


def _published(name: str, source: "KeySource", kid: str | None) -> "KeySet | Rejected":
    """Fetched now. A key that its endpoint does not have, or that may not be asked for, is no key of the provider."""
    from headgate.identity.fetch import FetchError
    from headgate.identity.pemkeys import GONE, PemKeys
    from headgate.identity.reasons import Reason, Rejected

    none = PemKeys((), frozenset(), lambda _: None)
    if source.pem and not source.accepts(kid):
        return none
    try:
        fetched = asyncio.run(_fetch(source, kid))
    except FetchError as error:
        if source.pem and error.status in GONE:
            return none
        click.echo(f"the keys of `{name}` could not be fetched: {error}", err=True)
        return Rejected(Reason.KEYS_UNAVAILABLE)
    return PemKeys(fetched.keys, frozenset(), lambda _: None) if source.pem else fetched


async def _fetch(source: "KeySource", kid: str | None) -> "KeySet":
    from headgate.identity.fetch import fetch, key_client

    async with key_client() as client:
        return await fetch(client, source, kid)
