"""`headgate rules activate, rollback, history, diff`: the versions of the rules in the state folder of a proxy.

A proxy looks into that folder several times a second; what is activated here is in force there within a second.
"""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.audited import record
from headgate.cli.notes import MAX_REASON, iso, user
from headgate.cli.options import JSON, STATE
from headgate.cli.screen import print_table, visible
from headgate.errors import HeadgateError

if TYPE_CHECKING:  # pydantic and sqlite-utils take time to import
    from headgate.bundle.activation import Demands
    from headgate.bundle.commands import Done
    from headgate.bundle.store import BundleStore
    from headgate.bundle.versions import Activation
    from headgate.model import BundleRef

COLUMNS = ("", "when", "how", "rules", "by", "before", "note")
FOLDER = click.Path(path_type=Path, file_okay=False)
KEY = click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PUB.pem",
    help="Public key that must have signed it; proxies check theirs anyway.",
)
NOTE = click.option("--note", default="", metavar="TEXT", help="Why, for whoever reads the history.")


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--unpin", is_flag=True, help="Also if it changes or lacks pinned rules; that is recorded.")
@NOTE
@KEY
@STATE
@JSON
def activate(folder: Path, unpin: bool, note: str, key: Path | None, state: Path, as_json: bool) -> None:
    """Check the rules in DIR, run their tests, store them whole and put them in force.

    The version must be higher than the active one, or the content the same. A folder that the proxy follows is taken up
    without this command; a version that was rolled back from is taken up again only by this command.

    Exit code 0: in force, 1: refused, 2: wrong usage.

    \b
    headgate rules activate rules --note "refunds need approval, INC-1421"
    headgate rules activate build/rules --key rules.pub --state /var/lib/headgate
    headgate rules activate rules --unpin --note "agreed with security"
    """
    with reported(as_json):
        from headgate.bundle import commands
        from headgate.bundle.load import load_bundle

        bundle, store = load_bundle(folder), _store(state)
        done = commands.activate(
            store, bundle, _demands(key), by=user(), now=time.time(), note=_noted(note), unpin=unpin
        )
        _tell(done, "activated", as_json)
    record(state, "rules-activated", **_facts(done))


@click.command()
@click.argument("version", metavar="[HASH]", required=False)
@NOTE
@KEY
@STATE
@JSON
def rollback(version: str | None, note: str, key: Path | None, state: Path, as_json: bool) -> None:
    """Put a stored version in force again: the good one before the active one, or the one that HASH names.

    HASH is a version, the beginning of its hash, or both as they are shown. A folder that still holds what was rolled
    back from is not taken up again before its content changes.

    Exit code 0: in force, 1: refused, 2: wrong usage.

    \b
    headgate rules rollback --note "INC-1421"
    headgate rules rollback 3f1c22ab
    headgate rules rollback 1.4.0
    """
    with reported(as_json):
        from headgate.bundle import commands

        store = _store(state)
        ref = commands.find(store, visible(version)) if version is not None else None
        done = commands.roll_back(store, ref, _demands(key), by=user(), now=time.time(), note=_noted(note))
        _tell(done, "rolled back to", as_json)
    record(state, "rules-rolled-back", **_facts(done))


@click.command()
@STATE
@JSON
def history(state: Path, as_json: bool) -> None:
    """List what was activated, rolled back and refused, the latest first; `*` is active.

    \b
    headgate rules history
    headgate rules history --json | jq '.[] | select(.how == "refused") | .note'
    """
    with reported(as_json):
        from headgate.bundle.versions import active

        found = _store(state).history()
        now = active(found)
        if as_json:
            click.echo(json.dumps([_json(entry, entry is now) for entry in reversed(found)], indent=2))
        elif found:
            rows = [_row(entry, entry is now) for entry in reversed(found)]
            print_table(COLUMNS, rows, flexible=("by", "note"))
        else:
            click.echo("nothing was activated yet", err=True)


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@STATE
@JSON
def diff(before: str, after: str, state: Path, as_json: bool) -> None:
    """Tell in words what changes from A to B: each a folder, `active`, a version or the beginning of a hash.

    `looser` and `stricter` stand where it is sure that a change by itself lets more pass, or less.

    \b
    headgate rules diff active rules
    headgate rules diff 1.3.0 1.4.0
    headgate rules diff 3f1c22ab active --json | jq '.changes[] | select(.meaning == "looser") | .text'
    """
    with reported(as_json):
        from headgate.bundle import changes

        (old, first), (new, second) = _side(before, state), _side(after, state)
        found = changes.diff(first, second)
        if as_json:
            listed = [change.as_json() for change in found]
            click.echo(json.dumps({"from": _about(old), "to": _about(new), "changes": listed}, indent=2))
            return
        click.echo(f"from `{old.name}` {_label(old)} to `{new.name}` {_label(new)}", err=True)
        for change in found:
            click.echo(visible(str(change)))
        if not found:
            click.echo("nothing differs", err=True)


