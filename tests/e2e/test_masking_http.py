"""Masking and HTTP: what is asked of the upstream, what becomes of headers that vouch for a body, what is withheld.

And what happens when masking itself fails, or rules change under it. Whatever goes wrong, the caller gets a reason in
place of the answer, and everybody else the answers that are his.
"""

import contextlib
import gzip
import json
import os
import select
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from tests.e2e.asking import Got, answer, ask, chunked
from tests.e2e.conftest import Start
from tests.e2e.documents import JSON, person
from tests.e2e.planted import DETECTED, EMAIL, MASKED, NAME, RAW, VALUES, escaped, found_in
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import received

WHAT = {
    "fields": ["$..legal_name", "header:X-Legal-Name"],
    "detect": list(DETECTED),
    "pass_types": ["image/png", "text/event-stream"],
}
MASKS: dict[str, dict[str, Any]] = {
    "/masked/{rest...}": WHAT,
    "/headers/{rest...}": {"fields": ["header:X-Legal-Name"]},
    "/excepted/{rest...}": {**WHAT, "except": {"principal": {"groups": ["privacy"]}}},
    "/texts/{rest...}": {**WHAT, "pass_types": ["text/html", "text/plain"]},
}
MASKING = {
    "masks": [
        *({"id": f"mask-{at}", "match": {"path": path}, **mask} for at, (path, mask) in enumerate(MASKS.items())),
        {"id": "theirs", "match": {"path": "/theirs", "principal": {"groups": ["support"]}}, **WHAT},
    ]
}
BOOM = "c4n4ry-goes-boom"
FAILING = f"""
from headgate.masking.detection.detector import Detector

detect = Detector.__call__

def failing(self, leaves):
    if any({BOOM!r} in leaf.text for leaf in leaves):
        raise ValueError([leaf.text for leaf in leaves])
    return detect(self, leaves)

Detector.__call__ = failing
"""
"""What Python imports first, in the proxy and in every process that masks for it."""


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    upstream.forget()
    folder = tmp_path_factory.mktemp("http")
    (folder / "sitecustomize.py").write_text(FAILING)
    rules = write_rules(folder / "rules", masking=json.dumps(MASKING))
    environment = {"PYTHONPATH": str(folder)}
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, environment=environment).warm("/masked/warm")
    yield proxy
    proxy.settle()
    assert not found_in(proxy.everything_shown())


def reason(got: Got) -> str:
    told: dict[str, str] = json.loads(got.body)
    assert (got.status, told["type"].rpartition(":")[2]) == (502, "withheld"), got.body
    assert not found_in(got.raw)
    return told["reason"]


# ------------------------------------------------------------------------------------- what the upstream is asked for

ACCEPTED = {
    "gzip, br;q=0.5, x-snappy, *;q=0.1": "gzip, br;q=0.5",
    "deflate, zstd, gzip;q=0": "deflate, zstd, gzip;q=0",
    "*": "identity",
    "compress": "identity",
    "": "identity",
}
PLACES = ("/plain/x", "/headers/x", "/excepted/x")
"""Where nothing in a body is masked for who asks: for the last, it is somebody who is excepted."""


def of(proxy: Proxy, path: str) -> str:
    return proxy.token(groups=["support", "privacy"]) if path.startswith("/excepted") else proxy.token()


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_only_codings_that_can_be_undone_are_asked_for(proxy: Proxy, upstream: Upstream, accepted: str) -> None:
    ask(proxy, "/masked/x", f"Accept-Encoding: {accepted}")
    assert upstream.seen[0].header("accept-encoding") == [ACCEPTED[accepted]]


@pytest.mark.parametrize("path", PLACES)
def test_any_coding_may_be_asked_for_where_nothing_is_masked(proxy: Proxy, upstream: Upstream, path: str) -> None:
    ask(proxy, path, "Accept-Encoding: x-snappy, gzip", token=of(proxy, path))
    ask(proxy, path, token=of(proxy, path))
    assert [seen.header("accept-encoding") for seen in upstream.seen] == [["x-snappy, gzip"], []]


