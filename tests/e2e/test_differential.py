"""What is decided on is what is served: each trick, as bytes, through the proxy to servers that read in their own way.

Whatever the answer, one of two things holds: the proxy refused and the upstream saw nothing, or the path, method and
host that the upstream acted on are those that were decided on. So nobody reaches what the rules forbid, neither who may
do all but that, nor who may only read the public part. Sent to the servers directly, many of the tricks do reach it.
"""

import copy
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy, free_port, write_rules
from tests.e2e.readers import Read, Reader, asgi, nginx, wsgi
from tests.e2e.wire import Answer, answer_on

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/differential.yaml").read_text(encoding="utf-8"))
POLICY = {
    "rules": [
        {"id": "all-may", "effect": "allow", "match": {"principal": {"groups": ["wide"]}}},
        {"id": "some", "effect": "allow", "match": {"principal": {"groups": ["narrow"]}, "path": "/public/{rest...}"}},
        {"id": "not-this", "effect": "deny", "match": {"path": ["/admin/{rest...}", "/v1/users/{id}/keys"]}},
        {"id": "nor-that", "effect": "deny", "match": {"method": "DELETE"}},
    ]
}
STRICT, LOOSENED = ("nginx", "wsgi", "asgi"), ("nginx loosened", "wsgi loosened", "asgi loosened")
FORWARD = "forward"
BRIEF: dict[str, Any] = {"merge_slashes": True, "case": "insensitive", "parameters": "keep"}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Reader]]:
    folder = tmp_path_factory.mktemp("nginx")
    running: dict[str, Reader] = {}
    try:
        running["nginx"] = nginx(folder / "strict")
        running["nginx loosened"] = nginx(folder / "loosened", fold=True, **BRIEF)
        running["wsgi"] = wsgi()
        running["wsgi loosened"] = wsgi(fold=True, **BRIEF)
        running["asgi"] = asgi()
        running["asgi loosened"] = asgi(splits=True, encoded_slash="keep")
        yield running
    finally:
        for reader in running.values():
            reader.stop()


@pytest.fixture(scope="module")
def guard(proxies: Start, readers: dict[str, Reader], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Proxy]:
    """One process with a listener in front of each upstream, and one that is a forward proxy to all of them."""
    targets = [
        {"name": name.replace(" ", "-"), "hosts": [f"127.0.0.1:{reader.port}"], "environment": "dev"}
        | ({"paths": reader.loosened} if reader.loosened else {})
        for name, reader in readers.items()
    ]
    rules = write_rules(
        tmp_path_factory.mktemp("differential") / "rules",
        targets=json.dumps({"targets": targets}),
        policy=json.dumps(POLICY),
        masking="masks: []\n",
    )
    ports = {name: free_port() for name in readers}
    modes = [f"reverse:http://127.0.0.1:{reader.port}@{ports[name]}" for name, reader in readers.items()]
    ports[FORWARD] = free_port()
    modes.append(f"regular@{ports[FORWARD]}")
    options = itertools.chain.from_iterable(("--mode", mode) for mode in modes[1:])
    proxy = proxies(*options, mode=modes[0], rules=rules).ready()
    found = {}
    for name, port in ports.items():
        proxy.output.wait_for(rf"listening at 127\.0\.0\.1:({port})")
        found[name] = copy.copy(proxy)
        found[name].port = port
    return found


def written(case: dict[str, Any], port: int, token: str = "") -> bytes:
    fields, body = case.get("fields", []), case.get("body", "")
    names = {name.lower() for name, _ in fields}
    lines = [f"{case.get('method', 'GET')} {case.get('target', '/public/x')} {case.get('version', 'HTTP/1.1')}"]
    lines += [f"Host: 127.0.0.1:{port}"] if "host" not in names or case.get("twice") else []
    lines += [f"{name}: {value}" for name, value in fields]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}"] if body and "transfer-encoding" not in names else []
    lines += ["Connection: close"] if "connection" not in names else []
    return ("\r\n".join([*lines, "", ""]) + body).encode("latin-1")


def written_to_proxy(case: dict[str, Any], port: int, token: str) -> bytes:
    """The same to a forward proxy: where there is only a path, with the upstream before it."""
    target = case.get("target", "/public/x")
    target = target if ":" in target else f"http://127.0.0.1:{port}{target}"
    fields = [*case.get("fields", []), ["Proxy-Authorization", f"Bearer {token}"]]
    return written({**case, "target": target, "fields": fields}, port)