@contextmanager
def reported(as_json: bool) -> Generator[None]:
    """Every failure as JSON, too, where JSON is what was asked for."""
    try:
        yield
    except HeadgateError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": str(error).splitlines()}, indent=2))
        click.get_current_context().exit(1)


def _store(state: Path) -> "BundleStore":
    from headgate.bundle.store import BundleStore

    return BundleStore(state)


def _demands(key: Path | None) -> "Demands":
    from headgate.bundle.activation import Demands
    from headgate.bundle.signing import key_in
    from headgate.policy.proofs import prove

    return Demands(prove, key_in(key) if key else None)


def _side(name: str, state: Path) -> "tuple[BundleRef, dict[str, bytes]]":
    """One of two bundles to compare, and its files."""
    from headgate.bundle.commands import ACTIVE, find
    from headgate.bundle.load import load_bundle

    if name != ACTIVE and Path(name).is_dir():
        bundle = load_bundle(Path(name))
        return bundle, bundle.contents
    store = _store(state)
    if not store.exists() and name != ACTIVE:
        raise HeadgateError(f"`{visible(name[:80])}` is no folder, and there is no state at `{store.path}`")
    ref = find(store, visible(name))
    return ref, store.contents(ref.sha256)


def _noted(note: str) -> str:
    if len(note) > MAX_REASON or not note.isprintable():
        raise click.BadParameter(f"accepted: one line of up to {MAX_REASON} characters", param_hint="--note")
    return note


def _tell(done: "Done", verb: str, as_json: bool) -> None:
    bundle, entry = done.bundle, done.entry
    if as_json:
        report = {"ok": True, **_about(bundle), "recorded": entry is not None, "unpinned": list(done.unpinned)}
        click.echo(json.dumps({**report, "previous": entry.previous if entry else None}, indent=2))
    elif entry is None:
        click.echo(f"`{bundle.name}` {_label(bundle)} is active already")
    else:
        click.echo(f"{verb} `{bundle.name}` {_label(bundle)}, sha256 {bundle.sha256}")
    if done.unpinned:
        click.echo(visible(f"warning: pinned rules gave way: {', '.join(done.unpinned)}"), err=True)


def _facts(done: "Done") -> dict[str, Any]:
    """What the audit log is told; `changed` is false where it was active already."""
    entry = done.entry
    said = {"previous": entry.previous, "note": entry.note} if entry else {"previous": None, "note": ""}
    bundle = {name: getattr(done.bundle, name) for name in ("name", "version", "sha256")}
    return {**bundle, **said, "changed": entry is not None, "unpinned": list(done.unpinned)}


def _about(bundle: "BundleRef") -> dict[str, str]:
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256, "label": _label(bundle)}


def _label(bundle: "BundleRef") -> str:
    from headgate.bundle.load import label

    return label(bundle)


def _row(entry: "Activation", is_active: bool) -> tuple[str, ...]:
    from headgate.bundle.activation import ref_of

    lines = entry.note.splitlines() or ["-"]
    note = lines[0] if len(lines) == 1 else f"{lines[0]} (and {len(lines) - 1} more)"
    rules = f"{entry.name} {_label(ref_of(entry))}" if entry.sha256 else "-"
    before = entry.previous[:8] if entry.previous else "-"
    return "*" if is_active else "", iso(entry.time), str(entry.how), rules, entry.by, before, note


def _json(entry: "Activation", is_active: bool) -> dict[str, Any]:
    from headgate.bundle.activation import ref_of

    return {
        "id": entry.id,
        "time": iso(entry.time),
        "how": str(entry.how),
        "name": entry.name,
        "version": entry.version,
        "label": _label(ref_of(entry)) if entry.sha256 else None,
        "sha256": entry.sha256,
        "previous": entry.previous,
        "by": entry.by,
        "note": entry.note,
        "active": is_active,
    }
