"""`when:`: what it says of a request (cases/expressions.yaml), what is refused, and that nothing crashes it."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.match.asking import NOW, request_of

from headgate.match.expressions import Outcome, parse_expression
from headgate.match.facts import Facts, Subject
from headgate.model import Kind, PathRules, Principal, Request, Session, Target, Workload

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "expressions.yaml").read_text(encoding="utf-8"))

ANA: dict[str, Any] = {
    "id": "ana",
    "kind": "human",
    "provider": "sso",
    "email": "ana@corp.example",
    "groups": ["support", "finance"],
    "environments": ["prod"],
    "audiences": ["api"],
    "issued_at": NOW - 600,
}
CLAIMS = {"tenant": "acme", "level": 3, "roles": ("dev", "ops"), "kubernetes.io": {"namespace": "ci"}}
PAYMENTS = Target("payments", "prod", frozenset({"pci"}))


def ana(changes: dict[str, Any]) -> Principal:
    values = ANA | changes
    sets = {name: frozenset(values.pop(name)) for name in ("groups", "environments", "audiences")}
    session = Session("s1", frozenset({"refunds:write"}), values.pop("issued_at"))
    workload = Workload("billing", "2.4.1", verified=True)
    kind = Kind(values.pop("kind"))
    return Principal(**values, **sets, kind=kind, session=session, workload=workload, claims=CLAIMS)


def facts(case: dict[str, Any]) -> Facts:
    principal = None if case.get("principal", {}) is None else ana(case.get("principal", {}))
    if isinstance(case.get("json"), str) and " * " in case["json"]:  # `1 * 500`: that many items
        item, _, count = case["json"].partition(" * ")
        case = case | {"json": {"items": [int(item)] * int(count)}}
    signals = case.get("signals", ["incident"])
    known = None if signals is None else frozenset(signals)
    return Facts(Subject(principal, request_of(case), case.get("target", PAYMENTS), case.get("now", NOW), known))


def path_params(case: dict[str, Any]) -> dict[str, str]:
    """`4 * 8193` is that many characters."""
    given: dict[str, str] = case.get("path_params", {"id": "42"})
    parts = {name: value.partition(" * ") for name, value in given.items()}
    return {name: text * int(count or 1) for name, (text, _, count) in parts.items()}


def outcome(when: str, case: dict[str, Any] | None = None) -> Outcome:
    case = case or {}
    return parse_expression(when, widen=case.get("widen", False)).test(facts(case), path_params(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_what_an_expression_says(case: dict[str, Any]) -> None:
    value = None if case["holds"] == "unknown" else case["holds"]
    assert outcome(case["when"], case) == Outcome(value, case.get("error"), case.get("unclear"))


def test_each_unknown_of_the_table_says_why() -> None:
    unknown = [case for case in CASES if case["holds"] == "unknown"]
    assert all(("error" in case) != ("unclear" in case) for case in unknown)


REFUSED = [
    # no CEL, and where
    ("", "does not parse at column 1: unexpected end; accepted: a CEL expression that gives a boolean"),
    ("principal.id ==", "does not parse at column 16: unexpected end"),
    ("principal.id id", "does not parse at column 14: unexpected `id`"),
    ('principal.id ==\n  "ana" &&\n  && true', "does not parse at line 3, column 3: unexpected `&&`"),
    ('principal.id == "ana', "does not parse at column 17: a text has no end"),
    ('principal.id == "\\q"', 'does not parse at column 17: `"\\q"` is not a text of CEL'),
    ('"\\ud800" == principal.id', 'does not parse at column 1: `"\\ud800"` is not a text of CEL'),
    ("request.port == 9223372036854775808", "`9223372036854775808` is not a number of CEL"),
    ("request.port = 1", "does not parse at column 14: unexpected `=`"),
    ("principal.id == 'a' & true", "does not parse at column 21: unexpected `&`"),
    ("principal.`id` == 'a'", "does not parse at column 11"),
    ("true\x00", "does not parse at column 5: an unexpected control character"),
    ("principal.in == 'a'", "does not parse at column 11: unexpected `in`"),
    ("package == 'a'", "does not parse at column 1: unexpected `package`"),
    ("(true", "does not parse at column 6: unexpected end"),
    ("true)", "does not parse at column 5: unexpected `)`"),
    ("size(request.path,) > 1", "does not parse at column 19: unexpected `)`"),
    ('b"a" == b"a"', "does not parse at column 2"),
    ("1u == 1", "does not parse at column 1"),
    ("request.?body == 1", "does not parse at column 9: unexpected `?`"),
    # names
    ("request.bdy.amount > 1", "at column 9: `request.bdy` is not known; did you mean `request.body`?; accepted: "),
    ("principal.groop == 'a'", "at column 11: `principal.groop` is not known; did you mean `principal.groups`?"),
    ("principal.workload.sha == 'a'", "`principal.workload.sha` is not known; accepted: `principal.workload.commit`"),
    ("principle.id == 'a'", "at column 1: `principle` is not known; did you mean `principal`?"),
    ("user == 'a'", "`user` is not known; accepted: `now`, `path_params`, `principal`"),
    ("request == request", "`request` is no value by itself; accepted: `request.body`"),
    ("principal.session == null", "`principal.session` is no value by itself; accepted: `principal.session.age`"),
    ("has(principal.session)", "`principal.session` is always there; accepted: one of its members"),
    ("principal[path_params.id] == 'a'", "`principal` is no value by itself"),
    ("request.path.length > 1", "at column 14: `request.path` is a text, which has no members"),
    ("request.headers.Host[0] == 'a'", "`Host` names no header here; accepted: lower case, such as `host`"),
    ("request.headers.authorization[0] == 'a'", "holds credentials, which rules do not see"),
    ("'cookie' in request.headers", "at column 1: `cookie` holds credentials"),
    ("request.headers['x-forwarded-for'][0] == 'a'", "`x-forwarded-for` says nothing when a caller sends it"),
    # functions
    ("sise(request.path) > 1", "`sise` is not a function here; did you mean `size`?; accepted: `double`"),
    ("request.path.startswith('/')", "`startswith` is not a method here; did you mean `startsWith`?"),
    ("matches(request.path, '^a$')", "`matches` is not a function here"),
    ("size(request.path, 1) > 1", "`size` takes other arguments; accepted: 1"),
    ("request.path.startsWith() && true", "`startsWith` takes other arguments; accepted: 1"),
    (
        "now.getHours('Europe/Paris') > 8",
        "`getHours` takes other arguments; accepted: none; a `time:` condition knows time zones",
    ),
    ("request.path.startsWith(1)", "at column 25: `startsWith` does not take an int; accepted: text"),
    ("size(5) > 1", "at column 6: `size` does not take an int; accepted: list, map, text"),
    ("has(path_params)", "`has` takes one member; accepted: such as `has(principal.email)`"),
    ("has(path_params.a, path_params.b)", "`has` takes one member"),
    ("duration('1d') < duration('2h')", "is no duration that is written out; accepted: such as `1h30m`"),
    ("duration('nans') < duration('2h')", "is no duration that is written out"),
    ("duration(request.body.ttl) < duration('2h')", "at column 10: this is no duration that is written out"),
    ("duration('3000000h') > duration('1h')", "is too long; accepted: such as `1h30m`, up to 2,500,000 hours"),
    ("now > timestamp('today')", "`timestamp('today')` has no value; accepted: such as `2030-01-31T09:00:00Z`"),
    # regexes
    ("request.path.matches('v1')", "`v1` does not say where it begins and ends"),
    ("request.path.matches('^(a$')", "`^(a$` is not a regex: missing )"),
    ("request.path.matches('^(a{1000}){1000}$')", "is not a regex"),
    ("request.path.matches(request.body.re)", "at column 22: the regex is not written out"),
    # types
    ("1 + 2", "at column 1: it gives an int; accepted: an expression that gives a boolean"),
    ("'a'", "at column 1: it gives a text"),
    ("principal.groups", "it gives a list"),
    ("now", "it gives a timestamp"),
    ("null", "it gives null"),
    ("principal.id == 5", "at column 14: a text is never an int; accepted: values of one type"),
    ("5 in principal.groups", "at column 3: an int is never in this list; accepted: a text"),
    ("principal.id in [1, 2]", "a text is never an int"),
    ("principal.email == null", "a text is never null; accepted: `has()` tells whether a value is there"),
    ("principal.id < 5", "`<` does not take a text and an int; accepted: one type"),
    ("principal.groups < principal.groups", "`<` does not take a list; accepted: int, double, text"),
    ("request.port + 1.5 > 1.0", "`+` does not mix int and double; accepted: `double(x)`"),
    ("request.port + 'a' == 'a'", "`+` does not take a text"),
    ("!principal.id", "`!` takes booleans, not a text"),
    ("principal.id && true", "at column 1: `&&` takes booleans, not a text; accepted: comparisons"),
    ("request.port ? true : false", "`?` takes booleans, not an int"),
    ("-principal.id == 1", "`-` does not take a text; accepted: a number"),
    ("request.body.tags == ['a']", "a list is not compared with a value of any type; accepted: `in`, `all` and `size`"),
    ("[1, 'a'].exists(x, x == 1)", "the items are of different types"),
    ("principal.id in []", "an empty list holds nothing"),
    ("'a' in request.path", "`in` does not take a text; accepted: a list"),
    ("{1: 2}[1] == 2", "the names of this map are not known; accepted: texts that are written out, each once"),
    ("{'a': 1, 'a': 2}.a == 2", "the names of this map are not known"),
    ("request.query.mode[1] == 'a'", "of several values of a name none may be picked; accepted: `[0]`"),
    ("'''a\n\x1bb'''.c == 'a'", "`'''a  b'''` is a text, which has no members"),
    ("request.segments['a'] == 'a'", "`request.segments` is a list, which has no members"),
    ("request.segments[path_params.id] == 'a'", "a list takes no text here; accepted: an int"),
    ("request.port[0] == 1", "an int has no items"),
    # macros
    (
        "principal.groups.exists(g, principal.groups.all(h, h == g))",
        "`all` stands within `exists`; accepted: one macro",
    ),
    ("principal.groups.filter(g, true).exists(h, true)", "`filter` stands within `exists`"),
    ("principal.groups.exists(g)", "`exists` takes a variable and what is said of it"),
    ("principal.groups.exists('g', true)", "`exists` takes a variable"),
    ("principal.groups.exists(now, true)", "`now` cannot be a variable; accepted: another name, such as `x`"),
    ("principal.groups.exists(__result__, true)", "`__result__` cannot be a variable"),
    ("principal.groups.exists(g, g)", "`exists` takes booleans, not a text"),
    ("request.port.exists(p, true)", "a macro does not go through an int; accepted: a list or a map"),
    ("principal.groups.exists(g, true) && g == 'a'", "at column 37: `g` is not known"),
    (
        "request.body.map(i, i.name + 'x').size() > 1",
        "`map` would keep texts or lists put together for each item; accepted: numbers",
    ),
    (
        "'a' in request.body.map(i, i.name)",
        "`in` cannot compare items of any type here; accepted: `exists(x, x == ...)`",
    ),
    # limits
    ("true || " * 250 + "true", "at column 2001: it has 2004 characters; accepted: up to 2000"),
    ("(" * 17 + "true" + ")" * 17, "at column 17: it nests too deeply; accepted: up to 16 levels, chains of up to 24"),
    ("request.port" + " + 1" * 30 + " > 1", "it nests too deeply"),
    ("(" * 9 + "request.body.a" + " == request.body.b)" * 9, "comparisons within comparisons grow too large"),
]


@pytest.mark.parametrize(("when", "says"), REFUSED, ids=[f"{at}-{when[:40]!a}" for at, (when, _) in enumerate(REFUSED)])
def test_what_is_refused_says_where_and_what_is_accepted(when: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"\A`when` (does not parse|is not accepted) at ") as refusal:
        parse_expression(when)
    message = str(refusal.value)
    assert says in message
    assert "; accepted: " in message
    assert "\n" not in message


DEEP = {
    "parentheses": lambda n: "(" * n + "true" + ")" * n,
    "open parentheses": lambda n: "(" * n,
    "brackets": lambda n: "[" * n + "1" + "]" * n + ".exists(x, true)",
    "braces": lambda n: '{"a": ' * n + "1" + "}" * n,
    "negations": lambda n: "!" * n + "true",
    "negations in parentheses": lambda n: "!(" * n + "true" + ")" * n,
    "signs": lambda n: "-" * n + "request.body.a > 1",
    "choices": lambda n: "true ? true : " * n + "true",
    "choices in parentheses": lambda n: "(true ? " * n + "true" + " : true)" * n,
    "sums": lambda n: "request.body.a" + " + 1" * n + " > 1",
    "comparisons": lambda n: "true == " * n + "true",
    "comparisons in parentheses": lambda n: "(" * n + "request.body.a" + " == request.body.b)" * n,
    "memberships": lambda n: "(" * n + "request.body.a" + " in request.body.b)" * n,
    "members": lambda n: "has(request.body" + ".a" * n + ")",
    "items": lambda n: "request.body" + "[0]" * n + " == 1",
    "calls": lambda n: "string(" * n + "request.body" + ")" * n + ' == ""',
    "both": lambda n: "true && " * n + "true",
}


def test_nothing_that_nests_or_chains_reaches_the_engine_too_deep_for_its_stack() -> None:
    """The engine overflows the stack of a thread of 512 kB at 80 parentheses, which ends the whole process."""
    source = """
