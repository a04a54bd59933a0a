"""How a rule changes a request that it lets pass: headers set or removed, parts of the query removed.

What is set may be made of facts about the caller and the request. A fact that is missing, or that no header can hold,
refuses the request: an upstream that trusts the header must never take its absence for an answer. So do two rules that
set one header to different values, for the order of rules means nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import AfterValidator, BeforeValidator, Field

from headgate.match import Facts, Text, listed, plain_name
from headgate.match.aliases import Name
from headgate.match.contents import Contents
from headgate.match.pointers import Pointer, lookup, pointer
from headgate.model import Shaping

MISSING = "header-value-missing"
"""A header is to be set to a fact that is not there."""
UNFIT = "header-value-unfit"
"""A header is to be set to what no header can hold."""
CONFLICT = "header-value-conflict"
"""Two rules set one header to different values."""

QUERY_UNCLEAR = "query-unclear"
"""A parameter is to be removed, and what else in the query some readers take for it cannot be told."""

MAX_VALUE = 4096
_NAME = re.compile(r"[A-Za-z0-9-]{1,100}\Z")
_FIELD = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")
_FRAMING = frozenset(
    (
        "host",
        "connection",
        "keep-alive",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "proxy-authorization",
        "proxy-connection",
        "http2-settings",
    )
)
_OURS = ("x-headgate-", "proxy-")
_CLAIM = "principal.claims."
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

Params = Mapping[str, str]
Value = Callable[[Facts, Params], str | None]


class _Unfit(Exception):
    """A fact that cannot be written so that it is read as what it is."""


def _list(names: frozenset[str]) -> str:
    """As lists stand in headers; a name with a comma would be several."""
    if any("," in name for name in names):
        raise _Unfit
    return ",".join(sorted(names))


FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "principal.id": lambda facts: facts.caller and facts.caller.id,
    "principal.kind": lambda facts: facts.principal and facts.principal.kind,
    "principal.provider": lambda facts: facts.caller and facts.caller.provider,
    "principal.email": lambda facts: facts.caller and facts.caller.email,
    "principal.owner": lambda facts: facts.caller and facts.caller.owner,
    "principal.person": lambda facts: facts.caller and facts.caller.person,
    "principal.groups": lambda facts: facts.caller and _list(facts.caller.groups),
    "principal.environment": lambda facts: facts.caller and _list(facts.caller.environments),
    "principal.workload.name": lambda facts: facts.caller and facts.caller.workload.name,
    "principal.workload.version": lambda facts: facts.caller and facts.caller.workload.version,
    "principal.workload.commit": lambda facts: facts.caller and facts.caller.workload.commit,
    "principal.session.id": lambda facts: facts.caller and facts.caller.session.id,
    "target": lambda facts: facts.target and facts.target.name,
    "target.environment": lambda facts: facts.target and facts.target.environment,
    "request.method": lambda facts: facts.method,
    "request.host": lambda facts: facts.host,
    "source": lambda facts: facts.request.source,
}
"""What may stand in braces, besides `principal.claims.` with a name or a JSON Pointer, and `path_params.NAME`."""


@dataclass(frozen=True, slots=True)
class Shaper:
    """The compiled shaping of one rule; header names in lower case, in their normal form. `claims` are those that the
    headers are made of."""

    set_headers: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    remove_headers: frozenset[str] = frozenset()
    remove_query: frozenset[str] = frozenset()
    claims: frozenset[Pointer] = frozenset()


def shape(shapers: Sequence[tuple[Shaper, Params]], facts: Facts) -> Shaping | str:
    """What all of them ask for together, or the reason why it cannot be done: the first of those above, in whatever
    order the shapers come."""
    found: dict[str, str] = {}
    problems: set[str] = set()
    for shaper, params in shapers:
        for name, pieces in shaper.set_headers:
            try:
                value = _text(pieces, facts, params)
            except _Unfit:
                problems.add(UNFIT)
                continue
            if value is None:
                problems.add(MISSING)
            elif len(value) > MAX_VALUE or not _FIELD.match(value):
                problems.add(UNFIT)
            elif found.setdefault(name, value) != value:
                problems.add(CONFLICT)
    removed = frozenset[str]().union(*(shaper.remove_headers for shaper, _ in shapers))
    if removed & found.keys():
        problems.add(CONFLICT)
    if problems:
        return next(reason for reason in (MISSING, UNFIT, CONFLICT) if reason in problems)
    query = frozenset[str]().union(*(shaper.remove_query for shaper, _ in shapers))
    if query and any(facts.view(Contents).query.find(Name.of(name)).unclear for name in query):
        return QUERY_UNCLEAR
    return Shaping(tuple(sorted(found.items())), removed, query)


def shaped_fields(fields: tuple[tuple[bytes, bytes], ...], shaping: Shaping) -> tuple[tuple[bytes, bytes], ...]:
    """The header fields that go on: what is set or removed goes in every spelling that an upstream may read as it."""
    gone = {name.encode() for name in shaping.remove_headers} | {name.encode() for name, _ in shaping.set_headers}
    kept = tuple(pair for pair in fields if plain_name(pair[0]) not in gone)
    return (*kept, *((name.encode(), value.encode()) for name, value in shaping.set_headers))


def shaped_query(query: str, names: frozenset[str]) -> str:
    """The query without the parameters of these names, the others as they were."""
    kept = (part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in names)
    return "&".join(kept)


def compile_shaper(
    set_headers: Mapping[str, str], remove_headers: Sequence[str], remove_query: Sequence[str]
) -> Shaper:
    """The texts have been checked by the schema."""
    return Shaper(
        tuple((name.lower(), tuple(_pieces(text))) for name, text in sorted(set_headers.items())),
        frozenset(name.lower() for name in remove_headers),
        frozenset(remove_query),
        frozenset(path for text in set_headers.values() for path in _referred_claims(text)),
    )


def referred_params(text: str) -> frozenset[str]:
    """The path variables that a value refers to."""
    names = (found[1] for found in _PIECE.finditer(text) if found[1])
    return frozenset(name.removeprefix("path_params.") for name in names if name.startswith("path_params."))


def _referred_claims(text: str) -> Iterator[Pointer]:
    names = (found[1] for found in _PIECE.finditer(text) if found[1])
    return (pointer(name.removeprefix(_CLAIM)) for name in names if name.startswith(_CLAIM))


def _text(pieces: tuple[Value, ...], facts: Facts, params: Params) -> str | None:
    found = [piece(facts, params) for piece in pieces]
    return None if None in found else "".join(text for text in found if text is not None)


def _pieces(text: str) -> list[Value]:
    """The parts of a value; ValueError says what is wrong with one."""
    pieces: list[Value] = []
    at = 0
    for found in _PIECE.finditer(text):
        pieces.append(_literal(text[at : found.start()]))
        at = found.end()
        if found[0] in ("{{", "}}"):
            pieces.append(_literal(found[0][0]))
        elif found[1] is None:
            raise ValueError(
                f"`{text[:80]}` has a brace that is not closed; accepted: `{{principal.id}}`, `{{{{` for a brace"
            )
        else:
            pieces.append(_fact(found[1]))
    return [*pieces, _literal(text[at:])]


def _literal(text: str) -> Value:
    return lambda _facts, _params: text


def _fact(name: str) -> Value:
    if name.startswith("path_params."):
        key = name.removeprefix("path_params.")
        return lambda _facts, params: params.get(key)
    if name.startswith(_CLAIM):
        path = pointer(name.removeprefix(_CLAIM))
        return lambda facts, _params: _scalar(lookup(facts.caller.claims, path)) if facts.caller else None
    if (fact := FACTS.get(name)) is None:
        accepted = ", ".join(f"`{known}`" for known in (*FACTS, "principal.claims./NAME", "path_params.NAME"))
        raise ValueError(f"`{name[:80]}` is not known of a request; accepted: {accepted}")
    return lambda facts, _params: fact(facts) or None


def _scalar(value: Any) -> str | None:
    """A claim as text; none for what has several values or members."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) and value != "" else None


def _header(name: str) -> str:
    lower = name.lower()
    if not _NAME.match(name):
        raise ValueError(f"`{name[:80]}` is not a header name; accepted: letters, digits and `-`, such as `X-Tenant`")
    if lower in _FRAMING or lower.startswith(_OURS):
        raise ValueError(
            f"`{name[:80]}` is this proxy's own to set; accepted: headers that carry a value, such as `X-Tenant`"
        )
    return name


def _value(text: str) -> str:
    _pieces(text)
    literal = _PIECE.sub("", text)
    if len(text) > MAX_VALUE or not re.fullmatch(r"[ -~]*", literal):
        raise ValueError("a header holds no such text; accepted: printable ASCII, and `{principal.id}` or the like")
    return text


HeaderName = Annotated[Text, AfterValidator(_header)]
HeaderValue = Annotated[Text, AfterValidator(_value)]
SetHeaders = Annotated[dict[HeaderName, HeaderValue], Field(min_length=1)]
HeaderNames = Annotated[
    tuple[HeaderName, ...], BeforeValidator(listed, json_schema_input_type=Text | list[Text]), Field(min_length=1)
]
