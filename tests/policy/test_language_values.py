"""A value of the request that is made unreadable, repeated or of another type never loosens a decision.

Meant is this: of a request one value is known, of the type that the rules list, there once and readable; and every rule
asks for nothing but that value, in whatever way. Then the same request with the value spoilt (it still stands there,
and something else as well, or it cannot be read, or it is of a type that no rule lists) is allowed only if it was
allowed before, and refused by a rule if it was. What was refused for want of a rule may come to need approval: unknown
makes an approve apply, and a person decides then.

Left out are conditions that ask for any of several values, for all of them or how many there are (`in`, `exists`, `all`
and `size` of `when`): what is repeated is what they ask about.
"""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.language import (
    APPROVAL,
    FORM,
    GRAPHQL,
    JSON,
    NOW,
    Bundle,
    Drawn,
    Written,
    examples,
    numbered,
    one_or_list,
)

from headgate.model import Decision, Effect, Kind, Principal, Request
from headgate.policy.engine import NO_RULE_ALLOWS, decide

ANA = Principal("ana", Kind.HUMAN, "sso")
TARGETS: Written = {"targets": [{"name": "api", "hosts": "api.internal"}], "isolate_environments": False}


class Held(NamedTuple):
    """The parts of a request that hold a value: it stands there under the name `x`, as a header `x-r`."""

    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def request(self) -> Request:
        return Request("POST", "https", "api.internal", 443, "/", self.query, self.headers, "10.0.0.1", self.body)


def said(rules: list[Written], requests: list[Held]) -> list[Decision]:
    compiled = Bundle(TARGETS, numbered(rules), []).compiled()
    target = compiled.targets.resolve("https", "api.internal", 443)
    return [decide(compiled.policy, compiled.targets, ANA, target, held.request(), now=NOW) for held in requests]


# -- what rules ask for ------------------------------------------------------------------------------------------------

NUMBERS, WORDS = [-1, 0, 1, 500, 2000, 2000.5], ["all", "admin", "12", ""]
OF_TYPE: dict[type, list[Any]] = {int: NUMBERS, str: WORDS, bool: [True, False]}
REGEX = st.sampled_from(["^a.*$", "^(all|admin)$", "^[0-9]+$", "^$", "^.*$"]).map(lambda text: {"regex": text})
BOUND = st.sampled_from([0, 500, 1000, 2.5])
PRESENT = st.sampled_from([{"present": True}, {"present": False}])
QUESTIONS: dict[type, Drawn] = {
    int: one_or_list(*NUMBERS)
    | st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), BOUND, min_size=1, max_size=2)
    | PRESENT,
    str: one_or_list(*WORDS) | REGEX | PRESENT,
    bool: st.booleans() | PRESENT,
}
IN_BODY = "request.body.x"
WHENS: dict[type, list[str]] = {
    int: [f"{IN_BODY} > 1000", f"{IN_BODY} == 500", f"{IN_BODY} in [1, 500]", f"-({IN_BODY}) < -500"],
    str: [
        f'{IN_BODY} == "all"',
        f'{IN_BODY} in ["all", "12"]',
        f'{IN_BODY}.matches("^a.*$")',
        f'"a" + {IN_BODY} > "a"',
    ],
    bool: [IN_BODY, f"{IN_BODY} == true", f"{IN_BODY} ? 1 < 2 : 1 > 2"],
}
WHENS_OF_TEXTS = [
    '{}[0] == "all"',
    '{}[0].startsWith("a")',
    '{0}[0] == "all" || {0}[0] == "12"',
    '{0}[0].matches("^a.*$") && {0}[0] != "all"',
]


