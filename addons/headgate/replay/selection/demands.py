"""What every wanted entry has, as far as a database can tell."""

from collections.abc import Callable
from typing import NamedTuple

Matches = Callable[[str], bool]


class Demands(NamedTuple):
    """Each of these must hold, of all of their kind; `masks` are an entity, or else what its location matches.

    `refused`: the verdict is that, or withheld.
    """

    hosts: tuple[Matches, ...] = ()
    principals: tuple[Matches, ...] = ()
    methods: tuple[Matches, ...] = ()
    masks: tuple[tuple[str, Matches], ...] = ()
    rules: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    refused: bool = False


ANYTHING = Demands()
