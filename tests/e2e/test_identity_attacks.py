"""Attacks on identity at the door: the client gets a refusal with its reason, and the upstream sees nothing at all.

What is tried over HTTP/1.1 is tried over HTTP/2 too, as far as it can be said there. That no token of these attacks is
in any log or record is asserted when the module ends (`Proxy.finish`).
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.agent import basic
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client
from tests.e2e.issuer import Key, jwks
from tests.e2e.output import PATIENCE
from tests.e2e.parties import LATE, Parties, reason_of, rules_in
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import answer_on, received

Field = tuple[str, str]
Refused = tuple[int, str]


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    made = Parties()
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def guard(proxies: Start, upstream: Upstream, parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    rules = rules_in(tmp_path_factory.mktemp("guard") / "rules", parties)
    return proxies("--set", "termlog_verbosity=debug", mode=f"reverse:{upstream.url}", rules=rules).ready()


def over_http1(proxy: Proxy, fields: list[Field], path: str, body: bytes) -> Refused:
    given = [f"{name}: {value}" for name, value in fields]
    method = "POST" if body else "GET"
    length = [f"Content-Length: {len(body)}"] if body else []
    with proxy.connect() as connection:
        connection.sendall(proxy.written(method, path, *given, *length, token=None, body=body))
        answer = answer_on(connection, method)
    return answer.status, reason_of(answer.body)


def over_http2(proxy: Proxy, fields: list[Field], path: str, body: bytes) -> Refused:
    line = {
        "method": "POST" if body else "GET",
        "scheme": "https",
        "authority": f"127.0.0.1:{proxy.port}",
        "path": path,
    }
    given = [*((f":{name}", value) for name, value in line.items()), *((name.lower(), value) for name, value in fields)]
    given += [("content-length", str(len(body)))] if body else []
    with Client(proxy.port) as connection:
        status, answer = connection.request([(name.encode(), value.encode("latin-1")) for name, value in given], body)
    return (status, reason_of(answer)) if isinstance(status, int) else (0, status)


WAYS = {"http/1.1": over_http1, "http/2": over_http2}


# ---------------------------------------------------------------------------------------------------------- the tokens

BY_TOKEN = {
    "none": "algorithm-refused",
    "unsigned": "token-encoding",
    "hs": "algorithm-refused",
    "jwk": "header-refused",
    "jku": "header-refused",
    "x5u": "header-refused",
    "zip": "header-refused",
    "nested": "header-refused",
    "kid": "kid-refused",
    "sql": "kid-refused",
    "stranger": "signature-invalid",
    "partner": "signature-invalid",
    "partners": "signature-invalid",
    "der": "signature-invalid",
    "zero": "signature-invalid",
    "short": "signature-invalid",
    "padded": "token-encoding",
    "trailing": "token-segments",
    "utf-16": "token-json",
    "long": "token-too-long",
    "suffix": "issuer-unknown",
    "below": "issuer-unknown",
    "part": "audience-mismatch",
    "listed": "audience-invalid",
    "expired": "expired",
    "endless": "expiry-missing",
    "text": "expiry-invalid",
    "huge": "expiry-invalid",
    "early": "not-yet-valid",
    "logout": "type-refused",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_good_token_is_good(guard: Proxy, upstream: Upstream, parties: Parties, way: str) -> None:
    """Or the refusals below would prove nothing; a scheme has no case, and blanks may follow it."""
    for fields in (
        [("Authorization", f"Bearer {parties.made['ana']}")],
        [("AUTHORIZATION", f"BEARER   {parties.made['ana']}")],
        [("Cookie", f"a=1;\tCF_Authorization = {parties.made['access']} ;b=2")],
    ):
        assert WAYS[way](guard, fields, "/things", b"") == (200, "")
    seen = upstream.received.lower()
    assert len(upstream.seen) == 3
    assert b"cf_authorization" not in seen
    assert b"authorization:" not in seen
    assert not any(
        text.split(".")[2].lower().encode() in seen for text in (parties.made["ana"], parties.made["access"])
    )


@pytest.mark.parametrize("way", WAYS)
def test_no_forged_token_gets_through(guard: Proxy, upstream: Upstream, parties: Parties, way: str) -> None:
    asked = len(parties.server.seen)
    found = {
        name: WAYS[way](guard, [("Authorization", f"Bearer {parties.made[name]}")], "/things", b"") for name in BY_TOKEN
    }
    assert found == {name: (401, reason) for name, reason in BY_TOKEN.items()}
    assert upstream.received == b""
    assert len(parties.server.seen) == asked, "no key was looked for where the token says"


# ---------------------------------------------------------------------------------------------------------- the fields

BY_FIELDS: dict[str, tuple[list[Field], Refused]] = {
    "no scheme": ([("Authorization", "{ana}")], (401, "unsupported-scheme")),
    "another scheme": ([("Authorization", "Token {ana}")], (401, "unsupported-scheme")),
    "a scheme with a colon": ([("Authorization", "Bearer: {ana}")], (401, "unsupported-scheme")),
    "a scheme with an equals sign": ([("Authorization", "Bearer={ana}")], (401, "unsupported-scheme")),
    "a scheme with a tab": ([("Authorization", "Bearer\t{ana}")], (401, "unsupported-scheme")),
    "a scheme and nothing": ([("Authorization", "Bearer")], (401, "credentials-malformed")),
    "a scheme twice": ([("Authorization", "Bearer Bearer {ana}")], (401, "credentials-malformed")),
    "two schemes, the token last": ([("Authorization", "Basic eA==, Bearer {ana}")], (401, "unsupported-scheme")),
    "two schemes, the token first": ([("Authorization", "Bearer {ana}, Basic eA==")], (401, "credentials-malformed")),
    "two tokens joined by a comma": ([("Authorization", "Bearer {ana},{eve}")], (401, "credentials-malformed")),
    "two tokens joined by a blank": ([("Authorization", "Bearer {ana} {eve}")], (401, "credentials-malformed")),
    "a token in quotes": ([("Authorization", 'Bearer "{ana}"')], (401, "credentials-malformed")),
    "a token by its name": ([("Authorization", "Bearer token={ana}")], (401, "token-encoding")),
    "a token with a byte of 0xFF": ([("Authorization", "Bearer {ana}\xff")], (401, "credentials-malformed")),
    "a token as a password": ([("Authorization", "Basic {basic}")], (401, "unsupported-scheme")),
    "a token in a digest": ([("Authorization", 'Digest username="{ana}"')], (401, "unsupported-scheme")),
    "a token with a proof, where none is asked for": (
        [("Authorization", "DPoP {ana}"), ("DPoP", "{eve}")],
        (401, "unsupported-scheme"),
    ),
    "a token for another proxy": ([("Proxy-Authorization", "Bearer {ana}")], (401, "no-token")),
    "two good tokens": (
        [("Authorization", "Bearer {ana}"), ("Authorization", "Bearer {eve}")],
        (400, "duplicate-header"),
    ),
    "one good token twice": (
        [("Authorization", "Bearer {ana}"), ("authorization", "Bearer {ana}")],
        (400, "duplicate-header"),
    ),
    "a good token after a bad one": (
        [("Authorization", "Bearer {stranger}"), ("Authorization", "Bearer {ana}")],
        (400, "duplicate-header"),
    ),
    "good tokens of two providers": (
        [("Authorization", "Bearer {ana}"), ("Cf-Access-Jwt-Assertion", "{access}")],
        (401, "two-tokens"),
    ),
    "a good token beside a forged cookie": (
        [("Authorization", "Bearer {ana}"), ("Cookie", "CF_Authorization={stranger}")],
        (401, "issuer-unknown"),
    ),
    "the header of a provider, with underscores": ([("Cf_Access_Jwt_Assertion", "{access}")], (400, "aliased-header")),
    "the header of a provider, with dots": ([("Cf.Access.Jwt.Assertion", "{access}")], (400, "aliased-header")),
    "the header of a provider, with other signs": ([("Cf!Access~Jwt'Assertion", "{access}")], (400, "aliased-header")),
    "a header that means nothing, with other signs": (
        [("Authorization", "Bearer {ana}"), ("X*Forwarded+User", "eve")],
        (400, "aliased-header"),
    ),
    "the header of a provider with a scheme": (
        [("Cf-Access-Jwt-Assertion", "Bearer {access}")],
        (401, "credentials-malformed"),
    ),
    "the header of a provider twice": (
        [("Cf-Access-Jwt-Assertion", "{access}"), ("CF-ACCESS-JWT-ASSERTION", "{access}")],
        (400, "duplicate-header"),
    ),
    "the header of a provider that is not there": ([("X-Goog-Iap-Jwt-Assertion", "{ana}")], (401, "no-token")),
    "the header of one provider with another's token": (
        [("Cf-Access-Jwt-Assertion", "{ana}")],
        (401, "issuer-unknown"),
    ),
    "the header of a proxy that is not there": ([("X-Forwarded-Access-Token", "{ana}")], (401, "no-token")),
    "a certificate that nobody saw": ([("X-Forwarded-Client-Cert", "URI=spiffe://corp/ana")], (401, "no-token")),
    "headers that say who calls": (
        [("X-Forwarded-User", "ana"), ("X-Amzn-Oidc-Identity", "ana"), ("Remote-User", "ana")],
        (401, "no-token"),
    ),
    "an assertion of this proxy": ([("X-Headgate-Assertion", "{ana}")], (401, "no-token")),
    "a token in a header of the caller's own": ([("X-Access-Token", "{ana}"), ("Token", "{ana}")], (401, "no-token")),
    "a byte of 0xFF elsewhere": ([("Authorization", "Bearer {ana}"), ("X-A", "b\xff")], (400, "header-not-utf8")),
    "two cookies of one name": (
        [("Cookie", "CF_Authorization={access}; CF_Authorization={other}")],
        (401, "two-tokens"),
    ),
    "two cookies of one name in two fields": (
        [("Cookie", "CF_Authorization={access}"), ("Cookie", "CF_Authorization={other}")],
        (401, "two-tokens"),
    ),
    "a cookie that differs from the header": (
        [("Cookie", "CF_Authorization={access}"), ("Cf-Access-Jwt-Assertion", "{other}")],
        (401, "two-tokens"),
    ),
    "an empty cookie beside a good one": (
        [("Cookie", "CF_Authorization=; CF_Authorization={access}")],
        (401, "credentials-malformed"),
    ),
    "a cookie in quotes": ([("Cookie", 'CF_Authorization="{access}"')], (401, "credentials-malformed")),
    "a cookie with an escape": ([("Cookie", "CF_Authorization={access}%20")], (401, "credentials-malformed")),
    "a cookie with a byte of 0xFF": ([("Cookie", "CF_Authorization={access}\xff")], (401, "credentials-malformed")),
    "a cookie in small letters": ([("Cookie", "cf_authorization={access}")], (401, "no-token")),
    "a cookie with a prefix": ([("Cookie", "__Host-CF_Authorization={access}")], (401, "no-token")),
    "a cookie with an index": ([("Cookie", "CF_Authorization[0]={access}")], (401, "no-token")),
    "a cookie whose name is an escape": ([("Cookie", "CF%5FAuthorization={access}")], (401, "no-token")),
    "a cookie with a dollar sign": ([("Cookie", "$CF_Authorization={access}")], (401, "no-token")),
    "a cookie after a comma": ([("Cookie", "a=1,CF_Authorization={access}")], (401, "no-token")),
    "a cookie within a cookie": ([("Cookie", "a=CF_Authorization={access}")], (401, "no-token")),
    "a cookie of another version": ([("Cookie2", "CF_Authorization={access}")], (401, "no-token")),
    "a cookie that an answer would set": ([("Set-Cookie", "CF_Authorization={access}")], (401, "no-token")),
}


def filled(fields: list[Field], parties: Parties) -> list[Field]:
    encoded = base64.b64encode(f"token:{parties.made['ana']}".encode()).decode()
    return [(name, value.format(**parties.made, basic=encoded)) for name, value in fields]


@pytest.mark.parametrize("way", WAYS)
def test_a_proof_stands_in_one_place_in_one_form(guard: Proxy, upstream: Upstream, parties: Parties, way: str) -> None:
    found = {name: WAYS[way](guard, filled(fields, parties), "/things", b"") for name, (fields, _) in BY_FIELDS.items()}
    assert found == {name: expected for name, (_, expected) in BY_FIELDS.items()}
    assert upstream.received == b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["access_token", "token", "jwt", "id_token", "authorization", "CF_Authorization"])
def test_a_token_in_query_or_body_is_no_proof(
    guard: Proxy, upstream: Upstream, parties: Parties, way: str, name: str
) -> None:
    token = parties.made["ana"]
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    for fields, path, body in (
        ([], f"/things?{name}={token}", b""),
        (form, "/things", f"{name}={token}".encode()),
        ([("Content-Type", "application/json")], "/things", json.dumps({name: token}).encode()),
    ):
        assert WAYS[way](guard, fields, path, body) == (401, "no-token")
    assert upstream.received == b""


ONLY_HTTP1 = {
    "a folded token": ("Authorization: Bearer\r\n {ana}", "control-character"),
    "a token folded after a tab": ("Authorization: Bearer\r\n\t{ana}", "control-character"),
    "a field hidden in a folded line": ("X-A: b\r\n Authorization: Bearer {ana}", "control-character"),
    "a field ended by a bare carriage return": ("X-A: b\rAuthorization: Bearer {ana}", "control-character"),
    "a blank before the colon": ("Authorization : Bearer {ana}", None),
    "a NUL in the name": ("Authorization\0: Bearer {ana}", None),
    "a byte of 0xFF in the name": ("Authorization\xff: Bearer {ana}", None),
    "a NUL in the token": ("Authorization: Bearer {ana}\0", "control-character"),
    "a token named for removal": ("Authorization: Bearer {ana}\r\nConnection: Authorization", "connection-header"),
    "a header of the proxy named for removal": (
        "Authorization: Bearer {ana}\r\nConnection: close, X-Headgate-Assertion",
        "connection-header",
    ),
    "a cookie named for removal": ("Cookie: CF_Authorization={access}\r\nConnection: cookie", "connection-header"),
    "two lists for removal": (
        "Authorization: Bearer {ana}\r\nConnection: close\r\nConnection: authorization",
        "duplicate-header",
    ),
}


@pytest.mark.parametrize("what", ONLY_HTTP1)
def test_what_only_http1_can_say_does_not_help(guard: Proxy, upstream: Upstream, parties: Parties, what: str) -> None:
    lines, reason = ONLY_HTTP1[what]
    sent = guard.written("GET", "/things", lines.format(**parties.made), "Connection: close", token=None)
    if "Connection" in lines:
        sent = sent.replace(b"\r\nConnection: close\r\nHost", b"\r\nHost")
    with guard.connect() as connection:
        connection.sendall(sent)
        answer = answer_on(connection)
    assert answer.status in ((400, 401) if reason is None else (400,)), answer
    assert reason is None or reason_of(answer.body) == reason
    assert upstream.received == b""


ONLY_HTTP2: dict[str, list[Field]] = {
    "a token after a line break": [("x-a", "b\r\nauthorization: Bearer {ana}")],
    "a token after a bare line feed": [("x-a", "b\nauthorization: Bearer {ana}")],
    "a name with a line break": [("x-a: b\r\nauthorization", "Bearer {ana}")],
    "a name with a colon": [("authorization: x", "Bearer {ana}")],
    "a name in capitals": [("Authorization", "Bearer {ana}")],
    "a name with a blank": [("authorization ", "Bearer {ana}")],
    "a token with a NUL": [("authorization", "Bearer {ana}\0")],
    "a pseudo header": [(":authorization", "Bearer {ana}")],
    "a header named for removal": [("authorization", "Bearer {ana}"), ("connection", "authorization")],
    "a good token and a line break": [("authorization", "Bearer {ana}"), ("x-a", "b\r\nx-forwarded-user: eve")],
    "blanks before a token": [("authorization", " Bearer {ana}")],
}


@pytest.mark.parametrize("what", ONLY_HTTP2)
def test_what_only_http2_can_say_does_not_help(guard: Proxy, upstream: Upstream, parties: Parties, what: str) -> None:
    line = [(":method", "GET"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    given = [*line, *filled(ONLY_HTTP2[what], parties)]
    with Client(guard.port) as connection:
        status, _ = connection.request([(name.encode(), value.encode("latin-1")) for name, value in given])
    assert status in (400, 401, "stream reset", "connection terminated", "connection closed")
    assert upstream.received == b""


def test_a_token_in_trailers_comes_too_late(guard: Proxy, upstream: Upstream, parties: Parties) -> None:
    line = [(":method", "POST"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    trailers = [(b"authorization", f"Bearer {parties.made['ana']}".encode())]
    with Client(guard.port) as connection:
        status, body = connection.request([(name.encode(), value.encode()) for name, value in line], b"x", trailers)
    assert (status, reason_of(body)) in ((401, "no-token"), ("stream reset", ""))
    assert upstream.received == b""


def test_a_connection_that_was_good_once_gives_nothing_to_the_next(
    guard: Proxy, upstream: Upstream, parties: Parties
) -> None:
    """Nor one stream to another: what was verified counts for the request that shows it."""
    good = f"Authorization: Bearer {parties.made['ana']}"
    requests = [[good], [], [f"Authorization: Bearer {parties.made['stranger']}"], [good, "Connection: close"]]
    with guard.connect() as connection:
        connection.sendall(b"".join(guard.written("GET", "/things", *fields, token=None) for fields in requests))
        answers = received(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"401", b"401", b"200"]
    line = [(":method", "GET"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    plain = [(name.encode(), value.encode()) for name, value in line]
    with Client(guard.port) as connection2:
        assert connection2.request([*plain, (b"authorization", good.partition(": ")[2].encode())])[0] == 200
        assert connection2.request(plain)[0] == 401
    assert len(upstream.seen) == 3


def test_a_reverse_proxy_opens_no_tunnel(guard: Proxy, upstream: Upstream, parties: Parties) -> None:
    target = f"127.0.0.1:{upstream.port}"
    for fields in ([basic(parties.made["ana"])], [f"Authorization: Bearer {parties.made['ana']}"]):
        with guard.connect() as connection:
            connection.sendall(guard.written("CONNECT", target, f"Host: {target}", *fields, token=None))
            assert answer_on(connection, "CONNECT").status in (0, 400)
    assert upstream.received == b""


# --------------------------------------------------------------------------------------------------- keys that are late


def late_token(parties: Parties, key: Key, **claims: Any) -> str:
    return parties.token(key, iss=LATE, **claims)


@pytest.fixture
def rotated(parties: Parties) -> Iterator[Key]:
    """A key that the endpoint of the late provider tells only when the test sets `release`."""
    made, server = Key("rotated"), parties.server
    server.arrived.clear()
    told = jwks(parties.late, made)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told)
    server.replies["/late.json"] = Reply(raw=b"", then="hold", late=head + told)
    yield made
    server.release.set()


def test_who_leaves_while_a_key_is_awaited_leaves_nothing(
    guard: Proxy, upstream: Upstream, parties: Parties, rotated: Key
) -> None:
    """Others are served meanwhile, and who waits is served when the key comes."""
    token = late_token(parties, rotated)
    waiting = guard.written("GET", "/late", f"Authorization: Bearer {token}", token=None)
    with guard.connect() as patient:
        leaving = [guard.connect() for _ in range(3)]
        for connection in (patient, *leaving):
            connection.sendall(waiting)
        assert parties.server.arrived.wait(PATIENCE)
        assert over_http1(guard, [("Authorization", f"Bearer {parties.made['ana']}")], "/things", b"") == (200, "")
        for connection in leaving:
            guard.hang_up(connection)
        parties.server.release.set()
        assert answer_on(patient).status == 200
    guard.settle()
    assert upstream.paths() == ["GET /things", "GET /late"]


@pytest.mark.usefixtures("rotated")
def test_new_rules_hold_for_what_was_believed_or_waits_under_the_old_ones(
    guard: Proxy, upstream: Upstream, parties: Parties
) -> None:
    """A provider that has another audience, and one that is gone while a request waits for its key."""
    written, ana = guard.rules / "identity.yaml", [("Authorization", f"Bearer {parties.made['ana']}")]
    before, told = json.loads(written.read_text()), len(guard.output.lines)
    assert over_http1(guard, ana, "/things", b"") == (200, "")
    with guard.connect() as waiting:
        token = late_token(parties, Key("nobody-has-it"))
        waiting.sendall(guard.written("GET", "/late", f"Authorization: Bearer {token}", token=None))
        kept = [{**spec, "audiences": ["elsewhere"]} for spec in before["providers"] if spec["name"] == "sso"]
        written.write_text(json.dumps({**before, "providers": kept}))
        guard.output.wait_for(r"rules `test` .* are in force", after=told)
        answer = answer_on(waiting)
        assert answer.status == 401
        assert reason_of(answer.body) in ("keys-unavailable", "unknown-key"), "the latter if the rules came late"
    assert over_http1(guard, ana, "/things", b"") == (401, "audience-mismatch")
    assert over_http1(guard, [("Authorization", f"Bearer {token}")], "/things", b"") == (401, "issuer-unknown")
    told = len(guard.output.lines)
    written.write_text(json.dumps(before))
    guard.output.wait_for(r"rules `test` .* are in force", after=told)
    assert over_http1(guard, ana, "/things", b"") == (200, "")
    assert upstream.paths() == ["GET /things"] * 2
