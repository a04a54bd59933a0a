"""Tokens and hashes: what stands for a value so that equal values stay equal, and nobody without the key knows more.

Both come from HMAC-SHA-256 (RFC 2104) over the entity and the value, without its separators and in lower case, under
the bundle's `token_key`. A hash is a word of its own. A token keeps the length, the separators and the character
classes of what it stands for, and is made so that it is nobody's: a card number has no issuer's digit and fails Luhn's
check, a social security number has group 00, a telephone number begins with 000, an account number names no country,
an e-mail address ends in a domain that cannot exist (RFC 2606, or a code that ISO 3166 never assigns). So detection
does not take one for a value again. Values whose shape is all that they are known by (dates, addresses of machines,
licences) get letters in place of digits; credentials become a word in brackets. Whoever has the key can try all values
of a small set.
"""

import hmac
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.masking.plan import CannotMask
from headgate.secret import resolve

SHORTEST_KEY = 16
"""Bytes that a key must have."""

CONSONANTS = "bcdfghjklmnpqrstvwxz"
RARE = "jqvz"
"""Letters of which no country and no top-level domain is spelled."""

SIXTEEN = "abcdefghijklmnop"
HASH_LETTERS = 32

DIGITS = frozenset({"CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "UK_NHS", "US_ITIN", "US_SSN", "field"})
"""Entities whose tokens keep digits: for each there are numbers that are nobody's."""

SECRET = "SECRET"  # noqa: S105 - an entity's name
SHORTEST_SECRET = 8
"""Letters of its token, which stands in brackets: some credentials are known by what is beside them alone."""

SPELLED = frozenset({SECRET, "URL"})
"""Entities of which each character counts, and its case."""

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
        return f"[{SECRET}:{draw.text('x' * max(len(value) - len(SECRET) - 3, SHORTEST_SECRET), RARE)}]"
    local, at, domain = value.rpartition("@")
    if at and entity in ("EMAIL_ADDRESS", "field") and _TAIL.search(domain):
        return draw.text(local, CONSONANTS) + at + _nowhere(draw, domain)
    digits = iter(_digits(draw, value, entity)) if entity in DIGITS else None
    letters = CONSONANTS if entity in DIGITS and not _COUNTRY.match(value) else RARE
    return "".join(draw.character(character, letters, digits) for character in value)


def number_token(value: str, entity: str, key: bytes) -> str:
    """A number of JSON with as many digits as `value` has, signs and exponents left out; it begins with no zero."""
    count = sum(map(str.isdigit, value)) or 1
    digits = _invalid(_numbered(_Draw(value, entity, key), count, entity))
    return "".join(map(str, digits))


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

    def text(self, original: str, letters: str) -> str:
        """A text of the same shape, with digits where it has some."""
        numbers = iter(lambda: self.below(10), None)
        return "".join(self.character(character, letters, numbers) for character in original)


def _nowhere(draw: _Draw, domain: str) -> str:
    """A domain of the same length that cannot exist; one too short for that ends in a code that is never assigned."""
    for end in (".invalid", ".test", ".zz"):
        if len(domain) > len(end):
            return draw.text(domain[: -len(end)], CONSONANTS).rstrip(".-").ljust(len(domain) - len(end), "z") + end
    return "z" * len(domain)


def _digits(draw: _Draw, value: str, entity: str) -> list[int]:
    count = sum(character.isdigit() or character.isnumeric() for character in value)
    found = [draw.below(10) for _ in range(count)]
    if entity == "IBAN_CODE":
        return found
    if entity in ("US_SSN", "US_ITIN"):
        found[3:5] = [0, 0][: max(0, count - 3)]
        found[:1] = [first % 9 for first in found[:1]]
        return found
    leading = 1 if entity == "CREDIT_CARD" else 3
    if entity in ("CREDIT_CARD", "PHONE_NUMBER", "UK_NHS") or count > SHORT:
        found[:leading] = [0] * min(leading, count)
    return _invalid(found)


def _numbered(draw: _Draw, count: int, entity: str) -> list[int]:
    found = [draw.below(10) for _ in range(count)]
    found[0] = 9 if entity == "CREDIT_CARD" else 1 if count > SHORT else 1 + found[0] % 9
    if entity in ("US_SSN", "US_ITIN"):
        found[3:5] = [0, 0][: max(0, count - 3)]
    elif entity != "CREDIT_CARD" and count > SHORT:
        found[1:4] = [0, 0, 0]
    return found


def _invalid(digits: list[int]) -> list[int]:
    """Digits that pass neither Luhn's check nor the one modulo 11; the last one gives way."""
    while len(digits) > 1 and (_luhn(digits) or _modulo_11(digits)):
        digits = [*digits[:-1], (digits[-1] + 1) % 10]
    return digits


def _luhn(digits: list[int]) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [digit * 2 - 9 * (digit > 4) if at % 2 else digit for at, digit in enumerate(reversed(digits))]
    return len(digits) > 11 and sum(doubled) % 10 == 0


def _modulo_11(digits: list[int]) -> bool:
    """The check of NHS numbers, which ten digits have."""
    return len(digits) == 10 and sum(digit * (10 - at) for at, digit in enumerate(digits)) % 11 == 0
