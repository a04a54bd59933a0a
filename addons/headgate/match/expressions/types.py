"""What a `when:` may name: variables and their members, functions, and of which types they are.

| variable | members |
|---|---|
| `principal` | `kind`, and of a caller who is not anonymous `id`, `provider`, `owner`, `person`, `email`; `groups`, `environments`, `audiences` (sorted lists); `workload.{name, version, commit, digest, workflow, verified}`; `session.{id, scopes, age}` (age in seconds, a double); `claims` (a map, as signed) |
| `request` | `method` (`WEBSOCKET` for an upgrade), `scheme`, `host`, `port`, `path`, `segments` (in lower case where the target ignores case), `query` (map: name to list of texts), `headers` (map: name in lower case to list of texts; no credentials), `body` (the document), `source`, `size` (bytes of the body as sent) |
| `target` | `name`, `environment`, `tags` (a sorted list) |
| `now` | a timestamp |
| `path_params` | map: name to text, decoded |
| `signals` | list of the names of those that are set |

What a caller, request or target has not is absent from its map: `has()` tells, and to read it is an error. An empty set
of groups, environments, audiences, scopes or tags counts as absent, as in `match:`.
"""  # noqa: E501 - a table has one line for each row

from collections.abc import Mapping
from typing import NamedTuple


class Type(NamedTuple):
    """`of` is the type of a list's items or a map's values; `members` are those of a structure."""

    name: str
    of: "Type | None" = None
    members: "Mapping[str, Type] | None" = None


BOOL, INT, DOUBLE, TEXT, NULL = Type("boolean"), Type("int"), Type("double"), Type("text"), Type("null")
TIMESTAMP, DURATION, KIND = Type("timestamp"), Type("duration"), Type("type")
ANY = Type("any")
"""Known at run time only: what a body and claims hold."""

TEXTS = Type("list", TEXT)
VALUES = Type("values", TEXT)
"""The values of one query parameter or header: a list of which no one item may be picked where there are several."""


def _structure(**members: Type) -> Type:
    return Type("structure", None, members)


WORKLOAD = _structure(name=TEXT, version=TEXT, commit=TEXT, digest=TEXT, workflow=TEXT, verified=BOOL)
SESSION = _structure(id=TEXT, scopes=TEXTS, age=DOUBLE)
PRINCIPAL = _structure(
    id=TEXT,
    kind=TEXT,
    provider=TEXT,
    owner=TEXT,
    person=TEXT,
    email=TEXT,
    groups=TEXTS,
    environments=TEXTS,
    audiences=TEXTS,
    workload=WORKLOAD,
    session=SESSION,
    claims=Type("map", ANY),
)
REQUEST = _structure(
    method=TEXT,
    scheme=TEXT,
    host=TEXT,
    port=INT,
    path=TEXT,
    segments=TEXTS,
    query=Type("map", VALUES),
    headers=Type("map", VALUES),
    body=ANY,
    source=TEXT,
    size=INT,
)
VARIABLES: Mapping[str, Type] = {
    "principal": PRINCIPAL,
    "request": REQUEST,
    "target": _structure(name=TEXT, environment=TEXT, tags=TEXTS),
    "now": TIMESTAMP,
    "path_params": Type("map", TEXT),
    "signals": TEXTS,
}

TYPES = frozenset({"bool", "double", "int", "list", "map", "null_type", "string"})
"""What the type of a value may be compared with: `type(request.body.to) == string`."""

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
COPYING = frozenset({"filter", "map"})
"""The engine copies their result for each item: 500 take 70 ms, 100 take 4 ms."""


class Function(NamedTuple):
    """`takes` are the names of the types of each argument, the receiver first."""

    takes: tuple[frozenset[str], ...]
    gives: Type


def _types(*types: Type) -> frozenset[str]:
    return frozenset(one.name for one in types)


_TEXT, _NUMBER, _SIZED = _types(TEXT), _types(INT, DOUBLE), frozenset({"text", "list", "map", "values"})
_DATE, _CLOCK = _types(TIMESTAMP), _types(TIMESTAMP, DURATION)

GLOBALS: Mapping[str, Function] = {
    "size": Function((_SIZED,), INT),
    "int": Function((_TEXT | _NUMBER,), INT),
    "double": Function((_TEXT | _NUMBER,), ANY),
    "string": Function((_TEXT | _NUMBER | _DATE,), TEXT),
    "duration": Function((_TEXT,), DURATION),
    "timestamp": Function((_TEXT,), TIMESTAMP),
}
METHODS: Mapping[str, Function] = {
    "size": Function((_SIZED,), INT),
    "contains": Function((_TEXT, _TEXT), BOOL),
    "startsWith": Function((_TEXT, _TEXT), BOOL),
    "endsWith": Function((_TEXT, _TEXT), BOOL),
    "matches": Function((_TEXT, _TEXT), ANY),
    **{f"get{name}": Function((_DATE,), INT) for name in ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek")},
    "getDayOfYear": Function((_DATE,), INT),
    **{f"get{name}": Function((_CLOCK,), INT) for name in ("Hours", "Minutes", "Seconds", "Milliseconds")},
}
"""The times of `get...` are in UTC; months and days of the year and month count from 0, but `getDate` from 1."""
