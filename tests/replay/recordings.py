"""Recorded flows as a capture gives them, for tests that need no file."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from headgate.capture.entries import Entry, Recorded, Summary
from headgate.errors import HeadgateError
from headgate.model import ulid
from headgate.replay.matching import Recordings

NOW = 1_800_000_000.0
JSON = (("content-type", "application/json"),)
ANA: dict[str, Any] = {
    "id": "ana",
    "kind": "human",
    "provider": "dev",
    "owner": None,
    "person": None,
    "email": None,
    "groups": ["support"],
    "environment": ["dev"],
    "audiences": [],
    "workload": {},
    "session_id": None,
    "scopes": [],
    "claims": {},
}


def recorded(headers: Iterable[tuple[str, str]] | None = (), body: bytes = b"", size: int | None = None) -> Recorded:
    kept = None if headers is None else tuple(headers)
    return Recorded(kept, body, len(body) if size is None else size, size is not None and size > len(body) > 0)


def flow(
    n: int = 0,
    method: str = "GET",
    path: str = "/v1/customers/7",
    query: str | None = "",
    *,
    sent: Recorded | None = None,
    got: Recorded | None = None,
    status: int | None = 200,
    refusal: str | None = None,
    host: str = "api.internal",
    **changes: Any,
) -> Entry:
    """The n-th flow of a capture, n seconds younger than the first."""
    decision = ulid(int((NOW + n) * 1000), n)
    summary = Summary(
        *(decision, f"{n:08x}-0000-4000-8000-000000000000", NOW + n, NOW + n + 0.1, "ana", "human"),
        *(method, "https", host, 443, path, query, status, "allow", "enforce", "allowed-by-rule", "support-reads"),
        *(refusal, None, 0, None),
    )
    answer = (got or recorded(JSON, b"{}")) if status is not None else None
    entry = Entry(
        *(summary, "masked", "10.0.0.1", ANA, None, "api", "dev", [], [{"id": "support-reads"}], [], {}, [], None, []),
        *([], [], None, None, None, None, sent or recorded((("Host", host),)), answer),
    )
    return replace(entry, **{"signals": [], **changes})


def recordings(*entries: Entry, **matching: Any) -> Recordings:
    from headgate.replay.asked import Matching

    known = {entry.summary.decision_id: entry for entry in entries}

    def fetch(decision_id: str) -> Entry:
        if decision_id not in known:
            raise HeadgateError("there is no such recording")
        return known[decision_id]

    return Recordings(entries, fetch, Matching(**matching))
