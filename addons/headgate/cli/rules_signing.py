"""`headgate rules sign, verify`: the signatures beside a bundle, which a proxy may require (`headgate_rules_key`).

No key is made here: openssl does that, and the help says how.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli.options import JSON
from headgate.cli.rules_versions import reported
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DIR = click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default="rules")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@DIR
@click.option("--key", required=True, metavar="KEY", help="Private key: a PEM file with mode 0600, or `env:NAME`.")
@JSON
def sign(folder: Path, key: str, as_json: bool) -> None:
    """Check the rules in DIR (default: rules), and write a signature of them to `bundle.sig` there.

    The signature is of name, version and hash. Other keys' signatures of the same content stay, so that several may
    sign; rules that change need a new one.

    \b
    openssl genpkey -algorithm ed25519 -out rules.pem && chmod 600 rules.pem
    openssl pkey -in rules.pem -pubout -out rules.pub
    headgate rules sign rules --key rules.pem
    headgate run --set headgate_rules_key=rules.pub
    """
    with reported(as_json):
        from headgate.bundle import signing
        from headgate.bundle.files import SIGNATURE
        from headgate.bundle.load import label, load_bundle
        from headgate.cli.releasefiles import write_whole

        private = _private(key)
        bundle = load_bundle(folder)
        out = folder / SIGNATURE
        write_whole(out, signing.sign(bundle, private))
        keyid = signing.key_id(private.public_key())
        report = {"ok": True, "label": label(bundle), "sha256": bundle.sha256, "file": str(out), "keyid": keyid}
        said = f"signed `{bundle.name}` {label(bundle)} with key {keyid[:16]}, into `{out}`"
        click.echo(json.dumps(report, indent=2) if as_json else said)


@click.command()
@DIR
@click.option("--key", type=FILE, required=True, metavar="PUB.pem", help="Public key that must have signed.")
@JSON
def verify(folder: Path, key: Path, as_json: bool) -> None:
    """Check that this key has signed the rules in DIR (default: rules) as they are.

    Exit code 0: it has, 1: it has not, or the rules cannot be used, 2: wrong usage.

    \b
    headgate rules verify rules --key rules.pub
    """
    with reported(as_json):
        from headgate.bundle import signing
        from headgate.bundle.files import SIGNATURE
        from headgate.bundle.load import label, load_bundle

        public = signing.key_in(key)
        bundle = load_bundle(folder)
        signing.check(bundle, bundle.contents.get(SIGNATURE), public)
        keyid = signing.key_id(public)
        report = {"ok": True, "label": label(bundle), "sha256": bundle.sha256, "keyid": keyid}
        said = f"ok: `{bundle.name}` {label(bundle)}, signed with key {keyid[:16]}"
        click.echo(json.dumps(report, indent=2) if as_json else said)


def _private(key: str) -> "Ed25519PrivateKey":
    """The key that `--key` names; what is wrong with it is said without quoting it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from headgate import secret
    from headgate.identity import dsse

    found: object
    if key.startswith("env:"):
        pem = secret.resolve(key, os.environ, Path.cwd())
        try:
            found = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise HeadgateError(f"`{key}` does not hold a private key in PEM without a passphrase") from None
    elif "PRIVATE KEY" in key:
        raise click.BadParameter("that is a key itself; accepted: a file, or `env:NAME`", param_hint="--key")
    else:
        found = dsse.private_key(Path(key.removeprefix("file:")))
    if not isinstance(found, Ed25519PrivateKey):
        raise HeadgateError("rules are signed with Ed25519; accepted: such a private key in PEM")
    return found
