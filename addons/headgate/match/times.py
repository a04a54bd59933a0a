"""`time:` weekdays and hours by the wall clock of a time zone.

Hours that cross midnight belong to the day on which they began. When clocks are put back an hour comes twice, and both
times count; an hour that is left out never comes.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, model_validator

from headgate.match.conditions import Condition, shared
from headgate.match.facts import Facts
from headgate.match.sections import Section, Some, Text, listed

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)\Z")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}\Z")
_NO_ZONES = frozenset(("localtime", "posixrules", "posix", "right", "Factory"))
"""What a machine's folder of zones has besides: its own zone, and others by another count of seconds."""


class Span(NamedTuple):
    """Minutes since midnight; across midnight where it ends before it begins."""

    begin: int
    end: int


def span(text: str) -> Span:
    """Hours as rules write them; ValueError says what is accepted."""
    found = _HOURS.match(text)
    if found is None:
        raise ValueError(f"`{text[:80]}` are no hours; accepted: such as `09:00-18:00`, up to `24:00`")
    begin = int(found[1]) * 60 + int(found[2])
    end = int(found[3]) * 60 + int(found[4]) if found[3] else DAY
    if begin == end:
        raise ValueError(f"`{text}` begins when it ends; accepted: `00:00-24:00` for a whole day")
    return Span(begin, end)


def weekdays(text: str) -> frozenset[int]:
    """Days as rules write them, Monday is 0; ValueError says what is accepted."""
    first, _, last = text.partition("-")
    if first not in DAYS or (last or first) not in DAYS or text.endswith("-"):
        names = ", ".join(f"`{day}`" for day in DAYS)
        raise ValueError(f"`{text[:80]}` is not a weekday; accepted: {names}, or from one to another such as `mon-fri`")
    begin = DAYS.index(first)
    return frozenset((begin + more) % 7 for more in range((DAYS.index(last or first) - begin) % 7 + 1))


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; ValueError says what is accepted."""
    try:
        if _ZONE.match(name) and name.partition("/")[0] not in _NO_ZONES:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"`{name[:80]}` is not a time zone; accepted: an IANA name such as `Europe/Paris` or `UTC`")


def _day(text: str) -> str:
    weekdays(text)
    return text


def _hour(text: str) -> str:
    span(text)
    return text


def _zone(name: str) -> str:
    zone(name)
    return name


_GIVEN = BeforeValidator(listed, json_schema_input_type=Text | list[Text])
Days = Annotated[tuple[Annotated[Text, AfterValidator(_day)], ...], _GIVEN, Some]
Hours = Annotated[tuple[Annotated[Text, AfterValidator(_hour)], ...], _GIVEN, Some]


class TimeSpec(Section):
    days: Days | None = None
    hours: Hours | None = None
    zone: Annotated[Text, AfterValidator(_zone)]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.days is None and self.hours is None:
            raise ValueError("a zone alone is no condition; accepted: at least one of `days`, `hours`")
        return self


def compile_time(spec: TimeSpec) -> Iterator[Condition]:
    yield _time(spec)


@shared
def _time(spec: TimeSpec) -> Condition:
    days: frozenset[int] = frozenset().union(*map(weekdays, spec.days or ("mon-sun",)))
    spans, place = tuple(map(span, spec.hours or ("00:00-24:00",))), zone(spec.zone)

    def test(facts: Facts) -> bool | None:
        local = _local(facts.now, place)
        if local is None:
            return None
        minute, today = local.hour * 60 + local.minute, local.weekday()
        return any(_within(minute, today, days, hours) for hours in spans)

    def actual(facts: Facts) -> str | None:
        local = _local(facts.now, place)
        return None if local is None else f"{DAYS[local.weekday()]} {local:%H:%M}"

    return Condition(test, "time", spec.model_dump(exclude_unset=True), actual, location=("time",))


def _within(minute: int, today: int, days: frozenset[int], hours: Span) -> bool:
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end and today in days
    return (minute >= hours.begin and today in days) or (minute < hours.end and (today - 1) % 7 in days)


def _local(now: float, place: ZoneInfo) -> datetime | None:
    """The wall clock there; None for what is no time that a calendar has."""
    try:
        return datetime.fromtimestamp(now, place)
    except (ValueError, OverflowError, OSError):
        return None
