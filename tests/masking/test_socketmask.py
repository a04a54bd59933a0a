"""What masks the messages of one direction of a WebSocket: which of them here, which in a worker, and at what cost."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from headgate.masking.detection.budget import Budget
from headgate.masking.inline import Inline
from headgate.masking.job import Done, Job, run
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted
from headgate.masking.socketmask import (
    HELD_UNITS,
    INLINE,
    INLINE_WORK,
    UNITS,
    SocketMask,
    SocketMasking,
    add_counts,
)
from headgate.masking.streams.socket import Aside
from headgate.model import Exchange, MaskCount

CARDS = Plan(paths=(("$..ssn", Operator.REDACT),), detect=(Wanted("CREDIT_CARD", Operator.REDACT),))
CARD = "4111111111111111"


class Detectors:
    """Makes detectors that find one card and cost `price` for each character; `asked` are the budgets they had."""

    def __init__(self, price: int = 1) -> None:
        self.price = price
        self.asked: list[int] = []

    def __call__(self, _plan: Plan, units: int) -> Detect:
        self.asked.append(units)
        budget = Budget(units)

        def detect(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
            budget.spend(self.price * sum(len(leaf.text) for leaf in leaves))
            return [self._found(leaf.text) for leaf in leaves]

        return detect

    def _found(self, text: str) -> list[Span]:
        at = text.find(CARD)
        return [Span("CREDIT_CARD", at, at + len(CARD), 1.0)] if at >= 0 else []


class Busy:
    """Stands in for the workers, in this process."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def run(self, job: Job) -> Done:
        assert job.received
        self.bodies.append(job.received.body)
        return run(job, lambda plan: Detectors()(plan, HELD_UNITS))


def delta(text: str) -> bytes:
    return json.dumps({"delta": text}).encode()


def conversation(
    messages: Sequence[bytes], plan: Plan = CARDS, detectors: Detectors | None = None
) -> tuple[list[bytes], SocketMask, Busy]:
    """What goes on for these messages, what has masked them, and what workers had to do."""
    busy, mask = Busy(), SocketMask(plan, detectors or Detectors())

    async def say() -> list[bytes]:
        masking = SocketMasking(cast(Any, busy), Inline())
        return [out for message in messages for out in await masking.messages(mask, message)]

    return asyncio.run(say()), mask, busy


def test_a_value_that_is_split_over_messages_is_masked_here() -> None:
    out, mask, busy = conversation([delta("pay 41111111"), delta("11111111"), delta(" now")])
    assert "".join(json.loads(message)["delta"] for message in [*out, *mask.rest()]) == "pay [CREDIT_CARD] now"
    assert busy.bodies == []
    assert mask.take_counts() == {("/delta", "CREDIT_CARD", "redact"): 1}
    assert mask.take_counts() == {}


LONG = json.dumps({"ssn": 1, "words": ["w"] * INLINE, "card": CARD}).encode()
MANY = json.dumps([{"ssn": 1}] * INLINE_WORK).encode()
TEXT = f"{CARD} {'w ' * INLINE}".encode()


@pytest.mark.parametrize("message", [LONG, MANY])
def test_one_that_takes_long_is_masked_by_a_worker_in_its_turn(message: bytes) -> None:
    out, mask, busy = conversation([delta("hello there"), message, delta(" you"), b"{}"])
    assert busy.bodies == [message]
    assert (out[0], out[2], out[3]) == (delta("hello "), delta("there "), b"{}")
    assert (CARD.encode() in out[1], b'"ssn": 1' in out[1], b'"ssn": null' in out[1]) == (False, False, True)
    assert sum(mask.take_counts().values()) == (2 if message is LONG else INLINE_WORK)


def test_so_is_a_long_text_but_for_its_seams() -> None:
    detecting = Plan(detect=CARDS.detect)
    out, mask, busy = conversation([b"it is 41111111", b"11111111" + TEXT, b" over"], detecting)
    assert out == [b"it is 41111111", b"[CREDIT_CARD]" + TEXT.replace(CARD.encode(), b"[CREDIT_CARD]"), b" over"]
    assert busy.bodies == [TEXT]
    assert sum(mask.take_counts().values()) == 2