def sent(port: int, data: bytes) -> Answer:
    """The answer to bytes as they are; status 0 for one that is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        try:
            return answer_on(connection)
        except HTTPException:
            return Answer(0, HTTPMessage(), b"")


def wrong(reader: Reader, case: dict[str, Any], answer: Answer) -> str | None:
    """What should not have happened."""
    if answer.status != 200:
        is_ours = b'"decision_id"' in answer.body or answer.headers.get("Server", "").startswith("mitmproxy")
        refused = is_ours and 400 <= answer.status < 500
        return None if refused and not case.get("honest") else f"{answer.status}: {answer.body!r}"
    read = Read.of(answer.body)
    if read.place == "admin":
        return f"admin was served: {read}"
    if read.path != reader.expected(read.target.partition("?")[0]):
        return f"another path was served than was sent: {read}"
    if read.method != case.get("method", "GET") or read.host != f"127.0.0.1:{reader.port}":
        return f"another method or host was served than was sent: {read}"
    return None


class Answered(NamedTuple):
    """What the proxy answered to each trick, by its note, and how many requests the upstream has seen meanwhile."""

    answers: dict[str, Answer]
    requests: int

    @property
    def served(self) -> set[str]:
        return {note for note, answer in self.answers.items() if answer.status == 200}


@pytest.fixture(scope="module")
def ask(readers: dict[str, Reader], guard: dict[str, Proxy]) -> Callable[[str, str], Answered]:
    """All tricks through the proxy to one upstream, by a caller of one group."""

    @cache
    def asked(name: str, who: str) -> Answered:
        reader, proxy = readers[name], guard[name]
        token, started = proxy.token(groups=[who], sub=f"{who} {name}"), reader.requests()
        answers = {case["note"]: sent(proxy.port, written(case, proxy.port, token)) for case in CASES}
        return Answered(answers, reader.requests() - started)

    return asked


@pytest.mark.parametrize("who", ["wide", "narrow"])
@pytest.mark.parametrize("name", [*STRICT, *LOOSENED])
def test_what_is_served_is_what_was_decided_on(
    readers: dict[str, Reader], guard: dict[str, Proxy], ask: Callable[[str, str], Answered], name: str, who: str
) -> None:
    asked, reader, proxy = ask(name, who), readers[name], guard[name]
    problems = {case["note"]: wrong(reader, case, asked.answers[case["note"]]) for case in CASES}
    assert {note: problem for note, problem in problems.items() if problem} == {}
    served = [Read.of(asked.answers[note].body) for note in asked.served]
    assert asked.requests == len(served), "what was refused has not been sent"
    recorded = [
        (flow["request"]["method"], flow["request"]["path"])
        for flow in proxy.flows("list", "--principal", f"{who} {name}", "--limit", "1000")
        if flow["outcome"]["refusal"] is None
    ]
    assert sorted(recorded) == sorted((read.method, read.target.partition("?")[0]) for read in served)


@pytest.mark.parametrize("name", ["nginx", "asgi", *LOOSENED])
def test_a_forward_proxy_decides_no_differently(readers: dict[str, Reader], guard: dict[str, Proxy], name: str) -> None:
    reader, proxy = readers[name], guard[FORWARD]
    token, started = proxy.token(groups=["wide"]), reader.requests()
    answers = [(case, sent(proxy.port, written_to_proxy(case, reader.port, token))) for case in CASES]
    problems = {case["note"]: wrong(reader, case, answer) for case, answer in answers}
    assert {note: problem for note, problem in problems.items() if problem} == {}
    assert reader.requests() == started + sum(answer.status == 200 for _, answer in answers)


@pytest.mark.parametrize("name", STRICT)
def test_what_is_loosened_is_let_through_where_it_was_refused(
    readers: dict[str, Reader], ask: Callable[[str, str], Answered], name: str
) -> None:
    """Or the switches would do nothing, and the test above would prove nothing of them."""
    loosened = {"an escaped slash in the public prefix"}
    if readers[f"{name} loosened"].loosened == BRIEF:
        loosened = {
            "two slashes within the public prefix",
            "a parameter in the public prefix",
            "capitals in the public prefix",
        }
    assert ask(f"{name} loosened", "narrow").served == ask(name, "narrow").served | loosened


def test_the_tricks_reach_the_admin_pages_where_nobody_guards_them(readers: dict[str, Reader]) -> None:
    """Or a proxy that refuses nothing would pass."""
    tricks = [case for case in CASES if not case.get("honest")]
    found = {}
    for name, reader in readers.items():
        answers = [sent(reader.port, written(case, reader.port)) for case in tricks]
        found[name] = sum(answer.status == 200 and Read.of(answer.body).place == "admin" for answer in answers)
    assert len({case["note"] for case in tricks}) == len(tricks) >= 100
    assert {name: count for name, count in found.items() if count < 30} == {}
    assert found["asgi"] >= 60


def test_the_tricks_are_refused_over_http2_too(readers: dict[str, Reader], guard: dict[str, Proxy]) -> None:
    reader, proxy = readers["asgi"], guard["asgi"]
    token, started, served = proxy.token(groups=["wide"]).encode(), reader.requests(), 0
    for case in CASES:
        target = case.get("target", "/public/x").encode("latin-1")
        line = {b":method": b"GET", b":scheme": b"https", b":authority": b"127.0.0.1:%d" % proxy.port, b":path": target}
        with Client(proxy.port) as connection:
            status, body = connection.request([*line.items(), (b"authorization", b"Bearer " + token)])
        if status == 200:
            assert wrong(reader, case | {"method": "GET"}, Answer(200, HTTPMessage(), body)) is None
            served += 1
    assert served >= 5
    assert reader.requests() == started + served