import sys, threading
from tests.match.test_expressions import DEEP, facts
from headgate.match.expressions import parse_expression
sizes = (*range(1, 40), 10_000)

def run():
    for kind, of in DEEP.items():
        accepted = 0
        for size in sizes:
            try:
                expression = parse_expression(of(size))
            except ValueError:
                continue
            expression.test(facts({"json": {"a": 1, "b": [1]}}), {})
            accepted = size
        print(kind, accepted, sep=":")

threading.stack_size(512 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'addons'}:{root}"},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    accepted = dict(line.split(":") for line in ran.stdout.splitlines())
    assert set(accepted) == set(DEEP)
    assert all(int(size) < 10_000 for size in accepted.values())
    assert int(accepted["parentheses"]) == 15
    assert int(accepted["both"]) == 39


def test_a_value_that_nests_deeply_is_unknown_and_not_handed_over() -> None:
    """The engine crashes on it: on a value of 10,000 levels always, of 400 in a small stack."""
    body = "[" * 99 + "1" + "]" * 99
    assert outcome("request.body == null", {"body": body}) == Outcome(None, unclear="values-too-large")
    assert outcome("principal.claims.deep == null", {"principal": {}}).error == "a value is absent"


@pytest.mark.parametrize(
    ("json", "unclear"),
    [
        ([["x" * 10] * 400] * 10, "values-too-large"),
        (["x" * 40_000] * 2, "values-too-large"),
        (["é" * 40_000], None),
        ([["x"] * 400] * 4, None),
    ],
    ids=["too many values", "too much text", "one long text", "as many as may be"],
)
def test_how_much_is_converted_is_bounded(json: Any, unclear: str | None) -> None:
    assert outcome("request.body != null", {"json": json}) == Outcome(None if unclear else True, unclear=unclear)


