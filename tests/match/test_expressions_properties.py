"""Nothing that anybody writes or sends makes an expression raise, and no value of another type makes it decide."""

import json
from contextlib import suppress
from typing import Any

import cel
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.match.test_expressions import facts

from headgate.match.expressions import Expression, Outcome, parse_expression

NAMES = ["request", "body", "a", "principal", "groups", "path_params", "now", "signals", "query", "headers", "x"]
WORDS = ["exists", "all", "map", "filter", "has", "size", "type", "matches", "duration", "timestamp", "int", "double"]
MARKS = [".", ".", ",", "?", ":", "(", ")", "[", "]", "{", "}", "&&", "||", "==", "!=", "<", ">=", "in", *"+-*/%!"]
LITERALS = ["1", "0", "2.5", "'a'", "'^a$'", "'1h'", '""', "null", "true", "false", "'''", "\\", "//", "\n"]
WHOLES = ["request.body.a", "principal.groups", "has(request.body.a)", ".exists(x, ", "request.query"]
SOUP = st.lists(st.sampled_from(NAMES + WORDS + MARKS + LITERALS + WHOLES), max_size=25)
TEXTS = st.text(max_size=60) | SOUP.map("".join) | SOUP.map(" ".join)

NUMBERS = st.integers(-3, 3) | st.sampled_from([0.0, 0.5, 1.0, 2.5, 1e308, 2**53 + 1, 2**63 - 1, -(2**63), 2**64])
STRINGS = st.sampled_from(["", "a", "b", "1", "ana", "true", "é", "NaN", "\x00"])
SCALARS = st.none() | st.booleans() | NUMBERS | STRINGS
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "A", "0"]), inner, max_size=3)
    ),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(["n", "m", "s", "t", "b", "l", "o", "N"]), ANYTHING, max_size=7)


RIGHT: dict[str, list[Any]] = {
    "n": [0, 1, -2, 2.5, 7],
    "m": [0, 1, -2, 2.5, 7],
    "s": ["", "a", "b", "ana", "12", "zz"],
    "t": ["", "a", "b", "ana", "12", "zz"],
    "b": [True, False],
    "l": [[], ["a"], ["b", "a"], ["zz"], [1], [2, 7]],
    "o": [{"a": 1}, {"a": 2}],
}
FITTING = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in RIGHT.items()})


