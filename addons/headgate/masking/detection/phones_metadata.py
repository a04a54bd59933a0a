"""libphonenumber's metadata as a few patterns: which national numbers are valid, and how they are written.

libphonenumber keeps a pattern for each type of number in each region and tries one after the other. Here they are put
together: one pattern for each calling code and length.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

import regex
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberFormat, PhoneMetadata, PhoneNumberDesc
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY
from phonenumbers.phonenumberutil import _formatting_rule_has_first_group_only as _takes_no_prefix

SHORTEST, LONGEST = 2, 17
"""Digits a national number may have for libphonenumber, whatever the metadata say."""

NEVER = "(?!)"

KINDS = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
)
"""Any of these makes a number valid; `mobile` does too where its patterns are its own."""

EVERY_KIND = (*KINDS, "mobile")


@cache
def regions_of(code: int) -> Sequence[PhoneMetadata]:
    names = COUNTRY_CODE_TO_REGION_CODE[code]
    found = [_metadata(code, name) for name in names]
    return [metadata for metadata in found if metadata is not None]


def _metadata(code: int, name: str) -> PhoneMetadata | None:
    if name == REGION_CODE_FOR_NON_GEO_ENTITY:
        return PhoneMetadata.metadata_for_nongeo_region(code, None)
    return PhoneMetadata.metadata_for_region(name, None)


@cache
def valid_pattern(code: int, length: int) -> re.Pattern[str] | None:
    """What `is_valid_number` asks of a national number of this length.

    A number belongs to the first of the code's regions whose leading digits it has or, where a region has none, whose
    number types it matches; it is valid when it matches the types of that region.
    """
    if not SHORTEST <= length <= LONGEST:
        return None
    regions = regions_of(code)
    whole = NEVER
    for metadata in reversed(regions):
        types, leading = _types(metadata, length), metadata.leading_digits
        if metadata.country_code != code:
            types = NEVER
        if leading is None or len(regions) == 1:
            whole = f"(?:{types}|{whole})" if whole != NEVER else types
        else:
            whole = f"(?:(?={leading})(?:{types})|(?!{leading}){whole})"
    return re.compile(whole) if whole.replace(NEVER, "").strip("(?:|)") else None


def _types(metadata: PhoneMetadata, length: int) -> str:
    """The number types of a region, as one pattern for national numbers of this length."""
    kinds = KINDS if metadata.same_mobile_and_fixed_line_pattern else (*KINDS, "mobile")
    patterns = [pattern for kind in kinds if (pattern := _pattern(getattr(metadata, kind), length))]
    general = _pattern(metadata.general_desc, length)
    return rf"(?:(?=(?:{general})\Z)(?:{'|'.join(patterns)})\Z)" if general and patterns else NEVER


def _pattern(desc: PhoneNumberDesc | None, length: int) -> str:
    if desc is None or (desc.possible_length and length not in desc.possible_length):
        return ""
    return desc.national_number_pattern or ""


def may_be_valid(code: int, length: int, head: str) -> bool:
    """Whether some number of so many digits that is valid for a calling code begins with these."""
    pattern = _any_type(code, length)
    return pattern is not None and pattern.fullmatch(head, partial=True) is not None


@cache
def _any_type(code: int, length: int) -> "regex.Pattern[str] | None":
    kinds = [getattr(metadata, kind) for metadata in regions_of(code) for kind in EVERY_KIND]
    patterns = {pattern for kind in kinds if (pattern := _pattern(kind, length))}
    return regex.compile("|".join(sorted(patterns))) if patterns else None


def begins(pattern: str, head: str) -> bool:
    """Whether digits that begin so may begin with a match of this pattern."""
    if pattern.isdecimal():
        return pattern.startswith(head) or head.startswith(pattern)
    return partly(pattern).match(head, partial=True) is not None


@cache
def partly(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern)


def prefix_wanted(formats: Iterable[NumberFormat]) -> str:
    """Matches a national number when the first format that fits it wants a national prefix to be written."""
    whole = NEVER
    for entry in reversed(list(formats)):
        leading = entry.leading_digits_pattern[-1] if entry.leading_digits_pattern else ""
        fits = rf"(?={leading})(?:{entry.pattern})\Z"
        rule = entry.national_prefix_formatting_rule
        wanted = rule and not entry.national_prefix_optional_when_formatting and not _takes_no_prefix(rule)
        whole = f"(?:{fits}|{whole})" if wanted else f"(?!{fits}){whole}"
    return whole


def shortest(code: int) -> int:
    """Digits of the shortest number of a calling code, less what taking off a national prefix may add to one."""
    added = len(re.sub(r"\\\d", "", regions_of(code)[0].national_prefix_transform_rule or ""))
    types = [desc for metadata in regions_of(code) for kind in EVERY_KIND if (desc := getattr(metadata, kind))]
    return min(length for desc in types for length in desc.possible_length or (SHORTEST,) if length > 0) - added