def test_only_what_an_expression_refers_to_is_converted() -> None:
    """What would make all unknown, were it looked at."""
    json = {"amount": 2000, "rest": [["x" * 10] * 400] * 10, "mixed": [1, "a"], "wide": [1] * 900}
    assert outcome("request.body.amount > 1000 && has(request.body.rest)", {"json": json}).value is True
    assert outcome("size(request.body.wide) > 1000", {"json": json}).unclear == "list-too-long"


@pytest.mark.parametrize(
    ("when", "reads"),
    [
        ("request.body.amount > 1", True),
        ("has(request.body)", True),
        ("request.size > 1", True),
        ("true || request.body == null", True),
        ("request.path == '/' && principal.claims.body == 1", False),
        ("true", False),
    ],
)
def test_an_expression_knows_whether_it_reads_the_body(when: str, reads: bool) -> None:
    assert parse_expression(when).reads_body is reads


def test_an_expression_knows_which_variables_of_the_path_it_needs() -> None:
    assert parse_expression("path_params.id == path_params['other']").path_params == {"id", "other"}


def test_the_path_is_in_lower_case_where_the_target_ignores_case() -> None:
    folding = Target("payments", paths=PathRules(fold_case=True))
    request = Request("GET", "https", "api.internal", 443, "/V1/Admin")
    said = parse_expression("request.path == '/v1/admin' && request.segments == ['v1', 'admin']")
    assert said.test(Facts(Subject(None, request, folding, NOW)), {}).value is True