def a_boolean(*extra: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions that the checker takes: over numbers n and m, texts s and t, a boolean b, a list l, an object o."""
    number = st.recursive(
        st.sampled_from(["request.body.n", "request.body.m", "1", "2.5", "0", "request.port", "int(request.body.s)"]),
        lambda inner: (
            st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda part: f"({' '.join(part)})")
            | inner.map(lambda part: f"-({part})")
            | inner.map(lambda part: f"double({part})")
        ),
        max_leaves=3,
    )
    text = st.sampled_from(["request.body.s", "request.body.t", "'a'", "principal.id", "request.body.s + 'a'"])
    order, equality = st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from(["==", "!="])
    leaf = st.one_of(
        st.tuples(number, order, number).map(" ".join),
        st.tuples(text, order, text).map(" ".join),
        st.tuples(text, st.sampled_from([" in principal.groups", " in request.body.l", " in ['a', 'b']"])).map("".join),
        st.tuples(number, st.sampled_from([" in request.body.l", " in [1, 2]", " in [1.5, 2]"])).map("".join),
        st.tuples(text, st.sampled_from(["contains", "startsWith"]), text).map(lambda p: f"({p[0]}).{p[1]}({p[2]})"),
        st.sampled_from(["request.body.b", "true", "request.body.o.a == 1", "request.body.l[0] == 'a'"]),
        st.tuples(st.sampled_from(["exists", "all", "exists_one"]), equality, text).map(
            lambda part: f"request.body.l.{part[0]}(x, x {part[1]} {part[2]})"
        ),
        *extra,
    )
    return st.recursive(
        leaf,
        lambda inner: (
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda part: f"({' '.join(part)})")
            | inner.map(lambda part: f"!({part})")
            | st.tuples(inner, inner, inner).map(lambda part: f"({part[0]} ? {part[1]} : {part[2]})")
        ),
        max_leaves=4,
    )


OTHERS = ("has(request.body.n)", "request.body.s == null", "type(request.body.s) == string", "size(request.body.l) > 1")


def parsed(when: str) -> Expression | None:
    with suppress(ValueError):
        return parse_expression(when)
    return None


def said(expression: Expression, body: Any) -> Outcome:
    return expression.test(facts({"json": body}), {"id": "42"})


@settings(deadline=None, max_examples=1500)
@given(TEXTS, st.booleans())
def test_any_text_is_an_expression_or_refused_in_one_line(when: str, widen: bool) -> None:
    try:
        expression = parse_expression(when, widen=widen)
    except ValueError as refusal:
        message = str(refusal)
        assert message.startswith(("`when` does not parse at ", "`when` is not accepted at "))
        assert message.isprintable()
        assert "; accepted: " in message
    else:
        assert said(expression, {"a": 1}).value in (True, False, None)


@settings(deadline=None, max_examples=500)
@given(a_boolean(*map(st.just, OTHERS)), BODIES | ANYTHING)
def test_no_request_makes_an_expression_raise(when: str, body: Any) -> None:
    expression = parsed(when)
    if expression is not None:
        value, error, unclear = said(expression, body)
        assert (value is None) == ((error is None) != (unclear is None))
        assert len(expression.actual(facts({"json": body}), {})) == len(expression.uses)


@settings(deadline=None, max_examples=500)
@given(a_boolean(*map(st.just, OTHERS)), FITTING | BODIES)
def test_what_it_says_is_what_the_engine_says_or_unknown(when: str, body: Any) -> None:
    """Being written anew for the engine makes an expression unknown more often, and never says the opposite."""
    expression = parsed(when)
    if expression is None or (value := said(expression, body).value) is None:
        return
    principal = {"id": "ana", "groups": ["finance", "support"]}
    try:
        engine = cel.compile(when).execute({"request": {"body": body, "port": 443}, "principal": principal})
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError):
        return
    assert value is engine


def of_another_type(name: str) -> st.SearchStrategy[Any]:
    kinds = {"n": int | float, "m": int | float, "s": str, "t": str, "b": bool, "l": list, "o": dict}
    number = name in "nm"
    return ANYTHING.filter(lambda value: not isinstance(value, kinds[name]) or (number and isinstance(value, bool)))


@settings(deadline=None, max_examples=500)
@given(a_boolean(), FITTING, st.sampled_from("nmstblo"), st.data())
def test_a_value_of_another_type_decides_nothing_that_depends_on_it(
    when: str, body: dict[str, Any], name: str, data: st.DataObject
) -> None:
    """What is said in spite of it is said whatever the value is, or not at all."""
    expression = parsed(when)
    if expression is None:
        return
    value = said(expression, body | {name: data.draw(of_another_type(name))}).value
    if value is not None:
        assert {said(expression, body | {name: right}).value for right in RIGHT[name]} <= {value, None}


@settings(deadline=None, max_examples=300)
@given(a_boolean(*map(st.just, OTHERS)), BODIES, st.sampled_from("nmstblo"), SCALARS)
def test_a_repeated_member_decides_nothing(when: str, body: dict[str, Any], name: str, value: Any) -> None:
    expression = parsed(when)
    if expression is None or f"request.body.{name}" not in {f"request.body.{path[-1]}" for path in expression.uses}:
        return
    members = [
        f"{json.dumps(key)}: {json.dumps(inner)}" for key, inner in [*body.items(), (name, value), (name, value)]
    ]
    assert expression.test(facts({"body": f"{{{', '.join(members)}}}"}), {}).value is None
