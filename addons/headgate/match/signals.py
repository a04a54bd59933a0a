"""`signal:` an operator's live signal is set. Where the signals cannot be told, the answer is unknown."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from headgate.match.conditions import Condition, shared
from headgate.match.facts import Facts
from headgate.match.sections import Some, Text, listed

MAX_NAME = 64
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


def signal_name(text: str) -> str:
    """The name of a signal, as commands and rules give it; ValueError says what is accepted."""
    if len(text) > MAX_NAME or not _NAME.match(text):
        accepted = f"up to {MAX_NAME} lower-case letters and digits, in words joined by `-`, such as `incident`"
        raise ValueError(f"`{text[:80]}` is not the name of a signal; accepted: {accepted}")
    return text


SignalNames = Annotated[
    tuple[Annotated[Text, AfterValidator(signal_name)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Some,
]


def compile_signal(spec: tuple[str, ...]) -> Iterator[Condition]:
    yield _signal(spec)


@shared
def _signal(names: tuple[str, ...]) -> Condition:
    wanted = frozenset(names)

    def test(facts: Facts) -> bool | None:
        return None if facts.signals is None else not wanted.isdisjoint(facts.signals)

    def actual(facts: Facts) -> Any:
        return "unknown" if facts.signals is None else sorted(facts.signals)

    return Condition(test, "signal", list(names), actual, location=("signal",))