def test_an_upgrade_has_a_method_of_its_own() -> None:
    headers = (("connection", "upgrade"), ("upgrade", "websocket"))
    request = Request("GET", "https", "api.internal", 443, "/", headers=headers)
    assert parse_expression("request.method == 'WEBSOCKET'").test(Facts(Subject(None, request, None, NOW)), {}).value


def test_what_an_expression_refers_to_is_shown_to_operators_cut_short() -> None:
    when = (
        "principal.id == 'ana' && request.body.amount > 1 && has(request.body.note) && has(principal.person) "
        "&& request.body.note != '' && request.query.mode[0] == 'a' && 'ops' in principal.claims['roles'] "
        "&& principal.claims['kubernetes.io'].namespace == 'ci' && now > timestamp('2020-01-01T00:00:00Z')"
    )
    case = {"json": {"amount": 2000, "note": "n" * 200}, "query": "Mode=a"}
    assert parse_expression(when).actual(facts(case), {}) == {
        "principal.id": "ana",
        "request.body.amount": 2000,
        "request.body.note": "n" * 79 + "…",
        "principal.person": None,
        "request.query.mode": "unknown: parameter-in-another-spelling",
        "principal.claims.roles": '["dev", "ops"]',
        'principal.claims["kubernetes.io"].namespace': "ci",
        "now": '"2023-11-14 22:13:20+00:00"',
    }


