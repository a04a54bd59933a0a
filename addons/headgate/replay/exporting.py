"""`flows export`: chosen records into one file, or onto standard output, one after the other."""

from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple

from headgate.capture.entries import Entry
from headgate.capture.record import Kind
from headgate.capture.store import Store
from headgate.replay.export import curl_command

Advance = Callable[[int], None]


class Exported(NamedTuple):
    """How many were written, and how many the format cannot hold."""

    flows: int
    left_out: int


def export(store: Store, wanted: Iterable[Entry], kind: str, file: BinaryIO, advance: Advance) -> Exported:
    """Write `wanted` in the format `kind`, each as soon as it has been read."""
    from headgate.replay.flowfile import raw_of, write_flow
    from headgate.replay.har import HarFile

    archive = HarFile(file) if kind == "har" else None
    written = left_out = 0
    for entry in wanted:
        said = () if entry.kind == Kind.HTTP else store.messages(entry.summary.decision_id)
        kept = True
        if archive:
            kept = archive.add(entry, said)
        elif kind == "mitmproxy":
            write_flow(file, entry, said)
        elif entry.kind == Kind.TCP:
            kept = False
        elif kind == "curl":
            file.write(curl_command(entry).encode("utf-8", "surrogateescape") + b"\n")
        else:
            file.write((b"\n\n" if written else b"") + raw_of(entry, said))
        written, left_out = written + kept, left_out + (not kept)
        advance(1)
    if archive:
        archive.close()
    return Exported(written, left_out)
