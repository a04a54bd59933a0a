"""`headgate releases`: make, check and look at the signed list of releases that `releases:` in identity.yaml names.

No key is made here: openssl does that, and `headgate releases --help` says how.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.options import JSON
from headgate.cli.releasefiles import contents_of, opened_list, pinned_by, prepared_list, public_keys, write_whole
from headgate.cli.screen import print_table, visible
from headgate.errors import BundleError, HeadgateError, InvalidRules, Problem

if TYPE_CHECKING:
    from headgate.identity.releaselist import Release, ReleaseList

PATH = click.Path(path_type=Path, dir_okay=False)
KEYS = click.option("--key", "keys", type=PATH, multiple=True, metavar="PUB.pem", help="Who may sign; may be repeated.")
COLUMNS = ("environment", "workload", "commit", "image digest", "workflow", "not after", "")


@click.group()
def releases() -> None:
    """The signed list of code versions, by which a caller's workload is verified.

    A key pair is made once; the public half goes into the rules, the private one to whoever releases:

    \b
    openssl genpkey -algorithm ed25519 -out release.pem && chmod 600 release.pem
    openssl pkey -in release.pem -pubout -out rules/keys/release.pub
    headgate releases sign releases.yaml --key release.pem --out rules/releases.dsse.json
    headgate releases verify --rules rules

    In identity.yaml, where `pods` is for callers from Kubernetes only:

    \b
    releases: {file: releases.dsse.json, keys: [keys/release.pub], pods: pods.json}
    """


@releases.command()
@click.argument("file", metavar="LIST", type=PATH)
@click.option("--key", type=PATH, required=True, metavar="PRIVATE.pem", help="Ed25519, or ECDSA on P-256 or P-384.")
@click.option("--out", type=PATH, required=True, metavar="FILE", help="Where the signed list goes.")
@click.option("--force", is_flag=True, help="Replace whatever there is, a higher revision too.")
@JSON
def sign(file: Path, key: Path, out: Path, force: bool, as_json: bool) -> None:
    """Check LIST, a YAML or JSON file, and sign it.

    Each release names its `commit` (all its digits), its `image_digest`, or both. A caller must state one of them, and
    nothing that it states, its `workflow` neither, may differ. `revision` grows with each list: the proxy refuses to go
    back.

    \b
    revision: 12
    releases:
      - environment: prod
        workload: billing
        commit: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        image_digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        workflow: octo/billing/.github/workflows/release.yml@refs/heads/main
        not_after: "2027-01-31T00:00:00Z"

    \b
    headgate releases sign releases.yaml --key release.pem --out rules/releases.dsse.json
    """
    from headgate.bundled import MAX_FILE
    from headgate.identity import dsse

    payload, listed = prepared_list(file)
    private = dsse.private_key(key)
    _check_out(out, (key, file), listed, force)
    envelope = dsse.sign(payload, private)
    if len(envelope) > MAX_FILE:
        raise click.ClickException(f"the signed list is longer than the {MAX_FILE >> 20} MiB that the proxy reads")
    write_whole(out, envelope)
    report = {**_about(listed), "file": str(out), "keyid": dsse.key_id(private.public_key())}
    click.echo(json.dumps(report, indent=2) if as_json else f"signed: {_summary(listed)}, into `{out}`")


@releases.command()
@click.argument("file", metavar="[FILE]", type=PATH, required=False)
@KEYS
@click.option("--rules", type=click.Path(path_type=Path), metavar="DIR", help="Whose identity.yaml pins the keys.")
@JSON
@click.pass_context
def verify(
    context: click.Context, file: Path | None, keys: tuple[Path, ...], rules: Path | None, as_json: bool
) -> None:
    """Check the signature on FILE and what it holds; with --rules alone, all that `releases:` names.

    Exit code 0: valid, 1: not.

    \b
    headgate releases verify releases.dsse.json --key rules/keys/release.pub
    headgate releases verify releases.dsse.json --rules rules
    headgate releases verify --rules rules
    """
    if bool(keys) == (rules is not None):
        raise click.UsageError("which keys count must be known; accepted: either `--key` or `--rules`")
    try:
        listed = _verified(file, keys, rules)
    except HeadgateError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": str(error).splitlines()}, indent=2))
        context.exit(1)
    click.echo(json.dumps({"ok": True, **_about(listed)}, indent=2) if as_json else f"ok: {_summary(listed)}")


@releases.command()
@click.argument("file", metavar="FILE", type=PATH)
@KEYS
@JSON
@click.pass_context
def show(context: click.Context, file: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Show the releases in FILE, signed or not; without --key nobody knows who wrote them.

    Exit code 1: keys were given, and none of them signed it.

    \b
    headgate releases show rules/releases.dsse.json --key rules/keys/release.pub
    headgate releases show rules/releases.dsse.json --json | jq '.releases[] | select(.expired)'
    """
    from headgate.identity.dsse import read

    pinned, data = public_keys(keys), contents_of(file)
    listed = opened_list(file, data, None)
    verified = read(data).is_signed_by(pinned) if keys else None
    now = time.time()
    if as_json:
        rows = [_row(release, now) for release in listed.releases]
        click.echo(json.dumps({"verified": verified, **_about(listed), "releases": rows}, indent=2))
    else:
        click.echo(f"{_summary(listed)}{', signed by a key given' if verified else ''}")
        print_table(COLUMNS, [_cells(release, now) for release in listed.releases], COLUMNS[1:5])
    if verified is None:
        click.echo("warning: not verified; `--key` names the keys that may have signed it", err=True)
    elif not verified:
        click.echo("warning: not verified; no signature on it is valid under any of the keys given", err=True)
        context.exit(1)


