"""`headgate flows keys`: a pair of keys for `headgate_capture=sealed`."""

import os
from pathlib import Path

import click

from headgate.errors import HeadgateError

PRIVATE, PUBLIC = "sealing.key", "sealing.pub"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def keys(folder: Path) -> None:
    """Make a pair of keys in DIR, for originals that only the holder of the private one can read.

    The proxy gets `sealing.pub`. Keep `sealing.key` on another machine: without it nobody reads an original, and with
    it everybody does. What is there already stays, and is an error.

    \b
    headgate flows keys ~/headgate-keys
    headgate run --set headgate_capture=sealed --set headgate_sealing_key=sealing.pub
    headgate flows show 3f2a91c0 --open ~/headgate-keys/sealing.key
    """
    from headgate.capture.sealing import make_pair

    private, public = make_pair(os.urandom)
    files = ((folder / PRIVATE, private, 0o600), (folder / PUBLIC, public, 0o644))
    for path, _, _ in files:
        if path.exists():
            raise HeadgateError(f"`{path}` is there already: a key is never replaced; accepted: another folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, text, mode in files:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
            file.write(text)
    click.echo(f"private key: {folder / PRIVATE} (keep it away from the proxy)")
    click.echo(f"public key:  {folder / PUBLIC} (--set headgate_sealing_key={folder / PUBLIC})")
