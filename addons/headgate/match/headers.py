"""`headers:` which header fields a request has as it is forwarded, and what they say.

Fields of one name, and the members of a list in one field, are the same to a reader (RFC 9110, section 5.3): a rule
that forbids or hides looks at each member as well as at the whole. A field whose name differs from the rule's in
characters that CGI and WSGI take for the same makes that name unknown.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from headgate.match.conditions import Condition, shared
from headgate.match.facts import Facts
from headgate.match.found import Found
from headgate.match.header_names import plain_name
from headgate.match.values import Asked, AskedOfText, expected, test_of
from headgate.model import Headers

MAX_MEMBERS = 200
"""Members of all lists under one name; each is compared by each rule."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}\Z")

CREDENTIALS = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"dpop"))
"""What proves who is calling: rules ask for `principal`, and hold no secrets to compare with."""

NEVER_SEEN = (b"x-forwarded-", b"x-auth-request-", b"x-headgate-", b"proxy-", b"x-http-method-override", b"x-real-ip")
"""What is taken off every request, or refused, before rules see it, by how it begins."""


def _names(spec: dict[str, Any]) -> dict[str, Any]:
    """By name in lower case."""
    if not spec:
        raise ValueError("no header is given; accepted: at least one, such as `x-tenant: acme`")
    named: dict[str, Any] = {}
    for name, asked in spec.items():
        _seen(name)
        if name.lower() in named:
            raise ValueError(f"`{name}` is given twice, in different cases; accepted: each header once")
        named[name.lower()] = asked
    return named


def _seen(name: str) -> None:
    plain = plain_name(name.encode())
    if not _NAME.match(name):
        raise ValueError(f"`{name[:80]}` is not the name of a header; accepted: such as `x-tenant`")
    if plain in CREDENTIALS:
        raise ValueError(f"`{name}` holds credentials, which rules do not see; accepted: `principal` says who calls")
    if plain == b"forwarded" or plain.startswith(NEVER_SEEN):
        raise ValueError(f"`{name}` says nothing when a caller sends it, and is not forwarded; accepted: other headers")


HeaderNames = Annotated[dict[str, AskedOfText], AfterValidator(_names), Field(json_schema_extra={"minProperties": 1})]


def compile_headers(spec: Mapping[str, Asked], *, widen: bool) -> Iterator[Condition]:
    for name, asked in spec.items():
        yield _header(name, asked, widen)._replace(location=("headers", name))


@shared
def _header(name: str, asked: Asked, widen: bool) -> Condition:
    plain, holds = plain_name(name.encode()), test_of(asked, widen=widen, typed=False)

    def test(facts: Facts) -> bool | None:
        return holds(_find(facts.request.headers, name, plain, members=widen))

    def actual(facts: Facts) -> Any:
        return _find(facts.request.headers, name, plain, members=False).shown()

    return Condition(test, f"headers {name}", expected(asked), actual)


def _find(headers: Headers, name: str, plain: bytes, *, members: bool) -> Found:
    values: list[str] = []
    listed: list[str] = []
    for spelled, value in headers:
        if spelled == name:
            values.append(value)
            if members and "," in value:
                listed += members_of(value)
                if len(listed) > MAX_MEMBERS:
                    return Found(unclear="header-list-too-long")
        elif len(spelled) == len(name) and plain_name(spelled.encode(errors="replace")) == plain:
            return Found(unclear="header-in-another-spelling")
    return Found((*values, *listed))


def members_of(value: str) -> Iterator[str]:
    """The members of a list in a header field, no more than tell that there are too many."""
    return (member.strip(" \t") for member in value.split(",", MAX_MEMBERS))
