"""How a value is masked, and which mask wins where several want the same characters.

Overlapping spans are masked as one: nothing that any of them covers is left. The strongest operator decides (drop,
null, redact, hash, token, last4), then the longest span, then the entity's name, so that the outcome never depends on
the order in which findings came.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from headgate.masking.plan import Operator, Plan, Span
from headgate.masking.tokens import FIELD, hashed, token

SHOWN = 4
SHORTEST = 8
"""`last4` shows nothing of a value with fewer characters: four would be more than half of it."""

SEPARATORS = frozenset(" -./:@_()+,")


class Cut(NamedTuple):
    start: int
    end: int
    entity: str
    operator: Operator


def cuts(spans: Iterable[Span], plan: Plan) -> list[Cut]:
    """What to mask of a text, in order and without overlaps."""
    chosen: list[Cut] = []
    for cluster in _clusters(_wanted(spans, plan)):
        winner = min(cluster, key=lambda cut: (cut.operator.rank, cut.start - cut.end, cut.entity))
        chosen.append(winner._replace(start=cluster[0].start, end=max(cut.end for cut in cluster)))
    return chosen


def _wanted(spans: Iterable[Span], plan: Plan) -> list[Cut]:
    found = ((span, plan.operator(span)) for span in spans)
    return sorted(Cut(span.start, span.end, span.entity, operator) for span, operator in found if operator)


def _clusters(ordered: Sequence[Cut]) -> Iterable[list[Cut]]:
    cluster: list[Cut] = []
    end = 0
    for cut in ordered:
        if cluster and cut.start >= end:
            yield cluster
            cluster = []
        cluster.append(cut)
        end = max(end, cut.end)
    if cluster:
        yield cluster


def whole(chosen: Sequence[Cut]) -> Cut:
    """The cut that decides when a value can only be masked as a whole."""
    return min(chosen, key=lambda cut: (cut.operator.rank, cut.start - cut.end, cut.entity))


def replacement(value: str, entity: str, operator: Operator, key: bytes = b"") -> str:
    """What stands for `value` in a text; where a text has no null and no members to drop, nothing does.

    `key` makes tokens and hashes; CannotMask where one is asked for without it.
    """
    match operator:
        case Operator.REDACT:
            return "[REDACTED]" if entity == FIELD else f"[{entity}]"
        case Operator.HASH:
            return hashed(value, entity, key)
        case Operator.TOKEN:
            return token(value, entity, key)
        case Operator.LAST4:
            return last4(value)
        case _:
            return ""


def last4(value: str) -> str:
    """Stars for all but the last four characters; separators stay, so that the shape can be recognised."""
    secret = [at for at, character in enumerate(value) if character not in SEPARATORS]
    hidden = set(secret[:-SHOWN] if len(secret) >= SHORTEST else secret)
    return "".join("*" if at in hidden else character for at, character in enumerate(value))


def splice(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """Replace spans of a text; `edits` are in order and do not overlap."""
    pieces, at = [], 0
    for start, end, new in edits:
        pieces += [text[at:start], new]
        at = end
    return "".join([*pieces, text[at:]])
