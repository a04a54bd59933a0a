"""What changes for one captured exchange from the rules in force to those proposed, by direction.

What lets more pass is loosened, what refuses more is tightened. An answer that is not certain is never called
unchanged, unless all that it hangs on is the same in both. Swapping the two turns each change around.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from headgate.masking.plan import Operator
from headgate.replay.judge import APPROVAL, PASSES, REFUSED, Judged
from headgate.replay.keeping import covers
from headgate.replay.masks import Place


class Kind(StrEnum):
    """In order of how much it matters."""

    LOOSENED = "loosened"
    MASK_LOST = "mask-lost"
    UNKNOWN = "unknown"
    STATE = "state-dependent"
    TIGHTENED = "tightened"
    MASK_GAINED = "mask-gained"
    RULE_CHANGED = "rule-changed"
    DRIFT = "drift"
    NOT_JUDGED = "not-judged"


FAILING = frozenset({Kind.LOOSENED, Kind.MASK_LOST})

MIRRORED = {Kind.LOOSENED: Kind.TIGHTENED, Kind.MASK_LOST: Kind.MASK_GAINED}
MIRRORED |= {there: here for here, there in MIRRORED.items()}
"""What a change is called when both sets of rules change places; every other stays what it is."""

RANK = {REFUSED: 0, APPROVAL: 1, PASSES: 2}
"""How much each lets pass."""

SEVERAL = 3
"""Rules that are named of one decision."""


class Change(NamedTuple):
    """`what` says from what to what; `rules` are ids of rules and masks that have to do with it, `place` where a mask
    is; `loosens`: it lets more pass, or may, where that is not known."""

    kind: Kind
    what: str
    rules: tuple[str, ...] = ()
    place: Place | None = None
    why: tuple[str, ...] = ()
    loosens: bool = False


def compare(old: Judged, new: Judged) -> list[Change]:
    """All that changes; nothing where it is certain that nothing does."""
    if not (old.judged and new.judged):
        return [_not_judged(old, new)]
    changes = list(_decisions(old, new))
    if PASSES in old.outcomes and PASSES in new.outcomes:
        changes += [*_masks(old, new), *_beyond(old, new)]
    return changes


def _not_judged(old: Judged, new: Judged) -> Change:
    """Of what never came to policy no rule of it changes anything, but what decides before it may."""
    what = f"{old.refusal} before policy" if old.refusal else f"{old.reason}: never decided"
    if old.basis == new.basis:
        return Change(Kind.NOT_JUDGED, what)
    why = ("callers and paths are not read again, and identity or targets are not the same",)
    return Change(Kind.UNKNOWN, what, (), None, why, loosens=True)


# -- decisions ---------------------------------------------------------------------------------------------------------


def _decisions(old: Judged, new: Judged) -> Iterator[Change]:
    if len(old.outcomes) > 1 or len(new.outcomes) > 1:
        if (old.outcomes, old.signature, old.uncounted) != (new.outcomes, new.signature, new.uncounted):
            yield _unknown(old, new)
        return
    (before,), (after,) = old.outcomes, new.outcomes
    rules = _rules(old, new)
    if RANK[before] != RANK[after]:
        loosens = RANK[after] > RANK[before]
        if old.uncounted != new.uncounted and _by_limits(old, new):
            yield Change(Kind.STATE, f"{_told(old)} → {_told(new)}", _limit_ids(old, new), loosens=loosens)
        else:
            kind = Kind.LOOSENED if loosens else Kind.TIGHTENED
            yield Change(kind, f"{_told(old)} → {_told(new)}", rules, loosens=loosens)
    elif old.uncounted != new.uncounted and before == PASSES:
        yield Change(Kind.STATE, "what a limit says depends on its state", _limit_ids(old, new), loosens=True)
    elif what := _otherwise(old, new):
        yield Change(Kind.RULE_CHANGED, what, rules)


def _unknown(old: Judged, new: Judged) -> Change:
    pairs = [(before, after) for before in old.outcomes for after in new.outcomes]
    loosens = any(RANK[after] > RANK[before] for before, after in pairs)
    what = f"{_all(old)} → {_all(new)}"
    return Change(Kind.UNKNOWN, what, _rules(old, new), None, _why(old, new), loosens=loosens)


def _why(old: Judged, new: Judged) -> tuple[str, ...]:
    return tuple(sorted({*old.unknown, *new.unknown}))


def _by_limits(old: Judged, new: Judged) -> bool:
    """Whether limits alone make the difference."""
    passing = [one.observed or one.effect == "allow" for one in (old, new)]
    return all(passing) and "rate-limited" in (old.refusal, new.refusal)


def _otherwise(old: Judged, new: Judged) -> str | None:
    """What is said otherwise though the same becomes of the request; None where nothing is."""
    if not (old.certain and new.certain) and old.signature == new.signature:
        return None
    if old.observed != new.observed:
        return "observed → enforced" if old.observed else "enforced → observed"
    for name in ("effect", "reason", "refusal"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            return f"{name}: {before or 'none'} → {after or 'none'}"
    if _ids(old) != _ids(new):
        return f"{old.effect} by other rules"
    if [rule.id for rule in old.shadow] != [rule.id for rule in new.shadow] or old.shadow_effect != new.shadow_effect:
        return "other rules in shadow mode"
    different = [name for name in ("approval", "message", "shaping", "violations", "errors") if _differ(name, old, new)]
    if different:
        return f"another {different[0].replace('shaping', 'change of the request')}"
    return None if old.signature == new.signature else "perhaps by other rules"


def _differ(name: str, old: Judged, new: Judged) -> bool:
    return bool(getattr(old, name) != getattr(new, name))


def _told(judged: Judged) -> str:
    """What becomes of a request, in a word or two."""
    if judged.refusal not in (None, "denied", "approval-required"):
        return str(judged.refusal)
    return f"{judged.effect} (observed)" if judged.observed and judged.effect != "allow" else str(judged.effect)


def _all(judged: Judged) -> str:
    return _told(judged) if len(judged.outcomes) == 1 else " or ".join(sorted(judged.outcomes, key=RANK.__getitem__))


def _ids(judged: Judged) -> list[str]:
    return sorted(rule.id for rule in judged.rules)


def _rules(old: Judged, new: Judged) -> tuple[str, ...]:
    """The rules that decided before, an arrow, and those that decide now."""
    return (*(_ids(old)[:SEVERAL] or ["-"]), "→", *(_ids(new)[:SEVERAL] or ["-"]))


def _limit_ids(old: Judged, new: Judged) -> tuple[str, ...]:
    return tuple(sorted({one.partition(" ")[0] for one in {*old.uncounted} ^ {*new.uncounted}}))


# -- masks -------------------------------------------------------------------------------------------------------------


def _masks(old: Judged, new: Judged) -> Iterator[Change]:
    shared = {doubt.key for doubt in old.doubts} & {doubt.key for doubt in new.doubts}
    before = [doubt for doubt in old.doubts if doubt.key not in shared]
    after = [doubt for doubt in new.doubts if doubt.key not in shared]
    if before or after:
        loosens = any(not doubt.more for doubt in (*before, *after)) or bool(before)
        why = tuple(sorted({doubt.what for doubt in (*before, *after)}))
        yield Change(Kind.UNKNOWN, "masks", (), None, why, loosens=loosens)
    if old.withheld or new.withheld:
        if not (old.withheld and new.withheld) and not any(not doubt.more for doubt in (*before, *after)):
            loosens = bool(old.withheld)
            what = f"{old.withheld or 'released'} → {new.withheld or 'released'}"
            yield Change(Kind.LOOSENED if loosens else Kind.TIGHTENED, f"withheld: {what}", loosens=loosens)
        return
    yield from _places(old, new)


def _beyond(old: Judged, new: Judged) -> Iterator[Change]:
    """Masks of what goes on to the upstream, and of the records of who is excepted: how often they are applied is in no
    record."""
    before, after = old.beyond, new.beyond
    what = "masks of the request that goes on"
    if before.request != after.request:
        loosens = not covers(after.request, before.request)
        yield Change(Kind.UNKNOWN, what, (), None, ("no record counts what is masked there",), loosens=loosens)
    if (before.excepted or after.excepted) and before.record != after.record:
        loosens = not covers(after.record, before.record)
        yield Change(
            Kind.UNKNOWN, "masks of the record", (), None, ("its caller is excepted from some",), loosens=loosens
        )


def _places(old: Judged, new: Judged) -> Iterator[Change]:
    before = {(mask.location, mask.entity): mask for mask in old.masks}
    after = {(mask.location, mask.entity): mask for mask in new.masks}
    for place in sorted(before.keys() | after.keys()):
        was, now = before.get(place), after.get(place)
        if was is None or now is None:
            kind = Kind.MASK_LOST if now is None else Kind.MASK_GAINED
            yield Change(kind, (was or now or after[place]).operator, (), place, loosens=now is None)
        elif was.operator != now.operator:
            weaker = Operator(now.operator).rank > Operator(was.operator).rank
            kind = Kind.MASK_LOST if weaker else Kind.MASK_GAINED
            yield Change(kind, f"{was.operator} → {now.operator}", (), place, loosens=weaker)
        elif was.count != now.count:
            fewer = now.count < was.count
            what = f"{was.operator}, {'fewer' if fewer else 'more'} values"
            yield Change(Kind.MASK_LOST if fewer else Kind.MASK_GAINED, what, (), place, loosens=fewer)


# -- drift -------------------------------------------------------------------------------------------------------------


def drift(recorded: Judged, again: Judged, *, masks: bool = True) -> Change | None:
    """What the rules that a flow was recorded under say otherwise now; None where nothing, or where it is not known.
    Without `masks`, these were not looked at."""
    if not again.judged or not again.certain:
        return None
    if recorded.refusal != "withheld" and recorded.refusal != again.refusal:
        return Change(Kind.DRIFT, f"{_told(recorded)} → {_told(again)}", _rules(recorded, again))
    for name in ("effect", "reason"):
        if _differ(name, recorded, again):
            return Change(Kind.DRIFT, f"{getattr(recorded, name)} → {getattr(again, name)}", _rules(recorded, again))
    if _ids(recorded) != _ids(again):
        return Change(Kind.DRIFT, "other rules", _rules(recorded, again))
    if masks and again.masks_certain and not again.withheld and _counts(recorded) != _counts(again):
        return Change(Kind.DRIFT, "other masks")
    return None


def _counts(judged: Judged) -> dict[tuple[str, str, str], int]:
    return {(mask.location, mask.entity, mask.operator): mask.count for mask in judged.masks}