CONDITIONS = {
    "Range": "bytes=0-9",
    "If-Range": '"v1"',
    "If-None-Match": '"v1"',
    "If-Modified-Since": "Sat, 29 Oct 1994 19:43:31 GMT",
}


def seen_of(upstream: Upstream) -> dict[str, str]:
    return {name: value for name in CONDITIONS for value in upstream.seen[-1].header(name)}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_asks_for_a_part_or_for_nothing_new_where_a_body_is_masked(
    proxy: Proxy, upstream: Upstream, method: str
) -> None:
    """304 would revive the copy from before the mask; a part cannot be searched for what begins before it."""
    fields = [f"{name}: {value}" for name, value in CONDITIONS.items()]
    assert ask(proxy, "/masked/x", *fields, method=method).status == 200
    assert seen_of(upstream) == {}
    for path in PLACES:
        assert ask(proxy, path, *fields, method=method, token=of(proxy, path)).status == 200
        assert seen_of(upstream) == CONDITIONS


def test_a_condition_on_a_write_protects_somebody_and_stays(proxy: Proxy, upstream: Upstream) -> None:
    fields = ('If-Match: "v1"', "If-None-Match: *", f"Content-Type: {JSON}")
    assert ask(proxy, "/masked/x", *fields, method="PUT", body=b"{}").status == 200
    assert (upstream.seen[0].header("if-match"), upstream.seen[0].header("if-none-match")) == (['"v1"'], ["*"])


@pytest.mark.parametrize("status", [206, 304])
def test_parts_and_revived_copies_pass_only_where_nothing_is_masked(
    proxy: Proxy, upstream: Upstream, status: int
) -> None:
    body = b"" if status == 304 else person(RAW).encode()[:300]
    fields = {"Content-Type": JSON, "ETag": '"v1"', "Content-Range": "bytes 0-299/900"}
    for path in ("/masked/x", *PLACES):
        upstream.replies[path] = Reply(body, status=status, headers=fields)
    withheld = ask(proxy, "/masked/x", "Range: bytes=0-299")
    assert reason(withheld) == ("partial-response" if status == 206 else "not-modified-response")
    for path in PLACES[1:] if status == 206 else PLACES:
        got = ask(proxy, path, token=of(proxy, path)) if path != "/headers/x" or status == 304 else None
        assert got is None or (got.status, got.body, got.header("etag")) == (status, body, ['"v1"'])


# ------------------------------------------------------------------------------------------------ headers of the answer

