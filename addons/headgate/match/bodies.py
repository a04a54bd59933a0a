"""`body:` what a request's body says, by JSONPath; a form is an object of texts, GraphQL one with a `query`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from headgate.match.conditions import Condition, shared
from headgate.match.contents import Contents
from headgate.match.facts import Facts
from headgate.match.found import NOTHING, Found
from headgate.match.jsonpaths import JsonPath
from headgate.match.values import Asked, AskedOfValue, expected, identity, test_of


def _paths(spec: dict[str, Any]) -> dict[str, Any]:
    if not spec:
        raise ValueError("no value is given; accepted: at least one JSONPath, such as `$.amount: {gt: 1000}`")
    for text in spec:
        JsonPath.parse(text)
    return spec


BodyPaths = Annotated[dict[str, AskedOfValue], AfterValidator(_paths), Field(json_schema_extra={"minProperties": 1})]


def compile_body(spec: Mapping[str, Asked], *, widen: bool) -> Iterator[Condition]:
    for text, asked in spec.items():
        yield _value(text, _Question(asked), widen)._replace(location=("body", text))


class _Question:
    """What is asked, equal only to what means the same."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._identity = identity(asked)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


@shared
def _value(text: str, question: _Question, widen: bool) -> Condition:
    path, asked = JsonPath.parse(text), question.asked
    typed, spelled = (test_of(asked, widen=widen, typed=typed) for typed in (True, False))

    def test(facts: Facts) -> bool | None:
        holds = spelled if facts.view(Contents).document.form else typed
        return holds(_find(facts, path))

    return Condition(test, f"body {text}", expected(asked), lambda facts: _find(facts, path).shown(), reads_body=True)


def _find(facts: Facts, path: JsonPath) -> Found:
    document = facts.view(Contents).document
    if document.unclear or document.absent:
        return Found(unclear=document.unclear) if document.unclear else NOTHING
    return path.find(document.value)
