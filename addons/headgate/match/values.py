"""What may be asked of a value: exact, any of a list, there or not, a regex, and of bodies a range of numbers.

A body's values are compared in value and type: `true` is not 1, but 1 and 1.0 are one number. A value of a type that
the rule does not list is unknown, and so is one under `gt` that is no number. Forms and queries hold texts only: there
a number must be written out plainly, and a boolean be `true` or `false`, to be more than unknown.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

from headgate.match.found import Found, all_hold, joined
from headgate.match.numbers import MAX_INTEGER, ORDERS, Readings, compares, equals, readings, written
from headgate.match.regexes import MAX_TEXTS, fits, whole_regex
from headgate.match.sections import Conditions, Some, listed, shape

Judge = Callable[[Any], bool | None]

Finite = Annotated[StrictFloat, Field(gt=-MAX_INTEGER, lt=MAX_INTEGER, allow_inf_nan=False)]
Integer = Annotated[StrictInt, Field(gt=-MAX_INTEGER, lt=MAX_INTEGER)]
Number = Integer | Finite
Scalar = StrictStr | StrictBool | Integer | Finite
Texts = Annotated[tuple[StrictStr, ...], BeforeValidator(listed, json_schema_input_type=str | list[str]), Some]
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(listed, json_schema_input_type=Scalar | list[Scalar]), Some]


class TextConditions(Conditions):
    """What is asked of a text; all must hold."""

    present: StrictBool | None = None
    regex: Annotated[StrictStr, AfterValidator(whole_regex)] | None = None

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.present is False and len(self.model_fields_set) > 1:
            raise ValueError("`present: false` leaves nothing to compare; accepted: it alone")
        return self


class ValueConditions(TextConditions):
    """What is asked of a value in a body; all must hold."""

    gt: Number | None = None
    gte: Number | None = None
    lt: Number | None = None
    lte: Number | None = None


AskedOfText = Annotated[
    Annotated[Texts, Tag("names")] | Annotated[TextConditions, Tag("a-mapping")], Discriminator(shape)
]
AskedOfValue = Annotated[
    Annotated[Scalars, Tag("names")] | Annotated[ValueConditions, Tag("a-mapping")], Discriminator(shape)
]
Asked = tuple[Any, ...] | TextConditions


def test_of(asked: Asked, *, widen: bool, typed: bool) -> Callable[[Found], bool | None]:
    """What is said of all values under a name; with `widen` one that holds is enough. `typed` values are JSON's."""
    present = asked.present if isinstance(asked, TextConditions) else None
    judges = list(_judges(asked, widen, typed))
    judge = all_hold(judges) if judges else None
    searches = isinstance(asked, TextConditions) and asked.regex is not None

    def test(found: Found) -> bool | None:
        if found.unclear:
            return None
        if present is False or not found.values:
            return present is False and not found.values
        if judge is None:
            return True
        if searches and sum(len(value) for value in found.values if isinstance(value, str)) > MAX_TEXTS:
            return None
        return joined(judge, found.values, decides=widen)

    return test


def expected(asked: Asked) -> Any:
    """What a rule asks, as it stands there."""
    return asked.model_dump(exclude_unset=True) if isinstance(asked, TextConditions) else list(asked)


def identity(asked: Asked) -> Any:
    """A key under which only questions that mean the same are equal: to Python `True` is 1."""
    return asked if isinstance(asked, TextConditions) else tuple((type(value), value) for value in asked)


def _judges(asked: Asked, widen: bool, typed: bool) -> Iterator[Judge]:
    if not isinstance(asked, TextConditions):
        yield _exactly(asked) if typed else _spelled(asked)
        return
    if asked.regex is not None:
        yield fits(asked.regex, widen=widen)
    for order in ORDERS:
        if (bound := getattr(asked, order, None)) is not None:
            yield _number(compares(order, bound), readings if typed else written)


def _number(judge: Callable[[Readings], bool | None], read: Callable[[Any], Readings | None]) -> Judge:
    def judged(value: Any) -> bool | None:
        number = read(value)
        return None if number is None else judge(number)

    return judged


def _sorted(listed: tuple[Any, ...]) -> tuple[frozenset[str], frozenset[bool], tuple[int | float, ...]]:
    texts = frozenset(value for value in listed if isinstance(value, str))
    booleans = frozenset(value for value in listed if isinstance(value, bool))
    numbers = tuple(value for value in listed if not isinstance(value, str | bool))
    return texts, booleans, numbers


def _exactly(listed: tuple[Any, ...]) -> Judge:
    """One of the listed values, in value and type."""
    texts, booleans, numbers = _sorted(listed)
    number = _number(equals(numbers), readings) if numbers else None

    def judge(value: Any) -> bool | None:
        if isinstance(value, str):
            return value in texts if texts else None
        if isinstance(value, bool):
            return value in booleans if booleans else None
        return number(value) if number else None

    return judge


def _spelled(listed: tuple[Any, ...]) -> Judge:
    """One of the listed values, as far as the spelling of a text tells."""
    texts, booleans, numbers = _sorted(listed)
    number = _number(equals(numbers), written) if numbers else None
    spellings = {"true": True, "false": False} if booleans else {}

    def judge(value: str) -> bool | None:
        if value in texts:
            return True
        boolean = (spellings[value] in booleans) if value in spellings else None
        numeric = number(value) if number else None
        if boolean or numeric:
            return True
        doubtful = (booleans and boolean is None) or (number and numeric is None)
        return None if doubtful else False

    return judge