@st.composite
def asking(draw: st.DrawFn, condition: Drawn, whens: list[str]) -> list[Written]:
    """Rules that ask for one value, and perhaps one that lets pass whatever it is."""
    rules: list[Written] = []
    for _ in range(draw(st.integers(1, 2))):
        asked, effect = draw(condition), draw(st.sampled_from(["allow", "deny", "approve"]))
        match = draw(
            st.sampled_from([asked, {"not": asked}, {"not": {"not": asked}}, asked | {"not": draw(condition)}, {}])
        )
        rule = {"effect": effect, "match": match} | ({"approval": APPROVAL} if effect == "approve" else {})
        when = draw(st.sampled_from(whens))
        if not match or draw(st.booleans()):
            rule["when"] = draw(st.sampled_from([when, f"!({when})", f"({when}) || !({draw(st.sampled_from(whens))})"]))
        rules.append(rule)
    return [*rules, *draw(st.sampled_from([[], *[[{"effect": "allow", "match": {}}]] * 3]))]


# -- what is done to it ------------------------------------------------------------------------------------------------


def json_body(text: str | bytes, kind: str | None = JSON, *more: tuple[str, str]) -> Held:
    fields = ((("content-type", kind),) if kind is not None else ()) + more
    return Held(headers=fields, body=text.encode() if isinstance(text, str) else text)


LIES = [None, "", "text/plain", FORM, GRAPHQL, "application/xml", "application/json; charset=utf-7", f"a/b, {JSON}"]
OTHERS = [*NUMBERS, *WORDS, True, False, None, [], ["all"], {}, {"x": 1}]
SPELLED = ['"x"', '"X"', r'"\u0078"', r'"x\u0000"']
MORE = [("content-type", JSON), ("content-type", FORM), ("content-encoding", "gzip"), ("content-encoding", "br")]


@st.composite
def spoilt_json(draw: st.DrawFn, value: Any) -> Held:
    written, member = json.dumps({"x": value, "y": 1}), f'"x": {json.dumps(value)}'
    how = draw(st.sampled_from(["repeated", "of another type", "unreadable", "said to be something else"]))
    if how == "repeated":
        other = f"{draw(st.sampled_from(SPELLED))}: {json.dumps(draw(st.sampled_from(OTHERS)))}"
        return json_body(draw(st.sampled_from([f"{{{member}, {other}}}", f'{{{other}, "y": 2, {member}}}'])))
    if how == "of another type":
        others = [one for one in (None, str(value), [value], {"x": value}, 7, True, "z") if not _same_type(one, value)]
        return json_body(json.dumps(draw(st.sampled_from([*({"x": one} for one in others), [{"x": value}]]))))
    if how == "unreadable":
        broken = [written[:-1], written + "x", written.replace('"y": 1', '"y": NaN'), " " * (1 << 20) + written]
        odd = [written.encode() + b"\xff", b"\xef\xbb\xbf" + written.encode(), written.encode("utf-16")]
        return json_body(draw(st.sampled_from([*broken, *odd])))
    return draw(
        st.sampled_from(
            [*(json_body(written, kind) for kind in LIES), *(json_body(written, JSON, more) for more in MORE)]
        )
    )


def _same_type(one: Any, other: Any) -> bool:
    return _kind(one) is _kind(other)


def _kind(value: Any) -> type:
    return int if type(value) is float else type(value)


PAIRS = ["x={}", "X={}", "x[]={}", "x[0]={}", "x%00={}", "+x={}", "y=1;x={}", "x={}%zz", "x={}%FF", "%ff={}", "%78={}"]


@st.composite
def spoilt_pairs(draw: st.DrawFn, value: str) -> str:
    """The value still stands there, or what cannot be read stands in its place."""
    other = draw(st.sampled_from(PAIRS)).format(draw(st.sampled_from(WORDS)))
    kept = draw(st.sampled_from([f"x={value}", f"y=2&x={value}"]))
    unreadable = [
        f"x={value}%zz",
        f"x={value}%C0%80",
        f"X={value}",
        f"x={value};y=1",
        f"x={value}&%c3=1",
        f"x={value}\x01",
    ]
    return draw(st.sampled_from([f"{kept}&{other}", f"{other}&{kept}", *unreadable]))


