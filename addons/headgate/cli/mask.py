"""`headgate mask`: a file or standard input, masked as a response of that type would be when every mask applies."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from headgate.model import MaskCount

if TYPE_CHECKING:
    from headgate.masking.response import MaskedResponse
    from headgate.masking.rules import MaskingRules

DEADLINE = 600.0
"""Seconds; nobody waits for an answer here but the person who asked."""

TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".ndjson": "application/x-ndjson",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
}


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--type", "kind", help="The content type, such as application/json; told by the file's ending if left out."
)
@click.option("--rules", "folder", type=click.Path(path_type=Path), default="rules", help="The rules folder.")
@click.option("--findings", is_flag=True, help="Print what is detected, and where, instead of the masked text.")
@click.option("--json", "as_json", is_flag=True, help="Print the masked text and what was masked as one JSON object.")
def mask(file: BinaryIO, kind: str | None, folder: Path, findings: bool, as_json: bool) -> None:
    """Mask FILE, or standard input, by the rules. Every mask applies, whoever it is for."""
    from headgate.bundle.load import load_bundle

    kind = kind or TYPES.get(PurePath(str(getattr(file, "name", ""))).suffix.lower())
    if kind is None:
        raise click.UsageError(
            f"the content type is not known; accepted: --type, or a file ending in {', '.join(TYPES)}"
        )
    body = file.read()
    masked = asyncio.run(_mask(load_bundle(folder).masking, kind, body))
    text = body if masked.body is None else masked.body
    if findings:
        _print([asdict(finding) for finding in masked.findings])
    elif as_json:
        _print({"masked": text.decode("utf-8", "replace"), "masks": _counts(masked)})
    else:
        click.echo(text, nl=False)


async def _mask(rules: "MaskingRules", kind: str, body: bytes) -> "MaskedResponse":
    from headgate.masking.job import Job
    from headgate.masking.response import Received
    from headgate.masking.scrub import Sent
    from headgate.masking.workers import Workers

    received = Received("GET", 200, ((b"content-type", kind.encode("latin-1", "replace")),), body)
    workers = Workers(count=1, deadline=DEADLINE)
    await workers.start()
    try:
        done = await workers.run(Job(rules.everything, Sent(b"/", (), b""), received))
    finally:
        await workers.stop()
    if done.masked is None:
        raise click.ClickException(f"the content cannot be masked as `{kind}`: {done.refused}")
    return done.masked


def _counts(masked: "MaskedResponse") -> list[dict[str, Any]]:
    return [asdict(MaskCount(*key, count)) for key, count in sorted(masked.counts.items())]


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
