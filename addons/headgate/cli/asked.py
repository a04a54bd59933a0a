"""Requests to be explained, as people have them: a URL, a request written down, a raw message, an entry of a HAR file.

What was asked is kept as it would be on the wire, so that hygiene judges it as it judges traffic.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.cli.screen import visible

if TYPE_CHECKING:  # pydantic takes time to import
    from headgate.bundle.document import Fault
    from headgate.identity.hygiene import RawRequest
    from headgate.match import Section

Fields = tuple[tuple[bytes, bytes], ...]

MAX_BYTES = 32 << 20
PORTS = {"http": 80, "https": 443}
FORMS = "a mapping with `method`, `url`, `headers`, `body`, `source`, or a raw HTTP/1 request"

_URL = re.compile(r"(https?)://([^/?#]+)(.*)\Z", re.IGNORECASE | re.DOTALL)
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~\x80-\xff]+) (HTTP/[0-9.]+)\r?\n")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it would come; a `body` of None is not known, and without a `source` neither is where it is from."""

    method: str
    scheme: str
    authority: str
    target: str
    fields: Fields = field(default=(), repr=False)
    body: bytes | None = field(default=b"", repr=False)
    source: str = ""
    version: bytes = b"HTTP/1.1"
    notes: tuple[str, ...] = ()

    def raw(self) -> "RawRequest":
        """What hygiene is to judge; it goes to the host that it names, as to a reverse proxy for that host."""
        from headgate.identity.authority import parse_authority
        from headgate.identity.hygiene import Mode, RawRequest

        place = parse_authority(_bytes(self.authority))
        host, port = (place.host, place.port) if place else (self.authority, None)
        return RawRequest(
            mode=Mode.REVERSE,
            method=_bytes(self.method),
            scheme=self.scheme,
            host=host,
            port=port or PORTS[self.scheme],
            authority=b"",
            target=_bytes(self.target),
            fields=self._completed(),
            version=self.version,
            source=self.source,
        )

    def _completed(self) -> Fields:
        """The fields with those that every client adds by itself."""
        names = {name.lower() for name, _ in self.fields}
        fields = self.fields if b"host" in names else ((b"Host", _bytes(self.authority)), *self.fields)
        if self.body and not names & {b"content-length", b"transfer-encoding"}:
            fields = (*fields, (b"Content-Length", str(len(self.body)).encode()))
        return fields


def at_url(method: str, url: str, fields: Fields = (), body: bytes | None = b"", **more: Any) -> Asked:
    """A request to an absolute URL; what follows `#` is left to hygiene."""
    found = _URL.match(url)
    if not found:
        raise click.UsageError("that is not a URL; accepted: one such as `https://api.internal/v1/customers`")
    scheme, authority, target = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise click.UsageError(
            "a URL with a user before its host is not explained; accepted: an `Authorization` header"
        )
    return Asked(method, scheme, authority, target if target.startswith("/") else f"/{target}", fields, body, **more)


def in_file(path: Path, scheme: str) -> Asked:
    """The request that a file holds; `scheme` is that of a raw message, which does not tell."""
    data = contents(path)
    if _REQUEST_LINE.match(data):
        return _message(data, scheme)
    from headgate.policy.cases import RequestCase

    case = read_case(data, str(path), RequestCase, FORMS)
    return at_url(case.method, case.url, case.fields(), case.content(), source=case.source)


