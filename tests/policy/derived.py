"""Rules, callers and requests for the tests of what explains decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.match import Facts, Subject
from headgate.model import Kind, Principal, Request, Session, Target
from headgate.policy.engine import Policy, PolicyRules
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

NOW = 2_000_000.0
API = Target("api", "prod")
ANA = Principal(
    "ana",
    Kind.HUMAN,
    "sso",
    groups=frozenset({"support"}),
    email="ana@corp.example",
    environments=frozenset({"prod"}),
    session=Session("s-1", frozenset({"read"}), NOW - 600),
    claims={"tenant": "acme"},
)
ASK = Request("GET", "https", "api.internal", 443, "/v1/customers/42", source="10.0.0.1", body=b"")
TARGETS = {"targets": [{"name": "api", "hosts": ["api.internal"], "environment": "prod"}]}
APPROVAL = {"by": {"groups": ["leads"]}}


def line_of(where: tuple[str | int, ...]) -> int:
    """A line that can be told from others: one for each step of the way."""
    return sum(map(len, map(str, where)))


def policy(*rules: dict[str, Any]) -> Policy:
    """Rules in lines 10, 20, ... of one file."""
    written = [rule | ({"approval": APPROVAL} if rule["effect"] == "approve" else {}) for rule in rules]
    specs = PolicyFile.model_validate({"rules": written}).rules
    origins = [Origin(spec, "rules/policy.yaml", at * 10, line_of) for at, spec in enumerate(specs, start=1)]
    return compile_policy(origins, frozenset({"api", "other"}))


def rules(*written: dict[str, Any], **targets: Any) -> PolicyRules:
    return PolicyRules(compile_targets(TargetsFile.model_validate(TARGETS | targets)), policy(*written))


def allow(name: str, match: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "effect": "allow", "match": match, **more}


def deny(name: str, match: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "effect": "deny", "match": match, **more}


def facts(principal: Principal = ANA, request: Request = ASK, target: Target | None = API) -> Facts:
    return Facts(Subject(principal, request, target, NOW))


@dataclass(frozen=True, slots=True)
class Said:
    value: bool | None
    error: str | None = None


@dataclass(slots=True)
class When:
    """Stands in for a compiled `when:`."""

    says: Said
    text: str = "request.body.amount > 100"
    values: Mapping[str, Any] = field(default_factory=lambda: {"request.body.amount": 50})
    reads_body: bool = False
    uses: Mapping[tuple[str, ...], Any] = field(default_factory=dict)

    def test(self, _facts: Facts, _path_params: Mapping[str, str]) -> Said:
        return self.says

    def actual(self, _facts: Facts, _path_params: Mapping[str, str]) -> Mapping[str, Any]:
        return self.values


def with_when(found: Policy, rule_id: str, when: Any) -> Policy:
    """The same rules, one of them with a `when:`."""
    return Policy(
        tuple(
            replace(rule, matcher=replace(rule.matcher, when=when)) if rule.ref.id == rule_id else rule
            for rule in found.rules
        )
    )
