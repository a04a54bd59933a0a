"""`headgate token`: make tokens for trying things out, and find out why a token is or is not accepted."""

import json
from pathlib import Path

import click

from headgate.cli.tokeninspect import inspect
from headgate.cli.tokenkeys import KID, PEM, local_key, make_key
from headgate.cli.tokenmint import mint


@click.group(name="token")
def token() -> None:
    """Tokens for trying rules out, and why a token is or is not accepted.

    \b
    headgate token mint --id ana --group support
    headgate token mint --provider corp-sso --key corp.pem --new-key
    headgate token jwks --key corp.pem > rules/keys/corp.json
    headgate token inspect - < token.txt
    """


token.add_command(inspect)
token.add_command(mint)


@token.command()
@click.option("--key", type=PEM, required=True, metavar="KEY.pem", help="A private key; its public half is printed.")
@KID
@click.option("--new-key", is_flag=True, help="Make KEY.pem, with mode 0600, if there is none.")
@click.option(
    "--algorithm",
    type=click.Choice(["ES256", "ES384", "ES512", "RS256", "EdDSA"]),
    default="ES256",
    show_default=True,
    help="What a new key signs with.",
)
def jwks(key: Path, kid: str | None, new_key: bool, algorithm: str) -> None:
    """Print the public half of KEY.pem as a JWK Set, for `jwks: file:...` in identity.yaml.

    For the endpoint of an AWS provider (one PEM for each key id), `openssl pkey -in KEY.pem -pubout` prints the PEM.

    \b
    headgate token jwks --key corp.pem > rules/keys/corp.json
    headgate token jwks --key jobs.pem --new-key --algorithm RS256 > rules/keys/jobs.json
    """
    if new_key and not key.exists():
        make_key(key, algorithm)
    click.echo(json.dumps({"keys": [dict(local_key(key, kid).jwk)]}, indent=2))
