"""Which signed claims the rules of a bundle read: what a record has to keep for a request to be decided again.

All others are the caller's own business and stay out of the record. A `when` that asks for all claims at once names
none: what it comes to again is unknown.
"""

from collections.abc import Iterator

from headgate.bundle.load import Bundle
from headgate.match import Matcher
from headgate.match.conditions import shown
from headgate.match.facts import Claim
from headgate.match.pointers import Pointer

CLAIMS = ("principal", "claims")


def claims_read(bundle: Bundle) -> tuple[str, ...]:
    """Their JSON Pointers (RFC 6901), sorted: of every rule, limit and mask, shadowed or not."""
    return tuple(sorted({shown(path) for path in _paths(bundle)}))


def _paths(bundle: Bundle) -> Iterator[Pointer]:
    for rule in bundle.policy.rules:
        yield from _of_matcher(rule.matcher)
        yield from rule.shaper.claims if rule.shaper else ()
    for limit in bundle.policy.limits:
        yield from _of_matcher(limit.matcher)
    for mask in bundle.masking.masks:
        yield from _of_matcher(mask.matcher)
        yield from _of_matcher(mask.exempt) if mask.exempt else ()


def _of_matcher(matcher: Matcher) -> Iterator[Pointer]:
    for condition in matcher.conditions:
        if isinstance(condition.dimension, Claim):
            yield condition.dimension.path
        if condition.inner is not None:
            yield from _of_matcher(condition.inner)
    for path in matcher.when.uses if matcher.when else ():
        if path[:2] == CLAIMS and path[2:]:
            yield path[2:]
