"""A flow of another file as the record that may be kept of it.

Nobody has masked it, and nobody knows who called: every mask is due, and no exception. Credentials go, whoever sent
them; so do headers by which proxies assert who is calling. What cannot be masked loses its body, and a request that no
parser can be sure of is kept in outline. It has never been decided: the record says `deny`, since nothing was allowed,
with the reason `imported` and a mode of its own, so that nobody takes it for a refusal either.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from headgate.capture.record import IMPORTED, Fields, Kind, Line, Message, Mode, Record, message_of
from headgate.capture.spoken import BINARY, TEXT, Spoken
from headgate.identity import headers as hygiene
from headgate.identity.reasons import Malformed
from headgate.masking import messages as socket
from headgate.masking.credentials import REDACTED, without_credentials
from headgate.masking.detection.budget import OverBudget
from headgate.masking.job import Done, Job, run
from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.record import recordable
from headgate.masking.response import Received, without_stray_body
from headgate.masking.scrub import Sent, outline, shown_method
from headgate.masking.socketmask import SocketMask
from headgate.masking.streaming import counted
from headgate.masking.streams.socket import Aside
from headgate.model import Decision, Effect, MaskCount, ulid
from headgate.replay.foreign import Foreign, Part, Said

SOURCE = "import"
UNDECIDED = Decision(Effect.DENY, IMPORTED)
MAX_FIELDS = 256 * 1024
"""Bytes of the fields of one direction; of more, none are kept."""

SCHEMES = frozenset({"http", "https", "tcp", "ws", "wss"})
_HOST = re.compile(r"[\w.:%\[\]-]{0,255}")
_VERSION = re.compile(rb"HTTP/[0-9](?:\.[0-9])?", re.IGNORECASE)

Detectors = Callable[[Plan], Detect]


@dataclass(frozen=True, slots=True)
class Import:
    """What is kept of one flow: its record, and what was said on it."""

    record: Record
    spoken: tuple[Spoken, ...] = ()


class Masked(NamedTuple):
    """A flow as it may be kept; `lost`: something of it could not be masked, and is not there."""

    target: bytes
    request: Message
    response: Message | None
    masks: tuple[MaskCount, ...]
    spoken: tuple[Spoken, ...]
    lost: bool


def imported(found: Foreign, plan: Plan | None, detectors: Detectors) -> Import:
    """What may be kept of `found` where `plan` is all that is due; `detectors` have a budget for this one."""
    decision = decision_id(found)
    got = mask_flow(_accepted(found), decision, plan, detectors)
    line = _line(found.line, got.target)
    record = Record(
        decision, found.flow_id, Mode.MASKED, found.started, found.ended, SOURCE, line,
        None, (), None, None, UNDECIDED, None, found.status, got.request, got.response, got.masks, {}, found.error,
        kind=found.kind, connection=found.connection,
    )  # fmt: skip
    return Import(record, got.spoken)


def _line(line: Line, target: bytes) -> Line:
    """The line, of which no part is anything but what it should be: mitmproxy wrote down whatever had come."""
    host = line.host.rpartition("@")[2]  # without a user and his password
    return Line(
        shown_method(line.method),
        line.scheme if line.scheme in SCHEMES else REDACTED,
        host if _HOST.fullmatch(host) else REDACTED,
        line.port,
        target,
        line.version if _VERSION.fullmatch(line.version) else b"",
    )


def decision_id(found: Foreign) -> str:
    """The same for the same flow, so that it comes in once."""
    digest = hashlib.sha256(f"import {found.flow_id}".encode()).digest()
    return ulid(int(found.started * 1000), int.from_bytes(digest[:10]))


def _accepted(found: Foreign) -> Foreign:
    """Without what the chain takes off a request; of one that it would not accept, the outline."""
    if found.kind == Kind.TCP:
        return found
    fields = tuple(field for field in _fields(found.request) if not field[0].startswith(b":"))
    read = hygiene.read(fields)
    if not isinstance(read, Malformed):
        return replace(found, request=replace(found.request, fields=tuple((raw, value) for _, raw, value in read.kept)))
    least = outline(Sent(found.line.target, fields, b""))
    line, request = replace(found.line, target=least.path), Part(least.headers, None, found.request.size)
    return replace(found, line=line, request=request)


def mask_flow(found: Foreign, decision: str, plan: Plan | None, detectors: Detectors) -> Masked:
    """A flow without credentials, and masked by `plan`."""
    got, body = found.response, found.request.body or b""
    received = _received(found)
    done = _run(found, received, plan, detectors)
    spoken = tuple(_spoken(found, decision, plan, detectors))
    lost = (plan is not None and got is not None and done.masked is None) or bool(body and not done.sent.body)
    masks = counted(done.masked.counts) if done.masked else ()
    request, response = _sized(done.sent.headers, done.sent.body, found.request), _response(received, got, done, plan)
    return Masked(done.sent.path, request, response, masks, spoken, lost or any(one.body is None for one in spoken))


def _received(found: Foreign) -> Received | None:
    """The response, without a body where none may be: nobody would mask that."""
    if found.response is None:
        return None
    method, body = found.line.method.decode("latin-1"), found.response.body or b""
    return without_stray_body(Received(method, found.status or 0, _fields(found.response), body))


def _run(found: Foreign, received: Received | None, plan: Plan | None, detectors: Detectors) -> Done:
    sent = Sent(found.line.target, _fields(found.request), found.request.body or b"")
    try:
        return run(Job(plan, plan, sent, received), detectors)
    except OverBudget as over:
        return Done(outline(sent), None, over.reason)


def _response(received: Received | None, part: Part | None, done: Done, plan: Plan | None) -> Message | None:
    if received is None or part is None:
        return None
    if plan is not None and done.masked is None:
        return Message((), b"", part.size)
    fields, body = received.headers, received.body
    if done.masked is not None:
        fields, body = done.masked.headers, body if done.masked.body is None else done.masked.body
    return _sized(*recordable(without_credentials(fields), body), part)


def _sized(fields: Fields, body: bytes, part: Part) -> Message:
    """What is kept of one direction; its size is that of what travelled, where nothing is kept of it."""
    kept = message_of(fields, body, Mode.MASKED)
    return kept if body else replace(kept, size=part.size)


def _fields(part: Part) -> Fields:
    return part.fields if sum(len(name) + len(value) for name, value in part.fields) <= MAX_FIELDS else ()


# -- what was said ----------------------------------------------------------------------------------------------------


def _spoken(found: Foreign, decision: str, plan: Plan | None, detectors: Detectors) -> Iterator[Spoken]:
    """The messages as they would have gone on: what is split over several of one peer is masked, too."""
    sides = {side: _Side(plan, detectors) for side in (True, False)}
    number, last = 0, found.started
    for said in found.messages:
        last = said.time
        for body in sides[said.from_client].kept(said):
            yield _one(found, decision, number, said, body)
            number += 1
    for side, masking in sides.items():
        for rest in masking.rest():
            yield _one(found, decision, number, Said(last, side, True, b""), rest)
            number += 1


def _one(found: Foreign, decision: str, number: int, said: Said, body: bytes | None) -> Spoken:
    size = len(said.content) if body is None else len(body)
    kind = TEXT if said.text else BINARY
    return Spoken(decision, found.flow_id, number, said.time, said.from_client, kind, body, size)


class _Side:
    """Masks what one peer says; once something cannot be, nothing more of it is kept."""

    def __init__(self, plan: Plan | None, detectors: Detectors) -> None:
        self._plan, self._detectors, self._failed = plan, detectors, False
        self._mask: SocketMask | None = None

    def kept(self, said: Said) -> Iterator[bytes | None]:
        if self._failed or (not said.text and self._plan is not None and self._plan.reads_body):
            yield None
            return
        if self._plan is None or not said.text:
            yield recordable(socket.TEXT, said.content)[1]
            return
        try:
            masked = self._messages(self._plan, said.content)
        except (CannotMask, OverBudget):
            self._failed = True
            masked = [None]
        yield from (one and recordable(socket.TEXT, one)[1] for one in masked)

    def rest(self) -> list[bytes]:
        if self._failed or self._mask is None:
            return []
        try:
            return [recordable(socket.TEXT, one)[1] for one in self._mask.rest() if one]
        except (CannotMask, OverBudget):
            return []

    def _messages(self, plan: Plan, content: bytes) -> "list[bytes | None]":
        if self._mask is None:
            self._mask = SocketMask(plan, lambda due, _units: self._detectors(due))
        masked = self._mask.messages(content)
        if not isinstance(masked, Aside):
            return list(masked)
        done = run(socket.job_of(plan, masked.rest), self._detectors)
        rest, _ = socket.masked_of(done, masked.rest)
        return [*masked.before, masked.head + rest]
