"""Nothing that is unreadable, repeated or of another type loosens what a rule says of a request, and nothing raises."""

import gzip
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath_rfc9535 import findall
from tests.match.asking import asked, compiled

from headgate.match.facts import Facts, Subject
from headgate.model import Request

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

QUESTIONS: list[dict[str, Any]] = [
    {"query": {"a": {"present": True}}},
    {"query": {"a": {"regex": "^(a|1)*$"}}},
    {"headers": {"x-a": {"regex": "^.*$"}}},
    {"body": {"$.a": {"gt": 0}}},
    {"body": {"$..a": ["a", 1, True]}},
    {"body": {"$.a[*]": {"regex": "^.*$"}}},
    {"graphql": {"field": "a"}},
]
TESTS = [condition for match in QUESTIONS for widen in (True, False) for condition in compiled(match, widen=widen)]
TYPES = st.sampled_from([JSON, FORM, "application/graphql", "text/plain", ""]) | st.text(max_size=20)
BODIES = (
    st.binary(max_size=60)
    | st.text(alphabet='{}[]":,a1.e-+ \\u0d8nNltrufs', max_size=40).map(str.encode)
    | st.text(alphabet="a=&;%[].+1", max_size=30).map(str.encode)
    | st.binary(max_size=30).map(gzip.compress)
    | st.none()
)


@settings(deadline=None, max_examples=500)
@given(
    st.text(max_size=20) | st.text(alphabet="a=&;%[].+1F", max_size=30),
    st.lists(
        st.tuples(st.sampled_from(["x-a", "x_a", "content-encoding", "upgrade", "é"]), st.text(max_size=10)), max_size=3
    ),
    TYPES,
    BODIES,
)
def test_whatever_comes_in_has_an_answer_and_an_explanation(
    query: str, headers: list[tuple[str, str]], media_type: str, body: bytes | None
) -> None:
    fields = (*headers, ("content-type", media_type))
    facts = Facts(Subject(None, Request("GET", "https", "a", 443, "/", query, fields, "", body), None, 0.0))
    for condition in TESTS:
        assert condition.test(facts) in (True, False, None)
        json.dumps(condition.actual(facts))


VALUES = st.sampled_from([None, True, 0, 1, 1.5, 5, 2000, "1", "2000", "a", [], [2000], {}, {"a": 2000}])
ASKED = st.sampled_from([{"gt": 1}, {"lt": 1000}, 1, "a", True, [5, "1"], {"regex": "^[a-z]*$"}, {"gte": 0, "lte": 5}])


def says(match: dict[str, Any], body: str, *, widen: bool) -> bool | None:
    headers = (("content-type", JSON),)
    request = Request("POST", "https", "a", 443, "/", "", headers, "", body.encode())
    return asked(match, Facts(Subject(None, request, None, 0.0)), widen=widen)


@settings(deadline=None, max_examples=300)
@given(ASKED, VALUES, VALUES, st.sampled_from(["x", "X", "X_"]), st.booleans())
def test_a_member_that_is_repeated_never_loosens(
    question: Any, value: Any, other: Any, spelling: str, first: bool
) -> None:
    """Whatever stands there a second time: what was forbidden stays so, and what was not allowed is not."""
    members = [f'"x": {json.dumps(value)}', f'"{spelling}": {json.dumps(other)}']
    twice = "{" + ", ".join(members if first else reversed(members)) + "}"
    once = "{" + members[0] + "}"
    match = {"body": {"$.x": question}}
    assert not (says(match, once, widen=True) is True and says(match, twice, widen=True) is False)
    assert says(match, once, widen=False) is True or says(match, twice, widen=False) is not True


@settings(deadline=None, max_examples=300)
@given(ASKED, VALUES, VALUES)
def test_a_value_of_another_type_never_loosens(question: Any, value: Any, other: Any) -> None:
    """A value of a type that the rule does not list is unknown: that forbids, and allows nothing."""
    match, before, after = ({"body": {"$.x": question}}, *(json.dumps({"x": each}) for each in (value, other)))
    listed = question if isinstance(question, list) else [question]
    comparable = {"gt", "lt", "gte", "lte"} & set(question) if isinstance(question, dict) else None
    wanted = {float} if comparable else {str} if isinstance(question, dict) else {_kind(each) for each in listed}
    if _kind(value) != _kind(other) and _kind(other) not in wanted:
        assert says(match, after, widen=True) is None
        assert says(match, after, widen=False) is None
    assert says(match, before, widen=True) is not False or _kind(value) in wanted


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["1", ["1", "2"], {"regex": "^[0-9]+$"}, {"present": True}]),
    st.lists(st.sampled_from(["x=1", "x=3", "y=1", "x"]), max_size=3),
    st.sampled_from(
        ["x=1", "x=3", "x", "x=%zz", "X=1", "x[]=1", "%ff=1", "y=1;x=1", "+x=3", "x%00=1", "x=%ff", "x.y=1"]
    ),
    st.integers(0, 3),
)
def test_a_parameter_that_is_added_never_loosens(question: Any, before: list[str], added: str, at: int) -> None:
    """One more parameter never undoes a deny, nor does an allow begin to hold by one that cannot be read."""
    match = {"query": {"x": question}}
    after = [*before[:at], added, *before[at:]]

    def says_of(pairs: list[str], *, widen: bool) -> bool | None:
        request = Request("GET", "https", "a", 443, "/", "&".join(pairs))
        return asked(match, Facts(Subject(None, request, None, 0.0)), widen=widen)

    assert not (says_of(before, widen=True) is True and says_of(after, widen=True) is False)
    if any(pair.startswith("x") for pair in before) or added not in ("x=1", "x=3", "x"):
        assert says_of(before, widen=False) is True or says_of(after, widen=False) is not True


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["$.a", "$..a", "$.b.a", "$.b[*].a", "$.*", "$..b.a", "$.b[0]", "$..[0]", "$..*"]),
    st.lists(st.sampled_from(["c=3", "d=1"]), max_size=2),
    st.lists(st.sampled_from(["a", "b", "0", "B", "c"]), min_size=2, max_size=3),
    st.sampled_from(["[]", ".", "[", "mixed"]),
    st.booleans(),
)
def test_a_form_whose_names_have_parts_hides_nothing(
    path: str, others: list[str], parts: list[str], style: str, first: bool
) -> None:
    """What a path finds in the object that such names make is found, or unknown, in the form."""
    name, *inner = parts
    for at, part in enumerate(inner):
        opened = f".{part}" if style == "." or (style == "mixed" and at) else f"[{part}"
        name += opened + ("]" if style in ("[]", "mixed") and opened[0] == "[" else "")
    pairs = [f"{name}=5000", *others] if first else [*others, f"{name}=5000"]
    request = Request("POST", "https", "a", 443, "/", "", (("content-type", FORM),), "", "&".join(pairs).encode())
    facts = Facts(Subject(None, request, None, 0.0))
    nested: Any = 5000
    for part in reversed(parts):
        nested = [nested] if part == "0" else {part: nested}
    document = {**dict(pair.split("=") for pair in others), **nested} if isinstance(nested, dict) else nested
    if findall(path, document):
        assert asked({"body": {path: {"gt": 1000}}}, facts, widen=True) is not False
        assert asked({"body": {path: {"lt": 9}}}, facts, widen=False) is not True
