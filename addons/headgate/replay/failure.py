"""What a test of a flow shows when it fails: the direction, what has to change in the file, and why the rules say what
they say, condition by condition, with file and line.

Of the request it shows what every record of a decision may show: who, where, when. What a header, a query or a body
held is left out: the rules as they are now may mask what those of the recording let stand.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headgate.policy.derivation import RECORDABLE
from headgate.replay.compared import LOOSER, Direction, difference, in_words
from headgate.replay.expectations import printable
from headgate.replay.places import beside

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.model import Target
    from headgate.policy.explain import Explanation
    from headgate.replay.items import FlowItem
    from headgate.replay.recorded import Recorded

MARKS = {"true": "holds", "false": "fails", "unknown": "unknown", "not-asked": "not asked"}


def failure(
    item: "FlowItem",
    bundle: "Bundle",
    entry: "Entry",
    found: Sequence[Direction],
    expected: Mapping[str, Any],
    came: Mapping[str, Any],
) -> str:
    """Everything about one flow that came out otherwise than expected."""
    file = item.parent
    where = f"{file.project.shown(beside(file.path))}:{file.expected.lines.get(item.name, 1)}"
    lines = [
        in_words(found, expected, came),
        "",
        f"{came.get('what', item.name)}, by {came.get('who', 'unknown')}",
        f"  - expected ({where})",
        f"  + by the rules in {file.project.shown(file.rules)}",
        "",
        *(f"  {line}" for line in difference(expected, came)),
        "",
        *derivation(bundle, file.project.shown(file.rules), entry, expected, came),
        "",
        _advice(item, found),
    ]
    return "\n".join(lines)


def _advice(item: "FlowItem", found: Sequence[Direction]) -> str:
    options = item.config.option
    if options.flows_update and not LOOSER.isdisjoint(found):
        return "not written: what lets more pass, masks less or is uncertain is with `--allow-loosening` only"
    allow = "" if LOOSER.isdisjoint(found) else " --allow-loosening"
    return f"if this is meant: pytest {item.parent.shown} --flows-update{allow}"


def derivation(
    bundle: "Bundle", folder: str, entry: "Entry", expected: Mapping[str, Any], came: Mapping[str, Any]
) -> Iterator[str]:
    """Why the rules say what they say: the rules that decide, and those that were to, each with its conditions."""
    from headgate.policy.engine import PolicyRules
    from headgate.policy.explain import explain
    from headgate.policy.unrecorded import without
    from headgate.replay.judge import was_judged
    from headgate.replay.recorded import recorded

    known = recorded(entry, bundle)
    if known.principal is None or not was_judged(entry):
        yield f"no rule of policy was asked: the request was refused before ({printable(entry.summary.reason)})"
        return
    target = bundle.targets.resolve(known.request.scheme, known.request.host, known.request.port)
    rules = PolicyRules(bundle.targets, without(bundle.policy, known.unrecorded))
    found = explain(rules, known.principal, target, known.request, now=known.at, signals=known.signals)
    yield from _entry_checks(found)
    yield from _rules(found, {*_ids(expected), *_ids(came)})
    for gone in sorted(set(_ids(expected)) - {rule.ref.id for rule in found.rules}):
        yield f"{printable(gone)}: is not among the rules any more"
    yield from _masks(bundle, folder, known, target)


def _entry_checks(found: "Explanation") -> Iterator[str]:
    """What failed before any rule was asked."""
    for check in found.entry:
        if check.holds is False:
            yield f"{check.name}: expected {_text(check.expected)}, got {_text(check.actual)}"


def _rules(found: "Explanation", named: set[str]) -> Iterator[str]:
    from headgate.policy.derivation import condition_json, rule_json

    decided = found.decision.rules
    for rule in found.rules:
        if rule.ref in decided or rule.ref.id in named:
            yield from _rule(rule_json(rule), decides=rule.ref in decided)
    if found.nearest:
        near = found.nearest.rule
        yield f"{near.file}:{near.line}: {near.id} ({near.effect}) came nearest to allowing it"
        for outcome in found.nearest.failing:
            yield from _condition(condition_json(outcome), "    ")


def _rule(rule: dict[str, Any], *, decides: bool) -> Iterator[str]:
    said = "decides" if decides else "holds" if rule["applies"] else "does not apply"
    shadow = ", shadow" if rule["mode"] == "shadow" else ""
    yield printable(f"{rule['file']}:{rule['line']}: {rule['id']} ({rule['effect']}{shadow}) {said}")
    for condition in rule["conditions"]:
        yield from _condition(condition, "    ")


def _condition(condition: dict[str, Any], indent: str) -> Iterator[str]:
    line = f", line {condition['line']}" if condition["line"] else ""
    mark = MARKS[condition["outcome"]]
    if "conditions" in condition:
        yield f"{indent}{mark:9} not{line}"
        for inner in condition["conditions"]:
            yield from _condition(inner, f"{indent}  ")
        return
    shows = condition["key"].partition(".")[0].partition(" ")[0] in RECORDABLE
    actual = f", got {_text(condition['actual'])}" if shows else ""
    error = f" ({condition['error']})" if condition.get("error") else ""
    expected = _text(condition["expected"])
    yield printable(f"{indent}{mark:9} {condition['key']}: expected {expected}{actual}{error}{line}")


def _masks(bundle: "Bundle", folder: str, known: "Recorded", target: "Target | None") -> Iterator[str]:
    """Which masks are due, and where they stand."""
    from headgate.match import Facts, Subject
    from headgate.policy.unrecorded import matcher_without

    if known.principal is None:
        return
    facts = Facts(Subject(known.principal, known.request, target, known.at, known.signals))
    for at, mask in enumerate(bundle.masking.masks):
        if matcher_without(mask.matcher, known.unrecorded).test(facts) is not False:
            excepted = mask.exempt is not None and mask.exempt.test(facts) is True
            for_whom = ", but not for this caller" if excepted else ""
            yield f"{folder}/{_place_of_mask(bundle, at)}: mask {mask.id} is due{for_whom}"


def _place_of_mask(bundle: "Bundle", at: int) -> str:
    """Compiled masks do not say where they stand; the file does."""
    from headgate.bundle.document import place_of
    from headgate.bundle.files import MASKING
    from headgate.bundle.reader import read

    node, _ = read(bundle.contents[MASKING])
    return f"{MASKING}:{place_of(node, ('masks', at)).line}" if node else MASKING


def _ids(said: Mapping[str, Any]) -> list[str]:
    rules = said.get("rules")
    return [str(rule) for rule in rules] if isinstance(rules, list) else []


def _text(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
