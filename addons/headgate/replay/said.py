"""What came of a request, then and now, in one shape: as recorded, and as the chain records its replay.

Both have been through the same stages: masked, and without credentials. So like is compared with like, and nothing that
a record may not hold can be shown of a replay either.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.capture.record import Record

Mask = tuple[str, str, str]
"""Where (a JSON Pointer, `header:NAME`, ...), what and how: location, entity, operator."""


@dataclass(frozen=True, slots=True)
class Said:
    """`refusal` is the slug and reason of what refused it, None where it was let pass; `headers` and `body` are the
    response's, `headers` None where there is none or only its metadata was kept. `size` counts the whole body."""

    status: int | None
    effect: str
    reason: str
    rules: tuple[str, ...]
    refusal: tuple[str, str] | None
    masks: Counter[Mask]
    headers: tuple[tuple[str, str], ...] | None = None
    body: bytes = field(default=b"", repr=False)
    size: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of the body was kept."""
        return self.headers is not None and len(self.body) == self.size

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers or () if key.lower() == name]


def of_entry(entry: "Entry") -> Said:
    summary, got = entry.summary, entry.response
    masks = Counter({(m["location"], m["entity"], m["operator"]): m["count"] for m in entry.masks})
    return Said(
        summary.status,
        str(summary.effect),
        summary.reason,
        tuple(rule["id"] for rule in entry.rules),
        (summary.refusal, summary.refusal_reason or "") if summary.refusal else None,
        masks,
        got.headers if got else None,
        got.body if got else b"",
        got.size if got else 0,
    )


def of_record(record: "Record") -> Said:
    got, refusal, decision = record.response, record.refusal, record.decision
    masks: Counter[Mask] = Counter()
    for mask in record.masks:
        masks[mask.location, mask.entity, mask.operator] += mask.count
    return Said(
        record.status,
        str(record.effect),
        record.reason,
        tuple(rule.id for rule in decision.rules) if decision else (),
        (refusal.slug, refusal.reason) if refusal else None,
        masks,
        tuple((_text(name), _text(value)) for name, value in got.headers) if got else None,
        got.body if got else b"",
        got.size if got else 0,
    )


def _text(data: bytes) -> str:
    """As captures keep a header field."""
    return data.decode("utf-8", "surrogateescape")
