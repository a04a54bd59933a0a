"""Shapes that say what a number is, or that it is none of the kind."""

import ipaddress
import re

from headgate.masking.detection.profile_place import Place

BRANDS = re.compile(
    r"4\d{15}(?:\d{3})?"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12}"  # Discover
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12,15}"  # Maestro
)
"""Beginnings and lengths of card numbers in use (ISO/IEC 7812; ranges as the brands publish them)."""

QUAD = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?")
DECIMAL = re.compile(r"[\[(]?\d+[.,]\d+")
SSN = re.compile(r"\d{3}([- .])\d{2}\1\d{4}")
DATE = re.compile(
    r"(?:19|20)\d\d([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?:[ T]\d{1,2})?"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)?\d\d(?:[ T]\d{1,2})?"
)
"""A date, and the hour after it where that was taken along."""

GROUPED_CARD = re.compile(r"\d{4}([- ])(?:\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{6}\1\d{4,5})")
"""As cards are embossed: in fours, or four, six and the rest."""

GROUPED_PHONE = re.compile(
    r"(?:1[-. ])?\(.*"  # (415) 555-0132, 1 (415) 555-0132, (11) 96123-6679, (0)30 901820
    r"|(?:1[-. ])?[2-9]\d\d[-. ][2-9]\d\d[-. ]\d{4}\b.*"  # North America
    r"|0\d{0,4}[-. /](?=(?:\D*\d){6})[-\d. /()]+.*"  # behind a 0: Germany, France, Britain, Israel, India
    r"|00[1-9][-\d. /()]+.*|(?:33|44|49|55|91|972)[-. ](?=(?:\D*\d){9})[-\d. /()]+"  # with a country's code
    r"|[6-9]\d{4}[- ]\d{5}|[1-9]\d 9?\d{4}-\d{4}"  # India and Brazil, mobile
)
"""The ways in which phone numbers of the regions that Presidio looks for are written with separators."""

EPOCH = re.compile(r"1[5-9]\d{8}(?:\d{3})?")
"""Seconds or milliseconds since 1970, from 2017 to 2033; no number of ten digits in North America begins with 1."""

PRODUCT = re.compile(r"(?:^|[\s(;,\"'])[A-Z][A-Za-z._-]*/$")
"""`Chrome/` in a User-Agent (RFC 9110, section 10.1.5); the path of a URL has a slash before it, too."""

TAGGED = re.compile(r"/[\w.-]+[:@]v?$")
"""The name of an image or a package, before its version: `registry.example/api:`."""

IBAN_BEFORE = re.compile(r"\b[A-Z]{2}\d{2}[ -]?(?:[A-Z0-9]{4}[ -]?)*$")


def within_number(place: Place) -> bool:
    """Whether the digits go on behind a point: `37.382807`, `1.3.6.1.2.1`, `1715418931.442`."""
    before, after = place.before[-2:], place.after[:2]
    return (before[1:] == "." and before[:1].isdigit()) or (after[:1] == "." and after[1:].isdigit())


def within_token(place: Place) -> bool:
    """Whether it is a piece of a longer name: letters or digits stand beside it, with or without `-` or `_`."""
    return _joins(place.before[:-3:-1]) or _joins(place.after[:2])


def _joins(beside: str) -> bool:
    return beside[:1].isalnum() or (beside[:1] in ("-", "_") and beside[1:].isalnum())


def is_versioned(place: Place) -> bool:
    """Whether it comes right after the name of a product, a package or an image."""
    return PRODUCT.search(place.before) is not None or TAGGED.search(place.before) is not None


def is_decimal_or_quad(value: str) -> bool:
    return DECIMAL.fullmatch(value) is not None or QUAD.fullmatch(value.strip("[]()")) is not None


def is_nobodys(address: str) -> bool:
    """Whether an IP address is every machine's own, or none's: loopback, unspecified, masks, this network."""
    try:
        ip = ipaddress.ip_interface(address.partition("%")[0]).ip
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified or (ip.version == 4 and ip.packed[0] in (0, 255))
