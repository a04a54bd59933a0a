"""`query:` which parameters a request has in its query, and what they say."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from headgate.match.aliases import Name
from headgate.match.conditions import Condition, shared
from headgate.match.contents import Contents
from headgate.match.facts import Facts
from headgate.match.parameters import MAX_NAME
from headgate.match.values import Asked, AskedOfText, expected, test_of


def _names(spec: dict[str, Any]) -> dict[str, Any]:
    if not spec:
        raise ValueError("no parameter is given; accepted: at least one, such as `force: {present: true}`")
    for name in spec:
        if not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"`{name[:80]}` is not the name of a parameter; accepted: up to {MAX_NAME} characters")
    return spec


QueryNames = Annotated[dict[str, AskedOfText], AfterValidator(_names), Field(json_schema_extra={"minProperties": 1})]


def compile_query(spec: Mapping[str, Asked], *, widen: bool) -> Iterator[Condition]:
    for name, asked in spec.items():
        yield _parameter(name, asked, widen)._replace(location=("query", name))


@shared
def _parameter(text: str, asked: Asked, widen: bool) -> Condition:
    name, holds = Name.of(text), test_of(asked, widen=widen, typed=False)

    def test(facts: Facts) -> bool | None:
        return holds(facts.view(Contents).query.find(name))

    return Condition(
        test, f"query {text}", expected(asked), lambda facts: facts.view(Contents).query.find(name).shown()
    )
