"""JSON documents of APIs, generated: rows of ordinary members, of which so many in a hundred hold something to mask."""

import json
from collections.abc import Iterator
from typing import Any

PLAIN: tuple[tuple[str, Any], ...] = (
    ("order_id", 773100), ("status", "active"), ("city", "Potsdam"), ("created_at", "2024-03-01T10:15:00Z"),
    ("total", "84.00"), ("note", "delivered to the neighbour, left side"), ("sku", "AB-1234-X"), ("currency", "EUR"),
    ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), ("quantity", 3),
)  # fmt: skip
SENSITIVE = (
    ("email", "caller{}@posteo.de"), ("card", "4111 1111 1111 1111"), ("iban", "DE89370400440532013000"),
    ("phone", "+44 20 7946 0{:03}"), ("ssn", "536-22-{:04}"),
)  # fmt: skip


def documents(size: int, percent: int, count: int, first: int) -> Iterator[str]:
    """JSON texts of about `size` bytes, of whose leaves `percent` in a hundred are sensitive; no two are alike."""
    for number in range(first, first + count):
        yield _document(size, percent, number * 1000)


def _document(size: int, percent: int, at: int) -> str:
    rows: list[dict[str, Any]] = []
    length, leaf = 0, 0
    while length < size:
        row = dict(_leaf(leaf + each, percent, at) for each in range(len(PLAIN)))
        leaf += len(PLAIN)
        rows.append(row)
        length += len(json.dumps(row)) + 2
    return json.dumps({"rows": rows})


def _leaf(leaf: int, percent: int, at: int) -> tuple[str, Any]:
    sensitive = leaf * percent // 100 != (leaf + 1) * percent // 100
    number = at + leaf
    if sensitive:
        name, form = SENSITIVE[leaf * percent // 100 % len(SENSITIVE)]
        return f"{name}_{leaf % len(PLAIN)}", form.format(number % 1000)
    name, value = PLAIN[leaf % len(PLAIN)]
    return name, f"{value} {number}" if isinstance(value, str) and name in ("note", "sku") else value
