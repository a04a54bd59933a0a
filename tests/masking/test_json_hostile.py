"""Documents made to be slow, large or to go wrong: each is masked or withheld, in work that grows evenly."""

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from tests.masking.jsonvalues import FOUND

from headgate.masking.formats.jsontext import mask_json, mask_lines
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing

MASK = "[EMAIL_ADDRESS]"
DETECT = (Wanted("EMAIL_ADDRESS", Operator.REDACT),)
PLAN = Plan(detect=DETECT, paths=(("$..ssn", Operator.REDACT),), keys=True)


def _work(act: Callable[[], Any]) -> int:
    """How many lines of Python run: work that does not depend on the machine."""
    count = 0

    def trace(*_: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except CannotMask:
        pass
    finally:
        sys.settrace(before)
    return count


def _quoted(text: str, times: int) -> str:
    for _ in range(times):
        text = json.dumps([text])
    return text


GROWING: dict[str, Callable[[int], str]] = {
    "names": lambda n: json.dumps({f"{FOUND}{at}": at for at in range(n)}),
    "the same name": lambda n: "{" + ",".join([f'"{FOUND}":1'] * n) + "}",
    "names that become one": lambda n: json.dumps({f"{FOUND}{' ' * at}": at for at in range(n // 10)}),
    "names like numbered masks": lambda n: json.dumps(
        {f"{MASK} {at}": 1 for at in range(n)} | {f"{at}{FOUND}": 1 for at in range(n)}
    ),
    "findings": lambda n: json.dumps([FOUND] * n),
    "findings in one string": lambda n: json.dumps(FOUND * n),
    "findings in one escaped string": lambda n: json.dumps(json.dumps([f"\n{FOUND}"] * n)),
    "escapes": lambda n: json.dumps("\n" * n + FOUND),
    "strings that begin like JSON": lambda n: json.dumps(["[1,", "{", '{"a":[]', '"\\"', "[}"] * n),
    "one string that begins like JSON": lambda n: json.dumps("[" * 50 + "1," * n + "]"),
    "documents in strings": lambda n: json.dumps(['{"ssn":"[]"}'] * n),
    "findings deep down": lambda n: "[" * 90 + json.dumps([FOUND] * n) + "]" * 90,
    "quotes in quotes": lambda n: _quoted(json.dumps(["x"] * n), 4),
    "long names above": lambda n: json.dumps({"a" * n: [FOUND] * n}),
    "dropped": lambda n: json.dumps([{"ssn": at} for at in range(n)]),
}


@pytest.mark.parametrize("kind", GROWING)
@pytest.mark.parametrize("operator", [Operator.REDACT, Operator.DROP])
def test_twice_the_document_is_twice_the_work(find_words: Callable[..., Detect], kind: str, operator: Operator) -> None:
    plan = Plan(detect=(Wanted("EMAIL_ADDRESS", operator),), paths=(("$..ssn", operator),), keys=True)
    small, large = (_work(lambda n=n: mask_json(GROWING[kind](n), plan, find_words(FOUND))) for n in (200, 400))
    assert large < 2.6 * small


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 101 + "]" * 101, "nested-too-deeply"),
        ("[" * 1_000_000, "nested-too-deeply"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested-too-deeply"),
        ('{"ssn":' + "[" * 101 + "]" * 101 + "}", "nested-too-deeply"),
        ("[" * 50 + '{"ssn":' + "[" * 50 + "]" * 50 + "}" + "]" * 50, "nested-too-deeply"),
        ("[" + "," * 1_000_001 + "]", "document-too-large"),
        ("[" + "," * 999_999 + "]", "invalid-json"),
        (json.dumps("," * 1_000_001), "document-too-large"),
        ("1e1000", "number-out-of-range"),
        ("1E-99999999999999999999", "number-out-of-range"),
        ('"\\ud83d', "invalid-json"),
        ('"\0"', "invalid-json"),
        ('{"a":1 "b":2}', "invalid-json"),
        ('{"a"}', "invalid-json"),
        ("", "invalid-json"),
        (" ", "invalid-json"),
    ],
)
def test_what_cannot_be_masked_is_withheld_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(CannotMask, match=f"^{reason}$"):
        mask_json(text, PLAN, detect_nothing)


@pytest.mark.parametrize(
    "text",
    [
        "9" * 100_000,
        "-" + "9" * 100_000 + ".5",
        "1" + "0" * 5000 + "e0",
        json.dumps("\ud83d" + FOUND + "\ude00"),
        json.dumps("\0" + FOUND + "\0"),
        json.dumps("\U0001f600" + FOUND),
        f'"\\ud83d\\ude00\\ud83d{FOUND}\\\\ud83d"',
        json.dumps(json.dumps("\ud83d\0" + FOUND)),
        json.dumps(json.dumps(["\ud83d\0\U0001f600" + FOUND + "\ude00"])),
    ],
)
def test_huge_numbers_and_odd_characters_stay_as_they_are(find_words: Callable[..., Detect], text: str) -> None:
    assert mask_json(text, Plan(detect=DETECT), find_words(FOUND)).text == text.replace(FOUND, MASK)


def test_no_location_is_long_however_long_the_names_above_it_are(find_words: Callable[..., Detect]) -> None:
    text: Any = [FOUND]
    for _ in range(50):
        text = {"n" * 1000: text}
    (finding,) = mask_json(json.dumps(text), PLAN, find_words(FOUND)).findings
    assert len(finding.location) < 1000


LARGE = {
    "numbers": lambda: "[" + ",".join(["1234567"] * 100_000) + "]",
    "names": lambda: "{" + ",".join(f'"name{at}":""' for at in range(60_000)) + "}",
    "findings": lambda: json.dumps([FOUND] * 60_000),
    "escaped": lambda: json.dumps(json.dumps([{"a": "some text\n", "b": FOUND}] * 20_000)),
    "documents in strings": lambda: json.dumps(['{"a":"b"}'] * 60_000),
    "empty documents in strings": lambda: json.dumps(["[]"] * 60_000),
    "one string": lambda: json.dumps("\n" * 500_000),
}


@pytest.mark.parametrize("kind", LARGE)
def test_memory_is_bounded_by_the_document(find_words: Callable[..., Detect], kind: str) -> None:
    text, detect = LARGE[kind](), find_words(FOUND)
    tracemalloc.start()
    try:
        mask_json(text, Plan(detect=DETECT, paths=PLAN.paths), detect)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 30 * len(text)


def test_lines_take_no_more_memory_than_the_text(find_words: Callable[..., Detect]) -> None:
    text = '{"a": "some text", "b": [1, 2, 3]}\n' * 50_000
    detect = find_words(FOUND)
    tracemalloc.start()
    try:
        mask_lines(text, PLAN, detect)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 6 * len(text)


def test_a_masked_value_may_be_nested_as_deeply_as_any() -> None:
    text = "[" * 49 + '{"ssn":' + "[" * 50 + "]" * 50 + "}" + "]" * 49
    assert "[REDACTED]" in mask_json(text, PLAN, detect_nothing).text
