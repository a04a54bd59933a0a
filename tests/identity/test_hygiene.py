"""What goes on of a request, and why others do not."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.authority import dialled_host
from headgate.identity.headers import MAX_BYTES, MAX_FIELDS, MAX_NAME
from headgate.identity.hygiene import NOTHING_TAKEN, Clean, Mode, RawRequest, Taken, check
from headgate.identity.reasons import Malformed
from headgate.model import STRICT, PathRules, Refusal, Request, malformed
from headgate.policy.paths_spec import PathsSpec

CASES = Path(__file__).parents[1] / "cases"


def nothing(_: Request, host: str) -> bool:
    del host
    return False


def fields_of(headers: list[list[str]]) -> tuple[tuple[bytes, bytes], ...]:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if any(name.lower() == b"host" for name, _ in pairs):
        return tuple(pair for pair in pairs if pair[0].lower() != b"host" or pair[1])
    return ((b"Host", b"localhost:8080"), *pairs)


def raw_request(**changes: Any) -> RawRequest:
    headers = fields_of(changes.pop("headers", []))
    given = {
        "mode": "reverse",
        "method": "GET",
        "scheme": "http",
        "host": "10.0.0.9",
        "port": 9000,
        "authority": "",
        "target": "/v1/x",
        "version": "HTTP/1.1",
        "listener": ("192.0.2.7", 8080),
        "source": "192.0.2.1",
        **changes,
    }
    given.setdefault("alpn", "h2" if given["version"] == "HTTP/2.0" else None)
    given["alpn"] = given["alpn"].encode() if given["alpn"] else None
    for name in ("method", "authority", "target", "version"):
        given[name] = given[name].encode("latin-1")
    given["own_ports"] = frozenset(given.get("own_ports", ()))
    connected = given.pop("connected", None)
    return RawRequest(
        **{**given, "mode": Mode(given["mode"])}, fields=headers, connected=tuple(connected) if connected else None
    )


def test_the_table(hygiene_case: dict[str, Any]) -> None:
    case = dict(hygiene_case)
    expect, reason, hosts = case.pop("expect", {}), case.pop("reason", None), case.pop("hosts", [])
    taken, loosened = taken_of(case), PathsSpec.model_validate(case.pop("paths", {})).rules()
    del case["note"]
    raw = raw_request(**case)

    def path_rules(scheme: str, host: str, port: int) -> PathRules:
        return loosened if (scheme, host, port) == (raw.scheme, dialled_host(raw.host), raw.port) else STRICT

    result = check(raw, lambda _, host: host in hosts, taken, path_rules)
    if reason:
        assert result == malformed(Malformed(reason).value)
    else:
        assert isinstance(result, Clean), result
        assert shown(result, expect) == expect


def taken_of(case: dict[str, Any]) -> Taken:
    headers, cookies = (frozenset(name.encode() for name in case.pop(key, ())) for key in ("taken", "taken_cookies"))
    return Taken(headers, cookies, case.pop("travel", False))


def shown(clean: Clean, expect: dict[str, Any]) -> dict[str, Any]:
    pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in clean.fields]
    host = next((value for name, value in pairs if name.lower() == "host"), clean.authority.decode())
    assert ("host", host) in clean.request.headers
    found = {
        "fields": [pair for pair in pairs if pair[0].lower() != "host"],
        "host": host,
        "target": clean.target.decode(),
        "authority": clean.authority.decode(),
        "credentials": {
            name: clean.credentials[name.encode()].decode("latin-1") for name in expect.get("credentials", {})
        },
        "cookies": [field.decode("latin-1") for field in clean.cookies],
        "seen": [[name, value] for name, value in clean.request.headers if name != "host"],
        "request": {name: getattr(clean.request, name) for name in expect.get("request", {})},
    }
    return {name: found[name] for name in expect}


def test_every_reason_is_in_a_table() -> None:
    reached = set()
    for table in ("hygiene", "paths"):
        text = (CASES / f"{table}.yaml").read_text(encoding="utf-8")
        reached |= {Malformed(code) for code in re.findall(r"(?:reason|refused): ([a-z0-9-]+)", text)}
    beyond = {Malformed.UNSUPPORTED_LISTENER, Malformed.LENGTH_MISMATCH, Malformed.FORWARDED_FOR}  # the stage's own
    beyond |= {Malformed.HEADERS_TOO_LARGE, Malformed.PATH_TOO_LONG, Malformed.FORM_UNREADABLE}
    assert reached == set(Malformed) - beyond


def test_headers_are_limited_in_number_and_size() -> None:
    many = [[f"X-{number}", ""] for number in range(MAX_FIELDS)]
    assert isinstance(check(raw_request(headers=many[1:]), nothing), Clean)
    assert check(raw_request(headers=many), nothing) == malformed("headers-too-large")
    assert check(raw_request(headers=[["X-A", "b" * MAX_BYTES]]), nothing) == malformed("headers-too-large")
    assert isinstance(check(raw_request(headers=[["X" * MAX_NAME, ""]]), nothing), Clean)
    assert check(raw_request(headers=[["X" * (MAX_NAME + 1), ""]]), nothing) == malformed("header-name")


def test_the_token_is_in_nothing_that_rules_or_records_see() -> None:
    headers = [["Authorization", "Bearer s3cret"], ["Proxy-Authorization", "Basic s3cret"], ["DPoP", "s3cret"]]
    headers += [["X-Amzn-Oidc-Data", "s3cret"], ["Cookie", "CF_Authorization=s3cret"]]
    raw, names = raw_request(headers=headers), (b"authorization", b"dpop", b"x-amzn-oidc-data")
    for travel in (False, True):
        clean = check(raw, nothing, Taken(frozenset(names), frozenset((b"CF_Authorization",)), travel))
        assert isinstance(clean, Clean)
        assert "s3cret" not in repr(clean) + repr(clean.request) + repr(raw)


def test_a_host_is_asked_about_with_the_request_it_came_in() -> None:
    asked: list[tuple[str, int, str]] = []

    def names(request: Request, host: str) -> bool:
        asked.append((request.host, request.port, host))
        return True

    assert isinstance(check(raw_request(headers=[["Host", "Api.Example:1"]]), names), Clean)
    assert asked == [("10.0.0.9", 9000, "api.example")]


NAMES = st.sampled_from(
    [
        "X-User", "X_Forwarded_User", "Host", "host", "Connection", "Content-Length", "A", "\xff", "a b", "Cookie",
        "Authorization", "DPoP", "X-Amzn-Oidc-Data",
    ]
)  # fmt: skip
TAKEN = Taken(frozenset((b"authorization", b"dpop", b"x-amzn-oidc-data")), frozenset((b"a",)))
PIECES = ["/", "//", "a", "A", ";", "%2F", "%41", "%C3%A9", "%20", ".", "?", "&", "_method", "=", "%"]
TARGETS = (st.text(st.characters(max_codepoint=255)) | st.lists(st.sampled_from(PIECES)).map("".join)).map("/".__add__)
HEADERS = st.lists(st.tuples(NAMES | st.text("aA-_.:\r\n", max_size=4), st.text(st.characters(max_codepoint=255))))


@given(
    mode=st.sampled_from(["reverse", "forward", "tunnel", "connect"]),
    method=st.sampled_from(["GET", "CONNECT"]) | st.text(st.characters(max_codepoint=255)),
    target=TARGETS,
    authority=st.sampled_from(["", "10.0.0.9:9000", "localhost"]) | st.text(st.characters(max_codepoint=255)),
    headers=HEADERS,
    taken=st.sampled_from([NOTHING_TAKEN, TAKEN, replace(TAKEN, travel=True)]),
    rules=st.builds(PathRules, *[st.booleans()] * 4),
)
def test_any_request_goes_on_without_controls_or_is_refused(
    mode: str,
    method: str,
    target: str,
    authority: str,
    headers: list[tuple[str, str]],
    taken: Taken,
    rules: PathRules,
) -> None:
    listed = [[name, value] for name, value in headers]
    raw = raw_request(mode=mode, method=method, target=target, authority=authority, headers=listed)
    result = check(raw, lambda _, host: bool(host), taken, lambda *_: rules)
    if isinstance(result, Refusal):
        assert result.status == 400
        assert Malformed(result.reason)
        return
    assert not re.search(rb"[\x00-\x20\x7f-\xff]", result.target + result.authority)
    for name, value in result.fields:
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)
        assert value == value.decode().encode()
    assert check_again(raw, result, taken) == result


def check_again(raw: RawRequest, clean: Clean, taken: Taken) -> Clean:
    """What is forwarded is judged like what was received: no second reading of it exists, and it goes on as it is."""
    authority = raw.authority if raw.mode is Mode.CONNECT else clean.authority
    again = replace(raw, authority=authority, target=clean.target, fields=clean.fields)
    result = check(again, lambda _, host: bool(host), taken, lambda *_: clean.path_rules)
    assert isinstance(result, Clean), result
    return replace(result, credentials=clean.credentials, cookies=clean.cookies)
