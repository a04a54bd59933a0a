"""What goes on of what a peer of a WebSocket says, and what is shown of it: each as it is due."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from headgate.masking.due import NOTHING
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing
from headgate.masking.socketmask import SocketMask
from headgate.model import Exchange, MaskCount
from headgate.proxy.speech import Said, Speech
from headgate.proxy.stages import SocketStages

CARDS = Plan(detect=(Wanted("CREDIT_CARD", Operator.REDACT),))
SSN = Plan(paths=(("$..ssn", Operator.REDACT),))
CARD = "4111111111111111"


def detector(plan: Plan, _units: int) -> Detect:
    def detect(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        places = [leaf.text.find(CARD) for leaf in leaves]
        return [[Span("CREDIT_CARD", at, at + 16, 1.0)] if at >= 0 else [] for at in places]

    return detect if plan.detect else detect_nothing


async def opened(plan: Plan) -> SocketMask:
    return SocketMask(plan, detector)


async def masked(mask: SocketMask, message: bytes) -> list[bytes]:
    out = mask.messages(message)
    assert isinstance(out, list)
    return out


STAGES = SocketStages(
    lambda _exchange: NOTHING, opened, masked, lambda _flow, _sent, _received: None, lambda _exchange, _spoken: None
)


def delta(text: str) -> bytes:
    return json.dumps({"delta": text}).encode()


class Talk:
    """One direction; `counted` is what has been masked for the peer."""

    def __init__(self, plan: Plan | None, recorded: Plan | None, *, from_client: bool = False) -> None:
        self.exchange = Exchange("01", 0.0)
        self.speech = Speech(STAGES, self.exchange, plan, recorded, from_client=from_client)

    def say(self, content: bytes, *, is_text: bool = True) -> Said:
        return asyncio.run(self.speech.message(content, is_text=is_text))

    @property
    def counted(self) -> tuple[MaskCount, ...]:
        return self.exchange.masks


SPLIT = [delta("pay 41111111"), delta("11111111"), delta(" now ")]
TOGETHER = "pay [CREDIT_CARD] now "


def text_of(messages: Any) -> str:
    return "".join(json.loads(message)["delta"] for message in messages)


@pytest.mark.parametrize("from_client", [True, False])
def test_what_goes_on_is_what_is_shown_where_the_same_is_due(from_client: bool) -> None:
    talk = Talk(CARDS, CARDS, from_client=from_client)
    said = [talk.say(message) for message in SPLIT]
    assert [each.out for each in said] == [each.shown for each in said]
    assert text_of(message for each in said for message in each.out) == TOGETHER
    assert talk.counted == (MaskCount("/delta", "CREDIT_CARD", "redact", 1),)
    assert talk.speech.rest() == ([], [])


def test_what_is_held_back_is_shown_when_it_goes_on() -> None:
    talk = Talk(CARDS, CARDS)
    assert talk.say(delta("pay 4111")) == ([delta("pay ")], [delta("pay ")])
    assert talk.speech.waits
    assert talk.speech.rest(paused=True) == ([delta("4111")], [delta("4111")])
    assert not talk.speech.waits


def test_of_what_an_excepted_caller_hears_whole_no_value_is_shown_though_it_is_split() -> None:
    talk = Talk(None, CARDS)
    said = [talk.say(message) for message in SPLIT]
    assert [each.out for each in said] == [[message] for message in SPLIT]
    assert text_of(message for each in said for message in each.shown) == TOGETHER
    assert talk.counted == ()
    assert not talk.speech.waits
    talk.say(delta("the end"))
    assert talk.speech.rest() == ([], [delta("end")])


def test_what_is_owed_less_is_shown_as_the_record_has_it() -> None:
    talk = Talk(CARDS, Plan(paths=SSN.paths, detect=CARDS.detect))
    said = talk.say(f'{{"ssn": "1", "card": "{CARD}"}}'.encode())
    assert said.out == [b'{"ssn": "1", "card": "[CREDIT_CARD]"}']
    assert said.shown == [b'{"ssn": "[REDACTED]", "card": "[CREDIT_CARD]"}']
    assert sum(mask.count for mask in talk.counted) == 1


def test_a_record_that_fails_shows_no_text_from_then_on() -> None:
    talk = Talk(None, SSN)
    assert talk.say(b"ssn 1") == ([b"ssn 1"], [b"[5 bytes]"])
    assert talk.say(b'{"n": 1}') == ([b'{"n": 1}'], [b"[8 bytes]"])
    assert talk.speech.rest() == ([], [])


@pytest.mark.parametrize("recorded", [SSN, Plan(detect=(Wanted("PERSON", Operator.NULL),))])
def test_what_a_caller_says_is_shown_only_as_masks_of_requests_leave_it(recorded: Plan) -> None:
    assert Talk(None, recorded, from_client=True).say(b'{"n": 1}') == ([b'{"n": 1}'], [b"[8 bytes]"])
    assert Talk(CARDS, recorded, from_client=True).say(CARD.encode()) == ([b"[CREDIT_CARD]"], [b"[16 bytes]"])


@pytest.mark.parametrize("recorded", [None, SSN])
def test_nobody_reads_what_is_no_text(recorded: Plan | None) -> None:
    shown = b"[2 bytes]" if recorded else b"\x00\xff"
    assert Talk(None, recorded).say(b"\x00\xff", is_text=False) == ([b"\x00\xff"], [shown])


def test_what_cannot_be_masked_does_not_go_on_nor_does_what_follows() -> None:
    talk = Talk(SSN, SSN)
    for message in (b"ssn 1", b"{}"):
        with pytest.raises(CannotMask, match="fields-in-text"):
            talk.say(message)
    with pytest.raises(CannotMask):
        talk.speech.rest()
    with pytest.raises(CannotMask, match="streams-withheld"):
        Talk(Plan(paths=SSN.paths, streams=False), None).say(b"{}")
