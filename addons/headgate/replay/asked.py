"""A request as an upstream sees it, and when two of them count as the same.

What is compared is the method, the host, the path, the query whatever its order, and the body: JSON by value, a form
by its fields, anything else by its bytes. Headers count only where they are named. No value is ever told of a
difference, only where it is: what was asked may hold what the recording has masked.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import unquote_plus

from headgate.replay.documents import Ignored, ignored_paths, leaves

FORM = "application/x-www-form-urlencoded"
USUAL_PORTS = (":80", ":443")


@dataclass(frozen=True, slots=True)
class Asked:
    """`authority` is what its Host field names (`api.internal`, `api.internal:8443`), `target` its path and query."""

    method: str
    authority: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def host(self) -> str:
        """The authority without a port that goes without saying: over which scheme it came, an upstream behind a
        proxy does not know."""
        name = self.authority.lower()
        return next((name.removesuffix(port) for port in USUAL_PORTS if name.endswith(port)), name)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Matching:
    """What has to be the same. `host`: the host, too (a test's upstream has another). `headers` (names in lower case)
    have to be the same as well. `ignore_query` are names, `ignore_json` JSONPaths of what is not compared. `repeat`:
    when all recordings of a request have been used, the last one answers again. `scrub` is applied to what is recorded
    and to what is asked before they are compared: give it what the recording was masked by."""

    host: bool = True
    headers: frozenset[str] = frozenset()
    ignore_query: frozenset[str] = frozenset()
    ignore_json: tuple[str, ...] = ()
    repeat: bool = False
    scrub: Callable[[Asked], Asked] = lambda asked: asked

    def reader(self) -> "Reader":
        """ValueError if one of `ignore_json` is not a JSONPath."""
        return Reader(self, ignored_paths(self.ignore_json))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requests as `matching` says."""

    matching: Matching
    ignored: Ignored

    def fields(self, asked: Asked) -> dict[str, str]:
        """What is compared: each value by the words that name where it is."""
        rules, asked = self.matching, self.matching.scrub(asked)
        found = {"method": asked.method.upper(), "path": asked.path}
        if rules.host:
            found["host"] = asked.host
        found |= {f"header {name}": "\n".join(asked.values(name)) for name in sorted(rules.headers)}
        query = asked.target.partition("?")[2]
        found |= {f"query {name}": value for name, value in _pairs(query).items() if name not in rules.ignore_query}
        return found | self._body(asked)

    def key(self, asked: Asked) -> bytes:
        """The same for requests that are the same."""
        return blake2b(json.dumps(self.fields(asked), sort_keys=True).encode(), digest_size=16).digest()

    def _body(self, asked: Asked) -> dict[str, str]:
        if not asked.body:
            return {}
        document = leaves(asked.body, self.ignored)
        if document is not None:
            return {f"body {pointer}".rstrip(): leaf for pointer, leaf in document.items()}
        if any(value.lower().startswith(FORM) for value in asked.values("content-type")):
            return {f"body {name}": value for name, value in _pairs(asked.body.decode("latin-1")).items()}
        return {"body": blake2b(asked.body).hexdigest()}


def differing(recorded: dict[str, str], asked: dict[str, str]) -> tuple[str, ...]:
    """Where two requests differ."""
    names = dict.fromkeys((*recorded, *asked))
    return tuple(name for name in names if recorded.get(name) != asked.get(name))


def _pairs(query: str) -> dict[str, str]:
    """The values of a query by their names; those of one name stay in order."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, sign, value = pair.partition("=")
            name = unquote_plus(name)
            found[name] = found.get(name, "") + "&" + sign + unquote_plus(value)
    return found
