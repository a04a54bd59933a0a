"""Questions about what a request holds, as tests put them."""

import json
from typing import Any

from headgate.match.bodies import BodyPaths, compile_body
from headgate.match.conditions import Condition
from headgate.match.facts import Facts, Subject
from headgate.match.graphql import GraphqlSpec, compile_graphql
from headgate.match.headers import HeaderNames, compile_headers
from headgate.match.networks import Networks, compile_source
from headgate.match.queries import QueryNames, compile_query
from headgate.match.sections import Conditions
from headgate.match.signals import SignalNames, compile_signal
from headgate.match.times import TimeSpec, compile_time
from headgate.model import Request

NOW = 1_700_000_000.0


class ContentsSpec(Conditions):
    """The keys of a match that look into a request."""

    query: QueryNames | None = None
    headers: HeaderNames | None = None
    body: BodyPaths | None = None
    graphql: GraphqlSpec | None = None
    source: Networks | None = None
    time: TimeSpec | None = None
    signal: SignalNames | None = None


def compiled(match: dict[str, Any], *, widen: bool) -> list[Condition]:
    spec = ContentsSpec.model_validate(match)
    conditions: list[Condition] = []
    for key, compile_key in (
        ("query", compile_query),
        ("headers", compile_headers),
        ("body", compile_body),
        ("graphql", compile_graphql),
    ):
        if (asked := getattr(spec, key)) is not None:
            conditions += compile_key(asked, widen=widen)
    for key, compile_key in (("source", compile_source), ("time", compile_time), ("signal", compile_signal)):
        if (asked := getattr(spec, key)) is not None:
            conditions += compile_key(asked)
    return conditions


def asked(match: dict[str, Any], facts: Facts, *, widen: bool) -> bool | None:
    """Kleene's `and` over the keys; `not:` alone negates what is below it."""
    if "not" in match:
        below = asked(match["not"], facts, widen=not widen)
        return None if below is None else not below
    results = [condition.test(facts) for condition in compiled(match, widen=widen)]
    return False if False in results else None if None in results else True


def _repeated(value: str) -> str:
    """`1 * 200` is a list of that many."""
    item, _, count = value.partition(" * ")
    return ",".join([item] * int(count or 1))


def request_of(case: dict[str, Any]) -> Request:
    headers = [(name, _repeated(value)) for name, value in case.get("headers", ())]
    body = json.dumps(case["json"]) if "json" in case else case.get("body")
    media_type = case.get("type", "application/json")
    if body and media_type is not None:
        headers.append(("content-type", media_type))
    return Request(
        method=case.get("method", "POST"),
        scheme="https",
        host="api.internal",
        port=443,
        path="/v1/refunds",
        query=case.get("query", ""),
        headers=tuple(headers),
        source=case.get("source", "10.1.2.3"),
        body=body.encode() if isinstance(body, str) else body,
    )


def facts_of(case: dict[str, Any]) -> Facts:
    signals = case.get("signals", ())
    known = None if signals is None else frozenset(signals)
    return Facts(Subject(None, request_of(case), None, case.get("now", NOW), known))
