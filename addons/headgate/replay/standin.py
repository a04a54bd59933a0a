"""The stage that stands in for identity in a replay, and what takes the record: the rest of the chain is the real one.

Hygiene runs on the fields as they were recorded. What was made from credentials then, and is not in any record, is
missing: the header in which this proxy would tell the upstream who calls is never made for a caller who has only been
recorded. The bytes go to the replay's upstream and nowhere else, whatever the recording says.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headgate.identity.hygiene import Mode, RawRequest, check
from headgate.identity.overrides import body_refusal
from headgate.identity.reasons import Malformed
from headgate.model import STRICT, Exchange, PathRules, Refusal, Request, guard_error, malformed
from headgate.replay.frozen import Frozen, Moments
from headgate.replay.responder import OWN

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.record import Record

HEADER = b"x-headgate-replay-of"
UNKNOWN = guard_error("not-a-replay")


@dataclass(slots=True)
class Slot:
    """One request under way: what it was recorded as, and the record of its replay once it is there. `name` is its
    decision id."""

    name: str
    frozen: Frozen
    record: "asyncio.Future[Record]" = field(repr=False)


class Slots:
    """What is under way, by the word that names it, and once it has come, by its flow."""

    def __init__(self) -> None:
        self._named: dict[bytes, Slot] = {}
        self._running: dict[str, Slot] = {}

    def expect(self, word: bytes, slot: Slot) -> None:
        self._named[word] = slot

    def begin(self, word: bytes, flow_id: str) -> Slot | None:
        """What this word names, for the first time that it is said."""
        slot = self._named.pop(word, None)
        if slot:
            self._running[flow_id] = slot
        return slot

    def of(self, flow_id: str) -> Slot | None:
        return self._running.get(flow_id)

    def end(self, word: bytes, slot: Slot) -> None:
        self._named.pop(word, None)
        for flow_id in [flow_id for flow_id, running in self._running.items() if running is slot]:
            del self._running[flow_id]


class Kept:
    """In the place of capture's writer: each record goes to whoever replays the flow, and nothing is written."""

    ready = healthy = True

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def put(self, record: Any) -> bool:
        slot = self._slots.of(getattr(record, "flow_id", ""))
        if slot and not slot.record.done() and hasattr(record, "response"):
            slot.record.set_result(record)
        return True


class StandIn:
    """In the place of `identity.addon.Identity`; `upstream` is where the bytes go, and `own_host` what the Host field
    becomes in the end (None: it stays). With `named`, the upstream is a responder, and told which flow asks."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        slots: Slots,
        bundle: "Bundle",
        upstream: tuple[str, int],
        own_host: str | None = None,
        *,
        named: bool = False,
    ) -> None:
        self._exchanges, self._slots, self._bundle = exchanges, slots, bundle
        self._upstream, self._own_host, self._named = upstream, own_host, named

    def http_connect(self, flow: Any) -> None:
        self._exchanges[flow.id].refusal = UNKNOWN

    def requestheaders(self, flow: Any) -> None:
        exchange, data = self._exchanges[flow.id], flow.request.data
        words = [value for name, value in data.headers.fields if name.lower() == HEADER]
        data.headers.fields = tuple(pair for pair in data.headers.fields if pair[0].lower() != HEADER)
        slot = self._slots.begin(words[0], flow.id) if len(words) == 1 else None
        if slot is None or (data.host, data.port) != self._upstream:
            exchange.refusal = UNKNOWN
            return
        frozen = slot.frozen
        exchange.source, exchange.started = frozen.source, frozen.at
        clean = check(self._raw(flow, frozen), self._names, self._bundle.identity.taken, self._path_rules)
        if isinstance(clean, Refusal):
            exchange.refusal = clean
            return
        exchange.request, exchange.principal = clean.request, frozen.principal
        data.headers.fields, data.path, data.authority = clean.fields, clean.target, clean.authority

    def request(self, flow: Any) -> None:
        """As identity does: the length that was announced is that of the body, and nothing in it overrides the line."""
        exchange = self._exchanges[flow.id]
        flow.request.trailers = None
        body = flow.request.raw_content or b""
        if exchange.request is None:
            exchange.refusal = UNKNOWN
            return
        exchange.request = replace(exchange.request, body=body)
        if int(flow.request.headers.get("content-length", len(body))) != len(body):
            exchange.refusal = malformed(Malformed.LENGTH_MISMATCH.value)
        elif misread := body_refusal(flow.request.headers.fields, body):
            exchange.refusal = malformed(misread.value)

    def vouch(self, flow: Any) -> None:
        slot = self._slots.of(flow.id)
        if self._own_host is not None:
            flow.request.headers["Host"] = self._own_host
        if self._named and slot:
            flow.request.headers[OWN] = slot.name

    def again(self, _exchange: Exchange) -> Refusal:
        return UNKNOWN

    def client_disconnected(self, _client: Any) -> None:
        """Nothing is kept of connections."""

    def _raw(self, flow: Any, frozen: Frozen) -> RawRequest:
        data = flow.request.data
        return RawRequest(
            mode=Mode.REVERSE,
            method=data.method,
            scheme=frozen.scheme,
            host=frozen.host,
            port=frozen.port,
            authority=data.authority,
            target=data.path,
            fields=data.headers.fields,
            version=data.http_version,
            listener=flow.client_conn.sockname[:2],
            source=frozen.source,
        )

    def _names(self, request: Request, host: str) -> bool:
        target = self._bundle.targets.resolve(request.scheme, request.host, request.port)
        return target is not None and self._bundle.targets.names(target, host)

    def _path_rules(self, scheme: str, host: str, port: int) -> PathRules:
        target = self._bundle.targets.resolve(scheme, host, port)
        return target.paths if target else STRICT


class Unlogged:
    """In the place of the audit log's writer: the log tells what a proxy has let pass, and a replay is not among that.
    No entry is ever made of what it is handed."""

    ready = healthy = True

    def put(self, _make: Callable[[], Any], _weight: int = 0) -> bool:
        return True

    def digest(self, *_: Any) -> str:
        return ""


class AtTheMoment:
    """Policy, with time, signals and limits as they were for each exchange."""

    def __init__(self, policy: Any, slots: Slots, moments: Moments) -> None:
        self._policy, self._slots, self._moments = policy, slots, moments

    def http_connect(self, flow: Any) -> Any:
        return self._at(flow, self._policy.http_connect)

    def requestheaders(self, flow: Any) -> Any:
        return self._at(flow, self._policy.requestheaders)

    def request(self, flow: Any) -> Any:
        return self._at(flow, self._policy.request)

    def again(self, _exchange: Exchange, _bundle: object) -> Refusal:
        return UNKNOWN

    def _at(self, flow: Any, hook: Callable[[Any], Any]) -> Any:
        slot = self._slots.of(flow.id)
        return self._moments.during(slot.frozen if slot else None, lambda: hook(flow))
