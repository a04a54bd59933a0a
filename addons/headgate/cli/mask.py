"""`headgate mask`: a file or standard input, masked as a response of that type would be.

What flows in a proxy (lines, events, plain text) flows here: from a pipe, or from a file too long to be read whole,
it is masked as it comes. Everything happens in this process, however long it takes.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import batched
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from headgate.cli.options import JSON
from headgate.model import MaskCount

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.masking.plan import Detect, Fields, Leaf, Plan, Span
    from headgate.masking.response import MaskedResponse
    from headgate.model import Principal, Target

TYPES = {
    ".csv": "text/csv",
    ".htm": "text/html",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".ndjson": "application/x-ndjson",
    ".sse": "text/event-stream",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}

PIECE = 64 * 1024
"""Bytes read at a time of what flows."""

BATCH = 1000
"""Values in which is detected between two movements of the progress bar."""

WHOLE = 32 * 1024 * 1024
"""Bytes of a file that are masked as one body, as in a proxy."""

HINTS = {
    "content-type-not-maskable": "the masks that are due may name it under `pass_types`, and it passes unread",
    "fields-in-text": "it has no members for JSONPaths; masks that are due may name it under `pass_types`",
}
"""What can be done about some reasons."""

Advance = Callable[[int, int | None], None]
"""Moves the progress bar by so much of so much."""

EXAMPLES = """
\b
Examples:
  headgate mask customers.json
  headgate mask export.csv --findings
  kubectl logs -f app | headgate mask --type text/plain
  headgate mask body.json --target payments-prod --principal '{id: ana, kind: human, groups: [support]}'
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--type", "kind", help="The content type, such as application/json; told by the file's ending if left out."
)
@click.option("--rules", "folder", type=click.Path(path_type=Path), default="rules", help="The rules folder.")
@click.option("--target", "target_name", metavar="NAME", help="Only masks that may hold for responses of this target.")
@click.option(
    "--principal",
    metavar="MAPPING|FILE",
    help="Whom it is for: masks for others, and those that except him, do not hold.",
)
@click.option("--findings", is_flag=True, help="Print what is detected, and where, instead of the masked text.")
@JSON
def mask(
    file: BinaryIO,
    kind: str | None,
    folder: Path,
    target_name: str | None,
    principal: str | None,
    findings: bool,
    as_json: bool,
) -> None:
    """Mask FILE, or standard input, by the rules. Without --target and --principal every mask applies to everybody."""
    from headgate.bundle.load import load_bundle

    kind = kind or TYPES.get(PurePath(str(getattr(file, "name", ""))).suffix.lower())
    if kind is None:
        raise click.UsageError(
            f"the content type is not known; accepted: --type, or a file ending in {', '.join(TYPES)}"
        )
    plan = _plan(load_bundle(folder), target_name, principal)
    headers: Fields = ((b"content-type", kind.encode("latin-1", "replace")),)
    if not (findings or as_json) and plan and _flows(file, headers, plan):
        _pour(file, kind, plan, headers)
        return
    body = file.read()
    masked = _masked(plan, kind, headers, body)
    if findings:
        _print([asdict(finding) for finding in masked.findings])
    elif as_json:
        text = body if masked.body is None else masked.body
        _print({"masked": text.decode("utf-8", "replace"), "masks": _counts(masked)})
    else:
        click.echo(body if masked.body is None else masked.body, nl=False)


def _plan(bundle: "Bundle", target_name: str | None, given: str | None) -> "Plan | None":
    from headgate.masking.due import partly
    from headgate.masking.tokens import token_key

    key = bundle.masking.token_key
    target = _target(bundle, target_name) if target_name else None
    principal = _principal(given, target) if given else None
    secret = token_key(key, os.environ, Path.cwd()) if key else b""
    return partly(bundle.masking, principal, target, secret)


def _target(bundle: "Bundle", name: str) -> "Target":
    known = {target.name: target for target in bundle.targets.all()}
    if name not in known:
        accepted = ", ".join(f"`{one}`" for one in sorted(known))
        raise click.BadParameter(f"`{name[:80]}` is not a target; accepted: {accepted}", param_hint="--target")
    return known[name]


def _principal(given: str, target: "Target | None") -> "Principal":
    from headgate.cli.callers import written

    return written(given).principal(target, 0.0)


# -- as a whole -------------------------------------------------------------------------------------------------------


def _masked(plan: "Plan | None", kind: str, headers: "Fields", body: bytes) -> "MaskedResponse":
    from headgate.masking.plan import CannotMask, Plan
    from headgate.masking.response import Received, mask_response

    plan = plan or Plan()
    with _progress(len(body) > PIECE) as advance:
        try:
            return mask_response(plan, Received("GET", 200, headers, body), _detect(plan, advance))
        except CannotMask as cannot:
            raise _unmasked(kind, cannot.reason) from None


def _detect(plan: "Plan", advance: Advance) -> "Detect":
    from headgate.masking.plan import detect_nothing

    if not plan.detect:
        return detect_nothing
    from headgate.masking.detection.detector import Detector
    from headgate.masking.detection.language import require_model

    if plan.needs_model:
        require_model()
    detect = Detector(plan)

    def in_batches(leaves: "Sequence[Leaf]") -> "Sequence[Sequence[Span]]":
        found: list[Sequence[Span]] = []
        for batch in batched(leaves, BATCH, strict=False):
            found += detect(batch)
            advance(len(batch), len(leaves))
        return found

    return in_batches


def _unmasked(kind: str, reason: str) -> click.ClickException:
    hint = f"; {HINTS[reason]}" if reason in HINTS else ""
    return click.ClickException(f"the content cannot be masked as `{kind[:80]}`: {reason}{hint}")


@contextmanager
def _progress(shown: bool) -> "Iterator[Advance]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("masking"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    quiet = not (shown and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, of: progress.update(task, advance=done, total=of)


# -- as it flows ------------------------------------------------------------------------------------------------------


def _flows(file: BinaryIO, headers: "Fields", plan: "Plan") -> bool:
    from headgate.masking.streams import streamable

    size = _size(file)
    return streamable(headers) and plan.streams and not plan.needs_model and (size is None or size > WHOLE)


def _size(file: BinaryIO) -> int | None:
    """Bytes of a regular file; None for a pipe or a terminal, which may never end."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # what stands in for a file in a test, or is closed
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _pour(file: BinaryIO, kind: str, plan: "Plan", headers: "Fields") -> None:
    """Write what is masked as soon as it is."""
    from headgate.masking.plan import CannotMask
    from headgate.masking.streams import open_stream

    size = _size(file)
    try:
        stream, _ = open_stream(plan, headers, _detect(plan, lambda _done, _of: None))
        with _progress(size is not None) as advance:
            for piece in iter(partial(_some, file), b""):
                _write(stream.feed(piece))
                advance(len(piece), size)
            _write(stream.end())
    except CannotMask as cannot:
        raise _unmasked(kind, cannot.reason) from None


def _some(file: BinaryIO) -> bytes:
    """What there is to read, without waiting until a piece is full."""
    read1 = getattr(file, "read1", file.read)
    return bytes(read1(PIECE))


def _write(text: bytes) -> None:
    if text:
        click.echo(text, nl=False)


# -- what is printed --------------------------------------------------------------------------------------------------


def _counts(masked: "MaskedResponse") -> list[dict[str, Any]]:
    return [asdict(MaskCount(*key, count)) for key, count in sorted(masked.counts.items())]


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
