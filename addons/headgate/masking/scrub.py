"""The request as recorders may show it: it has been sent already, and what remains of it is only looked at.

Credentials always go. Where masks are due they hold for the request, too, and detection looks into each segment of
the path and each value of the query. What cannot be masked goes as a whole. Of a caller that nobody has identified
only the outline is kept, made without detection: whoever has no token gets no work out of the detector.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from headgate.masking.content import mask_body
from headgate.masking.credentials import REDACTED, clean_address, without_credentials
from headgate.masking.entities import UNREAD
from headgate.masking.headers import mask_headers, repair
from headgate.masking.plan import CannotMask, Detect, Fields, Leaf, Plan, Span
from headgate.masking.record import recordable
from headgate.masking.requesttarget import mask_target

LONGEST = 1024
"""Characters of a header, a segment, a query value or a member in which detection looks; longer ones go."""

LARGEST = 64 * 1024
"""Bytes of a body that is kept where something is due; a larger one goes. A request is masked while somebody waits for
its response, and has been chosen by the caller: both call for a small limit."""

MOST = 128
"""Headers, segments and query values together; of a request with more, the outline is kept."""

DIGITS = 5
"""Digits that a short piece of an outline may have: no card, account, phone or identity number has so few."""

_PLAIN = re.compile(r"[A-Za-z_-]{0,24}|[A-Za-z0-9_-]{0,15}")
"""Digits among so many letters may be a key."""

_METHOD = re.compile(rb"[A-Za-z-]{1,32}")


class Sent(NamedTuple):
    """A request; `path` is the request target in origin form, with its query."""

    path: bytes
    headers: Fields
    body: bytes


def scrub(sent: Sent, plan: Plan | None, detect: Detect) -> Sent:
    """Without credentials, and masked by what is due."""
    path = clean_address(sent.path.decode("latin-1"))
    headers = without_credentials(sent.headers)
    if plan is None:
        return _scrubbed(sent, path, headers, sent.body)
    if len(headers) + sum(map(path.count, "/&")) > MOST:
        return outline(sent)
    within = _brief(detect)
    headers = mask_headers(_short(headers), plan, within).fields
    target = mask_target(path, plan, within, longest=LONGEST)
    return _scrubbed(sent, target, headers, _masked_body(sent, plan, within))


def _brief(detect: Detect) -> Detect:
    """A detector that looks into no long value, for which some patterns take very long."""

    def within(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        if any(len(leaf.text) > LONGEST for leaf in leaves):
            raise CannotMask("value-too-long")
        return detect(leaves)

    return within


def outline(sent: Sent) -> Sent:
    """What is left of a request from nobody in particular: where it went, by what kind of client, and its shape."""
    path, question, query = sent.path.decode("latin-1").partition("?")
    segments = "/".join(map(_outlined, path.split("/")))
    pairs = (pair.partition("=") for pair in query.split("&"))
    names = "&".join(_outlined(name) + sign + (sign and REDACTED) for name, sign, _ in pairs)
    headers = tuple((name, _outlined_header(name.lower(), value)) for name, value in sent.headers)
    return _scrubbed(sent, segments + question + names, headers, b"")


def shown_method(method: bytes) -> bytes:
    """The method as recorders may show it: any of those that are registered; anything else may be a value."""
    return method if _METHOD.fullmatch(method) else REDACTED.encode()


def _outlined_header(name: bytes, value: bytes) -> bytes:
    if name == b"user-agent":
        return _outlined(value.decode("latin-1").partition("/")[0]).encode("latin-1")
    return value if name.decode("latin-1") in UNREAD else REDACTED.encode()


def _outlined(piece: str) -> str:
    return piece if _PLAIN.fullmatch(piece) and sum(map(str.isdigit, piece)) <= DIGITS else REDACTED


def _scrubbed(sent: Sent, path: str, headers: Fields, body: bytes) -> Sent:
    fields = headers if body == sent.body else repair(headers, body)
    return Sent(path.encode("latin-1"), *recordable(fields, body))


def _masked_body(sent: Sent, plan: Plan, detect: Detect) -> bytes:
    if plan.reads_body and len(sent.body) > LARGEST:
        return b""
    try:
        masked = mask_body(plan, sent.headers, sent.body, detect).body
    except CannotMask:
        return b""
    return sent.body if masked is None else masked


def _short(headers: Fields) -> Fields:
    """Without what nobody looks into: long values, and addresses where no header has one."""
    return tuple((name, value if len(value) <= LONGEST else REDACTED.encode()) for name, value in map(_unread, headers))


def _unread(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = field
    if b"@" not in value or name.decode("latin-1").lower() not in UNREAD:
        return field
    kind, _, _ = value.partition(b";")  # of a Content-Type, which tells how to read the body
    return name, REDACTED.encode() if b"@" in kind else kind
