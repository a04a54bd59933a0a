"""What may stand under the keys of `match:` that look into a request, and what is said of anything else."""

from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.match.asking import ContentsSpec, asked, compiled, facts_of

from headgate.identity.headers import Role, _judge
from headgate.match.headers import CREDENTIALS, NEVER_SEEN
from headgate.match.regexes import MAX_TEXT, fits, whole_regex

TEXT = ("query", "a", "a-mapping")


@pytest.mark.parametrize(
    ("match", "where", "says"),
    [
        ({"query": {}}, ("query",), "accepted: at least one, such as `force: {present: true}`"),
        ({"query": {"": "x"}}, ("query",), "`` is not the name of a parameter"),
        ({"query": {"x" * 257: "x"}}, ("query",), "accepted: up to 256 characters"),
        ({"headers": {}}, ("headers",), "accepted: at least one, such as `x-tenant: acme`"),
        ({"query": {"a": 1}}, ("query", "a", "names", 0), "valid string"),
        ({"query": {"a": None}}, ("query", "a", "names", 0), "valid string"),
        ({"query": {"a": []}}, ("query", "a", "names"), "at least 1 item"),
        ({"query": {"a": {}}}, TEXT, "accepted: at least one of `present`, `regex`"),
        ({"query": {"a": {"gt": 1}}}, (*TEXT, "gt"), "Extra inputs"),
        ({"query": {"a": {"present": "yes"}}}, (*TEXT, "present"), "valid boolean"),
        ({"query": {"a": {"present": None}}}, (*TEXT, "present"), "a value is missing"),
        ({"query": {"a": {"present": False, "regex": "^a$"}}}, TEXT, "leaves nothing to compare"),
        ({"query": {"a": {"regex": ""}}}, (*TEXT, "regex"), "accepted: a regex from `^` to `$`"),
        ({"query": {"a": {"regex": "a$"}}}, (*TEXT, "regex"), "`a$` does not say where it begins"),
        ({"query": {"a": {"regex": r"^a\$"}}}, (*TEXT, "regex"), "does not say where it begins and ends"),
        ({"query": {"a": {"regex": "^a|b$"}}}, (*TEXT, "regex"), "accepted: `^(a|b)$`"),
        ({"query": {"a": {"regex": "^(a|b)|[c|d]$"}}}, (*TEXT, "regex"), "`|` parts `^` from `$`"),
        ({"query": {"a": {"regex": "^" + "a" * 999 + "$"}}}, (*TEXT, "regex"), "1001 characters; accepted: up to 1000"),
        ({"query": {"a": {"regex": "^(a$"}}}, (*TEXT, "regex"), "is not a regex: missing ); accepted"),
        ({"query": {"a": {"regex": r"^ab\1$"}}}, (*TEXT, "regex"), "invalid escape sequence at character 4"),
        ({"query": {"a": {"regex": "^a(?=b)$"}}}, (*TEXT, "regex"), "invalid perl operator at character 3"),
        ({"query": {"a": {"regex": "^(x{1000}){1000}$"}}}, (*TEXT, "regex"), "invalid repetition size"),
        ({"query": {"a": {"regex": r"^\pL{1000}$"}}}, (*TEXT, "regex"), "pattern too large"),
        ({"query": {"a": {"regex": r"^\pL{10}$"}}}, (*TEXT, "regex"), "instructions); accepted: up to 3000"),
        ({"query": {"a": {"regex": "^\ud800$"}}}, (*TEXT, "regex"), "holds half a character"),
        ({"headers": {"a b": "x"}}, ("headers",), "`a b` is not the name of a header"),
        ({"headers": {"": "x"}}, ("headers",), "is not the name of a header"),
        ({"headers": {"é": "x"}}, ("headers",), "`é` is not the name of a header"),
        ({"headers": {"Authorization": "x"}}, ("headers",), "accepted: `principal` says who calls"),
        ({"headers": {"proxy_authorization": "x"}}, ("headers",), "holds credentials"),
        ({"headers": {"cookie": {"present": True}}}, ("headers",), "holds credentials"),
        ({"headers": {"X-Forwarded-For": "x"}}, ("headers",), "is not forwarded"),
        ({"headers": {"X-A": "x", "x-a": "y"}}, ("headers",), "`x-a` is given twice"),
        ({"body": {}}, ("body",), "accepted: at least one JSONPath"),
        ({"body": {"amount": 1}}, ("body",), "`amount` is not a JSONPath: unexpected 'amount' at character 1"),
        ({"body": {"$.a[": 1}}, ("body",), "unexpected end of query at character 5; accepted: such as `$.amount`"),
        ({"body": {"$.a b": 1}}, ("body",), "unexpected 'b' at character 5"),
        ({"body": {"": 1}}, ("body",), "is not a JSONPath"),
        ({"body": {"$.items[?@.a > 1]": 1}}, ("body",), "accepted: no filter (`[?...]`), which `when` can do better"),
        ({"body": {"$[?match(@.a, '(a+)+')]": 1}}, ("body",), "no filter"),
        ({"body": {"$" + ".a" * 501: 1}}, ("body",), "1003 characters; accepted: up to 1000"),
        ({"body": {"$.a[99999999999999999999]": 1}}, ("body",), "index out of range"),
        ({"body": {"$.a": None}}, ("body", "$.a", "names", 0, "str"), "valid string"),
        ({"body": {"$.a": [None]}}, ("body", "$.a", "names", 0, "bool"), "valid boolean"),
        ({"body": {"$.a": {"gt": "1"}}}, ("body", "$.a", "a-mapping", "gt", "constrained-int"), "valid integer"),
        ({"body": {"$.a": {"gt": True}}}, ("body", "$.a", "a-mapping", "gt", "constrained-int"), "valid integer"),
        (
            {"body": {"$.a": {"gt": float("nan")}}},
            ("body", "$.a", "a-mapping", "gt", "constrained-float"),
            "finite number",
        ),
        ({"body": {"$.a": {"gt": 10**400}}}, ("body", "$.a", "a-mapping", "gt", "constrained-int"), "less than"),
        ({"body": {"$.a": {"gt": 10**23}}}, ("body", "$.a", "a-mapping", "gt", "constrained-float"), "less than"),
        ({"body": {"$.a": {"above": 1}}}, ("body", "$.a", "a-mapping", "above"), "Extra inputs"),
        ({"graphql": {}}, ("graphql",), "accepted: at least one of `operation`, `field`, `name`"),
        ({"graphql": {"operation": "delete"}}, ("graphql", "operation", 0), "'query', 'mutation' or 'subscription'"),
        ({"graphql": {"field": "a.b"}}, ("graphql", "field"), "`a.b` is not a name in GraphQL"),
        ({"graphql": {"name": []}}, ("graphql", "name"), "at least 1 item"),
        ({"source": []}, ("source",), "at least 1 item"),
        ({"source": "10.0.0.1/8"}, ("source", 0), "accepted: `10.0.0.0/8` or `10.0.0.1`"),
        ({"source": "10.0.0.0/255.0.0.0"}, ("source", 0), "accepted: `10.0.0.0/8`"),
        ({"source": "10.0.0.0/33"}, ("source", 0), "is not a network"),
        ({"source": "internal"}, ("source", 0), "is not a network; accepted: an address"),
        ({"source": "::ffff:10.0.0.0/104"}, ("source", 0), "accepted: `10.0.0.0/8`"),
        ({"source": "2001:db8::1/32"}, ("source", 0), "accepted: `2001:db8::/32` or `2001:db8::1`"),
        ({"source": "fe80::1%eth0"}, ("source", 0), "zone"),
        ({"time": {"zone": "UTC"}}, ("time",), "accepted: at least one of `days`, `hours`"),
        ({"time": {"days": "mon"}}, ("time", "zone"), "Field required"),
        ({"time": {"days": "monday", "zone": "UTC"}}, ("time", "days", 0), "`monday` is not a weekday"),
        ({"time": {"days": "mon-", "zone": "UTC"}}, ("time", "days", 0), "from one to another such as `mon-fri`"),
        ({"time": {"days": [], "zone": "UTC"}}, ("time", "days"), "at least 1 item"),
        ({"time": {"hours": "9-18", "zone": "UTC"}}, ("time", "hours", 0), "such as `09:00-18:00`"),
        ({"time": {"hours": "24:00-06:00", "zone": "UTC"}}, ("time", "hours", 0), "are no hours"),
        ({"time": {"hours": "09:00-24:30", "zone": "UTC"}}, ("time", "hours", 0), "up to `24:00`"),
        ({"time": {"hours": "09:00-09:00", "zone": "UTC"}}, ("time", "hours", 0), "accepted: `00:00-24:00`"),
        ({"time": {"days": "mon", "zone": "Paris"}}, ("time", "zone"), "an IANA name such as `Europe/Paris`"),
        ({"time": {"days": "mon", "zone": "../etc/passwd"}}, ("time", "zone"), "is not a time zone"),
        ({"time": {"days": "mon", "zone": "Europe"}}, ("time", "zone"), "is not a time zone"),
        ({"time": {"days": "mon", "zone": "localtime"}}, ("time", "zone"), "is not a time zone"),
        ({"time": {"days": "mon", "zone": "right/UTC"}}, ("time", "zone"), "is not a time zone"),
        ({"signal": []}, ("signal",), "at least 1 item"),
        ({"signal": "Big Incident"}, ("signal", 0), "accepted: up to 64 lower-case letters and digits"),
    ],
    ids=count(),
)
def test_a_condition_that_cannot_be_meant_is_an_error(match: Any, where: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ContentsSpec.model_validate(match)
    assert [says in error["msg"] for error in caught.value.errors() if error["loc"] == where] == [True]


@pytest.mark.parametrize(
    "text",
    ["^$", "^.*$", "^(a|b)$", "^[a|b]$", r"^a\|b$", "^[]|]$", r"^\Qa|b\E$", r"^[\]|]$", r"^a\\$", "^[[:alpha:]|]$"],
)
def test_a_regex_that_says_where_it_begins_and_ends_is_accepted(text: str) -> None:
    assert whole_regex(text) == text


@settings(deadline=None)
@given(st.text(max_size=20) | st.text(alphabet=r"^$()[]|\Qa*{1,}?E", max_size=15).map("^{}$".format))
def test_reading_a_regex_raises_one_error_type(text: str) -> None:
    with suppress(ValueError):
        whole_regex(text)


def test_a_text_that_is_too_long_for_a_regex_is_unknown() -> None:
    judge = fits("^a*$", widen=True)
    assert [judge("a" * MAX_TEXT), judge("a" * (MAX_TEXT + 1)), judge("\ud800")] == [True, None, None]


def test_texts_that_are_too_long_together_for_a_regex_are_unknown() -> None:
    match = {"body": {"$[*]": {"regex": "^a*$"}}}
    fit, more = (facts_of({"json": ["a" * MAX_TEXT] * texts}) for texts in (8, 9))
    assert [asked(match, facts, widen=True) for facts in (fit, more)] == [True, None]


def test_an_explanation_gives_the_first_values_only() -> None:
    (condition,) = compiled({"body": {"$[*]": 1}}, widen=True)
    assert condition.actual(facts_of({"json": list(range(11))})) == [*range(10), "..."]
    assert condition.actual(facts_of({"json": list(range(10))})) == [*range(10)]


def test_every_header_that_a_rule_may_not_name_is_kept_from_rules() -> None:
    """Else somebody could not write a rule about what does go on."""
    for name in (
        *CREDENTIALS,
        b"forwarded",
        *(begin + b"a" if begin.endswith(b"-") else begin for begin in NEVER_SEEN),
    ):
        judged = _judge(name)
        assert judged is not None
        assert name in CREDENTIALS or judged.role in (Role.DROPPED, Role.REFUSED)


@pytest.mark.parametrize(
    ("match", "case", "key", "location", "expected", "actual", "reads_body"),
    [
        ({"query": {"a": "1"}}, {"query": "a=2"}, "query a", ("query", "a"), ["1"], ["2"], False),
        ({"query": {"a": "1"}}, {"query": "A=2"}, *("query a", ("query", "a"), ["1"]), "unknown", False),
        (
            {"headers": {"X-A": {"present": True}}},
            {},
            "headers x-a",
            ("headers", "x-a"),
            {"present": True},
            None,
            False,
        ),
        ({"body": {"$.a": {"gt": 1}}}, {"json": {"a": 0}}, "body $.a", ("body", "$.a"), {"gt": 1}, [0], True),
        ({"body": {"$.a": 1}}, {"body": "{"}, "body $.a", ("body", "$.a"), [1], "unknown", True),
        (
            {"graphql": {"field": "a"}},
            {"json": {"query": "{b}"}},
            *("graphql.field", ("graphql", "field"), ["a"]),
            ["b"],
            True,
        ),
        ({"source": "10.0.0.0/8"}, {"source": "::1"}, "source", ("source",), ["10.0.0.0/8"], "::1", False),
        ({"signal": "freeze"}, {"signals": ["b", "a"]}, "signal", ("signal",), ["freeze"], ["a", "b"], False),
        (
            *({"time": {"days": "mon", "zone": "UTC"}}, {}, "time", ("time",), {"days": ("mon",), "zone": "UTC"}),
            *("tue 22:13", False),
        ),
    ],
)
def test_a_condition_explains_itself(
    match: Any, case: Any, key: str, location: Any, expected: Any, actual: Any, reads_body: bool
) -> None:
    (condition,) = compiled(match, widen=False)
    assert (condition.key, condition.location, condition.expected) == (key, location, expected)
    assert condition.reads_body is reads_body
    found = condition.actual(facts_of(case))
    assert found.startswith("unknown: ") if actual == "unknown" else found == actual


def test_conditions_that_say_the_same_share_their_test() -> None:
    first, second = (compiled({"query": {"a": "1"}, "body": {"$.a": 1}}, widen=True) for _ in range(2))
    assert [condition.test for condition in first] == [condition.test for condition in second]


def test_conditions_that_differ_in_the_type_of_a_value_only_are_two() -> None:
    """To Python `True` is 1."""
    facts = facts_of({"json": {"a": True}})
    assert [asked({"body": {"$.a": value}}, facts, widen=False) for value in (1, True, 1.0)] == [None, True, None]