@st.composite
def spoilt_headers(draw: st.DrawFn, value: str) -> Held:
    other = draw(st.sampled_from(WORDS))
    fields = [
        [("x-r", value), ("x-r", other)],
        [("x-r", other), ("x-r", value)],
        [("x-r", value), ("x_r", other)],
        [("x.r", value)],
    ]
    return Held(headers=tuple(draw(st.sampled_from(fields))))


@st.composite
def spoilt(draw: st.DrawFn, where: str) -> tuple[list[Written], list[Held]]:
    """Rules about one value, a request with it, and the same with the value spoilt in some ways."""
    kind = draw(st.sampled_from([int, str, bool])) if where == "json" else str
    value, texts = draw(st.sampled_from(OF_TYPE[kind])), WHENS[str]
    if where == "json":
        body = QUESTIONS[kind].map(lambda asked: {"body": {"$.x": asked}})
        made, plain, others = asking(body, WHENS[kind]), json_body(json.dumps({"x": value, "y": 1})), spoilt_json(value)
    elif where == "form":
        made, plain = asking(QUESTIONS[str].map(lambda asked: {"body": {"$.x": asked}}), texts), _form(f"x={value}")
        lies = st.sampled_from([None, "", "text/plain", JSON, GRAPHQL, "multipart/form-data; boundary=x"])
        others = spoilt_pairs(value).map(_form) | lies.map(lambda kind: json_body(f"x={value}", kind))
    elif where == "query":
        whens = [when.format("request.query.x") for when in WHENS_OF_TEXTS]
        made, plain = asking(QUESTIONS[str].map(lambda asked: {"query": {"x": asked}}), whens), Held(f"x={value}")
        others = spoilt_pairs(value).map(Held)
    else:
        whens = [when.format('request.headers["x-r"]') for when in WHENS_OF_TEXTS]
        made = asking(QUESTIONS[str].map(lambda asked: {"headers": {"x-r": asked}}), whens)
        plain, others = Held(headers=(("x-r", value),)), spoilt_headers(value)
    return draw(made), [plain, *draw(st.lists(others, min_size=4, max_size=8))]


def _form(pairs: str) -> Held:
    return json_body(pairs, FORM)


@pytest.mark.parametrize("where", ["json", "form", "query", "headers"])
def test_a_value_that_is_spoilt_never_loosens(where: str) -> None:
    @examples(150)
    @given(spoilt(where))
    def holds(drawn: tuple[list[Written], list[Held]]) -> None:
        rules, requests = drawn
        before, *spoiled = said(rules, requests)
        for after in spoiled:
            if before.effect is not Effect.ALLOW:
                assert after.effect is not Effect.ALLOW
            if before.effect is Effect.DENY and before.reason != NO_RULE_ALLOWS:
                assert after.effect is Effect.DENY

    holds()


@pytest.mark.parametrize(
    "body", ['{"amount": 2000}', "amount=2000", '\n{ "amount": 2000 }', "query=1&amount=2000", "[]"]
)
def test_a_body_that_is_said_to_be_graphql_and_is_not_slips_past_no_rule(body: str) -> None:
    """An upstream that looks at no Content-Type reads it as what it is."""
    deny = {"effect": "deny", "match": {"body": {"$.amount": ["2000", 2000]}}}
    rules = [deny, {"effect": "allow", "match": {}}]
    (found,) = said(rules, [json_body(body, GRAPHQL)])
    assert found.reason == "denied-by-unknown"


@pytest.mark.parametrize(
    "body", ["{ users }", " ,# a note\n{ ...F } fragment F on Q { a }", "query($x: Int) { a }", "mutation{a}"]
)
def test_a_graphql_document_by_itself_has_a_query_and_nothing_else(body: str) -> None:
    rules = [
        {"effect": "deny", "match": {"body": {"$.amount": 1}}},
        {"effect": "allow", "match": {"body": {"$.query": body}}},
    ]
    (found,) = said(rules, [json_body(body, GRAPHQL)])
    assert found.effect is Effect.ALLOW
