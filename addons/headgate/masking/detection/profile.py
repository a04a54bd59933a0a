"""The `api` profile: which findings count in payloads of APIs, where most numbers are nobody's.

It is a pure filter over what was found, by entity, score, key and shape. It is safe by design: what has strong evidence
(a checksum and separators, a `+`, a dashed social security number, an e-mail address, an IBAN) is kept whatever it
stands under, and each rule drops for a reason that it states. What names a value is the words of its key (the nearest
name above it), or the words just before it in a text. Under a name that says nothing (`value`, `text`, none at all) a
value is judged by its shape, as in prose.

What other entities need (other countries', rarer ones of the United States): see `_known_by_name`. Entities that are
not named here are kept as they are: credentials, custom recognizers', and those of language models.
"""

from collections.abc import Callable

from headgate.masking.detection.profile_place import CLOSE, Place
from headgate.masking.detection.profile_shapes import (
    BRANDS,
    DATE,
    EPOCH,
    GROUPED_CARD,
    GROUPED_PHONE,
    IBAN_BEFORE,
    SSN,
    is_decimal_or_quad,
    is_nobodys,
    is_versioned,
    within_number,
    within_token,
)
from headgate.masking.detection.profile_words import HINTS, SOFTWARE, TOUCH, VERSION_LABELS, VERSIONS, hints
from headgate.masking.plan import Leaf, Span

CERTAIN = 1.0
"""The score that Presidio gives to what its validator accepts."""

DISTINCT = 8
"""Letters and digits that a validated value has at least to be known without a name."""

LONGEST_PHONE = 15
"""Digits (E.164)."""


def plausible(leaf: Leaf, span: Span, internal_domains: tuple[str, ...] = ()) -> bool:
    """Whether a finding counts; `internal_domains` (lower case) are mail domains that the rules name."""
    if span.entity == "EMAIL_ADDRESS":
        return _is_address(Place(leaf, span), internal_domains)
    rule = RULES.get(span.entity)
    return rule is None or rule(Place(leaf, span))


def _is_address(place: Place, internal_domains: tuple[str, ...]) -> bool:
    """All but `git@host:`, which is how a repository is named; its domain is of a host, its user is nobody."""
    if not place.value.lower().startswith("git@"):
        return True
    return place.value.lower()[4:] in internal_domains or place.after[:1] not in (":", "/")


def _is_card(place: Place) -> bool:
    """The check digit was right. Digits that are not grouped as on a card need a name, or a brand's beginning and
    length and no other's name; behind a `+` they are a phone number, behind a point the end of a longer number."""
    if GROUPED_CARD.fullmatch(place.value) or place.is_called("CREDIT_CARD"):
        return True
    if within_number(place) or (place.before.endswith("+") and len(place.digits) <= LONGEST_PHONE):
        return False
    return BRANDS.fullmatch(place.digits) is not None and not place.is_called_else


def _is_ssn(place: Place) -> bool:
    """Three, two and four digits with separators are one wherever they stand, unless more digits follow in the same
    way, or they begin with a 9, which no such number does, and are called an ITIN. Other spellings, and digits alone,
    are postal codes and identifiers but where a name says otherwise."""
    shape = SSN.fullmatch(place.value)
    if shape is None:
        return place.is_called("US_SSN")
    if place.value.startswith("9") and (place.label == "itin" or "itin" in place.key):
        return False
    separator = shape[1]
    after, before = place.after[:2], place.before[-2:]
    goes_on = (after[:1] == separator and after[1:].isdigit()) or (before[1:] == separator and before[:1].isdigit())
    return place.is_called("US_SSN") or separator == " " or not goes_on


def _is_itin(place: Place) -> bool:
    """With both separators always; without, by name: then it is any nine digits."""
    return SSN.fullmatch(place.value) is not None or place.is_called("US_ITIN")


def _is_phone(place: Place) -> bool:
    """With `+` always, and with any separators under a name that says phone. Else no decimals, addresses, dates or
    versions, and nothing that is part of a longer number. Digits alone are an identifier, a time or an amount, but
    where a name or a text says phone. With separators, what is grouped as a phone number and called nothing else."""
    if place.value.startswith("+") or place.before.endswith(("+", "tel:")):
        return True
    if not place.bare and not place.leaf.number and place.is_named("PHONE_NUMBER"):
        return True
    if not _may_be_phone(place):
        return False
    named = place.is_called("PHONE_NUMBER")
    if within_token(place) and not named:
        return False
    if place.bare:
        return named and _may_be_called(place)
    if named:
        return True
    return GROUPED_PHONE.fullmatch(place.value) is not None and not (SSN.fullmatch(place.value) or place.is_called_else)


