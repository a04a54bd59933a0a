"""Whether a bundle does what its own tests say: they are decided as live requests are, by the same function.

What comes of it is the same in whatever order rules and tests were written, and on every machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headgate.match import Facts, Subject
from headgate.model import Decision, Effect, Principal, RuleRef, Target
from headgate.policy.engine import NOT_AS_DESCRIBED, Policy, PolicyRules
from headgate.policy.judgement import judge
from headgate.policy.limits import due
from headgate.policy.targets import Targets
from headgate.policy.testcases import SAME, Case


class HasRules(Protocol):
    """A bundle, as far as its tests are about it."""

    @property
    def targets(self) -> Targets: ...
    @property
    def policy(self) -> Policy: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A test with who calls and where to, by the targets of a bundle."""

    case: Case
    principal: Principal
    target: Target | None

    @property
    def facts(self) -> Facts:
        case = self.case
        return Facts(Subject(self.principal, case.request, self.target, case.at, case.signals))


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one test; `failures` say what was expected and what came, none where it passed."""

    case: Case
    decision: Decision
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        case = self.case
        return f"{case.file}:{case.line}: test `{case.name}`: {'; '.join(self.failures) or 'passed'}"


@dataclass(frozen=True, slots=True)
class Report:
    """All tests of a bundle, in order of file and line."""

    proofs: tuple[Proof, ...]

    @property
    def failed(self) -> tuple[Proof, ...]:
        return tuple(proof for proof in self.proofs if proof.failures)

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {
                "name": proof.case.name,
                "file": proof.case.file,
                "line": proof.case.line,
                "passed": not proof.failures,
                "failures": list(proof.failures),
                "effect": str(proof.decision.effect),
                "reason": proof.decision.reason,
                "rules": [ref.id for ref in proof.decision.rules],
            }
            for proof in self.proofs
        ]


def prove(bundle: HasRules) -> list[str]:
    """A line for each of the bundle's own tests that fails: what an activation asks."""
    return [str(proof) for proof in run_tests(PolicyRules(bundle.targets, bundle.policy)).failed]


def run_tests(rules: PolicyRules) -> Report:
    return Report(tuple(run_test(rules, scene) for scene in scenes(rules)))


def scenes(rules: PolicyRules) -> list[Scene]:
    """The tests of a bundle, in order of file and line."""
    cases = sorted(rules.policy.tests, key=lambda case: (case.file, case.line, case.name))
    return [scene_of(case, rules.targets) for case in cases]


def scene_of(case: Case, targets: Targets) -> Scene:
    request = case.request
    target = targets.resolve(request.scheme, request.host, request.port)
    return Scene(case, case.caller.principal(target, case.at), target)


def run_test(rules: PolicyRules, scene: Scene) -> Proof:
    decision = decided(rules, scene)
    return Proof(scene.case, decision, tuple(_failures(rules.policy, scene, decision)))


def decided(rules: PolicyRules, scene: Scene) -> Decision:
    """What comes of a test's request, all of which is known; one that its target's description refuses is denied."""
    case = scene.case
    decision, refusal = judge(rules, Subject(scene.principal, case.request, scene.target, case.at, case.signals))
    if refusal is None or refusal.reason != NOT_AS_DESCRIBED:
        return decision
    return Decision(Effect.DENY, NOT_AS_DESCRIBED, violations=decision.violations)


def is_counted(decision: Decision) -> bool:
    """Whether limits count the request: not if it is refused."""
    return decision.effect is not Effect.DENY or decision.observed


def limits_due(policy: Policy, scene: Scene, decision: Decision) -> tuple[str, ...]:
    """The limits that count the request."""
    if not policy.limits or not is_counted(decision):
        return ()
    return tuple(sorted(limit.id for limit, _ in due(policy.limits, policy.limit_index, scene.facts)))


def _failures(policy: Policy, scene: Scene, decision: Decision) -> Iterator[str]:
    expected = scene.case.expected
    if unasked := _unasked(scene):
        yield unasked
    if wrong := _answer(scene.case, decision):
        yield wrong
    if expected.rules is not None:
        yield from _differ("rules", expected.rules, _ids(decision.rules))
    if expected.message is not None and expected.message != decision.message:
        yield f"expected message `{expected.message}`, got {_quoted(decision.message)}"
    if expected.shadow is not None:
        yield from _differ("shadow rules", expected.shadow, _ids(decision.shadow))
    if expected.shadow_effect is not None and expected.shadow_effect != (decision.shadow_effect or SAME):
        yield f"expected shadow effect {expected.shadow_effect}, got {decision.shadow_effect or SAME}"
    if expected.set_headers is not None:
        yield from _headers(expected.set_headers, dict(decision.shaping.set_headers))
    if expected.limits is not None:
        yield from _differ("limits", expected.limits, limits_due(policy, scene, decision))
    if expected.violations is not None:
        yield from _differ("violations", expected.violations, decision.violations)


def _unasked(scene: Scene) -> str | None:
    """Why a request of this path never gets as far as the rules, at a target that reads paths as this one does."""
    target, path = scene.target, scene.case.request.path
    if target is None:
        return None
    if target.paths.fold_case and path != path.lower():
        return f"paths go on to target {target.name} in lower case, this one is not"
    for text, kept in ((";", target.paths.parameters), ("%2F", target.paths.encoded_slash)):
        if text in path and not kept:
            return f"a path with `{text}` is refused on its way to target {target.name}"
    return None


def _answer(case: Case, decision: Decision) -> str | None:
    expected = case.expected
    fits_effect = expected.effect in (None, decision.effect)
    fits_rule = expected.rule is None or expected.rule in _ids(decision.rules)
    fits_reason = expected.reason in (None, decision.reason)
    if fits_effect and fits_rule and fits_reason:
        return None
    wanted = [f"effect {expected.effect}"] if expected.effect else []
    wanted += [f"reason {expected.reason}"] if expected.reason else []
    by = f" by {expected.rule}" if expected.rule else ""
    return f"expected {' and '.join(wanted)}{by}, got {said(decision)}"


def said(decision: Decision) -> str:
    """A decision in a few words."""
    by = f" by {', '.join(_ids(decision.rules))}" if decision.rules else ""
    return f"{decision.effect}{by}: {decision.reason}"


def _differ(what: str, expected: Iterable[str], actual: Iterable[str]) -> Iterator[str]:
    wanted, found = sorted(set(expected)), sorted(set(actual))
    if wanted != found:
        yield f"expected {what} {_listed(wanted)}, got {_listed(found)}"


def _headers(expected: dict[str, str], actual: dict[str, str]) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            yield f"expected header {name} {_quoted(expected.get(name))}, got {_quoted(actual.get(name))}"


def _quoted(text: str | None) -> str:
    return "none" if text is None else f"`{text[:80]}`"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _ids(refs: Iterable[RuleRef]) -> list[str]:
    return [ref.id for ref in refs]
