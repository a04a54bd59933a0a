"""What the guard alone knows of a flow: whether it may go on, and what it looked like when that was judged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import connection, http

from headgate.model import Exchange, Refusal
from headgate.proxy.flowing import Flowing
from headgate.proxy.kept import Socket

LINE = ("method", "scheme", "host", "port", "authority", "path", "http_version")
"""What `request_state` begins with; the header fields follow, body and trailers end it."""

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})


@dataclass(slots=True, kw_only=True)
class Held(Exchange):
    """An exchange with the flow it belongs to; everything here is the guard's."""

    flow: http.HTTPFlow = field(repr=False)
    client: connection.Client = field(repr=False)  # as it was; a script can put another on the flow
    seen: Any = None  # the state of the request, later of the response, that was judged
    answer: http.Response | None = None  # what the guard has put on the flow
    spare: http.Response | None = field(default=None, repr=False)  # what stands in while nothing has been refused
    answered: Refusal | None = None  # the refusal that `answer` tells
    for_caller: tuple[http.Headers, bytes | None] | None = field(default=None, repr=False)  # what no recorder sees
    for_recorders: tuple[http.Headers, bytes | None] | None = field(default=None, repr=False)  # what they see instead
    upgrading: bool = False  # the upstream has agreed to a WebSocket
    socket: Socket | None = field(default=None, repr=False)
    flowing: Flowing | None = field(default=None, repr=False)  # its response has been let flow
    judged_at: float | None = None  # since when it is known that it may go on, by a clock that does not leap
    read: bool = False  # the request has arrived whole
    forwarded: bool = False
    finishing: bool = False  # it is being masked and recorded, or has been
    ended: bool = False
    seal: Callable[[http.HTTPFlow], None] | None = (
        None  # the guard's last word on the last event, put again by `update`
    )

    @property
    def allowed(self) -> bool:
        """Whether each stage on the way in has left its proof; that none has refused is not enough."""
        decision = self.decision
        return (
            self.refusal is None
            and self.request is not None
            and self.principal is not None
            and decision is not None
            and decision.lets_pass
            and self.passed
            and self.audited
        )

    @property
    def method(self) -> str:
        return self.request.method if self.request else self.flow.request.data.method.decode("ascii", "replace")

    @property
    def passed_on(self) -> int:
        """Bytes that its caller has been given, of a body or of messages."""
        if self.socket:
            return self.socket.received.size
        if self.flowing:
            return self.flowing.size
        shown = self.flow.response.raw_content if self.flow.response else None
        body = self.for_caller[1] if self.for_caller and not self.refusal else shown
        return len(body) if body else 0

    def took(self, stage: str, nanoseconds: int) -> None:
        self.stage_us[stage] = self.stage_us.get(stage, 0) + nanoseconds // 1000

    def announces_more_than(self, size: int) -> bool:
        """Whether reading on would mean a long body, or one of unknown length."""
        headers = self.flow.request.headers
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            return int(length) > size
        if self.flow.request.is_http2:
            return self.method not in BODILESS
        return "transfer-encoding" in headers

    def stub(self) -> http.Request:
        """A request that shows which host it was for and nothing else, for when it cannot be masked."""
        sent = self.flow.request
        request = http.Request.make(self.method, "http://withheld/")
        request.data.host, request.data.port, request.data.scheme = sent.data.host, sent.data.port, sent.data.scheme
        request.data.path = b"/[withheld]"  # a path may hold what masks are for
        request.data.http_version, request.headers = sent.data.http_version, http.Headers()
        request.timestamp_start, request.timestamp_end = sent.timestamp_start, sent.timestamp_end
        return request


def say_length(request: http.Request) -> None:
    """Say how long the body is where the request does not, now that all of it is there.

    HTTP/2 needs no length, HTTP/1 does: without one an upstream takes the body for a request of its own, which nobody
    has judged.
    """
    if request.raw_content and not {"content-length", "transfer-encoding"} & {name.lower() for name in request.headers}:
        request.headers["content-length"] = str(len(request.raw_content))


def request_state(flow: http.HTTPFlow, *, read: bool) -> tuple[Any, ...]:
    """All of a request that reaches the upstream, and where that is; compared, never hashed.

    Until it has been `read` to its end, its body and trailers are not part of it.
    """
    sent, server = flow.request.data, flow.server_conn
    return (
        sent.method,
        sent.scheme,
        sent.host,
        sent.port,
        sent.authority,
        sent.path,
        sent.http_version,
        tuple(header for header in sent.headers.fields if header[0].lower() != b"expect"),
        server.via,
        server.sni,
        server.transport_protocol,
        flow.client_conn.id,
        sent.content if read else None,
        sent.trailers if read else None,
    )


def restore_request(flow: http.HTTPFlow, seen: tuple[Any, ...]) -> None:
    """Make the request again what it was when `seen` was taken, all of it having been read."""
    data = flow.request.data
    for name, value in zip(LINE, seen, strict=False):
        setattr(data, name, value)
    data.headers = http.Headers(seen[len(LINE)])
    data.content, data.trailers = seen[-2:]


def response_state(flow: http.HTTPFlow) -> tuple[Any, ...] | None:
    """All of a response that reaches the caller."""
    if flow.response is None:
        return None
    sent = flow.response.data
    return sent.status_code, sent.reason, sent.http_version, sent.headers.fields, sent.content, sent.trailers
