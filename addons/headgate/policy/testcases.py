"""`tests:` of a bundle: requests that people write down, and what the rules must say of them.

A request is written as it is forwarded: what would be refused before any rule is asked, or would be another request
once it has one spelling, is no test of the rules, and an error. So is a name that refers to no rule and no limit.

Nothing of the machine bears on a test. Where it does not say when it happens, it is noon on a Wednesday, UTC.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, field_validator, model_validator

from headgate.match import PathTemplate, Section, Text, canonical_host, listed, plain_name
from headgate.match.headers import CREDENTIALS, NEVER_SEEN
from headgate.match.sections import shape
from headgate.match.signals import signal_name
from headgate.model import Effect, Request
from headgate.policy.cases import PrincipalCase, RequestCase

NOON = 1_767_787_200.0
"""Wednesday, 7 January 2026, 12:00 UTC, in seconds since the epoch."""

PORTS = {"http": 80, "https": 443}
NOBODY = PrincipalCase.model_validate({"kind": "anonymous"})
UPGRADE = "WEBSOCKET"
SAME = "same"

_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,31}\Z")
_NEVER_FORWARDED = frozenset(("CONNECT", "TRACE", "TRACK"))
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPE = re.compile(r"%(?:[0-9A-Fa-f]{2}|[uU][0-9A-Fa-f]{4})")
_PLACEHOLDERS = str.maketrans({";": "-"})

Location = tuple[str | int, ...]
Problems = list[tuple[Location, str]]


def _time(value: Any) -> Any:
    """Seconds since the epoch, of a time that says in which zone it is."""
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.timestamp()
    except (TypeError, ValueError, OverflowError):
        pass
    shown = f"`{value[:80]}` is" if isinstance(value, str) else "this is"
    raise ValueError(f"{shown} not a time; accepted: ISO 8601 with its zone, such as `2026-03-01T09:00:00+01:00`")


class Place(NamedTuple):
    """Where a request goes, and for what."""

    scheme: str
    host: str
    port: int
    path: str
    query: str


def place_of(url: str) -> Place:
    """The parts of a URL; ValueError says what is wrong with it."""
    shown = f"`{url[:80]}`"
    accepted = "accepted: such as `https://payments.internal/v1/customers/42?full=1`"
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)
        host = canonical_host(parts.hostname or "")
    except ValueError:
        raise ValueError(f"{shown} is not a URL; {accepted}") from None
    odd = not re.fullmatch("[!-~]+", url) or "#" in url or "@" in parts.netloc
    if odd or parts.scheme not in PORTS or not port or host is None:
        raise ValueError(f"{shown} is not a URL of a request; {accepted}")
    path = parts.path or "/"
    if not is_canonical(path):
        what = f"the path `{path[:80]}` is not canonical, so that no rule is asked about it"
        raise ValueError(f"{what}; accepted: a path as it is forwarded, such as `/v1/customers/42`")
    return Place(parts.scheme, host, port, path, parts.query)


def is_canonical(path: str) -> bool:
    """Whether a path is in the one spelling in which it is decided on and forwarded, at a target of some kind."""
    try:
        template = PathTemplate.parse(path.replace("%2F", "-").translate(_PLACEHOLDERS))
        texts = [unquote_to_bytes(segment).decode() for segment in path.split("/")]
    except ValueError:  # a UnicodeDecodeError is one
        return False
    return not template.names and not any(map(_misread, texts))


def _misread(text: str) -> bool:
    return text != text.strip() or text.endswith(".") or bool(_CONTROL.search(text) or _ESCAPE.search(text))


class AskedSpec(RequestCase):
    """The request of a test. `method: WEBSOCKET` is a GET that asks to become a WebSocket."""

    @field_validator("method")
    @classmethod
    def _forwarded(cls, method: str) -> str:
        if not _METHOD.match(method) or method in _NEVER_FORWARDED:
            raise ValueError(f"`{method[:20]}` is never forwarded; accepted: such as `GET`, or `{UPGRADE}`")
        return method

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str) -> str:
        place_of(url)
        return url

    @field_validator("source")
    @classmethod
    def _address(cls, source: str) -> str:
        try:
            return str(ip_address(source)) if source else ""
        except ValueError:
            raise ValueError(f"`{source[:80]}` is not an address; accepted: such as `10.1.2.3`") from None

    @field_validator("headers")
    @classmethod
    def _seen(cls, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, values in headers.items():
            _check_header(name, listed(values))
        return headers

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        try:
            self.content()
        except ValueError:  # a number of thousands of digits
            raise ValueError("the body holds what JSON cannot say; accepted: text, numbers, lists, mappings") from None
        return self

    def request(self) -> Request:
        """As rules see it: names in lower case, the host first."""
        place = place_of(self.url)
        usual = place.port == PORTS[place.scheme]
        fields = [("host", place.host if usual else f"{place.host}:{place.port}")]
        fields += [(name.decode().lower(), value.decode("utf-8", "replace")) for name, value in self.fields()]
        method = self.method
        if method == UPGRADE:
            method = "GET"
            fields += [("connection", "upgrade"), ("upgrade", "websocket")]
        scheme, host, port, path, query = place
        return Request(method, scheme, host, port, path, query, tuple(fields), self.source, self.content())


def _check_header(name: str, values: Sequence[str]) -> None:
    plain = plain_name(name.encode())
    if not _HEADER.match(name) or any(_CONTROL.search(value) for value in values):
        raise ValueError(f"`{name[:80]}` cannot be sent so; accepted: such as `x-tenant: acme`")
    if plain in CREDENTIALS:
        raise ValueError(f"`{name}` holds credentials, which rules do not see; accepted: `principal` says who calls")
    if plain == b"host":
        raise ValueError("`url` says which host; accepted: other headers")
    if plain == b"forwarded" or plain.startswith(NEVER_SEEN):
        raise ValueError(f"`{name}` is taken off before rules see a request; accepted: other headers")


Ids = Annotated[tuple[Text, ...], BeforeValidator(listed, json_schema_input_type=Text | list[Text])]
Texts = Annotated[tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | list[str])]


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class ExpectSpec(Section):
    """What must come out. What is not given may be anything; a list, and `set_headers`, must be just what is given.

    `rule` is one of those that determined the answer, `rules` are all of them. `limits` are those that the request is
    counted by, none if it is refused. `shadow_effect: same` says that shadow rules would not change the answer.
    """

    effect: Effect | None = None
    reason: Text | None = None
    rule: Text | None = None
    rules: Ids | None = None
    message: Text | None = None
    shadow: Ids | None = None
    shadow_effect: Effect | Literal["same"] | None = None
    set_headers: Annotated[dict[str, str], AfterValidator(_lower)] | None = None
    limits: Ids | None = None
    violations: Texts | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.effect is None and self.reason is None:
            raise ValueError("nothing is said of the answer; accepted: at least one of `effect`, `reason`")
        return self

    def named(self) -> Iterator[tuple[Location, str]]:
        """Every rule that is named, with where."""
        if self.rule is not None:
            yield ("rule",), self.rule
        for key in ("rules", "shadow"):
            yield from (((key, at), name) for at, name in enumerate(getattr(self, key) or ()))


Caller = Annotated[
    Annotated[Literal["anonymous"], Tag("names")] | Annotated[PrincipalCase, Tag("a-mapping")], Discriminator(shape)
]
Signals = Annotated[
    tuple[Annotated[Text, AfterValidator(signal_name)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
]


class CaseSpec(Section):
    """One test. `at` is when it happens, `signals` are those set then."""

    name: Text
    principal: Caller
    request: AskedSpec
    at: Annotated[float, BeforeValidator(_time, json_schema_input_type=str)] = NOON
    signals: Signals = ()
    expect: ExpectSpec


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a bundle, ready to be run, and where it stands."""

    name: str
    file: str
    line: int
    caller: PrincipalCase
    request: Request
    at: float
    signals: frozenset[str]
    expected: ExpectSpec


