"""How a captured exchange is judged again, step by step, under one bundle; what is costly is made once for many."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.capture.record import UNJUDGED
from headgate.masking.due import Due, due
from headgate.masking.plan import Plan
from headgate.masking.tokens import FIELD
from headgate.match import Facts, Subject
from headgate.model import Decision, Effect, LimitUse, Refusal
from headgate.policy.buckets import Outcome, Standing
from headgate.policy.engine import TUNNEL_MAY_OPEN
from headgate.policy.judgement import Judgement, described, entered, limited, refusal_of
from headgate.policy.limits import due as due_limits
from headgate.policy.outlook import Outlook, outlook
from headgate.replay.judge import (
    APPROVAL,
    BEFORE_POLICY,
    PASSES,
    REFUSED,
    Detectors,
    Judged,
    as_recorded,
    outcome_of,
    was_judged,
)
from headgate.replay.keeping import ANY_KEY
from headgate.replay.masks import NO_MASKS, Beyond, Doubt, Masking, Masks
from headgate.replay.once import (
    identity_digest,
    paths_written,
    remembering,
    rewriting_of,
    same_targets,
    targets_digest,
    texts_of,
)
from headgate.replay.original import as_original, is_whole
from headgate.replay.recorded import Recorded, recorded
from headgate.replay.rewritten import Rewritten
from headgate.replay.spelling import spelled_for, target_of

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry

BY_TARGET = ("authority-", "host-", "path-", "sni-")
"""Reasons why a request is malformed that depend on what targets.yaml says of names and paths."""

SHOWN_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})
"""Headers that no description of a target checks."""


class _Case(NamedTuple):
    """One exchange as it is asked about."""

    entry: "Entry"
    known: Recorded
    rules: Rewritten
    subject: Subject
    origin: "Bundle | None"
    unread: str | None = None  # why its path could not be read


class _Said(NamedTuple):
    """What policy makes of it; `open` is what besides the rules is not known, `uncounted` are limits."""

    look: Outlook
    judgement: Judgement
    outcomes: frozenset[str]
    uncounted: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


class Judge:
    """Judges under `bundle`. `masking` may be shared by several; None: one of its own, whose detectors `detectors`
    makes. `unhit` are the places of the rules that have applied to nothing so far, and could not have."""

    def __init__(self, bundle: "Bundle", detectors: Detectors | None = None, *, masking: Masking | None = None) -> None:
        self.bundle, self._rewriting = bundle, rewriting_of(bundle)
        self._masking = masking or Masking(detectors or remembering())
        self.unhit = set(range(len(bundle.policy.rules)))

    def __call__(
        self, entry: "Entry", *, recorded_under: "Bundle | None" = None, original: Any = None, masks: bool = True
    ) -> Judged:
        if not was_judged(entry):
            return replace(as_recorded(entry), basis=self._basis(entry))
        if recorded_under is None and entry.bundle is not None and entry.bundle["sha256"] == self.bundle.sha256:
            recorded_under = self.bundle
        if original is not None:
            entry = as_original(entry, original)
        case = self._case(entry, recorded_under, exact=original is not None)
        said = self._decided(case)
        whole = original is not None and is_whole(original.response)
        masked = self._masked(case, exact=whole) if masks else NO_MASKS
        return self._judged(case, said, masked)

    def _basis(self, entry: "Entry") -> str:
        """What of the rules decides whether such a request comes as far as to policy."""
        summary = entry.summary
        if summary.refusal == "unauthenticated":
            return identity_digest(self.bundle)
        if summary.refusal not in BEFORE_POLICY and entry.principal is not None and summary.reason != UNJUDGED:
            return self.bundle.sha256  # decided for a reason that another version had
        by_target = summary.refusal == "malformed-request" and str(summary.refusal_reason).startswith(BY_TARGET)
        return targets_digest(self.bundle) if by_target else ""

    def _case(self, entry: "Entry", origin: "Bundle | None", *, exact: bool) -> _Case:
        known = recorded(entry, origin or self.bundle)
        if exact:
            known = replace(known, lost=frozenset(), headers=SHOWN_CREDENTIALS, queries=frozenset(), narrowed=False)
        before, target = target_of(origin, entry) if origin else None, target_of(self.bundle, entry)
        known, unread = spelled_for(known, before, target)
        request = known.request
        rules = self._rewriting.for_record(_lacks(known))
        subject = Subject(known.principal, request, target, known.at, known.signals)
        return _Case(entry, known, rules, subject, origin, unread)

    # -- the decision --------------------------------------------------------------------------------------------------

    def _decided(self, case: _Case) -> _Said:
        look = self._look(case)
        outcomes = {outcome_of(effect, observed=look.decision.observed) for effect in look.effects}
        said, found, uncounted = Judgement(look.decision, refusal_of(look.decision)), list[str](), tuple[str, ...]()
        if PASSES in outcomes and case.entry.summary.method != "CONNECT":
            checked = self._described(case, look.decision)
            if checked is None:
                found.append("whether it fits the description of its target is not known")
                outcomes.add(REFUSED)
                checked = Judgement(look.decision)
            limits = self._limited(case, checked.decision) if checked.refusal is None else (checked, ())
            passing, uncounted = limits
            if passing.refusal is not None:
                outcomes = outcomes - {PASSES} | {REFUSED}
            if said.refusal is None:
                said = passing
        return _Said(look, said, frozenset(outcomes), uncounted, tuple(found))

    def _look(self, case: _Case) -> Outlook:
        subject = case.subject
        if case.unread is not None:
            return Outlook(Decision(Effect.DENY, case.unread), frozenset({Effect.DENY}))
        denied = entered(self.bundle.targets, subject.principal, subject.target)
        if denied is not None:
            return Outlook(denied, frozenset({denied.effect}))
        if case.entry.summary.method == "CONNECT":
            return Outlook(Decision(Effect.ALLOW, TUNNEL_MAY_OPEN), frozenset({Effect.ALLOW}))
        self._note_hits(case)
        return outlook(case.rules.known, subject)

    def _note_hits(self, case: _Case) -> None:
        policy = case.rules.known.policy
        if self.unhit:
            facts = Facts(case.subject)
            near = self.unhit & policy.index.candidates(facts)
            self.unhit -= {at for at in near if policy.rules[at].matcher.test(facts) is not False}

    def _described(self, case: _Case, decision: Decision) -> Judgement | None:
        """The request by the description of its target; None where that is not known."""
        targets, target, known = self.bundle.targets, case.subject.target, case.known
        if target is None or target.name not in targets.described:
            return Judgement(decision)
        if not known.lost and known.headers <= SHOWN_CREDENTIALS:
            return described(targets, target, known.request, decision)
        if case.origin is None or not _was_described(case.entry) or not same_targets(case.origin, self.bundle):
            return None
        decision = replace(decision, violations=tuple(case.entry.violations))
        refuses = bool(decision.violations) and targets.enforces_description(target)
        return Judgement(decision, _not_as_described() if refuses else None)

    def _limited(self, case: _Case, decision: Decision) -> tuple[Judgement, tuple[str, ...]]:
        """What limits say, as their state was recorded; and those of which it was not."""
        policy = case.rules.known.policy
        dues = due_limits(policy.limits, policy.limit_index, Facts(case.subject)) if policy.limits else ()
        if not dues:  # one that asks for a body that is lost is due as far as anybody knows
            return Judgement(decision), ()
        texts, before = texts_of(self.bundle).limits, texts_of(case.origin).limits if case.origin else None
        states = {use["id"]: LimitUse(**use) for use in case.entry.limits}
        standings, uncounted = list[Standing](), list[str]()
        for limit, _ in dues:
            same = before is None or before.get(limit.id) == texts.get(limit.id)
            if same and (use := states.get(limit.id)):
                standings.append(Standing(limit, use.remaining, use.exhausted, 0.0))
            elif not (same and before is not None and limit.id in case.rules.open_limits and _was_counted(case.entry)):
                uncounted.append(f"{limit.id} {texts.get(limit.id, '')}")
        return limited(decision, Outcome(0.0, tuple(standings)), 0.0), tuple(uncounted)

    # -- masks ---------------------------------------------------------------------------------------------------------

    def _masked(self, case: _Case, *, exact: bool) -> Masks:
        owed, open_masks = self._due(self.bundle, case, case.rules)
        plan = owed.caller
        if exact:
            return self._masking.of_original(case.entry, plan)._replace(beyond=_beyond(owed))
        before, origin = None, False
        if case.origin is not None:
            rules = rewriting_of(case.origin).for_record(_lacks(case.known))
            before_owed, unsure = self._due(case.origin, case, rules)
            before, origin = before_owed.caller, not unsure
        doubts = frozenset(Doubt(f"whether the mask `{name}` is due is not known", text) for name, text in open_masks)
        entry = case.entry
        if entry.summary.refusal == "withheld":
            return _of_withheld(entry, plan, before, doubts, origin=origin)._replace(beyond=_beyond(owed))
        found = self._masking.of_record(entry, plan, before, origin=origin)
        if origin and plan is not None and plan != before and _hides(case):
            more = Doubt("the record hides more than its caller was not to see", f"hidden {plan.json}", more=True)
            doubts |= {more}
        return found._replace(doubts=found.doubts | doubts, beyond=_beyond(owed))

    @staticmethod
    def _due(bundle: "Bundle", case: _Case, rules: Rewritten) -> tuple[Due, list[tuple[str, str]]]:
        """What is due, and the masks of which it is not known whether they are, with what they say."""
        subject = case.subject
        target = target_of(bundle, case.entry)
        now, signals = subject.now, subject.signals
        who = subject.principal
        owed = due(rules.masking, who, subject.request, target, now=now, signals=signals, key=ANY_KEY)
        if not rules.open_masks or target is None:
            return owed, []
        facts, texts = Facts(subject._replace(target=target)), texts_of(bundle).masks
        asked = [mask for mask in rules.masking.masks if mask.id in rules.open_masks]
        found = [
            mask
            for mask in asked
            if (holds := mask.matcher.test(facts)) is not False
            and (holds is None or (mask.exempt is not None and mask.exempt.test(facts) is None))
        ]
        sure = replace(rules.masking, masks=tuple(mask for mask in rules.masking.masks if mask not in found))
        others = (
            due(sure, who, subject.request, target, now=now, signals=signals, key=ANY_KEY).caller if found else None
        )
        told = others.json if others else ""  # what an open mask adds hangs on what the others hide already
        return owed, [(mask.id, f"{texts[mask.id]} {told}") for mask in found]

    def paths_of(self, rule: str) -> tuple[str, ...]:
        """The paths that a rule writes."""
        return paths_written(self.bundle).get(rule, ())

    def mask_ids(self, entry: "Entry", entity: str) -> list[str]:
        """The masks that may be due for an exchange, and that ask for an entity, or for a field."""
        case = self._case(entry, None, exact=False)
        facts = Facts(case.subject)
        return sorted(
            mask.id
            for mask in case.rules.masking.masks
            if _wants(mask.plan, entity) and (case.subject.target is None or mask.matcher.test(facts) is not False)
        )

    # -- all together --------------------------------------------------------------------------------------------------

    def _judged(self, case: _Case, said: _Said, masked: Masks) -> Judged:
        decision, refusal = said.judgement
        certain = said.look.certain and not said.open
        unknown = (*_why(case, said), *sorted(doubt.what for doubt in masked.doubts))
        return Judged(
            decision.effect,
            decision.reason,
            decision.rules,
            decision.message,
            decision.shadow,
            decision.shadow_effect,
            decision.errors,
            decision.limits,
            decision.violations,
            decision.observed,
            certain,
            masked.counts(),
            not masked.doubts,
            masked.withheld,
            unknown,
            said.look.effects,
            said.outcomes,
            refusal.slug if refusal else None,
            said.uncounted,
            shaping=decision.shaping,
            target=case.subject.target.name if case.subject.target else None,
            approval=self._approval(decision),
            signature="" if certain else self._signature(case, said),
            doubts=masked.doubts,
            beyond=masked.beyond,
        )

    def _approval(self, decision: Decision) -> str:
        if decision.effect is not Effect.APPROVE:
            return ""
        ids = {rule.id for rule in decision.rules}
        return repr(sorted((r.ref.id, repr(r.approval)) for r in self.bundle.policy.rules if r.ref.id in ids))

    def _signature(self, case: _Case, said: _Said) -> str:
        """What an uncertain answer hangs on: the rules that apply or may apply, and how the target is described."""
        texts, rules = texts_of(self.bundle).rules, case.rules.known.policy.rules

        def written(places: Iterable[int]) -> list[str]:
            return sorted(texts.get(rules[at].ref.id, rules[at].ref.id) for at in places)

        described_by = targets_digest(self.bundle) if said.open else ""
        return repr((written(said.look.applying), written(said.look.possible), described_by))


def _wants(plan: Plan, entity: str) -> bool:
    if entity != FIELD:
        return entity in plan.entities
    return bool(plan.paths or plan.encoded or plan.headers or plan.query or plan.columns or plan.form)


def _why(case: _Case, said: _Said) -> tuple[str, ...]:
    """Why the answer is not certain."""
    if said.look.certain and not said.open:
        return ()
    rules = case.rules.known.policy.rules
    named = sorted(rules[at].ref.id for at in said.look.possible)
    about = (f"whether rule `{name}` applies is not known" for name in named)
    return (*about, *said.open, *case.known.notes()[:-1])


def _lacks(known: Recorded) -> Callable[[tuple[str | int, ...]], bool]:
    """Whether a condition at a place asks for what is not recorded."""
    return lambda place: known.unrecorded(place) or (known.signals is None and place[:1] == ("signal",))


def _was_described(entry: "Entry") -> bool:
    """Whether the request came as far as to be compared with the description of its target."""
    summary = entry.summary
    return summary.refusal in (None, "withheld", "invalid-request") and outcome_of(
        Effect(summary.effect), observed=summary.mode == "observe"
    ) not in (APPROVAL, REFUSED)


def _was_counted(entry: "Entry") -> bool:
    """Whether it came as far as to be counted by limits."""
    return entry.summary.refusal in (None, "withheld", "rate-limited") and bool(
        entry.summary.effect == Effect.ALLOW or entry.summary.mode == "observe"
    )


def _not_as_described() -> Refusal:
    from headgate.model import invalid
    from headgate.policy.engine import NOT_AS_DESCRIBED

    return invalid(NOT_AS_DESCRIBED, ())


def _of_withheld(
    entry: "Entry", plan: Plan | None, before: Plan | None, doubts: frozenset[Doubt], *, origin: bool
) -> Masks:
    """Masks of a response that was withheld, and so is not recorded."""
    if plan is None:
        return Masks({}, doubts)
    if not (origin and plan == before):
        key = f"withheld {plan.json}"
        doubts |= {Doubt("whether the response, which was withheld, can be masked is not known", key)}
    return Masks({}, doubts, entry.summary.refusal_reason)


def _beyond(owed: Due) -> Beyond:
    return Beyond(owed.request, owed.record, excepted=owed.caller != owed.record)


def _hides(case: _Case) -> bool:
    """Whether recorders were to see less than the caller."""
    if case.origin is None:
        return False
    subject, masking = case.subject, rewriting_of(case.origin).for_record(_lacks(case.known)).masking
    target = target_of(case.origin, case.entry)
    owed = due(masking, subject.principal, subject.request, target, now=subject.now, signals=subject.signals)
    return owed.caller != owed.record
