"""Leaves on which two ways of detecting might differ: for each pattern of each recognizer, what matches it and what
almost does, in all kinds of surroundings, under names that are context and under others.

The same seed gives the same leaves.
"""

import importlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headgate.masking.detection.presidio import recognizers
from headgate.masking.plan import Leaf

AROUND = [
    *("", "", "", "", " ", "  ", "x", "Z", "1", "0", "-", "_", ".", ":", "/", "\n", '"', "'", "(", "+", "#", "@", "="),
    *("\u00e9", "\u0663", "\u017f", "\u212a", "\u0301", "\u200d", "\u00a0", "\x1c", "a b ", "card: ", "n\u00b0 "),
    *("1 2 ", "http://", "a@b.co ", "2024-05-01 ", "12.34 ", "id=", "\ud83d\ude00", "\ud800", "\U00010d41"),
]  # fmt: skip
DIGITS = "\u0661\u0967\uff15\U0001d7d9"
FOLDED = {"s": "\u017f", "k": "\u212a", "i": "\u0131", "I": "\u0130"}
KINDS = {
    "CATEGORY_DIGIT": f"0123456789{DIGITS[0]}",
    "CATEGORY_SPACE": " \t\n\u00a0",
    "CATEGORY_WORD": "aZ5_\u00e9",
}
KEYS = ["", "", "", "value", "id", "customerPhone", "ssn", "card_number", "createdAt", "passport", "licence", "data"]

TRIES = 30

VALID = {
    "ABA_ROUTING_NUMBER": ["021000021", "0210-0002-1"],
    "CREDIT_CARD": ["4111111111111111", "5500 0000 0000 0004", "3400-0000-0000-009", "6011000000000004"],
    "CRYPTO": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
    "EMAIL_ADDRESS": [
        "ana@example.com",
        "a.b+c@sub.example.co.uk",
        "/u/ana@example.org",
        "x@corp.internal",
        "a@b@c.de",
    ],
    "IBAN_CODE": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "fr1420041010050500013m02606"],
    "IP_ADDRESS": ["10.1.2.3", "::1", "fe80::1%eth0", "2001:db8::8a2e:370:7334", "::ffff:10.0.0.1", "1.2.3.4/24"],
    "IT_VAT_CODE": ["07973780013", "0 7 9 7 3 7 8 0 0 1 3"],
    "PHONE_NUMBER": ["+1 212 555 0123", "(212) 555-0123", "020 7946 0018", "+49 30 901820", "+91 98765 43210", "1 1 1"],
    "TR_NATIONAL_ID": ["10000000146"],
    "UK_NHS": ["943 476 5919", "9434765919"],
    "URL": [
        "https://example.com/a?b",
        "www.example.co.uk",
        "'a.com'",
        '"https://b.org/x"',
        "a.b.c.community/d",
        "www1.io",
    ],
    "ZA_ID_NUMBER": ["8001015009087"],
    "ZA_MOBILE_NUMBER": ["082 123 4567", "+27 82 123 4567"],
    "ZA_TELEPHONE_NUMBER": ["011 978 5313", "+27 11 978 5313"],
}


def leaves(count: int, seed: int = 1) -> Iterator[tuple[str, Leaf]]:
    """An entity and a leaf that was made for it, `count` times, each entity's patterns in turn."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets; the same seed is to give the same
    sources = list(_sources())
    for number in range(count):
        entity, context, make = sources[number % len(sources)]
        yield entity, Leaf(_around(_changed(make(chance), chance), chance), _key(context, chance))


def _sources() -> Iterator[tuple[str, Sequence[str], Callable[[random.Random], str]]]:
    for recognizer in recognizers():
        (entity,) = recognizer.supported_entities
        for pattern in getattr(recognizer, "patterns", ()):
            yield (
                entity,
                recognizer.context,
                _accepted(recognizer, _Maker(pattern.regex, recognizer.global_regex_flags)),
            )
        for valid in VALID.get(entity, ()):
            yield entity, recognizer.context, lambda _, valid=valid: valid


def _accepted(recognizer: Any, make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    """Mostly what the recognizer's validator accepts, where chance makes that soon enough."""

    def accepted(chance: random.Random) -> str:
        text = make(chance)
        for _ in range(chance.choice((0, TRIES, TRIES, TRIES))):
            if _passes(recognizer, text):
                return text
            text = make(chance)
        return text

    return accepted


