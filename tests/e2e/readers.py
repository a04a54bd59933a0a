"""Upstreams that say how they read what they were sent: nginx, a WSGI application and an ASGI application.

Each answers with the place that it would have served (`admin` or `public`), and the method, host, target and path that
made it think so. nginx reads as nginx does. The applications read as others are known to: the WSGI one like a file
server behind Rack or Symfony, which resolves dot segments and lets headers and fields override method, host and path;
the ASGI one like servers on Windows or in Java, which decode again, drop what stands after `;` and at the end of names,
and take characters for others. Whatever they disagree on, the proxy must not let through.
"""

import posixpath
import re
import shutil
import socket
import subprocess
import threading
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import uvicorn
from tests.e2e.output import Output
from tests.e2e.proxy import free_port
from tests.e2e.wire import received
from werkzeug import Request
from werkzeug.serving import WSGIRequestHandler, make_server

ADMIN_HOST = "admin.internal"
MISSING = (
    "nginx is not installed: on Debian and Ubuntu `apt-get install nginx-light`, with Homebrew `brew install nginx`; "
    "these tests compare how it reads paths"
)


class Read(NamedTuple):
    """How an upstream read one request; `path` as it routed it, with `\\x1f` where segments were split beforehand."""

    place: str
    method: str
    host: str
    target: str
    path: str

    @classmethod
    def of(cls, body: bytes) -> "Read":
        return cls(*body.decode("utf-8", "surrogateescape").split("\n", 4))

    def __bytes__(self) -> bytes:
        return "\n".join(self).encode("utf-8", "surrogateescape")


def place_of(segments: list[str], method: str, host: str) -> str:
    """What the rules of these tests forbid, as an application would look for it."""
    while segments and not segments[-1]:
        segments = segments[:-1]
    names = segments[1:]
    is_admin = names[:1] == ["admin"] or (len(names) == 4 and names[:2] == ["v1", "users"] and names[3] == "keys")
    return "admin" if is_admin or method == "DELETE" or host.startswith(ADMIN_HOST) else "public"


class Reader:
    """An upstream on a port of its own; `loosened` is what targets.yaml may say of its paths, `splits` if it splits
    paths before it decodes them."""

    def __init__(self, port: int, stop: Callable[[], None], requests: Callable[[], int], **loosened: Any) -> None:
        self.port, self.stop, self.requests, self.loosened = port, stop, requests, loosened

    def expected(self, path: str) -> str:
        """The canonical `path` as this upstream gives it back."""
        if self.loosened.get("encoded_slash") == "keep":
            return "\x1f".join(_text(segment) for segment in path.split("/"))
        return _text(path)


def _text(path: str) -> str:
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


# --------------------------------------------------------------------------------------------------------------- nginx

NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
  log_format line '$http_user_agent';
  access_log access.log line;
  default_type text/plain;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} default_server;
    if ($request_method = DELETE) {{ return 200 "admin{answer}"; }}
    location {fold} ^/admin(/|$) {{ return 200 "admin{answer}"; }}
    location {fold} ^/v1/users/[^/]+/keys/?$ {{ return 200 "admin{answer}"; }}
    location / {{ return 200 "public{answer}"; }}
  }}
  server {{
    listen 127.0.0.1:{port};
    server_name {host};
    location / {{ return 200 "admin{answer}"; }}
  }}
}}
"""


def nginx(folder: Path, *, fold: bool = False, **loosened: Any) -> Reader:
    """One process of nginx that leaves nothing outside `folder`, for whoever runs it."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    assert command, MISSING
    folder.mkdir(parents=True)
    port = free_port()
    answer = r"\n$request_method\n$http_host\n$request_uri\n$uri"
    text = NGINX.format(port=port, answer=answer, fold="~*" if fold else "~", host=ADMIN_HOST)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [command, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    Output(process.stderr).wait_for("event method")  # by then it listens

    def stop() -> None:
        process.terminate()
        process.wait(20)

    def requests() -> int:
        with socket.create_connection(("127.0.0.1", port)) as connection:  # what came before has been logged by then
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: counting\r\nConnection: close\r\n\r\n")
            received(connection)
        return sum(line != b"counting" for line in (folder / "access.log").read_bytes().splitlines())

    return Reader(port, stop, requests, **loosened)


# ---------------------------------------------------------------------------------------------------------------- WSGI


def wsgi(*, fold: bool = False, **loosened: Any) -> Reader:
    """A file server under Werkzeug, with what frameworks put in front of it."""
    seen: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(environ["REQUEST_METHOD"])
        read = bytes(_read_by_framework(environ, fold=fold))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(read)))])
        return [read]

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return Reader(server.server_port, stop, lambda: len(seen), **loosened)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Silence."""


def _read_by_framework(environ: dict[str, Any], *, fold: bool) -> Read:
    request = Request(environ)
    method = environ["REQUEST_METHOD"].upper()
    overrides = [environ.get(f"HTTP_X_{name}") for name in ("HTTP_METHOD_OVERRIDE", "HTTP_METHOD")]
    overrides += [request.args.get("_method"), request.form.get("_method")]
    if method == "POST":
        method = next((override.upper() for override in overrides if override), method)
    host = environ.get("HTTP_X_FORWARDED_HOST") or environ.get("HTTP_X_HOST") or environ.get("HTTP_HOST", "")
    path = environ.get("HTTP_X_ORIGINAL_URL") or environ.get("HTTP_X_REWRITE_URL") or environ["PATH_INFO"]
    resolved = _resolved(path.encode("latin-1").decode("utf-8", "surrogateescape"))
    resolved = resolved.lower() if fold else resolved
    return Read(place_of(resolved.split("/"), method, host.lower()), method, host, environ["REQUEST_URI"], resolved)


def _resolved(path: str) -> str:
    """As a file system finds it; a slash at the end is kept."""
    resolved = posixpath.normpath(re.sub("/+", "/", f"/{path}"))
    return f"{resolved}/" if path.endswith("/") and resolved != "/" else resolved


# ---------------------------------------------------------------------------------------------------------------- ASGI

Message = dict[str, Any]
BEST_FIT = str.maketrans("\u00a5\u2215\u2044\u2216", "\\//\\", "\u00ad\u200b\u200c")


def asgi(*, splits: bool = False, **loosened: Any) -> Reader:
    """A lenient application under uvicorn; with `splits` it finds the segments before it decodes them."""
    seen: list[str] = []

    async def application(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        del receive
        seen.append(scope["method"])
        raw = scope["raw_path"].decode("latin-1")
        if splits:
            segments = [_lenient(segment) for segment in raw.split("/")]
            path = "\x1f".join(segments)
        else:
            path = _resolved(_lenient(raw))
            segments = path.split("/")
        method, headers = scope["method"].upper(), dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        target = raw + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        read = bytes(Read(place_of(segments, method, host.lower()), method, host, target, path))
        fields = [(b"content-type", b"text/plain"), (b"content-length", str(len(read)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": read})

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(20)
        listener.close()

    return Reader(listener.getsockname()[1], stop, lambda: len(seen), **loosened)


def _lenient(path: str) -> str:
    """A path or one segment of it, decoded for as long as that changes it, as code pages, Java and Windows have it."""
    while (decoded := unquote(re.sub("%u([0-9A-Fa-f]{4})", r"&#\1;", path), errors="surrogateescape")) != path:
        path = re.sub("&#([0-9A-Fa-f]{4});", lambda found: chr(int(found[1], 16)), decoded)
    path = unicodedata.normalize("NFKC", path.translate(BEST_FIT)).partition("\x00")[0].replace("\\", "/")
    names = (name.partition(";")[0] for name in path.split("/"))
    return "/".join(name.strip() if re.fullmatch(r"\s*\.\.?\s*", name) else name.strip().rstrip(". ") for name in names)