def _message(data: bytes, scheme: str) -> Asked:
    """A raw request message (RFC 9112); lines may end in LF alone, as editors leave them."""
    head, blank, body = data.partition(b"\r\n\r\n" if b"\r\n" in data.partition(b"\n")[0] + b"\n" else b"\n\n")
    if not blank:
        head = data.rstrip(b"\r\n")
    line, *rows = (row.removesuffix(b"\r") for row in head.split(b"\n"))
    method, target, version = line.split(b" ")
    pairs = [row.partition(b":") for row in rows if row]
    fields = tuple((name, value.strip(b" \t")) for name, _, value in pairs)
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        raise click.UsageError("a raw request with a transfer coding is not read; accepted: one with `Content-Length`")
    hosts = [value for name, value in fields if name.lower() == b"host"]
    named = _URL.match(target.decode("latin-1"))
    if not hosts and not named:
        raise click.UsageError("the raw request names no host; accepted: one with a `Host` header")
    authority = named[2] if named else hosts[0].decode("latin-1")
    path = (named[3] or "/") if named else target.decode("latin-1")
    whole = _as_long_as_said(body, fields)
    return Asked(
        method.decode("latin-1"), named[1].lower() if named else scheme, authority, path, fields, whole, version=version
    )


def _as_long_as_said(body: bytes, fields: Fields) -> bytes:
    """The body without the end of line that editors add."""
    said = {value for name, value in fields if name.lower() == b"content-length"}
    for end in (b"\r\n", b"\n"):
        if body.endswith(end) and str(len(body) - len(end)).encode() in said:
            return body.removesuffix(end)
    return body


def in_har(reference: str) -> Asked:
    """Entry N (counted from 0) of a HAR file, named as `FILE#N`."""
    name, mark, number = reference.rpartition("#")
    path, at = (Path(name), int(number)) if mark and number.isdecimal() and name else (Path(reference), 0)
    try:
        entries = json.loads(contents(path))["log"]["entries"]
        request = entries[at]["request"]
        fields = [(str(field["name"]), str(field["value"])) for field in request["headers"]]
        method, url, posted = str(request["method"]), str(request["url"]), request.get("postData") or {}
        text = posted.get("text")
    except IndexError:
        raise click.UsageError(f"the HAR file has no entry {at}; accepted: 0 to {len(entries) - 1}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise click.UsageError("that is not a HAR file; accepted: HAR 1.2, as browsers and mitmproxy save it") from None
    said = {value for name, value in fields if name.lower() == "content-length"} - {"0"}
    notes = ("the HAR file does not have the body: conditions on it are unknown",) if said and text is None else ()
    kept = tuple(
        (_bytes(name), _bytes(value))
        for name, value in fields
        if not name.startswith(":") and name.lower() not in ("content-length", "transfer-encoding")
    )
    body = None if notes else _bytes(str(text or ""))
    return at_url(method, url.partition("#")[0], kept, body, notes=notes)


# -- reading ----------------------------------------------------------------------------------------------------------


def contents(path: Path) -> bytes:
    shown = visible(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a file").lower()
        raise click.UsageError(f"`{shown[:80]}` cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"`{shown[:80]}` is too large; accepted: up to {MAX_BYTES >> 20} MB")
    return data


def read_case[Case: "Section"](data: bytes, name: str, model: type[Case], accepted: str) -> Case:
    """A case written in JSON or YAML; UsageError with every problem, each with its place."""
    from pydantic import ValidationError

    from headgate.bundle.document import TOP, Mapping, plain
    from headgate.bundle.reader import read
    from headgate.bundle.wording import faults

    node, wrong = read(data)
    value = _json(data) if data.lstrip().startswith(b"{") else None
    if value is None:
        if wrong or node is None:
            raise click.UsageError(_problems(name, wrong))
        value = plain(node)
    if not isinstance(value, dict):
        raise click.UsageError(f"`{visible(name)[:80]}` holds something else; accepted: {accepted}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise click.UsageError(_problems(name, faults(error, node or Mapping(TOP), model))) from None


def _json(data: bytes) -> Any:
    """JSON, which may be indented with tabs and escape what YAML does not; None for what is none."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a member is there twice")
        return dict(pairs)

    try:
        return json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None


def _problems(name: str, found: "Iterable[Fault]") -> str:
    shown = visible(name)[:80]
    return "\n".join(f"{shown}:{fault.place.line}:{fault.place.column}: {visible(fault.message)}" for fault in found)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
