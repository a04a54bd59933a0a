"""Why one rule does or does not apply: each of its conditions, what it asks for and what the request has in its place.

What a person reads is cut to a length that can be read, and never holds a credential: not a header, a parameter or a
member whose name says that it is one, and no JSON Web Token wherever it stands.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from headgate.match import Facts, Matcher
from headgate.match.compiled import Expression
from headgate.match.conditions import Condition
from headgate.model import Effect, RuleRef
from headgate.policy.engine import Rule

MAX_TEXT = 80
MAX_ENTRIES = 20
MAX_DEPTH = 4
REDACTED = "[redacted]"

WHEN = "when"

RECORDABLE = frozenset({"principal", "target", "method", "host", "time", "source", "signal"})
"""Of these a record may hold what the request had: it has them anyway, and no mask is for them."""

_CREDENTIAL = re.compile(
    r"auth(?!or(?!iz))|cookie|token|secret|passw|credential|api[-_]?key|signature|dpop|session|jwt", re.IGNORECASE
)
_TOKEN = re.compile(r"eyJ[\w-]{6,}")
_CALLERS = frozenset({"headers", "query", "body", "form", "graphql", "request"})
"""Where names are the caller's or an application's own, so that one may name a credential."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One condition: `holds` is None where it is unknown, or where nobody asked (`asked` is false): `when` is asked
    only where all else holds. `kind` is the key of `match` that it stands under; `inner` is what a `not:` negates;
    `error` says why a `when` could not be evaluated."""

    key: str
    kind: str
    holds: bool | None
    expected: Any
    actual: Any
    line: int
    inner: tuple["Outcome", ...] = ()
    asked: bool = True
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """A rule and all of its conditions. `applies`: it takes part in the answer, or would if it were enforced."""

    ref: RuleRef
    shadow: bool
    holds: bool | None
    applies: bool
    conditions: tuple[Outcome, ...]


def outcome_of(rule: Rule, facts: Facts) -> RuleOutcome:
    holds = rule.matcher.test(facts)
    applies = holds is True or (holds is None and rule.ref.effect is not Effect.ALLOW)
    return RuleOutcome(rule.ref, rule.shadow, holds, applies, tuple(outcomes(rule, facts)))


def outcomes(rule: Rule, facts: Facts) -> Iterator[Outcome]:
    """Every condition of a rule, `when` last."""
    matcher, met = rule.matcher, True
    for condition in matcher.conditions:
        found = _outcome(rule, condition, facts, ())
        met = met and found.holds is True
        yield found
    if matcher.when is not None:
        yield _when(rule, matcher.when, facts, asked=met)


def _outcome(rule: Rule, condition: Condition, facts: Facts, above: tuple[str | int, ...]) -> Outcome:
    where = (*above, *condition.location)
    kind, name = _place(condition)
    inner: Matcher | None = condition.inner
    negated = tuple(_outcome(rule, one, facts, where) for one in inner.conditions) if inner else ()
    return Outcome(
        condition.key,
        kind,
        condition.test(facts),
        plain(condition.expected),
        _of(kind, name, condition.actual(facts)),
        rule.line_of(where if kind == WHEN else ("match", *where)),
        negated,
    )


def _place(condition: Condition) -> tuple[str, str]:
    """The key of `match` that a condition stands under, and the name there if it has one."""
    kind, *names = map(str, condition.location or condition.key.replace(".", " ").split(" "))
    return kind, " ".join(names)


def _of(kind: str, name: str, value: Any) -> Any:
    """The value under a name, unless the name is one that callers choose and says that it is a credential, or the
    value is a whole object in one text and seems to hold one."""
    if value is None or kind not in _CALLERS:
        return shown(value)
    whole = isinstance(value, str) and value.startswith(("{", "["))
    return REDACTED if _CREDENTIAL.search(name) or (whole and _CREDENTIAL.search(value)) else shown(value)


def _when(rule: Rule, when: Expression, facts: Facts, *, asked: bool) -> Outcome:
    params = rule.matcher.path_params(facts)
    found = when.test(facts, params) if asked else None
    actual = {name: _of(name.partition(".")[0], name, value) for name, value in when.actual(facts, params).items()}
    holds, error = (found.value, found.error) if found else (None, None)
    return Outcome("when", WHEN, holds, when.text, actual, rule.line_of((WHEN,)), (), asked, error)


# -- values as people read them ---------------------------------------------------------------------------------------


def shown(value: Any, depth: int = 0) -> Any:
    """A value of a request as JSON has it, cut to what can be read: texts in length, lists and mappings in entries."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return REDACTED if _TOKEN.search(value) else cut(value)
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        names = list(value)[:MAX_ENTRIES]
        members = {cut(str(name)): _member(str(name), value[name], depth) for name in names}
        return members | ({"...": f"{len(value) - MAX_ENTRIES} more"} if len(value) > MAX_ENTRIES else {})
    if isinstance(value, Set):
        return _entries(sorted(value, key=str), depth)
    return _entries(value, depth) if isinstance(value, Sequence) and not isinstance(value, bytes) else cut(str(value))


def _member(name: str, value: Any, depth: int) -> Any:
    return REDACTED if _CREDENTIAL.search(name) and isinstance(value, str) else shown(value, depth + 1)


def _entries(values: Sequence[Any], depth: int) -> list[Any]:
    entries = [shown(value, depth + 1) for value in values[:MAX_ENTRIES]]
    return [*entries, f"... {len(values) - MAX_ENTRIES} more"] if len(values) > MAX_ENTRIES else entries


def cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def plain(value: Any) -> Any:
    """What a rule asks for, as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Set):
        return sorted(map(plain, value), key=str)
    if isinstance(value, str):
        return str(value)  # of an enumeration its value
    return [plain(item) for item in value] if isinstance(value, Iterable) else value


# -- as JSON ----------------------------------------------------------------------------------------------------------

OUTCOMES = {True: "true", False: "false", None: "unknown"}


def rule_json(rule: RuleOutcome) -> dict[str, Any]:
    return {
        **ref_json(rule.ref),
        "mode": "shadow" if rule.shadow else "enforce",
        "outcome": OUTCOMES[rule.holds],
        "applies": rule.applies,
        "conditions": [condition_json(condition) for condition in rule.conditions],
    }


def ref_json(ref: RuleRef) -> dict[str, Any]:
    return {"id": ref.id, "effect": str(ref.effect), "file": ref.file, "line": ref.line}


def condition_json(condition: Outcome, *, for_record: bool = False) -> dict[str, Any]:
    """One condition; `for_record` leaves out what the request had where that is not for a record to hold."""
    made: dict[str, Any] = {
        "key": condition.key,
        "outcome": OUTCOMES[condition.holds] if condition.asked else "not-asked",
        "line": condition.line,
    }
    if condition.kind == "not":
        return made | {"conditions": [condition_json(one, for_record=for_record) for one in condition.inner]}
    made["expected"] = condition.expected
    if not for_record or condition.kind in RECORDABLE:
        made["actual"] = condition.actual
    return made | ({"error": condition.error} if condition.error else {})