def _passes(recognizer: Any, text: str) -> bool:
    try:
        return recognizer.validate_result(text) is not False and not recognizer.invalidate_result(text)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return True


def _changed(text: str, chance: random.Random) -> str:
    """Nothing is changed in half of them; else one or two characters."""
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        if not text:
            return text
        at = chance.randrange(len(text))
        one = text[at]
        other = [
            "", one * 2, one.swapcase(), one + "\n", "\u0301" + one,
            chance.choice("0123456789"), chance.choice("abkstizAKZ"), chance.choice(" -./:_+"),
            chance.choice(DIGITS) if one.isdigit() else FOLDED.get(one, one), "\u00a0" if one == " " else one,
            "\u2010" if one == "-" else one,
        ]  # fmt: skip
        text = text[:at] + chance.choice(other) + text[at + 1 :]
    return text


def _around(text: str, chance: random.Random) -> str:
    before = "".join(chance.choice(AROUND) for _ in range(chance.choice((0, 1, 1, 2))))
    after = "".join(chance.choice(AROUND) for _ in range(chance.choice((0, 1, 1, 2))))
    return before + text + after


def _key(context: Sequence[str], chance: random.Random) -> str:
    if chance.random() < 0.7:
        return chance.choice(KEYS)
    word = chance.choice(context) if context else ""
    return chance.choice((word, f"the_{word}", f"my{word.capitalize()}", f"{word}s", word.upper(), f"a-{word}-b"))


class _Maker:
    """Makes texts that match a pattern, but for what it says must not stand somewhere."""

    def __init__(self, pattern: str, flags: int) -> None:
        parser: Any = importlib.import_module("re._parser")
        self._tree = parser.parse(pattern.replace("(?i)", ""), flags)
        self._folding = "(?i)" in pattern or flags & re.IGNORECASE

    def __call__(self, chance: random.Random) -> str:
        self._groups: dict[int, str] = {}
        return self._made(self._tree, chance)

    def _made(self, tree: Any, chance: random.Random) -> str:
        return "".join(self._item(str(kind), value, chance) for kind, value in tree)

    def _item(self, kind: str, value: Any, chance: random.Random) -> str:
        match kind:
            case "LITERAL":
                return self._cased(chr(value), chance)
            case "ANY":
                return chance.choice("a1 \n\u00e9")
            case "IN":
                return self._cased(self._member(value, chance), chance)
            case "BRANCH":
                return self._made(chance.choice(value[1]), chance)
            case "SUBPATTERN":
                text = self._made(value[3], chance)
                return self._groups.setdefault(value[0], text) if value[0] else text
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high = int(value[0]), int(min(value[1], value[0] + chance.choice((0, 1, 2, 3, 20, 60))))
                return "".join(self._made(value[2], chance) for _ in range(chance.randint(low, max(low, high))))
            case "ASSERT":
                return self._made(value[1], chance) if value[0] < 0 else ""
            case "GROUPREF":
                return self._groups[value]
            case _:
                return ""

    def _member(self, members: Any, chance: random.Random) -> str:
        if str(members[0][0]) == "NEGATE":
            return chance.choice("az09-_.")
        kind, value = chance.choice(members)
        if str(kind) == "LITERAL":
            return chr(value)
        if str(kind) == "RANGE":
            return chr(chance.randint(*value))
        return chance.choice(
            {"DIGIT": "0123456789" + DIGITS[0], "SPACE": " \t\n\u00a0", "WORD": "aZ5_\u00e9"}[str(value)[9:]]
        )

    def _cased(self, character: str, chance: random.Random) -> str:
        return character.swapcase() if self._folding and chance.random() < 0.2 else character
