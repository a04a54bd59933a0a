"""Where the values of a request are that an expression may name."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from headgate.match.aliases import Name
from headgate.match.conditions import MAX_SKEW
from headgate.match.contents import Contents
from headgate.match.expressions.pieces import Path
from headgate.match.expressions.reading import Use
from headgate.match.expressions.values import PRESENT, WHOLE, Conversion, Tree, Unclear
from headgate.match.facts import Facts
from headgate.match.header_names import plain_name
from headgate.match.headers import CREDENTIALS, MAX_MEMBERS, NEVER_SEEN, members_of


class _Absent:
    """What is not there; `None` may be a value."""


ABSENT = _Absent()

SINGLE = frozenset(("user-agent", "referer", "date", "last-modified", "expires", "content-type", "content-disposition"))
"""Headers that are no lists, though their values may hold commas (RFC 9110, section 5.5)."""

HEADERS = ("request", "headers")


class Asked(NamedTuple):
    """What is known of one request, and of its path for one rule; `lists`: a header with a comma in it is a list."""

    facts: Facts
    path_params: Mapping[str, str]
    lists: bool = False


Source = Callable[[Asked, Conversion, Tree | str], Any]
"""One value, as far as it is used, or `ABSENT`; `Unclear` where that cannot be told."""


def _attribute(of: str, name: str) -> Source:
    holder_of, value_of = attrgetter(of), attrgetter(name)

    def source(asked: Asked, to: Conversion, used: Tree | str) -> Any:
        holder = holder_of(asked.facts)
        value = None if holder is None else value_of(holder)
        if value is None or value == "":
            return ABSENT
        if isinstance(value, frozenset):
            return to.members(sorted(value), used) if value else ABSENT
        return to.members(value, used)

    return source


def _age(asked: Asked, _to: Conversion, _used: Tree | str) -> Any:
    """In seconds; absent where nothing says when the session began, or says that it has not begun yet."""
    caller, now = asked.facts.caller, asked.facts.now
    issued = caller.session.issued_at if caller else None
    return ABSENT if issued is None or not issued <= now + MAX_SKEW else float(now - issued)


def _path(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    facts = asked.facts
    return to.members(facts.request.path.lower() if facts.folded else facts.request.path, used)


def _query(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    query = asked.facts.view(Contents).query
    if query.unclear:
        raise Unclear(query.unclear)
    if isinstance(used, str):
        used = {name: WHOLE for name, _ in parse_qsl(asked.facts.request.query, keep_blank_values=True)}
    values = {}
    for name, inner in used.items():
        found = query.find(Name.of(name))
        if found.unclear:
            raise Unclear(found.unclear)
        if found.values:
            values[name] = to.members(found.values, inner)
    return values


def _headers(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    """Without credentials; a name in a spelling that some servers take for another makes that other unclear."""
    by_name: dict[str, list[str]] = {}
    spelled: dict[bytes, set[str]] = {}
    for name, value in asked.facts.request.headers:
        plain = plain_name(name.encode(errors="replace"))
        if plain not in CREDENTIALS and plain != b"forwarded" and not plain.startswith(NEVER_SEEN):
            values = by_name.setdefault(name, [])
            values += members_of(value) if asked.lists and _may_be_list(name, value) else (value,)
            spelled.setdefault(plain, set()).add(name)
    if isinstance(used, str):
        used = dict.fromkeys(by_name, WHOLE)
    if any(spelled.get(plain_name(name.encode()), {name}) != {name} for name in used):
        raise Unclear("header-in-another-spelling")
    if asked.lists and any(len(by_name.get(name, ())) > MAX_MEMBERS for name in used):
        raise Unclear("header-list-too-long")
    return {name: to.members(by_name[name], inner) for name, inner in used.items() if name in by_name}


def _may_be_list(name: str, value: str) -> bool:
    return "," in value and name not in SINGLE


def _body(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    document = asked.facts.view(Contents).document
    if document.unclear:
        raise Unclear(document.unclear)
    return ABSENT if document.absent else to.members(document.value, used)


def _size(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    body = asked.facts.request.body
    if body is None:
        raise Unclear("body-not-read")
    return to.members(len(body), used)


def _now(asked: Asked, _to: Conversion, _used: Tree | str) -> datetime:
    try:
        return datetime.fromtimestamp(asked.facts.now, UTC)
    except (OverflowError, ValueError, OSError):
        raise Unclear("time-not-readable") from None


def _signals(asked: Asked, to: Conversion, used: Tree | str) -> Any:
    if asked.facts.signals is None:
        raise Unclear("signals-unknown")
    return to.members(sorted(asked.facts.signals), used)


SOURCES: Mapping[Path, Source] = {
    ("principal", "kind"): _attribute("principal", "kind"),
    **{
        ("principal", *name.split(".")): _attribute("caller", name)
        for name in (
            *("id", "provider", "owner", "person", "email", "groups", "environments", "audiences", "claims"),
            *("workload.name", "workload.version", "workload.commit", "workload.digest", "workload.workflow"),
            *("workload.verified", "session.id", "session.scopes"),
        )
    },
    ("principal", "session", "age"): _age,
    **{("request", name): _attribute("request", name) for name in ("scheme", "port", "source")},
    ("request", "method"): lambda asked, to, used: to.members(asked.facts.method, used),
    ("request", "host"): lambda asked, to, used: to.members(asked.facts.host, used),
    ("request", "path"): _path,
    ("request", "segments"): lambda asked, to, used: to.members(asked.facts.segments, used),
    ("request", "query"): _query,
    HEADERS: _headers,
    ("request", "body"): _body,
    ("request", "size"): _size,
    **{("target", name): _attribute("target", name) for name in ("name", "environment", "tags")},
    ("now",): _now,
    ("path_params",): lambda asked, to, used: to.members(dict(asked.path_params), used),
    ("signals",): _signals,
}

OF_BODY = frozenset((("request", "body"), ("request", "size")))


class Plan:
    """Which values are handed over, worked out once for an expression."""

    def __init__(self, uses: Mapping[Path, Use]) -> None:
        self._steps: list[tuple[Path, Source, Tree | str]] = []
        for anchor, rests in _by_anchor(uses).items():
            self._steps.append((anchor, SOURCES[anchor], _tree(rests)))
        headers = [path[2:3] for path, use in uses.items() if path[:2] == HEADERS and use is Use.WHOLE]
        self._headers = frozenset(headers)  # empty: all of them
        self.reads_body = any(anchor in OF_BODY for anchor, _, _ in self._steps)

    def has_lists(self, facts: Facts) -> bool:
        """Whether a header whose values are used may be a list to some."""
        return bool(self._headers) and any(
            _may_be_list(name, value) and not self._headers.isdisjoint(((), (name,)))
            for name, value in facts.request.headers
        )

    def values(self, asked: Asked, to: Conversion) -> dict[str, Any]:
        """By variable; what is absent is left out. `Unclear` where one of them is."""
        values: dict[str, Any] = {}
        for (*above, name), source, used in self._steps:
            holder = values
            for one in above:
                holder = holder.setdefault(one, {})
            value = source(asked, to, used)
            if value is not ABSENT:
                holder[name] = value
        return values


def _by_anchor(uses: Mapping[Path, Use]) -> dict[Path, dict[Path, Use]]:
    """What is used, by the source that it comes from, which stands for the first names of its path."""
    by_anchor: dict[Path, dict[Path, Use]] = {}
    for path, use in uses.items():
        length = next(at for at in range(1, len(path) + 1) if path[:at] in SOURCES)
        by_anchor.setdefault(path[:length], {})[path[length:]] = use
    return by_anchor


def _tree(uses: Mapping[Path, Use]) -> Tree | str:
    if uses.get(()) is Use.WHOLE:
        return WHOLE
    below: dict[str, dict[Path, Use]] = {}
    for path, use in uses.items():
        if path:
            below.setdefault(path[0], {})[path[1:]] = use
    return {name: _tree(inner) for name, inner in below.items()} or PRESENT


def path_params_in(paths: Iterable[Path]) -> frozenset[str]:
    """The variables of the path that are named."""
    return frozenset(path[1] for path in paths if path[0] == "path_params" and len(path) > 1)
