"""The customers of the sample shop, as personal as real ones, and which values of theirs no caller may see.

All are made up or published specimens: card numbers that payment providers document for tests, IBANs from the
registry's examples, telephone numbers reserved for fiction where such a range exists.
"""

import re
from collections.abc import Iterator
from typing import Any

CUSTOMERS: dict[str, dict[str, Any]] = {
    "41": {
        "id": 41,
        "name": "Marta Kowalska",
        "email": "marta.kowalska@gmail.com",
        "phone": "+44 20 7946 0958",
        "ssn": "219-09-9999",
        "card": "4111 1111 1111 1111",
        "iban": "GB29NWBK60161331926819",
        "status": "active",
        "note": "prefers e-mail to work address m.kowalska@outlook.com",
    },
    "42": {
        "id": 42,
        "name": "Jonas Berg",
        "email": "jonas.berg@posteo.de",
        "phone": "+1 212-555-0143",
        "ssn": "536-22-8714",
        "card": "5555 5555 5555 4444",
        "iban": "DE89370400440532013000",
        "status": "active",
        "note": "called about order 7731",
    },
    "43": {
        "id": 43,
        "name": "Aiko Tanaka",
        "email": "aiko@tanaka.org",
        "phone": "+44 20 7946 0321",
        "ssn": "402-75-1133",
        "card": "378282246310005",
        "iban": "FR1420041010050500013M02606",
        "status": "closed",
        "note": "refund promised by 2024-03-01",
    },
}

REPORT = """\
Refunds, week 9
order 7731: 84.00 to DE89370400440532013000, confirmation sent to jonas.berg@posteo.de
order 7758: 19.90 back to card 4111 1111 1111 1111, please call +44 20 7946 0958 first
order 7790: 230.15 to FR1420041010050500013M02606, statement to aiko@tanaka.org
"""

ADMIN = {"api_keys": [{"name": "warehouse", "owner": "ops@posteo.de"}]}

MASKED_FIELDS = ("name", "ssn")
"""What the demo's rules mask for where it stands; everything else personal is found by what it looks like."""

_PERSONAL_KEYS = ("name", "email", "phone", "ssn", "card", "iban")


def personal_values() -> Iterator[tuple[str, str]]:
    """Every value that must not reach a caller, a screen or a record, and what to call it without saying it."""
    for name, customer in CUSTOMERS.items():
        yield from ((f"{key} of customer {name}", str(customer[key])) for key in _PERSONAL_KEYS)
    yield "address in a note of customer 41", "m.kowalska@outlook.com"
    yield "owner of an API key", ADMIN["api_keys"][0]["owner"]


def leaks(text: str) -> list[str]:
    """What personal values `text` holds, however numbers are spaced; what they are, never the values themselves."""
    squeezed = _squeeze(text)
    return [name for name, value in personal_values() if _squeeze(value) in squeezed]


def _squeeze(text: str) -> str:
    return re.sub(r"[\s.-]", "", text).lower()
