"""Tokens and hashes: what stands for a value so that equal values stay equal, and nobody without the key knows more.

Both come from HMAC-SHA-256 (RFC 2104) over the entity and the value, without its separators and in lower case, under
the bundle's `token_key`. A hash is a word of its own. A token keeps the length, the separators and the character
classes of what it stands for, and is made so that it is nobody's: a card number begins as no issuer's do and fails
Luhn's check, a social security number has group 00, a telephone number begins with 000 and an account number names no
country; none of them holds a telephone number (module `nobody`); an e-mail address ends in a domain that cannot exist
(RFC 2606, or a code that ISO 3166 never assigns). So detection does not take one for a value again. Values whose shape
is all that they are known by (dates, addresses of machines, licences) get letters in place of digits; credentials
become a word in brackets. Whoever has the key can try all values of a small set.
"""

import hmac
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.masking.nobody import nobodys
from headgate.masking.plan import CannotMask
from headgate.secret import resolve

SHORTEST_KEY = 16
"""Bytes that a key must have."""

CONSONANTS = "bcdfghjklmnpqrstvwxz"
RARE = "jqvz"
"""Letters of which no country and no top-level domain is spelled."""

SIXTEEN = "abcdefghijklmnop"
HASH_LETTERS = 32

FIELD = "field"
"""The entity of a value that is masked for where it stands."""

