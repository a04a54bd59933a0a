"""An upstream on loopback that knows recordings and nothing else: it opens no connection, whatever it is asked for.

What no recording answers gets 502 and says why, under `X-Headgate-Replay`, in a problem document (RFC 9457) that names
the nearest recording and where it differs. Every such miss is kept.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self

from headgate.errors import HeadgateError
from headgate.replay.asked import Asked
from headgate.replay.matching import Answer, Miss, Recordings

MARK = "X-Headgate-Replay"
"""The response header that numbers a miss: what an upstream answers never has it."""

OWN = "X-Headgate-Answer-Of"
"""The request header by which a replay says which recorded flow it sends: only this responder is ever told."""

LARGEST = 17 * 1024 * 1024
"""Bytes of a request that are read; the chain in front passes on 16 MB at most."""

MOST_MISSES = 10_000
DAMAGED = "recording-unreadable"
BODILESS = frozenset({204, 304})


class Responder:
    """Serves from the moment it is made until `close`, each connection in a thread of its own.

    `misses` are what no recording answered, in order, by their number; `served` is how many were answered.
    """

    def __init__(self, recordings: Recordings, port: int = 0) -> None:
        self._recordings, self._numbers = recordings, count(1)
        self.misses: dict[int, Miss] = {}
        self.served = 0
        self._server = _Server(("127.0.0.1", port), _handler(self._answer))
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asked: Asked, own: str | None) -> Answer:
        try:
            found = self._recordings.answer(asked, own)
        except HeadgateError:
            found = Miss(DAMAGED, f"{asked.method} {asked.path}")
        if isinstance(found, Answer):
            self.served += 1
            return found
        number = next(self._numbers)
        if len(self.misses) < MOST_MISSES:
            self.misses[number] = found
        return _problem(found, number)


def _problem(miss: Miss, number: int) -> Answer:
    told = {
        "type": f"urn:headgate:problem:replay-{miss.reason}",
        "status": 502,
        "detail": miss.text,
        "nearest": miss.nearest,
        "differs": list(miss.fields),
    }
    body = json.dumps({name: value for name, value in told.items() if value}).encode() + b"\n"
    headers = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), (MARK, str(number)))
    return Answer(502, headers, body, "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A caller that goes away is no news."""


def _handler(answer: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # http.server's way to ask for any method
                return self._serve
            raise AttributeError(name)

        def _serve(self) -> None:
            body = self._body()
            if body is None:
                self.close_connection = True
                return
            own = self.headers.get(OWN)
            headers = tuple((name, _text(value)) for name, value in self.headers.items() if name != OWN)
            self._send(answer(Asked(self.command, self.headers.get("Host", ""), self.path, headers, body), own))

        def _send(self, given: Answer) -> None:
            bodiless = self.command == "HEAD" or given.status in BODILESS
            self.send_response_only(given.status)
            for name, value in given.headers:
                self.send_header(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))
            if not bodiless:
                self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            if not bodiless:
                self.wfile.write(given.body)

        def _body(self) -> bytes | None:
            if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
                return self._chunks()
            length = self.headers.get("Content-Length", "0")
            if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
                return None
            return self.rfile.read(int(length))

        def _chunks(self) -> bytes | None:
            """A body in chunks (RFC 9112, section 7.1), without its trailers."""
            body = b""
            while True:
                try:
                    size = int(self.rfile.readline(100).partition(b";")[0], 16)
                except ValueError:
                    return None
                if size < 0 or len(body) + size > LARGEST:
                    return None
                if size == 0:
                    while self.rfile.readline(65536).strip():
                        pass
                    return body
                body += self.rfile.read(size)
                self.rfile.readline(10)

        def log_message(self, *_: Any) -> None:
            """Nobody reads along."""

    return Handler


def _text(value: str) -> str:
    """A header value as captures keep it: UTF-8, with every other byte escaped."""
    return value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
