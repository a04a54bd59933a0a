"""One captured exchange judged again: what is certain, what is not, and what an opened original makes certain."""

from pathlib import Path
from typing import Any

import pytest
from tests.replay.under_rules import JSON, Asked, capture, detector, make_bundle

from headgate.bundle.load import Bundle
from headgate.capture.record import Line
from headgate.capture.sealing import Original, Part
from headgate.model import unauthenticated
from headgate.replay.judge import Judged, as_recorded, decide_and_mask

MAIL, CARD = "ana@example.com", "4111 1111 1111 1111"
ANSWER = f'{{"mail": "{MAIL}", "card": "{CARD}"}}'.encode()
MAILS = [{"id": "m", "match": {}, "detect": ["EMAIL_ADDRESS"]}]
STRICTER = [{"id": "m", "match": {}, "detect": ["EMAIL_ADDRESS", "CREDIT_CARD"]}]
OTHER_PROFILE = [{"id": "m", "match": {}, "detect": ["EMAIL_ADDRESS"], "profile": "stock"}]
BY_QUERY = [
    {"id": "all", "effect": "allow", "match": {}},
    {"id": "not-to-ana", "effect": "deny", "match": {"query": {"to": MAIL}}},
]


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "old", masking=MAILS)


def judged(tmp_path: Path, old: Bundle, asked: Asked, *, original: Any = None, **rules: Any) -> Judged:
    (entry,) = capture(tmp_path / "state", old, [asked])
    new = make_bundle(tmp_path / "new", **rules)
    return decide_and_mask(new, entry, recorded_under=old, detector=detector, original=original)


def places(said: Judged) -> list[tuple[str, str, str, int]]:
    return [(mask.location, mask.entity, mask.operator, mask.count) for mask in said.masks]


def test_what_was_masked_is_kept_and_what_is_visible_is_masked_besides(tmp_path: Path, old: Bundle) -> None:
    said = judged(tmp_path, old, Asked(answer=ANSWER), masking=STRICTER)
    assert said.masks_certain
    assert places(said) == [("/card", "CREDIT_CARD", "redact", 1), ("/mail", "EMAIL_ADDRESS", "redact", 1)]


def test_an_opened_original_makes_certain_what_the_record_does_not_say(tmp_path: Path, old: Bundle) -> None:
    asked = Asked(query=f"to={MAIL}", answer=ANSWER)
    original = Original(
        Line(b"GET", "https", "api.internal", 443, f"/v1/customers/42?to={MAIL}".encode(), b"HTTP/1.1"),
        Part(((b"host", b"api.internal"),), b""),
        200,
        Part((JSON,), ANSWER, len(ANSWER)),
    )
    said = judged(tmp_path / "record", old, asked, policy=BY_QUERY, masking=OTHER_PROFILE)
    assert (said.certain, said.masks_certain) == (False, False)
    said = judged(tmp_path / "opened", old, asked, original=original, policy=BY_QUERY, masking=OTHER_PROFILE)
    assert (said.certain, said.masks_certain, said.reason) == (True, True, "denied-by-rule")
    assert places(said) == [("/mail", "EMAIL_ADDRESS", "redact", 1)]


def test_who_was_refused_before_policy_is_as_recorded(tmp_path: Path, old: Bundle) -> None:
    asked = Asked(who=None, refusal=unauthenticated("expired"))
    (entry,) = capture(tmp_path / "state", old, [asked])
    said = decide_and_mask(old, entry)
    assert not said.judged
    assert said == as_recorded(entry)
