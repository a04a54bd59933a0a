"""The schemas of targets.yaml and policy.yaml, and how they are compiled."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from headgate.bundled import Files
from headgate.errors import InvalidRules
from headgate.match import MatchSpec, Names, Section, Text, When, compile_match, listed
from headgate.model import Effect, RuleRef, Target
from headgate.policy.approval_spec import ApprovalSpec
from headgate.policy.engine import Policy, Rule, Written
from headgate.policy.limits import Limit, LimitOrigin, LimitSpec, compile_limits
from headgate.policy.names import Identifier
from headgate.policy.openapi import OpenAPI, load_description
from headgate.policy.paths_spec import PathsSpec
from headgate.policy.shaping import HeaderNames, SetHeaders, compile_shaper, referred_params
from headgate.policy.targets import UNKNOWN, Described, Entry, Targets, host_entry
from headgate.policy.testcases import CaseSpec, compile_tests

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

Location = tuple[str | int, ...]
Problems = list[tuple[Location, str]]


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
    paths: PathsSpec = PathsSpec()
    openapi: OpenAPI | None = None
    observe: StrictBool = False


class TargetsFile(Section):
    """targets.yaml"""

    targets: list[TargetSpec]
    unknown: Literal["refuse", "allow"] = "refuse"
    isolate_environments: StrictBool = True


class RuleSpec(Section):
    """One rule; `match` and `when` must both hold."""

    id: Identifier
    effect: Effect
    match: MatchSpec
    when: When | None = None
    mode: Literal["enforce", "shadow"] = "enforce"
    pinned: StrictBool = False
    message: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    approval: ApprovalSpec | None = None
    set_headers: SetHeaders | None = None
    remove_headers: HeaderNames | None = None
    remove_query: Names | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if (self.effect is Effect.APPROVE) is not (self.approval is not None):
            raise ValueError(
                "`approval` says who approves; accepted: in every rule with `effect: approve`, in no other"
            )
        if self.effect is Effect.DENY and self.shapes:
            raise ValueError("a request that is refused is not changed; accepted: this in rules that allow or approve")
        return self

    @property
    def shapes(self) -> bool:
        return any((self.set_headers, self.remove_headers, self.remove_query))


class PolicyFile(Section):
    """policy.yaml, or one of policy/*.yaml"""

    rules: list[RuleSpec]
    limits: tuple[LimitSpec, ...] = ()
    tests: tuple[CaseSpec, ...] = ()


class Origin(NamedTuple):
    """An entry of a list and where it stands, as decisions report it; `line_of` finds the line of a place in it."""

    rule: Any
    file: str
    line: int
    line_of: Callable[[Location], int] = lambda _: 0


def compile_targets(file: TargetsFile, files: Files | None = None) -> Targets:
    """`files` are those that it may name; None: those of the current folder."""
    problems: Problems = []
    by_entry: dict[Entry, Target] = {}
    by_host: dict[str, set[Target]] = defaultdict(set)
    names: set[str] = set()
    for at, spec in enumerate(file.targets):
        if spec.name in names or spec.name == UNKNOWN.name:
            taken = "stands for every other system" if spec.name == UNKNOWN.name else "is the name of another target"
            problems.append((("targets", at, "name"), f"`{spec.name}` {taken}; accepted: a name of its own"))
        names.add(spec.name)
        tags, audiences = frozenset(spec.tags), frozenset(spec.audiences)
        target = Target(spec.name, spec.environment, tags, audiences, spec.observe, spec.paths.rules())
        for place, text in enumerate(spec.hosts):
            entry = host_entry(text)
            if (other := by_entry.setdefault(entry, target)) is not target:
                message = f"`{text}` is also a host of target `{other.name}`; accepted: each host at one target"
                problems.append((("targets", at, "hosts", place), message))
            by_host[entry[0]].add(target)
    described = _descriptions(file, files or Files(Path()), problems)
    if problems:
        raise InvalidRules(problems)
    owners = {host: frozenset(targets) for host, targets in by_host.items()}
    return Targets(by_entry, owners, file.unknown == "allow", file.isolate_environments, described)


def _descriptions(file: TargetsFile, files: Files, problems: Problems) -> dict[str, Described]:
    found: dict[str, Described] = {}
    for at, spec in enumerate(file.targets):
        if spec.openapi:
            try:
                found[spec.name] = Described(load_description(spec.openapi, files), spec.openapi.mode == "enforce")
            except ValueError as error:
                problems.append((("targets", at, "openapi"), str(error)))
    return found


PARTS_OF_POLICY = ("rules", "limits", "tests")
"""The lists of a policy file."""


def compile_policy(
    rules: Sequence[Origin], targets: frozenset[str], limits: Sequence[Origin] = (), tests: Sequence[Origin] = ()
) -> Policy:
    """The entries of all files together; `targets` are the names they may use (`Targets.known_names`).

    The location of a problem begins with the name of its list and the entry's position there.
    """
    problems = [*_duplicates("rules", rules)]
    for at, origin in enumerate(rules):
        problems += [(("rules", at, *where), message) for where, message in _unknown_names(origin.rule, targets)]
    compiled: tuple[Limit, ...] = ()
    try:
        compiled = compile_limits([LimitOrigin(limit, file, line) for limit, file, line, _ in limits], targets)
    except InvalidRules as error:
        problems += error.problems
    known = [frozenset(origin.rule.id for origin in part) for part in (rules, limits)]
    cases, wrong = compile_tests([(test, file, line) for test, file, line, _ in tests], *known)
    if problems or wrong:
        raise InvalidRules(problems + wrong)
    written = Written(tuple(rules), tuple(limits))
    return Policy(tuple(_compile_rule(origin) for origin in rules), compiled, cases, written)


def _duplicates(part: str, origins: Sequence[Origin]) -> Iterator[tuple[Location, str]]:
    places: dict[str, Origin] = {}
    for at, origin in enumerate(origins):
        if (first := places.setdefault(origin.rule.id, origin)) is not origin:
            what = f"`{origin.rule.id}` is also the id of the rule at {first.file}:{first.line}; accepted: a new one"
            yield (part, at, "id"), what


def _unknown_names(rule: RuleSpec, targets: frozenset[str]) -> Iterator[tuple[Location, str]]:
    """Every name in a rule that refers to nothing."""
    yield from ((("match", *where), what) for where, what in rule.match.unknown_targets(targets))
    yield from ((("when",), what) for _, what in rule.match.lacking_params(rule.when))
    params = rule.match.path_params()
    for header, text in (rule.set_headers or {}).items():
        for name in sorted(referred_params(text) - params):
            accepted = ", ".join(f"`{param}`" for param in sorted(params)) or "none, for the path has no variables"
            what = f"`path_params.{name[:80]}` is not in every path of this rule; accepted: {accepted}"
            yield ("set_headers", header), what


def _compile_rule(origin: Origin) -> Rule:
    spec = origin.rule
    matcher = compile_match(spec.match, widen=spec.effect is not Effect.ALLOW, when=spec.when)
    shaper = compile_shaper(spec.set_headers or {}, spec.remove_headers or (), spec.remove_query or ())
    return Rule(
        RuleRef(spec.id, spec.effect, origin.file, origin.line),
        matcher,
        spec.message,
        spec.mode == "shadow",
        spec.pinned,
        shaper if spec.shapes else None,
        spec.approval,
        _canonical(spec) if spec.pinned else "",
        origin.line_of,
    )


def _canonical(spec: RuleSpec) -> str:
    """The rule in one spelling, so that a change of it can be told from a change of layout."""
    written = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(written, sort_keys=True, separators=(",", ":"))
