"""Requests as they were seen at two targets of one bundle, for tests of what is suggested from them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from headgate.model import Decision, Kind, Principal, Request
from headgate.policy.engine import Policy, PolicyRules, decide
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets
from headgate.policy.suggest.checks import Outcome, check
from headgate.policy.suggest.proposals import Left, Suggestion, propose
from headgate.policy.suggest.sightings import Seen, Sightings

NOW = 1_767_787_200.0

TARGETS = {
    "targets": [
        {"name": "pay", "hosts": ["pay.internal"], "environment": "prod", "observe": True},
        {"name": "ledger", "hosts": ["ledger.internal:8443"], "environment": "prod", "audiences": ["ledger"]},
    ]
}
PORTS = {"pay.internal": 443, "ledger.internal": 8443}


def rules_of(text: str = "rules: []", targets: Any = TARGETS) -> PolicyRules:
    compiled = compile_targets(TargetsFile.model_validate(targets))
    file = PolicyFile.model_validate(yaml.safe_load(text))
    origins = [Origin(rule, "rules/policy.yaml", at) for at, rule in enumerate(file.rules)]
    return PolicyRules(compiled, compile_policy(origins, compiled.known_names()))


def caller(name: str, groups: Iterable[str] = (), kind: Kind = Kind.HUMAN, provider: str = "sso") -> Principal:
    prod, ledger = frozenset({"prod"}), frozenset({"ledger"})
    return Principal(name, kind, provider, frozenset(groups), environments=prod, audiences=ledger)


ANA, BOB = caller("ana", ["support"]), caller("bob", ["finance"])


@dataclass
class Desk:
    """Gathers what is seen, decided by some rules that exist already."""

    rules: PolicyRules = field(default_factory=rules_of)
    sightings: Sightings = field(default_factory=Sightings)
    numbers: Any = field(default_factory=itertools.count)
    every: list[Seen] = field(default_factory=list)

    def see(
        self, who: Principal, method: str, path: str, status: int = 200, host: str = "pay.internal", **more: Any
    ) -> Seen:
        at = next(self.numbers)
        target = self.rules.targets.resolve("https", host, PORTS[host])
        assert target is not None
        request = Request(method, "https", host, PORTS[host], path, body=b"", **more)
        seen = Seen(f"01K{at:05}", NOW + at, who, request, target, status < 400)
        self.sightings.add(seen, self.again(self.rules.policy, seen))
        self.every.append(seen)
        return seen

    def again(self, policy: Policy, seen: Seen) -> Decision:
        return decide(policy, self.rules.targets, seen.principal, seen.target, seen.request, now=seen.time)

    def propose(self, least: int = 1, *, anonymous: bool = False) -> tuple[list[Suggestion], list[Left]]:
        taken = [rule.ref.id for rule in self.rules.policy.rules]
        return propose(self.sightings, least, anonymous=anonymous, taken=taken)

    def outcome(self, least: int = 1, *, anonymous: bool = False) -> Outcome:
        return check(self.rules, *self.propose(least, anonymous=anonymous), self.again)


def matches(suggestions: Sequence[Suggestion]) -> list[Any]:
    return [suggestion.rule()["match"] for suggestion in suggestions]