def compile_tests(
    origins: Sequence[tuple[CaseSpec, str, int]], rules: frozenset[str], limits: frozenset[str]
) -> tuple[tuple[Case, ...], Problems]:
    """The tests of all files together, and what is wrong with them; `rules` and `limits` are the ids there are."""
    problems: Problems = []
    places: dict[str, int] = {}
    for at, (spec, _, _) in enumerate(origins):
        first = places.setdefault(spec.name, at)
        if first != at:
            _, file, line = origins[first]
            what = f"`{spec.name[:80]}` is also the name of the test at {file}:{line}; accepted: a name of its own"
            problems.append((("tests", at, "name"), what))
        problems += [(("tests", at, "expect", *where), what) for where, what in _unknown(spec.expect, rules, limits)]
    return tuple(_compiled(*origin) for origin in origins), problems


def _unknown(expect: ExpectSpec, rules: frozenset[str], limits: frozenset[str]) -> Iterator[tuple[Location, str]]:
    for where, name in expect.named():
        if name not in rules:
            yield where, f"`{name[:80]}` is not a rule; accepted: the id of a rule of these files"
    for at, name in enumerate(expect.limits or ()):
        if name not in limits:
            yield ("limits", at), f"`{name[:80]}` is not a limit; accepted: the id of a limit of these files"


def _compiled(spec: CaseSpec, file: str, line: int) -> Case:
    caller = spec.principal if isinstance(spec.principal, PrincipalCase) else NOBODY
    return Case(spec.name, file, line, caller, spec.request.request(), spec.at, frozenset(spec.signals), spec.expect)
