"""`flows import`: the flows of a file of somebody else's, read twice.

The first time tells whether all of it can be read, so that nothing of a damaged file comes in; the second time each
flow is masked and written. Neither holds more than a group of flows at once.
"""

from collections.abc import Callable, Iterator
from itertools import batched
from pathlib import Path
from typing import NamedTuple

from headgate.errors import HeadgateError
from headgate.masking.plan import Plan
from headgate.replay.foreign import Damaged, Foreign
from headgate.replay.imported.plans import budgeted
from headgate.replay.imported.scrubbing import imported
from headgate.replay.imported.writer import GROUP, ImportWriter

Advance = Callable[[int], None]
ACCEPTED = "accepted: a file that mitmproxy wrote (`-w`, or saved in mitmweb), or an HTTP Archive (HAR)"


class Outcome(NamedTuple):
    """How many flows came in, were there already, or are of a kind that is not kept."""

    new: int
    known: int
    left_out: int


def flows_of(path: Path) -> Iterator[Foreign | None]:
    """The flows of a file of either kind; None for one that is not kept. HeadgateError says what is wrong."""
    try:
        if not path.is_file():  # it is read twice
            raise Damaged(f"`{path.name[:80]}` is no file; {ACCEPTED}")
        with path.open("rb") as file:
            start = file.read(4).removeprefix(b"\xef\xbb\xbf")[:1]
        if start == b"{":
            from headgate.replay.har import read_har

            yield from read_har(path)
        elif start.isdigit():
            from headgate.replay.flowfile import read_flows

            yield from read_flows(path)
        else:
            raise Damaged(f"`{path.name[:80]}` {'is empty' if not start else 'holds no flows'}; {ACCEPTED}")
    except OSError as error:
        raise HeadgateError(f"`{path}` cannot be read: {(error.strerror or 'unknown').lower()}") from None


def count(path: Path) -> int:
    """How many flows there are, all of which can be read."""
    return sum(1 for _ in flows_of(path))


def take_in(path: Path, writer: ImportWriter, plan: Plan | None, advance: Advance) -> Outcome:
    """Mask and write every flow of `path` that is not there yet."""
    new = known = left_out = 0
    for group in batched(flows_of(path), GROUP, strict=False):
        kept = [found for found in group if found is not None]
        there = writer.known(found.flow_id for found in kept)
        fresh = [imported(found, plan, budgeted()) for found in kept if found.flow_id not in there]
        written = writer.write(fresh)
        new, known = new + written.new, known + len(kept) - written.new
        left_out += len(group) - len(kept)
        advance(len(group))
    return Outcome(new, known, left_out)
