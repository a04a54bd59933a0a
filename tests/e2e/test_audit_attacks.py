"""Values that callers and upstreams plant, and receivers of events that mean harm: nothing of them is in the log."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.canary import CANARY, EMAIL, found_in
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.test_audit import STRICT, exchanges, verified
from tests.e2e.upstream import Reply, Upstream

BADGE = "EMP-4711"
KEY = "AKIAIOSFODNN7EXAMPLE"
MASKING = """
masks:
  - {id: m, match: {}, fields: ["$..ssn"], detect: [BADGE, CREDIT_CARD, EMAIL_ADDRESS, SECRET]}
recognizers: recognizers.yaml
"""
RECOGNIZERS = (
    r"recognizers: [{name: b, supported_entity: BADGE, patterns: [{name: p, regex: '\bEMP-\d{4}\b', score: 0.9}]}]"
)


def said(proxy: Proxy) -> str:
    """All that the log and whoever watches were told."""
    proxy.settle()
    with closing(sqlite3.connect(proxy.state / "audit.db")) as log:
        bodies = [str(body) for (body,) in log.execute("select body from entries")]
    files = [path.read_bytes().decode("latin-1") for path in sorted(proxy.state.glob("audit.db*"))]
    return "\n".join([*bodies, *files, proxy.output.text])


def test_what_ones_own_recognizers_find_in_a_path_is_in_no_decision(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    """They run in a worker, and the decision is on record before."""
    upstream.forget()
    rules = write_rules(tmp_path / "rules", masking=MASKING, recognizers=RECOGNIZERS)
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules).warm()
    for path in (f"/staff/{BADGE}", f"/staff/7?{BADGE}=1", f"/keys/{KEY}", f"/keys/x?{KEY}"):
        proxy.get(path)
    proxy.get(f"/keys/{KEY}", token=None)
    shown = said(proxy)
    assert [value for value in (BADGE, KEY) if value in shown] == []


def test_values_planted_wherever_a_peer_may_write_are_told_to_nobody(proxies: Start, upstream: Upstream) -> None:
    """Spelled in several ways; the log, its journal and the events on stdout are searched, here and at the end."""
    upstream.forget()
    upstream.replies["/reason"] = Reply(raw=b"HTTP/1.1 200 c4n4ry\r\nContent-Length: 0\r\n\r\n")
    upstream.replies["/broken"] = Reply(raw=b"HTTP/1.1 c4n4ry\r\n\r\n", then="close")
    options = (*STRICT, "--set", "headgate_events=stdout")
    proxy = proxies(*options, mode=f"reverse:{upstream.url}").warm()
    mail = EMAIL.replace("@", "%40")
    for target in (
        f"/users/{mail}/cards",
        f"/users/{mail.replace('c4n4ry', '%63%34n4ry')}",
        f"/a/{EMAIL}?{mail}=1&token={CANARY}&{CANARY}%40example.org",
        f"/cafe%CC%81/{mail}",
        "/reason",
        "/broken",
        f"http://{CANARY}:{CANARY}@127.0.0.1/x",
        f"/x#{CANARY}@example.org",
        f"/%ff%fe/{mail}",
    ):
        for token in ("", None):
            proxy.raw(proxy.written("GET", target, f"Cookie: a={CANARY}", "Connection: close", token=token))
    proxy.raw(f"GET /{EMAIL} HTTP/9.{CANARY}\r\n\r\n".encode())
    fields = (
        "Content-Type: application/json",
        f"X-Note: {EMAIL}",
        "Connection: close",
        f"Content-Length: {len(CANARY)}",
    )
    proxy.raw(proxy.written("POST", "/x", *fields, body=CANARY.encode()))
    assert not found_in(said(proxy).encode("utf-8", "surrogateescape"))
    assert len(exchanges(proxy)) >= 17  # what mitmproxy cannot read as a request never becomes one
    verified(proxy.state)
