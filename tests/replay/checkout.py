"""The recording of the example project, and others for the tests of the pytest plugin: written by the capture's own
writer, always the same."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.writer import Writer
from headgate.model import BundleRef, Decision, Effect, Kind, MaskCount, Principal, Refusal, RuleRef, Target, ulid

NOW = 1_780_000_000.0
PATIENCE = 30.0
JSON = (b"content-type", b"application/json")

ANA = Principal(
    "ana",
    Kind.HUMAN,
    "development",
    groups=frozenset({"support"}),
    environments=frozenset({"dev"}),
    audiences=frozenset({"headgate-dev"}),
)
BOB = Principal("bob", Kind.HUMAN, "development", groups=frozenset({"sales"}), environments=frozenset({"dev"}))

MASKED = (MaskCount("/email", "EMAIL_ADDRESS", "redact", 1), MaskCount("/name", "field", "redact", 1))


def flow(
    n: int,
    method: str,
    path: str,
    who: Principal = ANA,
    *,
    rule: str = "",
    sent: bytes = b"",
    got: bytes | None = b"{}",
    masks: tuple[MaskCount, ...] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Record:
    """The n-th flow: allowed by `rule` if it was answered, and refused if not."""
    effect = Effect.DENY if got is None else Effect.ALLOW
    reason = "allowed-by-rule" if got is not None else "denied-by-rule" if rule else "no-rule-allows"
    rules = (RuleRef(rule, effect, "rules/policy.yaml", 2),) if rule else ()
    return Record(
        ulid(int((NOW + n) * 1000), n),
        f"{n:08x}-0000-4000-8000-000000000000",
        Mode.MASKED,
        NOW + n,
        NOW + n + 0.01,
        "127.0.0.1",
        Line(method.encode(), "http", "shop.internal", 80, path.encode(), b"HTTP/1.1"),
        who,
        (),
        BundleRef("shop", "1.0.0", "ab" * 32),
        Target("shop", "dev"),
        Decision(effect, reason, rules),
        Refusal(403, "denied", "the request is not allowed", reason) if got is None else None,
        200 if got is not None else 403,
        Message((*headers, (b"host", b"shop.internal"), *((JSON,) if sent else ())), sent, len(sent)),
        None if got is None else Message((JSON,), got, len(got)),
        masks,
        {},
        None,
        signals=frozenset(),
    )


CUSTOMER = b'{"name": "[redacted]", "email": "[EMAIL_ADDRESS]", "plan": "gold"}'

CHECKOUT = (
    flow(1, "GET", "/v1/customers/17", rule="support-reads", got=CUSTOMER, masks=MASKED),
    flow(2, "POST", "/v1/refunds", rule="support-refunds", sent=b'{"order": 7, "amount": 5}', got=b'{"refund": 1}'),
    flow(3, "GET", "/v1/customers/17", BOB, got=None),
    flow(4, "DELETE", "/v1/customers/17", rule="nobody-deletes", got=None),
)
"""A short day at the shop."""


def save(path: Path, flows: Iterable[Record] = CHECKOUT) -> Path:
    """flows/NAME.db with these flows, as `headgate flows save` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.stem}"
    writer = Writer(folder, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    for each in flows:
        assert writer.put(each)
    assert writer.close(PATIENCE)
    with closing(sqlite3.connect(folder / "capture.db")) as connection:
        connection.execute("pragma journal_mode = delete")
    (folder / "capture.db").replace(path)
    shutil.rmtree(folder)
    return path
