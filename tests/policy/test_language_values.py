"""A value of the request that is made unreadable, repeated or of another type never loosens a decision.

Meant is this: of a request one value is known, of the type that the rules list, there once and readable; and every rule
asks for nothing but that value, in whatever way. Then the same request with the value spoilt (it still stands there,
and something else as well, or it cannot be read, or it is of a type that no rule lists) is allowed only if it was
allowed before, and refused by a rule if it was. What was refused for want of a rule may come to need approval: unknown
makes an approve apply, and a person decides then.

Left out are conditions that ask for any of several values or for all of them by name (`in`, `exists` and `all` of
`when`): what is repeated is what they ask about.
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
    Asked,
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


def said(rules: list[Written], held: Held) -> Decision:
    compiled = Bundle(TARGETS, numbered(rules), []).compiled()
    request = Request("POST", "https", "api.internal", 443, "/", held.query, held.headers, "10.0.0.1", held.body)
    asked = Asked(ANA, request, NOW, frozenset())
    return decide(compiled.policy, compiled.targets, ANA, asked.target(compiled), request, now=NOW)


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
    str: [f'{IN_BODY} == "all"', f'{IN_BODY} in ["all", "12"]', f'{IN_BODY}.matches("^a.*$")', f'"a" + {IN_BODY} > "a"'],
    bool: [IN_BODY, f"{IN_BODY} == true", f"{IN_BODY} ? 1 < 2 : 1 > 2"],
}
WHENS_OF_TEXTS = [
    '{}[0] == "all"',
    '{}[0].startsWith("a")',
    'size({0}) == 1 && {0}[0] == "12"',
    '{0}[0] == "all" || {0}[0] == "12"',
]


@st.composite
def asking(draw: st.DrawFn, condition: Drawn, whens: list[str]) -> list[Written]:
    """Rules that ask for one value, and perhaps one that lets pass whatever it is."""
    rules: list[Written] = []
    for _ in range(draw(st.integers(1, 3))):
        asked, effect = draw(condition), draw(st.sampled_from(["allow", "deny", "approve"]))
        match = draw(st.sampled_from([asked, {"not": asked}, {"not": {"not": asked}}, asked | {"not": draw(condition)}, {}]))
        rule = {"effect": effect, "match": match} | ({"approval": APPROVAL} if effect == "approve" else {})
        when = draw(st.sampled_from(whens))
        if not match or draw(st.booleans()):
            rule["when"] = draw(st.sampled_from([when, f"!({when})", f"({when}) || !({draw(st.sampled_from(whens))})"]))
        rules.append(rule)
    return [*rules, *draw(st.sampled_from([[], [{"effect": "allow", "match": {}}]]))]


# -- what is done to it ------------------------------------------------------------------------------------------------


def json_body(text: str | bytes, kind: str | None = JSON, *more: tuple[str, str]) -> Held:
    fields = ((("content-type", kind),) if kind is not None else ()) + more
    return Held(headers=fields, body=text.encode() if isinstance(text, str) else text)


NO_JSON = [None, "", "text/plain", FORM, GRAPHQL, "application/xml", "application/json; charset=utf-7", "json", "a/b, " + JSON]
OTHERS = st.sampled_from([*NUMBERS, *WORDS, True, False, None, [], ["all"], {}, {"x": 1}])
SPELLED = st.sampled_from(['"x"', '"X"', r'"\u0078"', r'"x\u0000"'])


@st.composite
def spoilt_json(draw: st.DrawFn, value: Any) -> Held:
    written = json.dumps({"x": value, "y": 1})
    member = f'"x": {json.dumps(value)}'
    other = f"{draw(SPELLED)}: {json.dumps(draw(OTHERS))}"
    retyped = [one for one in (None, str(value), [value], {"x": value}, 7, True, "z") if not _same_type(one, value)]
    return draw(
        st.sampled_from(
            [
                json_body(f"{{{member}, {other}}}"),
                json_body(f'{{{other}, "y": 2, {member}}}'),
                json_body(json.dumps({"x": draw(st.sampled_from(retyped))})),
                json_body(json.dumps([{"x": value}])),
                json_body(written[:-1]),
                json_body(written + "x"),
                json_body(written.replace('"y": 1', '"y": NaN')),
                json_body(written.encode() + b"\xff"),
                json_body(b"\xef\xbb\xbf" + written.encode()),
                json_body(written.encode("utf-16")),
                json_body(" " * (1 << 20) + written),
                json_body(written, draw(st.sampled_from(NO_JSON))),
                json_body(written, JSON, ("content-type", draw(st.sampled_from([JSON, FORM, GRAPHQL])))),
                json_body(written, JSON, ("content-encoding", draw(st.sampled_from(["gzip", "br", "identity, deflate"])))),
            ]
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
    unreadable = [f"x={value}%zz", f"x={value}%C0%80", f"X={value}", f"x={value};y=1", f"x={value}&%c3=1", f"x={value}\x01"]
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
def spoilt(draw: st.DrawFn, where: str) -> tuple[list[Written], Held, Held]:
    """Rules about one value, a request with it, and the same with the value spoilt."""
    if where == "json":
        kind = draw(st.sampled_from([int, str, bool]))
        value = draw(st.sampled_from(OF_TYPE[kind]))
        rules = draw(asking(QUESTIONS[kind].map(lambda asked: {"body": {"$.x": asked}}), WHENS[kind]))
        return rules, json_body(json.dumps({"x": value, "y": 1})), draw(spoilt_json(value))
    text = draw(st.sampled_from(WORDS))
    if where == "form":
        rules = draw(asking(QUESTIONS[str].map(lambda asked: {"body": {"$.x": asked}}), WHENS[str]))
        lies = [None, "", "text/plain", JSON, GRAPHQL, "multipart/form-data; boundary=x", FORM + "; charset=utf-16"]
        relabelled = st.sampled_from(lies).map(lambda kind: json_body(f"x={text}", kind))
        return rules, json_body(f"x={text}", FORM), draw(
            spoilt_pairs(text).map(lambda pairs: json_body(pairs, FORM)) | relabelled
        )
    if where == "query":
        whens = [when.format("request.query.x") for when in WHENS_OF_TEXTS]
        rules = draw(asking(QUESTIONS[str].map(lambda asked: {"query": {"x": asked}}), whens))
        return rules, Held(f"x={text}"), Held(draw(spoilt_pairs(text)))
    whens = [when.format('request.headers["x-r"]') for when in WHENS_OF_TEXTS]
    rules = draw(asking(QUESTIONS[str].map(lambda asked: {"headers": {"x-r": asked}}), whens))
    return rules, Held(headers=(("x-r", text),)), draw(spoilt_headers(text))


@pytest.mark.parametrize("where", ["json", "form", "query", "headers"])
def test_a_value_that_is_spoilt_never_loosens(where: str) -> None:
    @examples(200)
    @given(spoilt(where))
    def holds(drawn: tuple[list[Written], Held, Held]) -> None:
        rules, plain, other = drawn
        before, after = said(rules, plain), said(rules, other)
        if before.effect is not Effect.ALLOW:
            assert after.effect is not Effect.ALLOW
        if before.effect is Effect.DENY and before.reason != NO_RULE_ALLOWS:
            assert after.effect is Effect.DENY

    holds()


@pytest.mark.parametrize("body", ['{"amount": 2000}', "amount=2000", '\n{ "amount": 2000 }', "query=1&amount=2000", "[]"])
def test_a_body_that_is_said_to_be_graphql_and_is_not_slips_past_no_rule(body: str) -> None:
    """An upstream that looks at no Content-Type reads it as what it is."""
    deny = {"effect": "deny", "match": {"body": {"$.amount": ["2000", 2000]}}}
    rules = [deny, {"effect": "allow", "match": {}}]
    assert said(rules, json_body(body, GRAPHQL)).reason == "denied-by-unknown"


@pytest.mark.parametrize("body", ["{ users }", " ,# a note\n{ ...F } fragment F on Q { a }", "query($x: Int) { a }", "mutation{a}"])
def test_a_graphql_document_by_itself_has_a_query_and_nothing_else(body: str) -> None:
    rules = [{"effect": "deny", "match": {"body": {"$.amount": 1}}}, {"effect": "allow", "match": {"body": {"$.query": body}}}]
    assert said(rules, json_body(body, GRAPHQL)).effect is Effect.ALLOW
