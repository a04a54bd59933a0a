"""An explanation on a terminal: the answer first, then why, what came nearest, and what else is due."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from headgate.cli.notes import iso
from headgate.cli.screen import visible
from headgate.cli.verdicts import failing_text, text_of

MARKS = {"true": "holds", "false": "fails", "unknown": "unknown", "not-asked": "not asked"}
ANSWERS = {"allow": ("allowed", "green"), "approve": ("needs approval", "yellow"), "deny": ("refused", "red")}


def print_explanation(found: dict[str, Any], *, everything: bool) -> None:
    """`found` is what `--json` prints."""
    for line in _lines(found, everything):
        click.echo(line)


def _lines(found: dict[str, Any], everything: bool) -> Iterator[str]:
    yield _answer(found)
    yield from _asked(found)
    if found["decision"]:
        yield from _why(found)
        yield from _shadow(found)
        yield from _due(found)
    for note in found["notes"]:
        yield f"note: {visible(note)}"
    if everything:
        yield from _every_rule(found["rules"])


def _answer(found: dict[str, Any]) -> str:
    """The decision in one line."""
    refusal, decision = found["refusal"], found["decision"]
    if refusal:
        word, said = "refused", f"{refusal['reason']} ({refusal['status']}): {refusal['meaning']}"
        return f"{click.style(word, fg='red', bold=True)}: {visible(said.removesuffix(': '))}"
    word, colour = ANSWERS[decision["effect"]]
    if any(violation["refuses"] for violation in found["violations"]):
        word, colour = "refused as not described by the target", "red"
    ids = ", ".join(rule["id"] for rule in decision["rules"])
    said = decision["reason"] + (f" ({ids})" if ids else "")
    if decision["mode"] == "observe":
        return f"{click.style('not enforced', fg='yellow', bold=True)} (observed target), else {word}: {visible(said)}"
    return f"{click.style(word, fg=colour, bold=True)}: {visible(said)}"


def _asked(found: dict[str, Any]) -> Iterator[str]:
    request, who, target = found["request"], found["principal"], found["target"]
    if request:
        usual = {"http": 80, "https": 443}[request["scheme"]] == request["port"]
        place = request["host"] if usual else f"{request['host']}:{request['port']}"
        yield visible(f"  {request['method']} {request['scheme']}://{place}{request['path']}")
    if who:
        yield f"  by {visible(who['id'])} ({who['kind']}, by {visible(who['provider'])})"
    if request:
        yield (
            f"  to {visible(target['name'])} ({target['environment'] or 'no environment'})"
            if target
            else "  to no target"
        )
    yield f"  at {iso(found['now'])}, by rules {visible(found['bundle']['name'])} {visible(found['bundle']['version'])}"


def _why(found: dict[str, Any]) -> Iterator[str]:
    decision = found["decision"]
    for check in found["entry"]:
        if check["outcome"] == "false":
            yield from _title("why")
            expected, actual = text_of(check["expected"]), text_of(check["actual"])
            yield f"  {check['check']}: expected {visible(expected)}, got {visible(actual)}"
    determining = _named(found["rules"], decision["rules"])
    if determining:
        yield from _title("why")
        yield from (line for rule in determining for line in _rule(rule))
    if decision["message"]:
        yield f"  message: {visible(decision['message'])}"
    for rule_id in decision["errors"]:
        yield f"  rule-error: the `when` of {visible(rule_id)} could not be evaluated"
    if near := found["nearest"]:
        yield from _title("nearest allow")
        yield f"  {_headline(near['rule'])}"
        yield from (f"    {visible(failing_text(condition))}" for condition in near["failing"])


def _shadow(found: dict[str, Any]) -> Iterator[str]:
    decision = found["decision"]
    if not decision["shadow"]:
        return
    yield from _title("shadow")
    yield from (f"  {_headline(rule)}" for rule in decision["shadow"])
    same = "the answer would be the same"
    would = decision["shadow_effect"]
    yield f"  if enforced: {f'the answer would be {would}' if would else same}"


def _due(found: dict[str, Any]) -> Iterator[str]:
    for limit in found["limits"]:
        counted = f"{limit['requests']:,} in {limit['seconds']:,} s for {', '.join(limit['counted_for'])}"
        yield visible(f"limit: {limit['id']}{' (shadow)' if limit['shadow'] else ''}, {counted}")
    for violation in found["violations"]:
        kept = "" if violation["refuses"] else " (recorded, not refused)"
        yield visible(f"not as described: {violation['pointer']}: {violation['detail']}{kept}")
    yield f"masks due: {visible(', '.join(found['masks'])) or 'none'}"


def _every_rule(rules: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from _title("every rule")
    for rule in rules:
        yield from _rule(rule)


def _rule(rule: dict[str, Any]) -> Iterator[str]:
    shadow = ", shadow" if rule["mode"] == "shadow" else ""
    yield f"  {_headline(rule)}{shadow}: {MARKS[rule['outcome']]}"
    for condition in rule["conditions"]:
        yield from _condition(condition, "    ")
    if not rule["conditions"]:
        yield "    matches everything"


def _condition(condition: dict[str, Any], indent: str) -> Iterator[str]:
    line = f", line {condition['line']}" if condition["line"] else ""
    mark = MARKS[condition["outcome"]]
    if "conditions" in condition:
        yield f"{indent}{mark:9} not{line}"
        for inner in condition["conditions"]:
            yield from _condition(inner, f"{indent}  ")
        return
    expected, actual = text_of(condition["expected"]), text_of(condition["actual"])
    error = f" ({condition['error']})" if condition.get("error") else ""
    yield visible(f"{indent}{mark:9} {condition['key']}: expected {expected}, got {actual}{error}{line}")


def _named(rules: Sequence[dict[str, Any]], refs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = {json.dumps([ref["id"], ref["file"], ref["line"]]) for ref in refs}
    return [rule for rule in rules if json.dumps([rule["id"], rule["file"], rule["line"]]) in wanted]


def _headline(rule: dict[str, Any]) -> str:
    return visible(f"{rule['id']} ({rule['effect']}), {rule['file']}:{rule['line']}")


def _title(text: str) -> Iterator[str]:
    yield ""
    yield click.style(text, bold=True)
