"""A day in which values travel wherever a request, a response or a WebSocket has a place for one; then every command
that writes what was recorded. No file holds a value afterwards, but for what is sealed, and that only its key opens.
"""

import gzip
import json
import ssl
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from click.testing import CliRunner
from tests.e2e.agent import basic
from tests.e2e.asking import ask
from tests.e2e.canary import unpacked
from tests.e2e.conftest import Start
from tests.e2e.planted import CARD, DETECTED, EMAIL, KEY, NAME, VALUES, compressed, escaped, found_in, percent
from tests.e2e.proxy import Proxy, free_port, write_rules
from tests.e2e.sockets import SocketUpstream, asking, open_on
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import answer_on

from headgate.cli.main import main

ADDRESS, NUMBER, SECRET = VALUES[EMAIL], VALUES[CARD], VALUES[KEY]
DIGITS = "".join(filter(str.isdigit, NUMBER))
MASKS = {"masks": [{"id": "all", "match": {}, "fields": ["$..ssn", f"$..{NAME}"], "detect": list(DETECTED)}]}
MASKS["masks"][0] |= {"keys": True, "request": False}  # type: ignore[dict-item]
JSON, TYPE, FORMS = "Content-Type: application/json", "application/json", "application/x-www-form-urlencoded"
CHUNKS = f"HTTP/1.1 200 OK\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"
COOKIE = f"a={ADDRESS}"
EVENTS = {"Content-Type": "text/event-stream"}
BODY = json.dumps({"a": ADDRESS, NAME: VALUES[NAME], ADDRESS: 1, SECRET: {"x": NUMBER}, "n": int(DIGITS)}).encode()
FORM = f'--b\r\nContent-Disposition: form-data; name="{SECRET}"; filename="{ADDRESS}.txt"\r\n\r\n{NUMBER}\r\n--b--\r\n'
CODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}