DIGITS = frozenset({"CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "UK_NHS", "US_ITIN", "US_SSN", FIELD})
"""Entities whose tokens keep digits: for each there are numbers that are nobody's."""

SECRET = "SECRET"  # noqa: S105 - an entity's name
SHORTEST_SECRET = 8
"""Letters of its token, which stands in brackets: some credentials are known by what is beside them alone."""

SPELLED = frozenset({SECRET, "URL"})
"""Entities of which each character counts, and its case."""

ATTEMPTS = 100
"""Draws of digits until they are nobody's; nearly all are at the first."""

SHORT = 6
"""Digits of which so few are no number of anybody's: nothing about them is fixed."""

_COUNTRY = re.compile(r"[A-Za-z]{2}\d{2}")
_TAIL = re.compile(r"[A-Za-z]+\Z")


def token_key(reference: str, environ: Mapping[str, str], base: Path) -> bytes:
    """The key that `reference` leads to; relative paths start at `base`. HeadgateError if it is none."""
    key = resolve(reference, environ, base).strip()
    if len(key) < SHORTEST_KEY:
        raise HeadgateError(
            f"secret `{reference}` is too short a key for tokens; accepted: at least {SHORTEST_KEY} bytes"
        )
    return key


def token(value: str, entity: str, key: bytes) -> str:
    """What stands for `value`; CannotMask without a key."""
    draw = _Draw(value, entity, key)
    if entity == SECRET:
        length = max(len(value) - len(SECRET) - len("[:]"), SHORTEST_SECRET)
        return f"[{SECRET}:{''.join(draw.character('x', RARE, None) for _ in range(length))}]"
    local, at, domain = value.rpartition("@")
    if at and entity in ("EMAIL_ADDRESS", FIELD) and _TAIL.search(domain):
        return draw.text(local) + at + _nowhere(draw, domain)
    if entity == FIELD and not any(map(str.isalnum, value)):  # such as a password, of which all would stay
        return "".join(each if each.isspace() else draw.character("x", CONSONANTS, None) for each in value)
    digits = iter(_digits(draw, value, entity)) if entity in DIGITS else None
    letters = CONSONANTS if entity in DIGITS and not _COUNTRY.match(value) else RARE
    return "".join(draw.character(character, letters, digits) for character in value)


def number_token(value: str, entity: str, key: bytes) -> str:
    """A number of JSON with as many digits as `value` has, signs and exponents left out; it begins with no zero."""
    digits = _digits(_Draw(value, entity, key), value, entity, number=True)
    return "".join(map(str, digits)) or "1"


def hashed(value: str, entity: str, key: bytes) -> str:
    """`hash_` and 128 bits in letters, so that it is never taken for a number."""
    digest = _digest(_known(key), f"hash\0{entity}", _plain(value, entity))
    return "hash_" + "".join(SIXTEEN[byte >> 4] + SIXTEEN[byte & 15] for byte in digest[: HASH_LETTERS // 2])


def _known(key: bytes) -> bytes:
    if len(key) < SHORTEST_KEY:
        raise CannotMask("token-key-missing")
    return key


def _plain(value: str, entity: str) -> str:
    """Two spellings of one value are one: separators and case do not count, in addresses only the case does not."""
    if entity in SPELLED:
        return value
    folded = value.casefold()
    if "@" in folded:
        return folded
    return "".join(filter(str.isalnum, folded)) or folded


def _digest(key: bytes, domain: str, value: str) -> bytes:
    return hmac.digest(key, f"{domain}\0{value}".encode("utf-8", "surrogatepass"), "sha256")


class _Draw:
    """An endless sequence of numbers that a value, its entity and the key decide."""

    def __init__(self, value: str, entity: str, key: bytes) -> None:
        self._seed = _digest(_known(key), f"token\0{entity}", _plain(value, entity))
        self._numbers = self._endless()

    def _endless(self) -> Iterator[int]:
        at = 0
        while True:
            block = hmac.digest(self._seed, at.to_bytes(8), "sha256")
            yield from (int.from_bytes(block[start : start + 2]) for start in range(0, len(block), 2))
            at += 1

    def below(self, limit: int) -> int:
        return next(self._numbers) % limit

    def character(self, original: str, letters: str, digits: Iterator[int] | None) -> str:
        """One of the same class; what is neither letter nor digit stays."""
        if original.isdigit() or original.isnumeric():
            return str(next(digits)) if digits else letters[self.below(len(letters))]
        if not original.isalpha():
            return original
        letter = letters[self.below(len(letters))]
        return letter.upper() if original.isupper() else letter

    def text(self, original: str) -> str:
        """A text of the same shape, with digits where it has a few; what follows a dot is no top-level domain."""
        few = sum(each.isdigit() or each.isnumeric() for each in original) <= SHORT
        numbers, made, rare = iter(lambda: self.below(10), None) if few else None, list[str](), 0
        for character in original:
            made.append(self.character(character, RARE if rare else CONSONANTS, numbers))
            rare = 2 if character == "." else max(0, rare - 1)
        return "".join(made)


def _nowhere(draw: _Draw, domain: str) -> str:
    """A domain of the same length that cannot exist; one too short for that ends in a code that is never assigned."""
    for end in (".test", ".zz"):
        if len(domain) > len(end):
            return draw.text(domain[: -len(end)]).rstrip(".-").ljust(len(domain) - len(end), "z") + end
    return "z" * len(domain)


def _digits(draw: _Draw, value: str, entity: str, *, number: bool = False) -> list[int]:
    """Digits for those of `value`, drawn until they are nobody's; a `number` begins with no zero."""
    count = sum(character.isdigit() or character.isnumeric() for character in value)
    shape = "0" * count if number else value
    found: list[int] = []
    for _ in range(ATTEMPTS):
        found = _drawn(draw, count, entity)
        if number and found[:1] == [0]:
            found[0] = 1 if count > SHORT else 1 + draw.below(9)
        if (entity == FIELD and count <= SHORT) or nobodys(found, shape):
            break
    return found


def _drawn(draw: _Draw, count: int, entity: str) -> list[int]:
    found = [draw.below(10) for _ in range(count)]
    if entity in ("US_SSN", "US_ITIN"):
        found[3:5] = [0, 0][: max(0, count - 3)]
        found[:1] = [1 + first % 8 for first in found[:1]]
    elif entity == "CREDIT_CARD":
        found[:1] = [9][:count]
    elif entity in ("PHONE_NUMBER", "UK_NHS") or (count > SHORT and entity != "IBAN_CODE"):
        found[:3] = [0] * min(3, count)
    return found
