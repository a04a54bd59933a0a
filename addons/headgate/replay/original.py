"""A captured exchange with its original in place of what was masked of it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.capture.entries import Recorded

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.capture.sealing import Original, Part


def as_original(entry: "Entry", original: "Original") -> "Entry":
    """The same exchange as it came, to be decided and masked as live traffic is."""
    line, got = original.line, original.response
    path, _, query = line.target.decode("utf-8", "backslashreplace").partition("?")
    summary = replace(entry.summary, path=path, query=query)
    response = entry.response
    if is_whole(got) and got is not None:
        summary, response = replace(summary, status=original.status), _part(got)
    return replace(entry, summary=summary, request=_part(original.request), response=response)


def is_whole(part: "Part | None") -> bool:
    """Whether all of a response was kept: one that flowed past was not."""
    return part is not None and part.body is not None and part.size <= len(part.body)


def _part(part: "Part") -> Recorded:
    headers = tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in part.headers
    )
    return Recorded(headers, part.body or b"", part.size, part.size > len(part.body or b""))
