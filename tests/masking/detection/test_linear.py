"""Patterns that run away are found another way: the same matches, in work that grows with the text."""

import random

import pytest
import regex

from headgate.masking.detection.budget import Budget
from headgate.masking.detection.fast import Fast
from headgate.masking.detection.linear import linear
from headgate.masking.detection.presidio import recognizers
from headgate.masking.detection.shapes import is_endless
from headgate.masking.entities import DEFAULT
from headgate.masking.plan import Leaf

FLAGS = int(regex.DOTALL | regex.MULTILINE | regex.IGNORECASE)
SIZE = 16_384
PLENTY = 1 << 40

FIVE = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN")

ATOMS = {
    "EMAIL_ADDRESS": [*"aZ9.-_@@@ +'/=\u00e9\u017f\u0661\n", "a@b.co", "x.y", "--", "@b.c-d.e", "com", "@\u00e9.de"],
    "IN_PAN": [*"aZ9 -@#\n\u0661\u017f.\u00e9", "1234", "abcdefghij", "ABCDE1234F", "0123456789"],
    "URL": [
        *(
            "www.",
            "www1.",
            "www\u0661.",
            "http://",
            "HTTPS://",
            "http\u017f://",
            ".com",
            ".co",
            ".info",
            ".uk",
            ".prof",
        ),
        *(
            "/p?q",
            "a." * 9,
            "a.co" * 30,
            ".commu",
            "x" * 251,
            "'a.co'",
            '"http://b.uk/x',
            '.com"',
            "'https://",
            "'www.b",
        ),
        *"aw9.-/:\"'\"' \n\u00e9\u017f\u212a\u0661\u0130",
    ],
    "US_HEALTH_INSURANCE_MEMBER_ID": [*"aZ9 --\n\u0661\u017f.\u00e9_", "ABC12345", "ABCDEFG", "A-", "ABCDEF-GHIJK"],
}

KNOWN = [
    (entity, pattern.regex)
    for each in recognizers()
    for entity in each.supported_entities
    for pattern in getattr(each, "patterns", ())
    if linear(pattern.regex, FLAGS)
]


def test_the_patterns_known_are_those_that_presidio_has() -> None:
    """Of a Presidio with others, they are run as they are, and may be stopped."""
    assert sorted(entity for entity, _ in KNOWN) == sorted([*ATOMS, "URL", "URL", "URL"])


@pytest.mark.parametrize(("entity", "pattern"), KNOWN, ids=lambda value: value[:24])
def test_the_matches_are_the_patterns_own(entity: str, pattern: str) -> None:
    find, own = linear(pattern, FLAGS), regex.compile(pattern, FLAGS)
    assert find is not None
    chance = random.Random(5)  # noqa: S311 - not for secrets; the same seed is to give the same
    seen = 0
    for _ in range(900):
        text = "".join(chance.choice(ATOMS[entity]) for _ in range(chance.randint(1, 11)))
        matches = [match.span() for match in own.finditer(text)]
        assert (text, list(find(text))) == (text, matches)
        seen += len(matches)
    assert seen > 50


def test_other_patterns_and_flags_are_left_alone() -> None:
    (address,) = (pattern for entity, pattern in KNOWN if entity == "EMAIL_ADDRESS")
    assert linear(f"{address}?", FLAGS) is None
    assert linear(address, 0) is None
    assert linear(r"(?i)https?://[a-z]+", FLAGS) is None


def test_patterns_without_an_end_are_of_these_kinds_only() -> None:
    """What is neither found another way nor bounded is stopped when it runs away: it is one of a few."""
    endless = {
        entity
        for each in recognizers()
        for entity in each.supported_entities
        for pattern in getattr(each, "patterns", ())
        if is_endless(pattern.regex, FLAGS) and (entity, pattern.regex) not in KNOWN
    }
    numbers = {"US_CLAIM_NUMBER", "US_PRESCRIPTION_NUMBER", "US_PRIOR_AUTHORIZATION_NUMBER", "US_REFERRAL_NUMBER"}
    assert endless == numbers | {"US_PROVIDER_TAX_ID", "DATE_TIME", "DE_HANDELSREGISTER", "IP_ADDRESS"}


def _work(fast: Fast, text: str) -> int:
    budget = Budget(PLENTY)
    fast([Leaf(text, "note")], budget)
    return PLENTY - budget.left


def _of_size(pieces: tuple[str, str], size: int = SIZE) -> str:
    piece, end = pieces
    return (piece * size)[: size - len(end)] + end


HOSTILE = {
    "a.": ("a.", ""),
    "a-": ("a-", ""),
    "a-@": ("a-", "@"),
    "a-@b": ("a-", "@b"),
    "a-@b.c": ("a-", "@b.c"),
    "a=": ("a=a=", ""),
    "a@": ("a@", ""),
    "1 ": ("1 ", ""),
    "1": ("1", ""),
    "www.": ("www.", ""),
    "'a.": ("'a.", ""),
    "a.co": ("a.co", ""),
    "1.2.3.": ("1.2.3.", ""),
    "\u0661 ": ("\u0661 ", ""),
}
HARMLESS = ("Order 773100 was delivered at 10:15 to 12 Main Street, left side. ", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_at_most_twice_the_work_of_harmless_text(name: str) -> None:
    fast = Fast(FIVE)
    assert _work(fast, _of_size(HOSTILE[name])) <= 2 * _work(fast, _of_size(HARMLESS))


@pytest.mark.parametrize("entities", [FIVE, sorted(DEFAULT)], ids=["five", "default"])
@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_with_the_text(name: str, entities: list[str]) -> None:
    fast = Fast(entities)
    whole, quarter = (_work(fast, _of_size(HOSTILE[name], size)) for size in (SIZE, SIZE // 4))
    assert whole <= 4.5 * quarter + 1000
