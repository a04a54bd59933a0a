"""Entries of any kind, as examples and for Hypothesis."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from headgate.capture.entries import Entry, MessageEntry, Recorded, Summary

NOW = 1_800_000_000.25
FLOW = "3f2a91c0-0000-4000-8000-000000000000"
DECISION = "01MCC5RM000000000000000001"

SUMMARY = Summary(
    DECISION, FLOW, NOW, NOW + 0.5, "ana", "human", "POST", "https", "api.internal", 8443, "/v1/refunds", "a=1&b",
    200, "allow", "enforce", "allowed", "support-reads", None, None, 1, None,
)  # fmt: skip
CONNECTION = {
    "client": {"address": "192.0.2.7", "port": 40000, "tls": "TLSv1.3", "sni": "api.internal", "alpn": "h2"},
    "upstream": {"address": "198.51.100.1", "port": 8443, "tls": "TLSv1.2", "cipher": "AES"},
    "times": {
        "client_connected": NOW - 2, "client_tls": NOW - 1, "connected": NOW, "tls": NOW + 0.125,
        "request_start": NOW, "request_end": NOW + 0.25, "response_start": NOW + 0.375, "response_end": NOW + 0.5,
    },
}  # fmt: skip
PRINCIPAL = {
    "id": "ana", "kind": "human", "provider": "dev", "owner": None, "person": None, "email": None, "groups": ["a"],
    "environment": ["prod"], "audiences": [], "workload": {}, "session_id": "s-1", "scopes": [], "claims": {},
}  # fmt: skip
RULE = {"id": "support-reads", "effect": "allow", "file": "rules/policy.yaml", "line": 12}
MASK = {"location": "/email", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 1}


def entry(
    request: Recorded | None = None,
    response: Recorded | None = None,
    summary: dict[str, Any] | None = None,
    **more: Any,
) -> Entry:
    sent = request or recorded(((b"content-type", b"application/json"),), b'{"n": 1}')
    made = Entry(
        replace(SUMMARY, **(summary or {})), "masked", "192.0.2.7", PRINCIPAL, None, None, None, ["a", "b"], [RULE],
        [MASK], {}, [], None, [], [], [], None, None, None, None, sent, response or recorded(((b"x", b"y"),), b"ok"),
        connection=CONNECTION,
    )  # fmt: skip
    return replace(made, **more)


def recorded(fields: tuple[tuple[bytes, bytes], ...], body: bytes) -> Recorded:
    shown = tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields
    )
    return Recorded(shown, body, len(body), truncated=False)


def message(n: int, body: bytes, *, text: bool = True, from_client: bool = True) -> MessageEntry:
    return MessageEntry(n, NOW + n, from_client, "text" if text else "binary", body, len(body), truncated=False)


pieces = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [b"", b"content-type", b"Content-Encoding", b"gzip", b"text/html; charset=latin-1", b"application/json"]
    ),
)
fields = st.lists(st.tuples(pieces, pieces), max_size=4).map(lambda pairs: tuple(pairs + pairs[:1]))
bodies = st.one_of(st.binary(max_size=40), st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
directions = st.builds(recorded, fields, bodies)
spoken = st.lists(
    st.tuples(bodies, st.booleans(), st.booleans()).map(lambda one: (one[0], one[1], one[2])), max_size=4
).map(lambda said: [message(n, body, text=text, from_client=sent) for n, (body, text, sent) in enumerate(said)])
