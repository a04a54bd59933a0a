"""The `match:` grammar; what it says of a request stands in cases/match.yaml."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.match import MatchSpec, PathTemplate, Subject, canonical_host, compile_match, host_pattern
from headgate.model import Kind, Principal, Request, Target

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "match.yaml").read_text(encoding="utf-8"))

ANA = {
    "id": "ana",
    "kind": "human",
    "provider": "sso",
    "groups": ["support", "eu"],
    "email": "ana@corp.example",
    "environments": ["staging", "prod"],
}
CUSTOMER = {"method": "GET", "scheme": "https", "host": "api.internal", "port": 443, "path": "/v1/customers/42"}
PAYMENTS = {"name": "payments", "environment": "prod", "tags": ["pci"]}


def subject(case: dict[str, Any]) -> Subject:
    principal = target = None
    if (caller := case.get("principal", {})) is not None:
        values = ANA | caller
        sets = {name: frozenset(values.pop(name)) for name in ("groups", "environments")}
        principal = Principal(**values | sets | {"kind": Kind(values["kind"])})
    if (system := case.get("target", {})) is not None:
        values = PAYMENTS | system
        target = Target(**values | {"tags": frozenset(values["tags"])})
    values = CUSTOMER | case.get("request", {})
    request = Request(**values | {"headers": tuple(values.get("headers", {}).items())})
    return Subject(principal, request, target)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_what_a_match_says(case: dict[str, Any]) -> None:
    matcher = compile_match(MatchSpec.model_validate(case["match"]), widen=case.get("widen", False))
    assert matcher.holds(subject(case)) is (None if case["holds"] == "unknown" else case["holds"])


@pytest.mark.parametrize(
    ("match", "where", "says"),
    [
        ({"prinzipal": {}}, ("prinzipal",), "Extra inputs"),
        ({"when": "true"}, ("when",), "Extra inputs"),
        ({"principal": None}, ("principal",), "a value is missing"),
        ({"principal": {}}, ("principal",), "accepted: at least one of `id`, `email`"),
        ({"target": {}}, ("target", "a-mapping"), "accepted: at least one of `environment`, `tags`"),
        ({"not": {}}, ("not",), "no condition is given"),
        ({"not": {"not": {}}}, ("not", "not"), "no condition is given"),
        ({"method": []}, ("method",), "at least 1 item"),
        ({"method": "get"}, ("method", 0), "accepted: upper case such as `GET`, or `write`"),
        ({"method": "WRITE"}, ("method", 0), "`WRITE` is not a method"),
        ({"principal": {"kind": "robot"}}, ("principal", "kind", 0), "'human', 'service', 'agent'"),
        ({"principal": {"groups": {"any": ["a"]}}}, ("principal", "groups", "a-mapping", "all"), "Field required"),
        ({"principal": {"id": ""}}, ("principal", "id", 0), "at least 1 character"),
        ({"principal": {"id": 7}}, ("principal", "id", 0), "valid string"),
        ({"host": "api.internal:8443"}, ("host", 0), "without a port"),
        ({"host": "*internal"}, ("host", 0), "`*.suffix`"),
        ({"host": "127.1"}, ("host", 0), "`127.1` is not a host"),
        ({"host": "::1"}, ("host", 0), "`[2001:db8::1]`"),
        ({"host": "[::ffff:10.0.0.1]"}, ("host", 0), "is not a host"),
        ({"host": "*.10.0.0.1"}, ("host", 0), "is not a host"),
        ({"host": "büro.example"}, ("host", 0), "a name in ASCII"),
        ({"path": "v1"}, ("path", 0), "a path that begins with `/`"),
        ({"path": "/v1/*"}, ("path", 0), "or `{rest...}`"),
        ({"path": "/v1/file-{id}"}, ("path", 0), "`file-{id}` is not a path variable"),
        ({"path": "/{id}/{id}"}, ("path", 0), "a name of its own"),
        ({"path": "/{a...}/x/{b...}"}, ("path", 0), "at most one may be a rest"),
        ({"path": "/v1//x"}, ("path", 0), "not empty"),
        ({"path": "/v1/../x"}, ("path", 0), "`..` is not a path segment"),
        ({"path": "/caf%c3%a9"}, ("path", 0), "`caf%c3%a9` is not a path segment"),
        ({"path": "/%41"}, ("path", 0), "only where needed"),
        ({"path": "/a%2Fb"}, ("path", 0), "is not a path segment"),
        ({"path": "/café"}, ("path", 0), "is not a path segment"),
        ({"path": "/x?y=1"}, ("path", 0), "is not a path segment"),
    ],
)
def test_a_match_that_cannot_be_meant_is_an_error(match: Any, where: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MatchSpec.model_validate(match)
    assert [says in error["msg"] for error in caught.value.errors() if error["loc"] == where] == [True]


def test_named_targets_tell_where_they_stand() -> None:
    spec = MatchSpec.model_validate({"target": ["a", "b"], "not": {"target": "c", "not": {"target": {"tags": "d"}}}})
    assert list(spec.named_targets()) == [(("target", 0), "a"), (("target", 1), "b"), (("not", "target", 0), "c")]


@pytest.mark.parametrize(
    "text",
    [
        *("127.1", "0x7f.0.0.1", "2130706433", "127.0.0.01", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "[::1", "::1]"),
        *("", ".", "a..b", "a b", "a/b", "a:80", "user@a", "\u212a.com", "a\n", "x" * 64, "a." * 127 + "aa"),
    ],
)
def test_a_host_with_more_than_one_reading_has_no_spelling(text: str) -> None:
    assert canonical_host(text) is None


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("API.Internal.", "api.internal"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("xn--bro-hoa.example", "xn--bro-hoa.example"),
        ("db_1", "db_1"),
    ],
)
def test_a_host_has_one_spelling(text: str, spelling: str) -> None:
    assert canonical_host(text) == spelling


@settings(deadline=None)
@given(st.text(alphabet="aA0.:[]x-_*%", max_size=12) | st.ip_addresses().map(str))
def test_spelling_a_host_twice_changes_nothing(text: str) -> None:
    spelling = canonical_host(text)
    assert spelling is None or canonical_host(spelling) == spelling


@settings(deadline=None)
@given(st.text(max_size=20) | st.text(alphabet="*.aA:0[]", max_size=10))
def test_reading_a_host_raises_one_error_type(text: str) -> None:
    with suppress(ValueError):
        assert host_pattern(text).isascii()


@settings(deadline=None)
@given(st.text(max_size=20) | st.text(alphabet="/{}a.%C3*", max_size=15))
def test_reading_a_path_template_raises_one_error_type(text: str) -> None:
    with suppress(ValueError):
        PathTemplate.parse(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
def test_a_template_matches_the_paths_it_describes(segments: list[str]) -> None:
    """Every variable filled with any segment, and a rest with any number of them."""
    path = ["v1", *segments, "end"]
    assert PathTemplate.parse("/v1/{rest...}/end").matches(path)
    assert PathTemplate.parse("/v1/" + "/".join(f"{{p{at}}}" for at in range(len(segments))) + "/end").matches(path)
    assert not PathTemplate.parse("/v1/" + "/".join(f"{{p{at}}}" for at in range(len(segments)))).matches(path)


@settings(deadline=None)
@given(st.text(alphabet="ab*", min_size=1, max_size=8), st.text(alphabet="ab", min_size=1, max_size=8))
def test_a_glob_agrees_with_its_definition(pattern: str, text: str) -> None:
    matcher = compile_match(MatchSpec.model_validate({"principal": {"id": pattern}}), widen=False)
    assert matcher.holds(subject({"principal": {"id": text}})) is _glob_by_definition(pattern, text)


def _glob_by_definition(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_glob_by_definition(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and _glob_by_definition(pattern[1:], text[1:])