@releases.command()
@click.argument("file", metavar="[FILE]", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
def pods(file: str) -> None:
    """Print which images run in which pod, from what kubectl prints: all that the proxy needs of it, and small.

    It is read from standard input where no FILE is named. Pods of which not every image is known are left
    out; their callers are not verified.

    \b
    kubectl get pods -A -o json | headgate releases pods > rules/pods.json
    """
    from headgate.bundled import MAX_FILE
    from headgate.identity.pods import parse_pods
    from headgate.identity.releases import told

    with click.open_file(file, "rb") as opened:
        data = opened.read()
    try:
        known = parse_pods(data)
    except InvalidRules as error:
        raise BundleError([Problem(file, 0, 0, visible(line)) for line in told(error.problems)]) from None
    compact = {uid: sorted(digests) if len(digests) > 1 else min(digests) for uid, digests in sorted(known.items())}
    text = json.dumps(compact, indent=0, separators=(",", ":"))
    click.echo(text)
    if len(text) >= MAX_FILE:
        click.echo(f"warning: longer than the {MAX_FILE >> 20} MiB that the proxy reads", err=True)
    click.echo(f"{len(known):,} pods are known in full", err=True)


def _check_out(out: Path, sources: Sequence[Path], listed: "ReleaseList", force: bool) -> None:
    from headgate.identity.releaselist import superseded

    if not os.path.lexists(out):
        return
    if any(out.exists() and out.samefile(source) for source in sources):
        raise click.BadParameter("this is what is read; accepted: another file", param_hint="--out")
    if force:
        return
    try:
        before = opened_list(out, contents_of(out), None)
    except HeadgateError:
        message = f"`{out}` is there and no list of releases; accepted: another file, or `--force`"
        raise click.ClickException(message) from None
    if why := superseded(listed.revision, listed.digest, (before.revision, before.digest)):
        raise click.ClickException(f"{why}, or `--force` to replace `{out}` all the same")


def _verified(file: Path | None, keys: tuple[Path, ...], rules: Path | None) -> "ReleaseList":
    if rules is not None:
        spec, pinned = pinned_by(rules, whole=file is None)
        file = file or rules / spec.file
    elif file is not None:
        pinned = public_keys(keys)
    else:
        raise click.UsageError("FILE is missing; accepted: a signed list, or `--rules` alone")
    return opened_list(file, contents_of(file), pinned)


def _about(listed: "ReleaseList") -> dict[str, Any]:
    return {
        "revision": listed.revision,
        "sha256": listed.digest,
        "count": len(listed.releases),
        "expired": _expired(listed),
    }


def _summary(listed: "ReleaseList") -> str:
    count, expired = len(listed.releases), _expired(listed)
    gone = f" ({expired:,} expired)" if expired else ""
    return f"revision {listed.revision}, {count:,} release{'' if count == 1 else 's'}{gone}, sha256 {listed.digest}"


def _expired(listed: "ReleaseList") -> int:
    now = time.time()
    return sum(not release.is_current(now) for release in listed.releases)


def _row(release: "Release", now: float) -> dict[str, Any]:
    from headgate.identity.releaselist import iso

    row = release.model_dump(exclude_none=True)
    return {**row, "not_after": iso(release.not_after), "expired": not release.is_current(now)}


def _cells(release: "Release", now: float) -> tuple[str, ...]:
    row = _row(release, now)
    shown = (
        row.get(name, "-") for name in ("environment", "workload", "commit", "image_digest", "workflow", "not_after")
    )
    return (*shown, "expired" if row["expired"] else "")
