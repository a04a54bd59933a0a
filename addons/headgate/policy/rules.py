"""The schemas of targets.yaml and policy.yaml, and how they are compiled."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from headgate.errors import InvalidRules
from headgate.match import MatchSpec, Names, Section, Text, compile_match, listed
from headgate.model import Effect, RuleRef, Target
from headgate.policy.approval_spec import ApprovalSpec
from headgate.policy.engine import Policy, Rule
from headgate.policy.names import Identifier
from headgate.policy.shaping import HeaderNames, SetHeaders, compile_shaper, referred_params
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


class Origin(NamedTuple):
    """A rule and where it stands, as decisions report it; `line_of` finds the line of a place in the rule."""

    rule: RuleSpec
    file: str
    line: int
    line_of: Callable[[Location], int] = lambda _: 0


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
        target = Target(spec.name, spec.environment, frozenset(spec.tags), frozenset(spec.audiences), spec.observe)
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
        problems += [((at, *where), message) for where, message in _unknown_names(origin.rule, targets)]
    if problems:
        raise InvalidRules(problems)
    return Policy(tuple(_compile_rule(origin) for origin in rules))


def _unknown_names(rule: RuleSpec, targets: frozenset[str]) -> Iterator[tuple[Location, str]]:
    """Every name in a rule that refers to nothing."""
    for where, name in rule.match.named_targets():
        if name not in targets:
            accepted = ", ".join(f"`{target}`" for target in sorted(targets)) or "none, for there are no targets"
            yield ("match", *where), f"`{name[:80]}` is not a target; accepted: {accepted}"
    params = rule.match.path_params()
    for header, text in (rule.set_headers or {}).items():
        for name in sorted(referred_params(text) - params):
            accepted = ", ".join(f"`{param}`" for param in sorted(params)) or "none, for the path has no variables"
            what = f"`path_params.{name[:80]}` is not in every path of this rule; accepted: {accepted}"
            yield ("set_headers", header), what


def _compile_rule(origin: Origin) -> Rule:
    spec = origin.rule
    matcher = compile_match(spec.match, widen=spec.effect is not Effect.ALLOW)
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
