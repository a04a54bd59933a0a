"""The list of releases that is signed: which code runs where, by its image or its commit, and until when.

```json
{"revision": 12, "releases": [{"environment": "prod", "workload": "billing", "commit": "40 or 64 hex digits",
 "image_digest": "sha256:64 hex digits", "workflow": "octo/app/.github/workflows/x.yml@refs/heads/main",
 "not_after": "2027-01-31T00:00:00Z"}]}
```

`revision` only ever grows: a list that was withdrawn stays validly signed, and its number is what tells it from the one
that replaced it. Nothing is abbreviated: a prefix of a commit can be found again, for another commit, by trying.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ValidationError, model_validator

from headgate.errors import InvalidRules
from headgate.identity.strictjson import read_object
from headgate.match import Section

MAX_RELEASES = 50_000
MAX_REVISION = 2**53 - 1  # above that, JSON parsers disagree on which number it is (RFC 8259, 6)

Where = tuple[str | int, ...]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE | re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_TEXT = "text; accepted: text, in YAML with quotes around what looks like a number"


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not {_TEXT}")
    if not 0 < len(value) <= 300 or not value.isprintable() or value != value.strip():
        raise ValueError("not a name; accepted: 1 to 300 printable characters, without blanks around them")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("not an image digest; accepted: `sha256:` and 64 hexadecimal digits in lower case")
    return value


def _commit(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not {_TEXT}")
    if not _COMMIT.fullmatch(value):
        raise ValueError("not a commit; accepted: all its 40 or 64 hexadecimal digits")
    return value.lower()


def _time(value: Any) -> float:
    """Seconds since the epoch, from RFC 3339 in UTC."""
    try:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValueError("another form")
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("not a time; accepted: RFC 3339 in UTC such as `2027-01-31T00:00:00Z`") from None


def _revision(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_REVISION:
        raise ValueError("not a revision; accepted: a whole number from 1, higher with each list")
    return value


class Release(Section):
    """One release, in one environment; `not_after` is in seconds since the epoch and still included."""

    environment: Annotated[str, BeforeValidator(_name)]
    workload: Annotated[str, BeforeValidator(_name)]
    image_digest: Annotated[str, BeforeValidator(_digest)] | None = None
    commit: Annotated[str, BeforeValidator(_commit)] | None = None
    workflow: Annotated[str, BeforeValidator(_name)] | None = None
    not_after: Annotated[float, BeforeValidator(_time)]

    @model_validator(mode="after")
    def _code(self) -> Self:
        if self.image_digest is None and self.commit is None:
            raise ValueError("the release names no code; accepted: `image_digest`, `commit`, or both")
        return self

    def is_current(self, now: float) -> bool:
        return now <= self.not_after


class _Document(Section):
    revision: Annotated[int, BeforeValidator(_revision)]
    releases: tuple[Release, ...]


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """A list that has its form; `digest` is the SHA-256 of the payload it was read from, in hex."""

    revision: int
    digest: str
    releases: tuple[Release, ...] = field(repr=False)


def write_list(document: Any) -> bytes:
    """A document as the payload to be signed: JSON in ASCII, on one line."""
    return json.dumps(document, separators=(",", ":")).encode()


def parse_list(payload: bytes) -> ReleaseList:
    """The list in a payload; InvalidRules with every problem and its place in the document."""
    document = read_object(payload)
    if document is None:
        raise InvalidRules([((), "not a list of releases; accepted: one JSON object in UTF-8, no member twice")])
    entries = document.get("releases")
    if isinstance(entries, list) and len(entries) > MAX_RELEASES:
        raise InvalidRules([(("releases",), f"{len(entries):,} releases; accepted: up to {MAX_RELEASES:,}")])
    try:
        read = _Document.model_validate(document)
    except ValidationError as error:
        raise InvalidRules(list(_problems(error))) from None
    return ReleaseList(read.revision, hashlib.sha256(payload).hexdigest(), read.releases)


def superseded(revision: int, digest: str, previous: tuple[int, str] | None) -> str | None:
    """Why a list must not follow the `previous` one that was accepted; None when it may."""
    if previous is None or revision > previous[0] or (revision, digest) == previous:
        return None
    if revision < previous[0]:
        return f"revision {revision} is older than revision {previous[0]}, the last one; accepted: a higher revision"
    return f"revision {revision} was there before with other content; accepted: a higher revision"


def iso(seconds: float) -> str:
    """A time as it stands in a list."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _problems(error: ValidationError) -> Iterator[tuple[Where, str]]:
    for detail in error.errors(include_url=False, include_input=False):
        where, kind = detail["loc"], detail["type"]
        if kind == "missing":
            yield where[:-1], f"`{where[-1]}` is missing"
        elif kind == "extra_forbidden":
            model = Release if where[0] == "releases" and len(where) > 1 else _Document
            accepted = ", ".join(f"`{name}`" for name in model.model_fields)
            yield where, f"unknown member; accepted: {accepted}"
        elif kind == "value_error":
            yield where, str(detail["ctx"]["error"])
        else:
            yield where, "this is of another type; accepted: " + ("a list" if kind == "tuple_type" else "a mapping")
