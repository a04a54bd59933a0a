"""`headgate flows rescrub`: what older rules let into a capture is masked again, by new ones."""

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.audited import record
from headgate.cli.flows_keep import CAPTURE, announce, moving, print_json
from headgate.cli.options import JSON, STATE
from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.masking.plan import Detect, Plan
    from headgate.masking.rules import MaskingRules
    from headgate.replay.rescrub import Rescrub


@click.command("rescrub")
@click.option("--rules", type=click.Path(path_type=Path), required=True, help="The rules folder with the new masks.")
@STATE
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@JSON
def rescrub_flows(rules: Path, state: Path, dry_run: bool, as_json: bool) -> None:
    """Mask again, by new rules, what older ones let into the capture.

    What cannot be masked loses its body. Nothing is unmasked. The file is written anew at the end, for which it has to
    be free for about as long as copying it takes: a proxy that records meanwhile waits, and then refuses or goes on
    unrecorded as it was told to. Sealed originals, the audit log and copies made before stay as they are.

    \b
    headgate flows rescrub --rules rules --dry-run
    headgate flows rescrub --rules rules
    """
    from headgate.bundle.load import load_bundle

    bundle = load_bundle(rules)
    rescrub = _rescrub(state, bundle, write=not dry_run)
    if not dry_run:
        announce(state, "rescrub", bundle=bundle.sha256)
    try:
        _run(state, rescrub)
        rewritten = rescrub.finish()
    finally:
        if not dry_run:
            record(state, "rescrubbed", bundle=bundle.sha256, **_outcome(rescrub))
    found = {**_outcome(rescrub), "rewritten": rewritten, "bundle": bundle.sha256}
    if as_json:
        print_json(found)
    else:
        _tell(found, dry_run=dry_run)
    if found["unsettled"]:
        why = "another command changed them, or the key is not the capture's"
        raise click.ClickException(f"{found['unsettled']:,} flows are not done: {why}; run this again")


def _rescrub(state: Path, bundle: "Bundle", *, write: bool) -> "Rescrub":
    from headgate.capture.key import load_key
    from headgate.masking.detection.cache import Cache
    from headgate.replay.rescrub import Rescrub

    if not (state / CAPTURE).is_file():
        raise HeadgateError(f"there is no capture at `{state / CAPTURE}`: name the state folder of a proxy that ran")
    if not (state / "keys" / "capture.key").is_file():
        raise HeadgateError(
            f"`{state / 'keys' / 'capture.key'}` is missing: bodies are named by it, and cannot be without"
        )
    return Rescrub(
        state,
        bundle,
        load_key(state, os.urandom),
        former=partial(_former, state),
        keys=_token_key,
        detectors=partial(_detector, cache=Cache(os.urandom(32))),
        clock=time.time,
        write=write,
    )


def _run(state: Path, rescrub: "Rescrub") -> None:
    from headgate.capture.store import Store

    with moving("masking", Store(state).count()) as advance:
        for done in rescrub.run():
            advance(done)


def _former(state: Path, sha256: str) -> "Bundle | None":
    """The bundle under which something was recorded, where it was kept and can still be read."""
    from headgate.bundle.restore import restore
    from headgate.bundle.store import BundleStore

    store = BundleStore(state)
    try:
        ref = next((one for one in store.stored() if one.sha256 == sha256), None)
        return restore(store.contents(sha256), ref, state) if ref else None
    except HeadgateError:
        return None


def _token_key(rules: "MaskingRules") -> bytes:
    from headgate.masking.tokens import token_key

    return token_key(rules.token_key, os.environ, Path.cwd()) if rules.token_key else b""


def _detector(plan: "Plan", cache: Any) -> "Detect":
    from headgate.masking.plan import detect_nothing

    if not plan.detect:
        return detect_nothing
    from headgate.masking.detection.detector import Detector
    from headgate.masking.detection.language import require_model

    if plan.needs_model:
        require_model()
    return Detector(plan, cache=cache)


def _outcome(rescrub: "Rescrub") -> dict[str, int]:
    from dataclasses import asdict

    return asdict(rescrub.outcome)


def _tell(found: dict[str, Any], *, dry_run: bool) -> None:
    verb = "would change" if dry_run else "changed"
    click.echo(f"{verb} {found['changed']:,} of {found['flows']:,} flows, {found['messages']:,} messages among them")
    if found["skipped"]:
        click.echo(f"{found['skipped']:,} flows were masked so before, or have no mask due")
    if found["lost"]:
        click.echo(f"{found['lost']:,} bodies cannot be masked and {'would go' if dry_run else 'are gone'}")
    if found["originals"]:
        click.echo(f"{found['originals']:,} sealed originals stay as they are")
