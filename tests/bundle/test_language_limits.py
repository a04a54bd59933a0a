"""Rules that would take too long, or more memory than there is, are refused with the limit that they exceed.

That it takes little to find out is told by what is not done, not by a clock.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.bundle.test_load import report as reported
from tests.bundle.test_load import write

from headgate.bundle import load, reader
from headgate.match.expressions import expression
from headgate.policy import rules as policy_rules


def report(folder: Path, policy: str) -> str:
    (line,) = reported(write(folder / "rules", {"policy.yaml": policy}))
    return line


def never(*_: object) -> Any:
    pytest.fail("it is worked on")


def asking(match: str, when: str = "") -> str:
    return f"rules:\n- id: a\n  effect: deny\n  match: {match}\n" + (f"  when: {when}\n" if when else "")


REGEX = "{{query: {{q: {{regex: '{}'}}}}}}"
LIMITS: list[tuple[str, str, str]] = [
    ("a list of aliases", "a: &a [x]\nrules: [*a, *a]\n", "1:4: an anchor (`&name`) stands here"),
    ("a nested mapping", "rules: " + "{a: " * 40 + "}" * 40, "nested deeper than 32 levels; accepted: up to 32"),
    (
        "a repetition of repetitions",
        asking(REGEX.format("^(a{1000}){1000}$")),
        "is not a regex: invalid repetition size",
    ),
    (
        "a regex that compiles to too much",
        asking(REGEX.format("^(" + "|".join(f"{at:x}{{9,}}" for at in range(100)) + "){6}$")),
        "is too large a regex (",
    ),
    (
        "a long alternation",
        asking(REGEX.format("^(" + "|".join(f"word{at}" for at in range(200)) + ")$")),
        "the regex has 1493 characters; accepted: up to 1000",
    ),
    (
        "10,000 characters of CEL",
        asking("{}", "true || " * 1250 + "true"),
        "it has 10004 characters; accepted: up to 2000",
    ),
    (
        "900 parentheses",
        asking("{}", "(" * 900 + "true" + ")" * 900),
        "at column 17: it nests too deeply; accepted: up to 16",
    ),
    (
        "1,000 parentheses",
        asking("{}", "(" * 1000 + "true" + ")" * 1000),
        "it has 2004 characters; accepted: up to 2000",
    ),
    (
        "a chain",
        asking("{}", "principal.id" + ".a" * 900),
        "it nests too deeply; accepted: up to 16 levels, chains of up to 24",
    ),
    (
        "a long JSONPath",
        asking(f"{{body: {{'$.{'a' * 1000}': 1}}}}"),
        "the JSONPath has 1002 characters; accepted: up to 1000",
    ),
    ("a JSONPath of filters", asking("{body: {'$" + "[?@" * 200 + "]" * 200 + "': 1}}"), "is nested too deeply"),
    (
        "a JSONPath of parentheses",
        asking("{body: {'$[?" + "(" * 400 + "@.a" + ")" * 400 + "]': 1}}"),
        "is nested too deeply",
    ),
    (
        "a number of 5,000 digits",
        asking(f"{{body: {{$.a: {'9' * 5000}}}}}"),
        "a number stands here that cannot be read",
    ),
]


@pytest.mark.parametrize(
    ("policy", "says"), [row[1:] for row in LIMITS], ids=[row[0].replace(" ", "-") for row in LIMITS]
)
def test_what_would_take_too_long_is_refused_with_its_limit(
    tmp_path: Path, policy: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And before it is worked on: nothing of it reaches what compiles expressions."""
    monkeypatch.setattr(expression, "compiled", never)
    line = report(tmp_path, policy)
    assert line.startswith("rules/policy.yaml:")
    assert says in line


def test_an_alias_bomb_is_refused_at_its_first_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it would grow, and however much of it there is."""
    taken: list[object] = []
    take = reader._Builder.take
    monkeypatch.setattr(reader._Builder, "take", lambda self, event: (taken.append(event), take(self, event)))
    bomb = "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9) if at else 'x'}]\n" for at in range(1000))
    node, (fault,) = reader.read(bomb.encode())
    assert node is None
    assert fault.message.startswith("an anchor (`&name`) stands here")
    assert len(taken) < 10


def test_more_than_5_mb_are_not_even_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = load.read, []

    def read(data: bytes) -> Any:
        seen.append(len(data))
        return real(data)

    monkeypatch.setattr(load, "read", read)
    line = report(tmp_path, "# much\n" * 800_000)
    assert line == "rules/policy.yaml: the rules are larger than 5 MB up to here; accepted: up to 5 MB"
    assert max(seen) < 10_000


def test_50_000_rules_are_refused_and_none_of_them_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_rules, "_compile_rule", never)
    many = "rules:\n" + "".join(f"- {{id: r{at}, effect: deny, match: {{}}}}\n" for at in range(50_000))
    line = report(tmp_path, many)
    assert line == "rules: there are more than 20,000 rules, limits and tests; accepted: up to 20,000"


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ("principal.id ==", "column 16: unexpected end"),
        ("principal.id == 'a' &&& true", "column 23: unexpected `&`"),
        ('"principal.id == \'a"', "column 17: a text has no end"),
        (">-\n    principal.id == 'a'\n    || )", "column 24: unexpected `)`"),
        ("|\n    principal.id == 'a'\n    || )", "line 2, column 4: unexpected `)`"),
    ],
)
def test_an_expression_that_does_not_parse_points_at_its_column(tmp_path: Path, when: str, place: str) -> None:
    line = report(tmp_path, asking("{}", when))
    assert line == (
        f"rules/policy.yaml:5:9: `when` does not parse at {place}; accepted: a CEL expression that gives a boolean"
    )