VOUCHERS = {
    "ETag": '"v1"',
    "Digest": "sha-256=eA==",
    "Content-Digest": "sha-256=:eA==:",
    "Repr-Digest": "sha-256=:eA==:",
    "Content-MD5": "eA==",
    "Signature": "sig1=:eA==:",
    "Signature-Input": 'sig1=("content-digest")',
    "Accept-Ranges": "bytes",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/masked/x", "/headers/x", "/plain/x"])
def test_what_vouches_for_a_body_goes_when_the_body_changes(
    proxy: Proxy, upstream: Upstream, path: str, method: str
) -> None:
    kept = "/masked" not in path
    sent = person(RAW if path == "/masked/x" else MASKED).encode()
    upstream.replies[path] = Reply(sent, headers={"Content-Type": JSON, **VOUCHERS})
    got = ask(proxy, path, method=method)
    assert got.status == 200
    assert {name: value for name in VOUCHERS for value in got.header(name)} == (VOUCHERS if kept else {})
    body = person(MASKED).encode()
    assert got.body == (b"" if method == "HEAD" else body)
    length = [str(len(body))] if kept or method == "GET" else []
    assert got.header("content-length") == length, "a masked HEAD does not tell how long the original is"


def test_a_body_in_which_nothing_is_masked_is_not_touched(proxy: Proxy, upstream: Upstream) -> None:
    body = gzip.compress(b'{"id":  7}')
    fields = {"Content-Type": JSON, "Content-Encoding": "gzip", **VOUCHERS}
    upstream.replies["/masked/x"] = Reply(body, headers=fields)
    got = ask(proxy, "/masked/x", "Accept-Encoding: gzip")
    assert (got.status, got.body) == (200, body)
    assert {name: value for name in fields for value in got.header(name)} == fields


CACHED = {"Cache-Control": "public, max-age=60", "CDN-Cache-Control": "max-age=600", "Surrogate-Control": "max-age=9"}


def test_no_cache_keeps_what_depends_on_the_caller(proxy: Proxy, upstream: Upstream) -> None:
    for path in ("/masked/x", "/excepted/x", "/theirs", "/plain/x"):
        upstream.replies[path] = Reply(headers={"Content-Type": JSON, **CACHED})
    privacy, visitor = (proxy.token(groups=["support", "privacy"]), proxy.token(groups=["support"], sub="bob"))
    kept = {
        path: [
            {name: value for name in CACHED for value in ask(proxy, path, token=token).header(name)}
            for token in (privacy, visitor)
        ]
        for path in upstream.replies
        if path != "/customers/7"
    }
    private = [{"Cache-Control": "private, no-store"}] * 2
    same = [CACHED] * 2
    assert kept == {"/masked/x": same, "/excepted/x": private, "/theirs": private, "/plain/x": same}


# ----------------------------------------------------------------------------------------------------- what is withheld

BOMB = b"\0" * (33 * 1024 * 1024)
WITHHELD: dict[str, tuple[str, str, bytes, str]] = {
    "a coding nobody knows": (JSON, "x-snappy", person(RAW).encode(), "content-coding-unknown"),
    "two codings": (JSON, "gzip, br", brotli.compress(gzip.compress(b"{}")), "content-coding-stacked"),
    "one coding twice": (JSON, "gzip, gzip", gzip.compress(gzip.compress(b"{}")), "content-coding-stacked"),
    "half of it": (JSON, "gzip", gzip.compress(person(RAW).encode())[:-9], "content-coding-damaged"),
    "more after its end": (JSON, "deflate", zlib.compress(b"{}") + person(RAW).encode(), "content-coding-damaged"),
    "text after brotli": (JSON, "br", brotli.compress(b"{}") + person(RAW).encode(), "content-coding-damaged"),
    "none at all": (JSON, "zstd", person(RAW).encode(), "content-coding-damaged"),
    "a bomb of gzip": (JSON, "gzip", gzip.compress(BOMB), "body-too-large"),
    "a bomb of deflate": (JSON, "deflate", zlib.compress(BOMB), "body-too-large"),
    "a bomb of brotli": (JSON, "br", brotli.compress(BOMB, quality=1), "body-too-large"),
    "a bomb of zstd": (JSON, "zstd", zstandard.compress(BOMB), "body-too-large"),
    "json in utf-16": (f"{JSON}; charset=utf-16le", "", "{}".encode("utf-16-le"), "charset-not-maskable"),
    "json in utf-16 that does not say so": (JSON, "", b"\xff\xfe" + "{}".encode("utf-16-le"), "charset-not-maskable"),
    "a charset nobody masks": ("text/csv; charset=utf-7", "", b"a+AEA-b", "charset-not-maskable"),
    "utf-16 that says utf-8": (
        "text/csv; charset=utf-8",
        "",
        b"\xff\xfe" + "a;b".encode("utf-16-le"),
        "charset-contradicted",
    ),
    "a page of two minds": ("text/html; charset=utf-8", "", b'<meta charset="shift_jis">x', "charset-contradicted"),
    "no utf-8": (JSON, "", b'{"a": "\xff"}', "charset-wrong"),
    "two charsets": (f"{JSON}; charset=utf-8; charset=utf-16le", "", b"{}", "content-type-unreadable"),
    "fields in a text": ("text/plain", "", VALUES[EMAIL].encode(), "fields-in-text"),
    "json with something after it": (JSON, "", person(RAW).encode() + b"{}", "invalid-json"),
    "parts without their end": (
        "multipart/mixed; boundary=x",
        "",
        b"--x\r\n\r\n" + VALUES[EMAIL].encode(),
        "multipart-unreadable",
    ),
    "parts of ranges": ("multipart/byteranges; boundary=x", "", b"--x\r\n\r\n\r\n--x--\r\n", "partial-response"),
    "a document of entities": ("application/xml", "", b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "xml-doctype"),
}


@pytest.mark.parametrize("what", WITHHELD)
def test_what_cannot_be_read_with_certainty_is_withheld(proxy: Proxy, upstream: Upstream, what: str) -> None:
    kind, coding, body, expected = WITHHELD[what]
    path = "/texts/x" if kind.startswith("text/html") else "/masked/x"
    fields = {"Content-Type": kind, **({"Content-Encoding": coding} if coding else {})}
    upstream.replies[path] = Reply(body, headers=fields)
    assert reason(ask(proxy, path)) == expected


def test_types_that_may_pass_unread_pass(proxy: Proxy, upstream: Upstream) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    upstream.replies["/masked/x"] = Reply(picture, headers={"Content-Type": "image/png", "ETag": '"v1"'})
    got = ask(proxy, "/masked/x")
    assert (got.status, got.body, got.header("etag")) == (200, picture, ['"v1"'])


# --------------------------------------------------------------------------------------------------- when masking fails


def large(inner: str, size: int = 20_000) -> bytes:
    """A document that is masked in a process of its own, with something to mask at its end."""
    return json.dumps({"filler": ["kept"] * (size // 8), "inner": inner, "mail": VALUES[EMAIL]}).encode()


@pytest.mark.parametrize(
    "body", [person(RAW).replace("write", BOOM).encode(), large(BOOM)], ids=["here", "in a worker"]
)
def test_a_detector_that_raises_withholds_the_answer(proxy: Proxy, upstream: Upstream, body: bytes) -> None:
    upstream.replies["/masked/x"] = Reply(body, headers={"Content-Type": JSON, "X-Legal-Name": VALUES[NAME]})
    got = ask(proxy, "/masked/x")
    assert got.status in (500, 502)
    assert not found_in(got.raw)
    assert BOOM.encode() not in got.raw
    upstream.replies["/masked/x"] = Reply(large("calm"), headers={"Content-Type": JSON})
    assert json.loads(ask(proxy.warm("/masked/x"), "/masked/x").body)["mail"] == "[EMAIL_ADDRESS]"


def test_a_detector_that_raises_ends_a_stream(proxy: Proxy, upstream: Upstream) -> None:
    said = f"data: {person(RAW)}\n\ndata: {BOOM} {VALUES[EMAIL]}\n\ndata: {person(RAW)}\n\n"
    upstream.replies["/masked/x"] = Reply(raw=chunked(said.encode(), "Content-Type: text/event-stream", size=4096))
    raw = proxy.raw(proxy.written("GET", "/masked/x", "Connection: close"))
    assert not found_in(raw)
    assert not raw.endswith(b"0\r\n\r\n"), "it does not end as if all had been said"


def workers(proxy: Proxy) -> list[int]:
    """The processes that mask for this proxy."""
    listed = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"headgate.masking.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def detects_here(proxy: Proxy, upstream: Upstream) -> None:
    """Once a stream is masked, detection is loaded in the proxy's own process, and small answers need no other."""
    upstream.replies["/masked/stream"] = Reply(raw=chunked(b"data: x\n\n", "Content-Type: text/event-stream"))
    assert ask(proxy, "/masked/stream").body == b"data: x\n\n"


@contextlib.contextmanager
def stopped(proxy: Proxy) -> Iterator[list[int]]:
    """Nothing is masked in a worker meanwhile."""
    pids = workers(proxy)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.usefixtures("detects_here")
def test_a_worker_that_dies_takes_its_answer_with_it_and_no_other(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/masked/large"] = Reply(large("x"), headers={"Content-Type": JSON})
    upstream.replies["/masked/small"] = Reply(person(RAW).encode(), headers={"Content-Type": JSON})
    with stopped(proxy) as pids, proxy.connect() as connection:
        connection.sendall(proxy.written("GET", "/masked/large", "Connection: close"))
        assert upstream.arrived.wait(10)
        for _ in range(3):  # by then a worker has got it
            assert ask(proxy, "/masked/small").body == person(MASKED).encode()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        dead = answer(received(connection))
    assert reason(dead) == "masking-worker-failed"
    proxy.warm("/masked/large")
    assert json.loads(ask(proxy, "/masked/large").body)["mail"] == "[EMAIL_ADDRESS]"


HOSTILE = {f"{piece!r} for {size} kB": piece * (size * 512) for piece in ("a.", "a-", "1 ", "=a") for size in (1, 16)}


@pytest.mark.usefixtures("detects_here")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_masked_and_holds_nobody_up(proxy: Proxy, upstream: Upstream, name: str) -> None:
    """With all workers stopped, everybody else is still served: what takes long is not done where all requests are."""
    upstream.replies["/masked/hostile"] = Reply(large(HOSTILE[name]), headers={"Content-Type": JSON})
    upstream.replies["/masked/small"] = Reply(person(RAW).encode(), headers={"Content-Type": JSON})
    with proxy.connect() as connection:
        with stopped(proxy):
            connection.sendall(proxy.written("GET", "/masked/hostile", "Connection: close"))
            assert upstream.arrived.wait(10)
            assert ask(proxy, "/masked/small").body == person(MASKED).encode()
            assert select.select([connection], [], [], 0) == ([], [], []), "nobody has masked it yet"
        got = answer(received(connection))
    assert (got.status, json.loads(got.body)["mail"]) == (200, "[EMAIL_ADDRESS]"), got.body[:300]
    assert not found_in(got.raw)


# ------------------------------------------------------------------------------------------------------ changed rules

KEYED = '{masks: [{id: m, match: {}, detect: [EMAIL_ADDRESS], as: {default: token}}], token_key: "%s"}'
PLAIN = "{masks: [{id: m, match: {}, detect: [EMAIL_ADDRESS]}]}"
UNSET = KEYED % "env:TOKEN_KEY_THAT_IS_NOT_SET"
CUSTOM = """
masks:
  - {id: m, match: {}, detect: [BADGE, EMAIL_ADDRESS], as: {BADGE: last4}}
recognizers: recognizers.yaml
"""
BADGE = r"recognizers: [{name: b, supported_entity: BADGE, patterns: [{name: p, regex: '%s', score: 0.9}]}]"


@pytest.fixture(scope="module")
def changeable(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    rules = write_rules(tmp_path_factory.mktemp("changing") / "rules", masking=PLAIN)
    return proxies(mode=f"reverse:{upstream.url}", rules=rules).warm("/warm")


def change(proxy: Proxy, **files: str) -> None:
    before = len(proxy.output.lines)
    write_rules(proxy.rules, **files, bundle=f"name: test\nversion: 1.0.0\n# {before}\n")
    proxy.output.wait_for(r"rules `test` .* are in force|are as they were", after=before)


def refused(proxy: Proxy, told: str, **files: str) -> None:
    before = len(proxy.output.lines)
    write_rules(proxy.rules, **files)
    proxy.output.wait_for("the changed rules cannot be used, the last good ones stay in force", after=before)
    proxy.output.wait_for(told, after=before)


def said(proxy: Proxy, upstream: Upstream, note: str) -> str:
    upstream.replies["/note"] = Reply(json.dumps({"note": note}).encode(), headers={"Content-Type": JSON})
    return str(json.loads(ask(proxy, "/note").body)["note"])


def test_no_proxy_starts_without_the_key_of_its_tokens(attempt: Start, upstream: Upstream, tmp_path: Path) -> None:
    proxy = attempt(mode=f"reverse:{upstream.url}", rules=write_rules(tmp_path / "rules", masking=UNSET))
    assert proxy.wait() != 0
    assert "secret `env:TOKEN_KEY_THAT_IS_NOT_SET` is not set" in proxy.output.text


def test_rules_without_the_key_of_their_tokens_change_nothing(
    changeable: Proxy, upstream: Upstream, tmp_path: Path
) -> None:
    change(changeable, masking=PLAIN)
    refused(changeable, "secret `env:TOKEN_KEY_THAT_IS_NOT_SET` is not set", masking=UNSET)
    assert said(changeable, upstream, VALUES[EMAIL]) == "[EMAIL_ADDRESS]"
    key = tmp_path / "token.key"
    key.write_text("0123456789abcdef" * 2)
    key.chmod(0o600)
    change(changeable, masking=KEYED % f"file:{key}")
    token = said(changeable, upstream, VALUES[EMAIL])
    assert token.endswith(".test")
    assert said(changeable, upstream, f"to {VALUES[EMAIL]}") == f"to {token}"


def test_custom_recognizers_change_under_a_running_proxy(changeable: Proxy, upstream: Upstream) -> None:
    note = f"badge E-1234567 and B-7654321 of {VALUES[EMAIL]}"
    change(changeable, masking=CUSTOM, recognizers=BADGE % r"\bE-\d{7}\b")
    assert said(changeable, upstream, note) == "badge *-***4567 and B-7654321 of [EMAIL_ADDRESS]"
    change(changeable, masking=CUSTOM, recognizers=BADGE % r"\bB-\d{7}\b")
    assert said(changeable, upstream, note) == "badge E-1234567 and *-***4321 of [EMAIL_ADDRESS]"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (BADGE % "(", "masking.yaml:.*`recognizers.yaml`: .*regular expression"),
        (BADGE % "x*", "matches the empty text"),
        (BADGE.replace("BADGE", "OTHER") % "x", "`BADGE` cannot be detected"),
        ("recognizers: 7", "`recognizers.yaml`: .*recognizers"),
    ],
)
def test_a_broken_file_of_recognizers_changes_nothing(
    changeable: Proxy, upstream: Upstream, broken: str, told: str
) -> None:
    change(changeable, masking=CUSTOM, recognizers=BADGE % r"\bE-\d{7}\b")
    refused(changeable, told, masking=CUSTOM, recognizers=broken)
    assert said(changeable, upstream, "badge E-1234567") == "badge *-***4567"


def test_recognizers_find_what_they_are_for_in_every_format(changeable: Proxy, upstream: Upstream) -> None:
    change(changeable, masking=CUSTOM.replace("last4", "redact"), recognizers=BADGE % r"\bE-\d{7}\b")
    upstream.replies["/b"] = Reply(
        f'<a b="{"".join(f"&#{ord(c)};" for c in "E-1234567")}">E-1234567</a>'.encode(),
        headers={"Content-Type": "text/xml", "X-Badge": "E-1234567"},
    )
    got = ask(changeable, "/b")
    assert (got.body, got.header("x-badge")) == (b'<a b="[BADGE]">[BADGE]</a>', ["[BADGE]"])
    upstream.replies["/b"] = Reply(f'{{"b": "{escaped("E-1234567")}"}}'.encode(), headers={"Content-Type": JSON})
    assert ask(changeable, "/b").body == b'{"b": "[BADGE]"}'