def _may_be_phone(place: Place) -> bool:
    if len(place.digits) > LONGEST_PHONE or within_number(place) or is_decimal_or_quad(place.value):
        return False
    return not (DATE.fullmatch(place.value) or is_versioned(place) or IBAN_BEFORE.search(place.before))


def _may_be_called(place: Place) -> bool:
    """Whether digits alone can be a phone number: `last_contact`, `call_id` and `phone_verified_at` say something else,
    `caller_id` does not."""
    if "caller" in place.key:
        return True
    known = place.key & hints("PHONE_NUMBER")
    return not place.is_called_else and not (EPOCH.fullmatch(place.value) and known and known <= TOUCH)


def _is_born(place: Place) -> bool:
    """Dates of birth, by name; every other date and time is when something happened."""
    return place.is_called("DATE_TIME")


def _is_ip(place: Place) -> bool:
    """All but loopback, unspecified and masks; not four numbers of a version, or of a longer number, by what stands
    around them."""
    if is_nobodys(place.value) or within_number(place):
        return False
    if place.is_called("IP_ADDRESS"):
        return True
    if place.before.endswith(("v", "V")) or is_versioned(place):
        return False
    return place.label not in VERSION_LABELS and not (place.alone and not VERSIONS.isdisjoint(place.key))


def _is_mac(place: Place) -> bool:
    """Not six bytes out of a longer row, as serial numbers and fingerprints are."""
    before, after = place.before[-2:], place.after[:2]
    return not (before[1:] in (":", "-") and before[:1].isalnum()) and not (
        after[:1] in (":", "-") and after[1:].isalnum()
    )


def _is_link(place: Place) -> bool:
    """With a scheme or `www.` always, else under a name that says link; without, it is a file, a host or code."""
    value = place.value.lower().lstrip("\"'")
    if value.startswith(("http://", "https://", "www.")) or place.before.lower().endswith(("http://", "https://")):
        return True
    return place.is_named("URL") or place.label in hints("URL")


def _is_nhs(place: Place) -> bool:
    """One in eleven numbers of ten digits has the check digit: by name, or spelled as 3, 3 and 4 with spaces."""
    if place.is_called("UK_NHS"):
        return True
    return " " in place.value and not place.is_called("PHONE_NUMBER") and not place.is_called_else


def _is_dea(place: Place) -> bool:
    """Letters and a check digit; the pattern looks inside longer names, too, and those are not."""
    return not within_token(place) and (place.is_called("MEDICAL_LICENSE") or not place.is_called_else)


def _is_account(place: Place) -> bool:
    """Eight to seventeen digits: by name only, and not where the name is of an identifier (`account_id`)."""
    return place.is_called("US_BANK_NUMBER", CLOSE) and not place.is_called_else and not within_number(place)


def _is_driver(place: Place) -> bool:
    """A letter and digits, or digits: by name only, which must not be of another license."""
    if within_token(place) or within_number(place) or not SOFTWARE.isdisjoint(place.key):
        return False
    if place.bare and place.is_called_else:
        return False
    return place.is_called("US_DRIVER_LICENSE", CLOSE)


def _is_passport(place: Place) -> bool:
    """Nine digits, or a letter and eight: by name only."""
    return place.is_called("US_PASSPORT", CLOSE)


def _known_by_name(place: Place) -> bool:
    """Under a name that is one of the recognizer's context words; else only with a checksum, and then with letters
    and at least eight characters, or with separators: digits alone pass a checksum too often."""
    span = place.span
    if place.is_called(span.entity):
        return True
    if span.score < CERTAIN or within_token(place):
        return False
    return not place.bare and sum(map(str.isalnum, place.value)) >= DISTINCT


RULES: dict[str, Callable[[Place], bool]] = {
    **dict.fromkeys(HINTS, _known_by_name),
    "CREDIT_CARD": _is_card,
    "DATE_TIME": _is_born,
    "IP_ADDRESS": _is_ip,
    "MAC_ADDRESS": _is_mac,
    "MEDICAL_LICENSE": _is_dea,
    "PHONE_NUMBER": _is_phone,
    "UK_NHS": _is_nhs,
    "URL": _is_link,
    "US_BANK_NUMBER": _is_account,
    "US_DRIVER_LICENSE": _is_driver,
    "US_ITIN": _is_itin,
    "US_PASSPORT": _is_passport,
    "US_SSN": _is_ssn,
    "ZA_MOBILE_NUMBER": _is_phone,
    "ZA_TELEPHONE_NUMBER": _is_phone,
}
KEPT = frozenset({"CRYPTO", "IBAN_CODE", "UUID"})
"""Kept as they are: their checksum, or their shape, is nothing else's."""
