"""The `match:` grammar; what it says of a request stands in cases/match.yaml."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.identity.strictjson import frozen
from headgate.match import MatchSpec, PathTemplate, Subject, canonical_host, compile_match, duration, host_pattern
from headgate.match.pointers import lookup, pointer
from headgate.model import Kind, Principal, Request, Session, Target, Workload

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "match.yaml").read_text(encoding="utf-8"))

ANA = {
    "id": "ana",
    "kind": "human",
    "provider": "sso",
    "groups": ["support", "eu"],
    "email": "ana@corp.example",
    "environments": ["staging", "prod"],
    "workload": {
        "name": "billing",
        "version": "2.4.1",
        "commit": "9f1c2ab",
        "digest": "sha256:5d41",
        "workflow": "acme/shop/.github/workflows/release.yml@refs/heads/main",
        "verified": True,
    },
    "session": {"scopes": ["refunds:read", "profile"], "issued_at": 1_999_400},
    "claims": {
        "tenant": "acme",
        "level": 3,
        "trusted": True,
        "roles": ["dev", "ops"],
        "kubernetes.io": {"namespace": "ci"},
    },
}
NOW = 2_000_000.0
CUSTOMER = {"method": "GET", "scheme": "https", "host": "api.internal", "port": 443, "path": "/v1/customers/42"}
PAYMENTS = {"name": "payments", "environment": "prod", "tags": ["pci"]}


def subject(case: dict[str, Any]) -> Subject:
    principal = target = None
    if (caller := case.get("principal", {})) is not None:
        principal = _principal(ANA | caller)
    if (system := case.get("target", {})) is not None:
        values = PAYMENTS | system
        target = Target(**values | {"tags": frozenset(values["tags"])})
    values = CUSTOMER | case.get("request", {})
    request = Request(**values | {"headers": tuple(values.get("headers", {}).items())})
    return Subject(principal, request, target, NOW)


def _principal(values: dict[str, Any]) -> Principal:
    session = values["session"]
    read: dict[str, Any] = {
        "kind": Kind(values["kind"]),
        "groups": frozenset(values["groups"]),
        "environments": frozenset(values["environments"]),
        "workload": Workload(**values["workload"]),
        "session": Session(**session | {"scopes": frozenset(session.get("scopes", ()))}),
        "claims": frozen(values["claims"]),
    }
    return Principal(**values | read)


SCOPES = ("principal", "session", "scopes")


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
        ({"principal": {"workload": {}}}, ("principal", "workload"), "at least one of `name`, `version`"),
        ({"principal": {"workload": {"pod": "x"}}}, ("principal", "workload", "pod"), "Extra inputs"),
        ({"principal": {"workload": {"version": 1.4}}}, ("principal", "workload", "version", 0), "valid string"),
        ({"principal": {"workload": {"commit": []}}}, ("principal", "workload", "commit"), "at least 1 item"),
        ({"principal": {"workload": {"verified": "yes"}}}, ("principal", "workload", "verified"), "valid boolean"),
        ({"principal": {"workload": {"verified": 1}}}, ("principal", "workload", "verified"), "valid boolean"),
        ({"principal": {"session": {}}}, ("principal", "session"), "at least one of `scopes`, `max_age`"),
        ({"principal": {"session": {"id": "x"}}}, ("principal", "session", "id"), "Extra inputs"),
        ({"principal": {"session": {"scopes": []}}}, ("principal", "session", "scopes", "names"), "at least 1 item"),
        ({"principal": {"session": {"scopes": "a b"}}}, (*SCOPES, "names", 0), "`a b` is not a scope"),
        ({"principal": {"session": {"scopes": {"all": ["a\tb"]}}}}, (*SCOPES, "a-mapping", "all", 0), "without blanks"),
        ({"principal": {"session": {"scopes": {"any": "a"}}}}, (*SCOPES, "a-mapping", "all"), "Field required"),
        ({"principal": {"session": {"max_age": 900}}}, ("principal", "session", "max_age"), "such as `30s`, `15m`"),
        ({"principal": {"session": {"max_age": "15 m"}}}, ("principal", "session", "max_age"), "not a duration"),
        ({"principal": {"session": {"max_age": "0s"}}}, ("principal", "session", "max_age"), "older than 0 seconds"),
        ({"principal": {"claims": {}}}, ("principal", "claims"), "accepted: at least one"),
        ({"principal": {"claims": "tenant"}}, ("principal", "claims"), "valid dictionary"),
        ({"principal": {"claims": {"": "x"}}}, ("principal", "claims"), "a claim needs a name"),
        ({"principal": {"claims": {"/a~2": "x"}}}, ("principal", "claims"), "`/a~2` names no claim: `~` stands"),
        ({"principal": {"claims": {"/a": []}}}, ("principal", "claims", "/a"), "at least 1 item"),
        ({"principal": {"claims": {"/a": 1.5}}}, ("principal", "claims", "/a", 0, "int"), "valid integer"),
        ({"principal": {"claims": {"/a": None}}}, ("principal", "claims", "/a", 0, "bool"), "valid boolean"),
        ({"principal": {"claims": {"/a": {"b": "x"}}}}, ("principal", "claims", "/a", 0, "bool"), "valid boolean"),
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


def test_rules_that_differ_in_the_type_of_a_value_only_are_two() -> None:
    """To Python `True` is 1, and tests are shared between rules that say the same."""
    trusted = subject({"principal": {"claims": {"trusted": True}}})
    for expected, holds in ((True, True), (1, None), ("True", None)):
        spec = MatchSpec.model_validate({"principal": {"claims": {"/trusted": expected}}})
        assert compile_match(spec, widen=False).holds(trusted) is holds


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800)])
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "15", "m", "-1m", "1.5h", "1h30m", " 1h", "1h\n", "1H", "\u0661h", "1" * 7 + "s", 15, True]
)
def test_no_other_form_is_a_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="accepted: a whole number and a unit"):
        duration(text)


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "1", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)
SCALARS = st.sampled_from(["a", "1", "true", 1, 0, True, False])


@settings(deadline=None)
@given(ITEMS, st.lists(SCALARS, min_size=1, max_size=3), st.booleans())
def test_a_claim_agrees_with_its_definition(found: Any, accepted: list[Any], widen: bool) -> None:
    """Whatever is found, and whatever is listed: its values joined by `and` for an allow, by `or` for every other."""
    matcher = compile_match(MatchSpec.model_validate({"principal": {"claims": {"x": accepted}}}), widen=widen)
    values = [] if found in (None, "") else found if isinstance(found, list) else [found]
    kinds, texts = {type(item) for item in accepted}, {repr(item) for item in accepted}
    holds = [repr(value) in texts if type(value) in kinds else None for value in values]
    expected = widen if widen in holds else None if None in holds else not widen
    caller = subject({"principal": {"claims": {"x": found}}})
    assert matcher.holds(caller) is (expected if values else False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", {"/": 1, "": 2, "b": [3, 4]}),
        ("/a/b/1", 4),
        ("/a/~1", 1),
        ("/a/", 2),
        ("/a/b/2", None),
        ("/a/b/-", None),
        ("/a/b/01", None),
        ("/a/b/\u0661", None),
        ("/a/b/" + "9" * 5000, None),
        ("/a/b/0/c", None),
        ("/c~0d", 5),
        ("a/b", None),
    ],
)
def test_a_pointer_leads_to_one_value_or_nowhere(text: str, found: Any) -> None:
    assert lookup({"a": {"/": 1, "": 2, "b": [3, 4]}, "c~d": 5}, pointer(text)) == found


@settings(deadline=None)
@given(st.text(max_size=12) | st.text(alphabet="/~01a", max_size=8), ITEMS)
def test_reading_and_following_a_pointer_raises_one_error_type(text: str, value: Any) -> None:
    with suppress(ValueError):
        path = pointer(text)
        lookup(value, path)


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
