"""What `headgate flows save` says of what it wrote: what to look at before it is committed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.replay.saved.saving import Saved

SHOWN = 20
"""Names and places that are listed."""


def report_json(saved: "Saved") -> dict[str, Any]:
    return {
        "database": str(saved.database),
        "expected": str(saved.expected),
        "flows": saved.flows,
        "masked_again": saved.changed,
        "not_maskable": saved.lost,
        "not_certain": saved.unsure,
        "still_detected": saved.found,
        "callers": saved.callers,
        "sources": saved.sources,
    }


def report(saved: "Saved") -> Iterator[str]:
    yield f"saved {flows(saved.flows)}: {saved.database} and {saved.expected}"
    if saved.changed:
        yield f"{flows(saved.changed)} were masked further than when they were recorded"
    if saved.lost:
        yield f"of {flows(saved.lost)} something could not be masked, and was left out"
    if saved.unsure:
        yield f"of {flows(saved.unsure)} the answer is not certain, for want of what was masked or not recorded"
    yield f"kept, since rules ask for it: callers {_some(saved.callers)}; addresses {_some(saved.sources) or 'none'}"
    if saved.found:
        yield "still detected, though no mask of these rules is due there:"
        yield from (f"  {place} ({times})" for place, times in sorted(saved.found.items())[:SHOWN])
        if len(saved.found) > SHOWN:
            yield f"  ... and {len(saved.found) - SHOWN} more; --json lists all"
    yield f"before you commit: read {saved.expected}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def flows(count: int) -> str:
    return f"{count:,} flow{'' if count == 1 else 's'}"
