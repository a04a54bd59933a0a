"""The schemas of targets.yaml and policy.yaml, and how they are compiled.

Of the effects of the language, `allow` and `deny` are there.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, WithJsonSchema

from headgate.errors import InvalidRules
from headgate.match import MatchSpec, Names, Section, Text, compile_match, listed
from headgate.model import Effect, RuleRef, Target
from headgate.policy.engine import Policy, Rule
from headgate.policy.targets import UNKNOWN, Entry, Targets, host_entry

__all__ = [
    "Identifier",
    "Origin",
    "Policy",
    "PolicyFile",
    "Targets",
    "TargetsFile",
    "compile_policy",
    "compile_targets",
]

Problems = list[tuple[tuple[str | int, ...], str]]

_IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def _identifier(text: str) -> str:
    if not re.fullmatch(_IDENTIFIER, text):
        accepted = "up to 100 letters, digits, `.`, `_` and `-`, of which the first is a letter or a digit"
        raise ValueError(f"`{text[:80]}` is not a name; accepted: {accepted}")
    return text


Identifier = Annotated[
    str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": f"^{_IDENTIFIER}$"})
]


def _entry(text: str) -> str:
    host_entry(text)
    return text


Hosts = Annotated[
    tuple[Annotated[Text, AfterValidator(_entry)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Field(min_length=1),
]


class TargetSpec(Section):
    name: Identifier
    hosts: Hosts
    environment: Text | None = None
    tags: Names = ()
    audiences: Names = ()


class TargetsFile(Section):
    """targets.yaml"""

    targets: list[TargetSpec]
    unknown: Literal["refuse", "allow"] = "refuse"
    isolate_environments: StrictBool = True


class RuleSpec(Section):
    id: Identifier
    effect: Literal["allow", "deny"]
    match: MatchSpec
    message: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class PolicyFile(Section):
    """policy.yaml, or one of policy/*.yaml"""

    rules: list[RuleSpec]


class Origin(NamedTuple):
    """A rule and where it stands, as decisions report it."""

    rule: RuleSpec
    file: str
    line: int


def compile_targets(file: TargetsFile) -> Targets:
    problems: Problems = []
    by_entry: dict[Entry, Target] = {}
    by_host: dict[str, set[Target]] = defaultdict(set)
    names: set[str] = set()
    for at, spec in enumerate(file.targets):
        if spec.name in names or spec.name == UNKNOWN.name:
            taken = "stands for every other system" if spec.name == UNKNOWN.name else "is the name of another target"
            problems.append((("targets", at, "name"), f"`{spec.name}` {taken}; accepted: a name of its own"))
        names.add(spec.name)
        target = Target(spec.name, spec.environment, frozenset(spec.tags), frozenset(spec.audiences))
        for place, text in enumerate(spec.hosts):
            entry = host_entry(text)
            if (other := by_entry.setdefault(entry, target)) is not target:
                message = f"`{text}` is also a host of target `{other.name}`; accepted: each host at one target"
                problems.append((("targets", at, "hosts", place), message))
            by_host[entry[0]].add(target)
    if problems:
        raise InvalidRules(problems)
    owners = {host: frozenset(targets) for host, targets in by_host.items()}
    return Targets(by_entry, owners, file.unknown == "allow", file.isolate_environments)


def compile_policy(rules: Sequence[Origin], targets: frozenset[str]) -> Policy:
    """Rules of all files together; `targets` are the names they may use (`Targets.known_names`).

    The location of a problem begins with the rule's position in `rules`.
    """
    problems: Problems = []
    places: dict[str, Origin] = {}
    for at, origin in enumerate(rules):
        if (first := places.setdefault(origin.rule.id, origin)) is not origin:
            message = f"`{origin.rule.id}` is also the id of the rule at {first.file}:{first.line}; accepted: a new one"
            problems.append(((at, "id"), message))
        for where, name in origin.rule.match.named_targets():
            if name not in targets:
                accepted = ", ".join(f"`{target}`" for target in sorted(targets)) or "none, for there are no targets"
                problems.append(((at, "match", *where), f"`{name[:80]}` is not a target; accepted: {accepted}"))
    if problems:
        raise InvalidRules(problems)
    return Policy(tuple(_compile_rule(origin) for origin in rules))


def _compile_rule(origin: Origin) -> Rule:
    spec = origin.rule
    effect = Effect(spec.effect)
    matcher = compile_match(spec.match, widen=effect is not Effect.ALLOW)
    return Rule(RuleRef(spec.id, effect, origin.file, origin.line), matcher, spec.message)