Asked = tuple[str, tuple[str, ...], str, bytes | None]
REQUESTS: dict[str, Asked] = {
    "a header": ("/a", (f"X-Note: {ADDRESS} {NUMBER}",), "GET", None),
    "a header's name": ("/b", (f"{SECRET}: 1", f"X-{SECRET}-y: 1"), "GET", None),
    "a header nobody reads": ("/c", (f"Accept: {ADDRESS}", f"Accept-Language: en; q={ADDRESS}"), "GET", None),
    "a cookie": ("/d", (f"Cookie: a={ADDRESS}; {SECRET}=1",), "GET", None),
    "a query": (f"/e?a={percent(ADDRESS)}&{SECRET}=1&{percent(ADDRESS)}=2&b=5500+0055+5555+5559", (), "GET", None),
    "a path": (f"/f/{SECRET}/{percent(ADDRESS)}/{percent(NUMBER)}", (), "GET", None),
    "a method": ("/g", (), SECRET, None),
    "json": ("/h", (JSON,), "POST", BODY),
    "escaped json": ("/i", (JSON,), "POST", f'{{"a": "{escaped(ADDRESS)}"}}'.encode()),
    "half of json": ("/j", (JSON,), "POST", BODY[:-1]),
    "a form": ("/k", (f"Content-Type: {FORMS}",), "POST", f"a={percent(ADDRESS)}&{SECRET}=1".encode()),
    "a name of a file": ("/l", ("Content-Type: multipart/form-data; boundary=b",), "POST", FORM.encode()),
    "a parameter of a type": ("/m", (f"{JSON}; b={ADDRESS}",), "POST", b"{}"),
    "bytes": ("/n", ("Content-Type: application/octet-stream",), "POST", BODY),
}  # fmt: skip
ANSWERS: dict[str, Reply] = {
    "headers": Reply(BODY, headers={"Content-Type": TYPE, "X-Note": ADDRESS, SECRET: "1", "Set-Cookie": COOKIE}),
    "addresses": Reply(headers={"Content-Type": TYPE, "Location": f"http://me:{SECRET}@h/?{ADDRESS}"}, status=302),
    "a reason": Reply(raw=f"HTTP/1.1 200 {SECRET} {ADDRESS}\r\nContent-Length: 0\r\n\r\n".encode(), then="close"),
    "trailers": Reply(raw=f"{CHUNKS}X-{SECRET}: {ADDRESS}\r\n\r\n".encode(), then="close"),
    "an error": Reply(json.dumps({"error": f"Duplicate entry '{ADDRESS}' for {SECRET}"}).encode(), status=500),
    "half a line": Reply(raw=f"HTTP/1.1 {SECRET}".encode(), then="close"),
    "events": Reply(f'id: {SECRET}\ndata: {{"a": "{ADDRESS}"}}\n\n'.encode(), headers=EVENTS),
    **{
        coding: Reply(compressed(pack(BODY)), headers={"Content-Type": TYPE, "Content-Encoding": coding})
        for coding, pack in CODED.items()
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sockets() -> Iterator[SocketUpstream]:
    server = SocketUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def day(proxies: Start, upstream: Upstream, sockets: SocketUpstream, folder: Path) -> Proxy:
    """A proxy that seals originals and has ended, and its log."""
    headgate(folder, "flows", "keys", "keys")
    rules = write_rules(folder / "rules", masking=json.dumps(MASKS))
    options = {"capture": "sealed", "sealing_key": folder / "keys/sealing.pub", "events": "stdout"}
    proxy = proxies(
        *("--mode", f"regular@{free_port()}", "--mode", f"reverse:{sockets.url}@{free_port()}"),
        *(word for name, value in options.items() for word in ("--set", f"headgate_{name}={value}")),
        *("--set", "termlog_verbosity=debug", "--set", "flow_detail=4"),
        mode=f"reverse:{upstream.url}@{free_port()}",
        door="headgate run",
        rules=rules,
    )
    upstream.forget()
    there = proxy.by(f"reverse proxy to {upstream.url}")
    proxy.port = there.port
    proxy.output.wait_for("headgate guards")
    proxy.warm()
    send_all(proxy, upstream)
    talk(proxy.by(f"reverse proxy to {sockets.url}"), sockets)
    tunnel(proxy.by(r"HTTP\(S\) proxy"), f"127.0.0.1:{upstream.port}")
    proxy.settle()
    assert proxy.stop() == 0, proxy.output.text
    return proxy


def send_all(proxy: Proxy, upstream: Upstream) -> None:
    for target, fields, method, body in REQUESTS.values():
        ask(proxy, target, *fields, method=method, body=body)
    for coding, pack in CODED.items():
        ask(proxy, "/coded", JSON, f"Content-Encoding: {coding}", method="POST", body=compressed(pack(BODY)))
    ask(proxy, f"/p/{SECRET}?{SECRET}=1&a={ADDRESS}", f"X-A: {ADDRESS}", token=None)
    for number, reply in enumerate(ANSWERS.values()):
        upstream.replies[f"/{number}"] = reply
        assert not found_in(ask(proxy, f"/{number}").raw)


def talk(proxy: Proxy, sockets: SocketUpstream) -> None:
    with proxy.connect() as connection:
        fields = (f"Authorization: Bearer {proxy.token()}", f"Sec-WebSocket-Protocol: {SECRET}")
        opening = open_on(connection, asking(f"/ws?{SECRET}={percent(ADDRESS)}", f"127.0.0.1:{proxy.port}", *fields))
        assert opening.status == 101
        there, here = sockets.next(), opening.peer
        for text in (f'{{"a": "{ADDRESS}"}}', f"half {ADDRESS[:9]}", f"{ADDRESS[9:]} whole"):
            here.text(text)
        there.hear()
        there.text(json.dumps({"said": f"{NUMBER} and {SECRET}"}))
        here.hear()
        here.close(1000, SECRET)
        there.hear_end()


def tunnel(proxy: Proxy, host: str) -> None:
    token = basic(proxy.token())
    for target in (f"http://me:{SECRET}@{host}/x", f"http://{host}/x#{ADDRESS}", f"http://{host}/x?{SECRET}={ADDRESS}"):
        proxy.raw(proxy.written("GET", target, f"Host: {host}", token, "Connection: close", token=None))
    with proxy.connect() as connection:
        connection.sendall(proxy.written("CONNECT", host, f"Host: {host}", token, token=None))
        assert answer_on(connection, "CONNECT").status == 200
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with suppress(OSError), context.wrap_socket(connection, server_hostname="api.internal") as secured:
            secured.sendall(f"GET /{SECRET} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            secured.recv(65536)


def headgate(folder: Path, *words: Any, code: int = 0) -> bytes:
    """What a command prints that runs in this folder, and has its temporary files there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tempfile, "tempdir", str(folder))
        done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output.encode()


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leaks(folder: Path) -> dict[str, list[str]]:
    """What can be read in the files of a folder, as they are and, of a database, value by value."""
    found: dict[str, list[str]] = {}
    for path, data in files(folder).items():
        pieces = [data, *(unpacked(path) if path.suffix == ".db" else ())]
        if hits := found_in(b"\n".join(pieces)):
            found[path.name] = hits
    return found


def test_nothing_is_readable_in_what_a_proxy_leaves_or_prints(day: Proxy) -> None:
    assert len([path for path in files(day.state) if path.suffix == ".db"]) == 3
    assert not leaks(day.state)
    assert not found_in(day.output.text.encode())
    assert not found_in(day.saved.read_bytes())


def test_everything_a_proxy_leaves_is_its_owners_alone(day: Proxy) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (day.state, *day.state.rglob("*"))}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_an_original_is_opened_by_its_key_alone(day: Proxy, folder: Path) -> None:
    (flow, *_) = json.loads(headgate(folder, "flows", "list", "--filter", "~u /h$", "--state", day.state, "--json"))
    show = ("flows", "show", flow["decision_id"], "--state", day.state)
    assert found_in(headgate(folder, *show, "--open", "keys/sealing.key"))
    assert not found_in(headgate(folder, *show, "--json"))
    headgate(folder, "flows", "keys", "others")
    for wrong in ("others/sealing.key", "keys/sealing.pub"):
        assert not found_in(headgate(folder, *show, "--open", wrong, code=1))
    assert stat.S_IMODE((folder / "others").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "others/sealing.key").stat().st_mode) == 0o600


COMMANDS: dict[str, tuple[str, ...]] = {
    "export as mitmproxy": ("flows", "export", "-o", "out.flows"),
    "export as har": ("flows", "export", "--format", "har", "-o", "out.har"),
    "export as curl": ("flows", "export", "--format", "curl", "-o", "out.sh"),
    "export as raw": ("flows", "export", "--format", "raw", "-o", "out.raw"),
    "save": ("flows", "save", "day", "--into", "flows", "--rules", "rules"),
    "impact": ("flows", "impact", "--rules", "rules", "--json"),
    "index": ("flows", "index"),
    "search": ("flows", "list", "--search", "orders", "--json"),
    "session": ("flows", "list", "--json"),
    "audit": ("audit", "export"),
    "replay": ("flows", "replay", "--offline", "--rules", "rules"),
    "rescrub": ("flows", "rescrub", "--rules", "rules"),
}


def test_nothing_is_readable_in_what_the_commands_write_or_print(day: Proxy, folder: Path) -> None:
    shown = {
        name: headgate(folder, *words, "--state", day.state, code=int(name == "replay"))
        for name, words in COMMANDS.items()
    }
    for file in ("out.flows", "out.har"):
        shown[f"import {file}"] = headgate(folder, "flows", "import", file, "--state", f"of-{file}", "--rules", "rules")
    assert {name: hits for name, said in shown.items() if (hits := found_in(said))} == {}
    rules = {path.name for path in (folder / "rules").iterdir()}
    assert {name: hits for name, hits in leaks(folder).items() if name not in rules} == {}
    assert not leaks(day.state)