@pytest.mark.parametrize("path", ["$..a..b", "$[?@.a == 1].b"])
def test_what_paths_cost_counts_too(path: str) -> None:
    plan = Plan(paths=((path, Operator.REDACT),))
    small, large = json.dumps([{"b": 1}] * 2).encode(), json.dumps([{"b": 1}] * 20).encode()
    assert conversation([small, large], plan)[2].bodies == [large]


def test_one_that_needs_more_than_its_budget_is_masked_by_a_worker() -> None:
    dense = json.dumps({"a": ". " * 1000 + CARD}).encode()
    detectors = Detectors(price=UNITS // 1000)
    out, mask, busy = conversation([b'{"a": "x"}', dense, b'{"a": "x"}'], detectors=detectors)
    assert busy.bodies == [dense]
    assert out[1] == dense.replace(CARD.encode(), b"[CREDIT_CARD]")
    assert mask.take_counts() == {("/a", "CREDIT_CARD", "redact"): 1}
    assert set(detectors.asked) == {UNITS}


def test_where_something_is_held_back_there_is_more_to_spend_and_then_an_end() -> None:
    detectors = Detectors()
    mask = SocketMask(CARDS, detectors)
    dense = b'{"text": "%s", "to": "x"}' % (b". " * 1000)
    assert mask.messages(delta("hello there")) == [delta("hello ")]
    detectors.price = UNITS // 1000
    assert mask.messages(dense) == [dense]
    detectors.price = HELD_UNITS // 1000
    for _ in range(2):
        with pytest.raises(CannotMask):
            mask.messages(dense)
    with pytest.raises(CannotMask):
        mask.rest()


def test_a_long_piece_of_a_text_is_masked_here() -> None:
    long = delta("41111111" + " word" * INLINE)
    detectors = Detectors()
    mask = SocketMask(CARDS, detectors)
    mask.messages(delta("hello there"))
    out = mask.messages(long)
    assert not isinstance(out, Aside)
    assert [json.loads(message)["delta"][:14] for message in out] == ["there41111111 "]


def test_what_is_held_back_can_cost_too_much() -> None:
    detectors = Detectors()
    mask = SocketMask(CARDS, detectors)
    mask.messages(delta(CARD))
    detectors.price = HELD_UNITS
    with pytest.raises(CannotMask, match="detection-too-slow"):
        mask.rest()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (Plan(detect=CARDS.detect, streams=False), "streams-withheld"),
        (Plan(detect=(Wanted("PERSON", Operator.REDACT),)), "language-model-on-stream"),
    ],
)
def test_what_cannot_be_masked_on_a_socket_is_refused_before_anything_is_loaded(plan: Plan, reason: str) -> None:
    inline = Inline(lambda: pytest.fail("loaded"))
    with pytest.raises(CannotMask, match=reason):
        asyncio.run(SocketMasking(cast(Any, Busy()), inline).open(plan))


def test_it_waits_for_detection_and_not_without_end() -> None:
    def made(plan: Plan, budget: Budget) -> Detect:
        return Detectors()(plan, budget.left)

    async def masked(inline: Inline) -> list[bytes] | Aside:
        mask = await SocketMasking(cast(Any, Busy()), inline).open(Plan(detect=CARDS.detect))
        return mask.messages(CARD.encode())

    assert asyncio.run(masked(Inline(lambda: made))) == [b"[CREDIT_CARD]"]

    def missing() -> Any:
        raise ImportError

    with pytest.raises(CannotMask, match="masking-too-slow"):
        asyncio.run(masked(Inline(missing)))


def test_masks_of_both_directions_count_together() -> None:
    exchange = Exchange("01", 0.0)
    for _ in range(2):
        add_counts(exchange, conversation([b'{"ssn": 1}'])[1].take_counts())
    add_counts(exchange, conversation([b"{}"])[1].take_counts())
    assert exchange.masks == (MaskCount("/ssn", "field", "redact", 2),)
