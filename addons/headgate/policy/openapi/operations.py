"""The operations of a description: for each path and method, what a request must be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.model import Request
from headgate.policy.openapi.bodies import Body, read_body
from headgate.policy.openapi.checker import Checkers
from headgate.policy.openapi.document import At, Document
from headgate.policy.openapi.faults import DescriptionFault, shown
from headgate.policy.openapi.parameters import PLACES, Parameter, read_parameters
from headgate.policy.openapi.routes import Route, base_path, insert, segments_of
from headgate.policy.openapi.values import UNREADABLE, pairs
from headgate.policy.openapi.violations import Failure, Violation, told

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_FAULTS = 20

NOT_DECLARED: Failure = ((), "is not declared")
MISSING: Failure = ((), "is missing")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `loose` are names of the query that nobody needs to declare; None: any."""

    parameters: Mapping[str, Mapping[str, Parameter]]
    body: Body | None
    loose: frozenset[str] | None

    def head_violations(self, request: Request, path: Mapping[str, str]) -> Iterator[Violation]:
        """What is wrong with everything but the body; `path` holds the segments of the path's parameters."""
        for name, parameter in self.parameters["path"].items():
            yield from told(("path", name), _given(parameter, [path[name]]))
        yield from self._query_violations(request.query)
        for name, parameter in self.parameters["header"].items():
            lines = request.values(name)
            together = [",".join(lines)] if lines and parameter.reading and parameter.reading.items else lines
            yield from told(("header", name), _given(parameter, together))
        if cookies := self.parameters["cookie"]:
            given = _cookies(request.values("cookie"))
            for name, parameter in cookies.items():
                yield from told(("cookie", name), _given(parameter, given.get(name, [])))

    def body_violations(self, request: Request) -> Iterable[Violation]:
        if self.body is not None:
            return self.body.violations(request)
        if request.body is None:
            return told(("body",), [((), "has not been read")])
        return told(("body",), [NOT_DECLARED] if request.body else [])

    def _query_violations(self, query: str) -> Iterator[Violation]:
        texts: dict[str, list[str]] = {}
        for name, value in pairs(query):
            if name is None:
                yield from told(("query",), [UNREADABLE])
            else:
                texts.setdefault(name, []).append(value)
        members: dict[str, list[tuple[str, str]]] = {}
        known = self.parameters["query"]
        for name in [name for name in texts if name not in known]:
            holder, _, member = name.partition("[")
            parameter = known.get(holder)
            if parameter and parameter.members and member.endswith("]") and not {"[", "]"} & set(member[:-1]):
                members.setdefault(holder, []).extend((member[:-1], value) for value in texts[name])
            elif self.loose is not None and name not in self.loose:
                yield from told(("query", name), [NOT_DECLARED])
        for name, parameter in known.items():
            if parameter.required or name in texts or name in members:
                yield from told(("query", name), _given(parameter, texts.get(name, []), members.get(name, [])))


def _given(parameter: Parameter, texts: list[str], members: Iterable[tuple[str, str]] = ()) -> list[Failure]:
    """What is wrong with a parameter that was given so."""
    if parameter.members is not None and members:
        return [((), "is given more than once")] if texts else parameter.members.failures(members)
    if not texts:
        return [MISSING] if parameter.required else []
    if parameter.may_be_empty and texts == [""]:
        return []
    if parameter.reading is None:
        return [((), "is not given as `name[member]=value`")]
    return parameter.reading.failures(texts)


def _cookies(lines: list[str]) -> dict[str, list[str]]:
    """The values of each cookie (RFC 6265, section 4.2)."""
    cookies: dict[str, list[str]] = {}
    for pair in ";".join(lines).split(";"):
        name, _, value = pair.partition("=")
        cookies.setdefault(name.strip(" \t"), []).append(value)
    return cookies


@dataclass(slots=True)
class PathItem:
    """What stands at one path: its operations by method (upper case), and the names of its parameters in order."""

    names: tuple[str, ...]
    operations: dict[str, Operation] = field(default_factory=dict)

    def operation(self, method: str) -> Operation | None:
        """HEAD is answered as GET where nothing else is declared for it (RFC 9110, section 9.3.2)."""
        return self.operations.get(method) or (self.operations.get("GET") if method == "HEAD" else None)


def read_paths(
    document: Document, checkers: Checkers, *, any_query: bool
) -> tuple[Route[PathItem], Sequence[DescriptionFault]]:
    """All paths as a tree, and everything for which it cannot be used."""
    reading = _Reading(document, checkers, any_query)
    reading.read()
    return reading.root, reading.faults or checkers.compile()


class _Reading:
    """Reads one description; an operation that cannot be used does not hide the next one's fault."""

    def __init__(self, document: Document, checkers: Checkers, any_query: bool) -> None:
        self.root: Route[PathItem] = Route()
        self.faults: list[DescriptionFault] = []
        self._top, self._checkers = document.top(), checkers
        self._loose = None if any_query else _key_names(self._top)

    def read(self) -> None:
        for path, at in self._top.need("paths").members():
            if not path.startswith("x-") and len(self.faults) < MAX_FAULTS:
                self._attempt(path, at)

    def _attempt(self, path: str, at: At) -> None:
        try:
            item = at.followed()
            shared = _parameters(item, self._checkers)
            methods = [(method, place) for method in METHODS if (place := item.get(method))]
            if not methods:
                self._place(path, at, item, None)
        except DescriptionFault as fault:
            self.faults.append(fault)
            return
        for method, place in methods:
            try:
                owner = self._place(path, at, item, place)
                owner.operations[method.upper()] = self._operation(place, shared, owner.names)
            except DescriptionFault as fault:
                self.faults.append(fault)

    def _place(self, path: str, at: At, item: At, operation: At | None) -> PathItem:
        """The entry of the tree for this path below its server."""
        servers = (place.get("servers") for place in (operation, item, self._top) if place)
        prefix = base_path(next((found for found in servers if found), None))
        segments = segments_of(at, path)
        names = tuple(name for is_parameter, name in segments if is_parameter)
        if len(set(names)) < len(names):
            raise at.fault("a parameter stands twice in the path; accepted: each once")
        return insert(self.root, segments_of(at, prefix + path), PathItem(names), at, path)

    def _operation(self, at: At, shared: list[Parameter], names: tuple[str, ...]) -> Operation:
        declared: dict[str, dict[str, Parameter]] = {place: {} for place in PLACES}
        for parameter in (*shared, *_parameters(at, self._checkers)):
            declared[parameter.place][parameter.name] = parameter
        if set(names) != declared["path"].keys():
            odd = sorted(set(names) ^ declared["path"].keys())
            listed = ", ".join(f"`{shown(name)}`" for name in odd[:5])
            raise at.fault(
                f"the path and its parameters differ in {listed}; accepted: each `{{name}}` declared `in: path`"
            )
        body = at.get("requestBody")
        return Operation(declared, read_body(body.followed(), self._checkers) if body else None, self._loose)


def _parameters(at: At, checkers: Checkers) -> list[Parameter]:
    declared = at.get("parameters")
    return list(read_parameters(declared.elements(), checkers)) if declared else []


def _key_names(top: At) -> frozenset[str]:
    """The names under which API keys travel in a query: declared, though not as parameters."""
    components = top.get("components")
    schemes = components.get("securitySchemes") if components else None
    names = set()
    for _, entry in schemes.members() if schemes else ():
        scheme = entry.followed()
        if scheme.mapping().get("type") == "apiKey" and scheme.mapping().get("in") == "query":
            names.add(scheme.need("name").text())
    return frozenset(names)
