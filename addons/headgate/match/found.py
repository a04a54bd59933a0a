"""What a request has under a name: its values, or why that cannot be told."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

SHOWN = 10
"""How many of several values an explanation gives."""


class Found(NamedTuple):
    """`unclear` is a stable kebab-case reason for which two readers may find different values; then none are given."""

    values: tuple[Any, ...] = ()
    unclear: str | None = None

    def shown(self) -> Any:
        """For people to read: the first values, None where there are none."""
        if self.unclear:
            return f"unknown: {self.unclear}"
        more = ["..."] if len(self.values) > SHOWN else []
        return [*self.values[:SHOWN], *more] or None


NOTHING = Found()


def joined[Value](judge: Callable[[Value], bool | None], values: Iterable[Value], *, decides: bool) -> bool | None:
    """What is said of several values together: Kleene's `or` where one that is true decides, his `and` where one that
    is false does."""
    result: bool | None = not decides
    for value in values:
        holds = judge(value)
        if holds is decides:
            return decides
        if holds is None:
            result = None
    return result


def all_hold(judges: Sequence[Callable[[Any], bool | None]]) -> Callable[[Any], bool | None]:
    """One judge for several: Kleene's `and` of what they say of a value."""
    if len(judges) == 1:
        return judges[0]
    return lambda value: joined(lambda judge: judge(value), judges, decides=False)
