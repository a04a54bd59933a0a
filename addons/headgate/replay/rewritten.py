"""The rules of a bundle as far as the record of a flow lets them be asked: each condition on what is not recorded is
unknown. Few records differ in what they lack of all that the rules ask for, so that one rewriting serves many flows.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headgate.masking.rules import Mask, MaskingRules
from headgate.match import Matcher
from headgate.policy.engine import Policy, Rule
from headgate.policy.outlook import Known
from headgate.policy.unrecorded import asked, matcher_without, without

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle

Location = tuple[str | int, ...]

KEPT = 64
"""Rewritings that are kept; each is a whole set of rules."""

_CONTENTS = frozenset({("headers",), ("query",), ("body",), ("path",), ("graphql",)})
_CLAIM = re.compile(r"\{principal\.claims\.([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`open_limits` and `open_masks` are the ids of those that ask for something that is not recorded."""

    known: Known
    masking: MaskingRules
    open_limits: frozenset[str] = frozenset()
    open_masks: frozenset[str] = frozenset()


class Rewriting:
    """Rewrites one bundle's rules; what records lack is told by `unrecorded`, of a place below `match:`."""

    def __init__(self, bundle: "Bundle") -> None:
        self._policy, self._masking = bundle.policy, bundle.masking
        self._places = tuple(asked(self._matchers()) | {place for read in self._reads.values() for place in read})
        self._made: OrderedDict[frozenset[Location], Rewritten] = OrderedDict()
        self._made[frozenset()] = Rewritten(Known(bundle.policy), bundle.masking)

    def for_record(self, unrecorded: Callable[[Location], bool]) -> Rewritten:
        lost = frozenset(place for place in self._places if unrecorded(place))
        found = self._made.get(lost)
        if found is None:
            found = self._made[lost] = self._rewrite(lost)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(lost)
        return found

    @cached_property
    def outline(self) -> Rewritten:
        """For a request of which nothing is known but who asked, when, and where."""
        return self.for_record(lambda place: place[:1] in _CONTENTS or place[:2] == ("principal", "claims"))

    def _rewrite(self, lost: frozenset[Location]) -> Rewritten:
        def unrecorded(place: Location) -> bool:
            return place in lost

        policy = without(self._policy, unrecorded)
        rules = tuple(self._shaping(old, new, lost) for old, new in zip(self._policy.rules, policy.rules, strict=True))
        policy = replace(policy, rules=rules)
        masks = tuple(self._mask(mask, unrecorded) for mask in self._masking.masks)
        changed = zip(self._policy.rules, rules, strict=True)
        limits = zip(self._policy.limits, policy.limits, strict=True)
        return Rewritten(
            Known(policy, frozenset(at for at, (old, new) in enumerate(changed) if old.matcher is not new.matcher)),
            MaskingRules(masks, self._masking.token_key),
            frozenset(old.id for old, new in limits if old.matcher is not new.matcher),
            frozenset(
                old.id
                for old, new in zip(self._masking.masks, masks, strict=True)
                if old.matcher is not new.matcher or old.exempt is not new.exempt
            ),
        )

    def _shaping(self, old: Rule, new: Rule, lost: frozenset[Location]) -> Rule:
        """How a rule changes a request is known where it is made of what is recorded."""
        if old.shaper is None or lost & self._reads.get(old.ref.id, frozenset()):
            return new
        return replace(new, shaper=old.shaper)

    @staticmethod
    def _mask(mask: Mask, unrecorded: Callable[[Location], bool]) -> Mask:
        exempt = mask.exempt and matcher_without(mask.exempt, unrecorded)
        return replace(mask, matcher=matcher_without(mask.matcher, unrecorded), exempt=exempt)

    @cached_property
    def _reads(self) -> dict[str, frozenset[Location]]:
        """What the headers that rules set are made of, as far as a record may lack it."""
        return {entry.rule.id: frozenset(_made_of(entry.rule)) for entry in self._policy.written.rules}

    def _matchers(self) -> Iterator[Matcher]:
        yield from (rule.matcher for rule in self._policy.rules)
        yield from (limit.matcher for limit in self._policy.limits)
        for mask in self._masking.masks:
            yield from (matcher for matcher in (mask.matcher, mask.exempt) if matcher is not None)


def _made_of(spec: Any) -> Iterator[Location]:
    for text in (spec.set_headers or {}).values():
        yield from (("principal", "claims", name) for name in _CLAIM.findall(text))
        if "{path_params." in text:
            yield ("path",)
    if spec.remove_query:
        yield ("query",)


# -- what rules say, in one spelling -----------------------------------------------------------------------------------


class Texts:
    """Rules, limits and masks of one bundle in one spelling, so that those of two bundles can be compared."""

    def __init__(self, policy: Policy, masking: MaskingRules) -> None:
        self.rules = _written(policy.written.rules)
        self.limits = _written(policy.written.limits, but=("mode", "message"))
        self.masks = {mask.id: _of_mask(mask) for mask in masking.masks}


def _written(entries: tuple[Any, ...], but: tuple[str, ...] = ()) -> dict[str, str]:
    found = {}
    for entry in entries:
        spec = entry.rule.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(but))
        found[entry.rule.id] = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return found


def _of_mask(mask: Mask) -> str:
    exempt = _of_matcher(mask.exempt) if mask.exempt else None
    return repr((mask.id, _of_matcher(mask.matcher), exempt, mask.request, mask.plan.json))


def _of_matcher(matcher: Matcher) -> Any:
    conditions = [
        (condition.location, _of_matcher(condition.inner) if condition.inner else (condition.key, condition.expected))
        for condition in matcher.conditions
    ]
    return sorted(map(repr, conditions)), matcher.when.text if matcher.when else None