def test_what_is_shown_of_a_body_that_has_not_been_read() -> None:
    assert parse_expression("request.body.amount > 1").actual(facts({}), {}) == {
        "request.body.amount": "unknown: body-not-read"
    }


SECRET = "s3cret-value"


@pytest.mark.parametrize(
    "when",
    [
        "request.body.a > 1",
        "request.body.a + 1 > 1",
        "int(request.body.a) > 1",
        "timestamp(request.body.a) < now",
        "request.body.l[request.body.a] == 1",
        "request.body.o[request.body.a] == 1",
        "request.body.a.matches('^x$') && request.body.l.matches('^x$')",
        "-request.body.a > 1",
        "request.body.a",
    ],
)
def test_no_error_quotes_a_value_and_nothing_is_printed(
    when: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = outcome(when, {"json": {"a": SECRET, "l": [1], "o": {}}})
    assert said.value is not True
    assert SECRET not in str(said)
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


def test_a_panic_of_the_engine_is_unknown_and_an_interrupt_is_not() -> None:
    """A panic of Rust comes as a `PanicException`, which is no `Exception`."""

    class PanicException(BaseException):
        pass

    class Failing:
        def __init__(self, error: BaseException) -> None:
            self._error = error

        def execute(self, _values: dict[str, Any]) -> bool:
            raise self._error

    expression = parse_expression("true")
    expression._program = Failing(PanicException("value"))  # type: ignore[assignment]
    assert expression.test(facts({}), {}) == Outcome(None, "the engine failed")
    expression._program = Failing(KeyboardInterrupt())  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        expression.test(facts({}), {})


def test_one_expression_serves_several_threads_at_once() -> None:
    expression = parse_expression(
        "request.body.items.exists(i, i == path_params.id) && request.path.matches('^/v1/.*$')"
    )
    known, said = facts({"json": {"items": [str(number) for number in range(100)]}}), []

    def ask(number: int) -> None:
        said.extend((number, expression.test(known, {"id": str(number)}).value) for _ in range(20))

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 99, 100, 101)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(said) == {(0, True), (99, True), (100, False), (101, False)}


def test_names_of_a_map_are_gone_through_in_one_order() -> None:
    """The engine's own order is one of chance, and with it which of two items comes first: an error or what decides."""
    expression = parse_expression("request.query.exists(n, n == 'b' || request.body[n] == 1)")
    case = {"query": "c=1&b=1&a=1", "json": {"a": "x", "c": 1}}
    assert {expression.test(facts(case), {}) for _ in range(50)} == {
        Outcome(None, "a value is not of the type that it is used as")
    }
