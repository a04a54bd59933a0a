"""A git repository behind the proxy, served over smart HTTP by git's own `upload-pack` and `receive-pack`.

The protocol is that of git's documentation, `gitprotocol-http`.
"""

import gzip
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.upstream import Seen

PATH = "/team/sample.git"
FILE = "greeting.txt"
IDENTITY = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
ADVERTISED = b"0000"  # ends the line that names the service


def make_repository(folder: Path) -> Path:
    """A repository with one commit, of one file."""
    folder.mkdir()
    (folder / FILE).write_text("hello\n")
    for command in (["init", "-q", "-b", "main"], ["add", FILE], [*IDENTITY, "commit", "-q", "-m", "First"]):
        git(folder, *command)
    return folder


def git(folder: Path, *arguments: str, given: bytes = b"", protocol: str = "") -> bytes:
    """What git prints, set up by nothing but the repository itself."""
    alone = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_PROTOCOL": protocol}
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, **alone}
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, check=True).stdout


class GitServer:
    """Lets everybody fetch and push, and keeps every request in `seen`."""

    def __init__(self, repository: Path, tls: ssl.SSLContext | None = None) -> None:
        self.repository, self.seen = repository, list[Seen]()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.git = self
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}{PATH}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path.removeprefix(PATH)}" for seen in self.seen]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    git: GitServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._keep(b"")
        service = self.path.removeprefix(f"{PATH}/info/refs?service=")
        line = f"# service={service}\n"
        body = f"{len(line) + 4:04x}{line}".encode() + ADVERTISED + self._serve(service, "--advertise-refs")
        self._answer(f"application/x-{service}-advertisement", body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._keep(body)
        service = self.path.removeprefix(f"{PATH}/")
        plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        self._answer(f"application/x-{service}-result", self._serve(service, given=plain))

    def _keep(self, body: bytes) -> None:
        self.server.git.seen.append(Seen(self.command, self.path, list(self.headers.items()), body))

    def _serve(self, service: str, *options: str, given: bytes = b"") -> bytes:
        assert service in ("git-upload-pack", "git-receive-pack"), service
        command = (service.removeprefix("git-"), "--stateless-rpc", *options, ".")
        return git(self.server.git.repository, *command, given=given, protocol=self.headers["Git-Protocol"] or "")

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""
