"""What came of an impact as people read it and as JSON, and whether something was loosened that nobody allowed.

No report shows a value of a request or a response: ids of rules and flows, hosts, paths with variables, and where a
mask is.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from headgate.model import BundleRef
from headgate.replay.comparison import FAILING, Kind
from headgate.replay.tally import Group, Key, Tally, names_of

TITLES = {
    Kind.LOOSENED: "LOOSENED",
    Kind.MASK_LOST: "MASK LOST",
    Kind.UNKNOWN: "UNKNOWN",
    Kind.STATE: "DEPENDS ON LIMITS",
    Kind.TIGHTENED: "TIGHTENED",
    Kind.MASK_GAINED: "MASK GAINED",
    Kind.RULE_CHANGED: "RULE CHANGED",
    Kind.DRIFT: "DRIFT",
    Kind.NOT_JUDGED: "NOT JUDGED",
}

MEANINGS = {
    Kind.LOOSENED: "more would pass",
    Kind.MASK_LOST: "less would be masked",
    Kind.UNKNOWN: "the record does not say",
    Kind.STATE: "as the state of limits was",
    Kind.TIGHTENED: "less would pass",
    Kind.MASK_GAINED: "more would be masked",
    Kind.RULE_CHANGED: "the same, for another reason",
    Kind.DRIFT: "the record differs from what its own rules say now",
    Kind.NOT_JUDGED: "refused before policy, by another stage, or never decided: no rule changes that",
}

SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True)
class Report:
    """A tally with what was compared; `allowed` are names of rules, masks or groups that may loosen. `old` is None
    where each flow was compared with the rules that it was recorded under."""

    tally: Tally
    new: BundleRef
    old: BundleRef | None
    allowed: tuple[str, ...] = ()
    masks: bool = True
    fail_on_unknown: bool = False

    @property
    def failing(self) -> list[tuple[Key, Group]]:
        return self.tally.failing(self.allowed)

    @property
    def unused(self) -> list[str]:
        """What was allowed and did not happen."""
        found = frozenset().union(*(names_of(key) for key, _ in self.tally.of(*FAILING)))
        return sorted(set(self.allowed) - found)

    @property
    def fails(self) -> bool:
        return bool(self.failing) or (self.fail_on_unknown and self.tally.by_kind[Kind.UNKNOWN] > 0)

    def is_allowed(self, key: Key) -> bool:
        return key.kind in FAILING and bool(names_of(key) & set(self.allowed))

    def unknown_names(self, known: Collection[str]) -> list[str]:
        """What was allowed and is neither a rule nor a group: `known` are the ids of rules, masks and limits."""
        named = frozenset(known).union(*map(names_of, self.tally.groups))
        return sorted(set(self.allowed) - named)


def lines(report: Report, limit: int) -> Iterator[tuple[Kind | None, str]]:
    """The report, line by line, with the kind that a line is about; at most `limit` groups of each kind."""
    yield None, summary(report)
    for kind in Kind:
        groups = list(report.tally.of(kind))
        if not groups:
            continue
        flows = report.tally.by_kind[kind]
        yield kind, f"{TITLES[kind]} {flows:,}  {MEANINGS[kind]}"
        for key, group in groups[:limit]:
            yield None, f"  {line_of(report, key, group)}"
            yield from ((None, f"      {why}") for why in reasons(group))
        if len(groups) > limit:
            yield None, f"  and {len(groups) - limit:,} more groups: `--limit {len(groups)}` shows all"
    yield from ((None, text) for text in remarks(report))


def summary(report: Report) -> str:
    tally = report.tally
    counts = "  ".join(f"{kind} {tally.by_kind[kind]:,}" for kind in (Kind.UNKNOWN, Kind.DRIFT, Kind.NOT_JUDGED))
    against = f"{report.old.name} {report.old.version}" if report.old else "the rules of each flow"
    what = "decided and masked" if report.masks else "decided"
    head = f"{what} {tally.flows:,} again: {against} → {report.new.name} {report.new.version}"
    said = f"{head}\nunchanged {tally.unchanged:,}  {counts}"
    if not tally.callers:
        return said
    return f"{said}\nIDENTITY DIFFERS for {tally.callers:,}: callers are those of the record, whoever they would be now"


def line_of(report: Report, key: Key, group: Group) -> str:
    parts = [what_of(key), " ".join(key.rules), f"{key.method} {key.host}{key.path}", f"n={group.count:,}"]
    parts.append(f"ex: {', '.join(group.examples)}")
    tail = f"[{key.id}]" + (" allowed" if report.is_allowed(key) else "")
    if key.kind is Kind.UNKNOWN:
        tail += " it may loosen" if group.loosens else " it cannot loosen"
    return "  ".join(part for part in (*parts, tail) if part)


def what_of(key: Key) -> str:
    return f"{key.entity} at {key.location or 'the body'}: {key.what}" if key.entity else key.what


def reasons(group: Group) -> list[str]:
    """Why it is not known, the most frequent first."""
    named = sorted(group.why.items(), key=lambda pair: (-pair[1], pair[0]))
    more = len(named) - SHOWN_REASONS
    return [text for text, _ in named[:SHOWN_REASONS]] + ([f"and {more} more"] if more > 0 else [])


def remarks(report: Report) -> Iterator[str]:
    """What else there is to say."""
    if report.tally.unhit:
        yield f"rules never hit: {' '.join(sorted(report.tally.unhit))}"
    for name in report.unused:
        yield f"nothing was loosened by `{name}`: it need not be allowed"
    unknown = report.tally.by_kind[Kind.UNKNOWN]
    if unknown:
        worst = sum(group.count for _, group in report.tally.of(Kind.UNKNOWN) if group.loosens)
        yield f"of {unknown:,} flows it is UNKNOWN what changes; {worst:,} times it may be loosened"
    if report.failing:
        flows = sum(group.count for _, group in report.failing)
        yield f"loosened or less masked, and not allowed: {len(report.failing):,} groups, {flows:,} times"


def as_json(report: Report) -> dict[str, Any]:
    tally = report.tally
    return {
        "new": _ref(report.new),
        "old": _ref(report.old) if report.old else None,
        "masks": report.masks,
        "flows": tally.flows,
        "unchanged": tally.unchanged,
        "identity_differs": tally.callers,
        "counts": {str(kind): tally.by_kind[kind] for kind in Kind},
        "groups": [_group(report, key, group) for kind in Kind for key, group in tally.of(kind)],
        "never_hit": sorted(tally.unhit or ()),
        "allowed": sorted(report.allowed),
        "allowed_unused": report.unused,
        "fails": report.fails,
    }


def _group(report: Report, key: Key, group: Group) -> dict[str, Any]:
    arrow = key.rules.index("→") if "→" in key.rules else 0
    return {
        "id": key.id,
        "kind": str(key.kind),
        "what": key.what,
        "rules": {"old": _named(key.rules[:arrow]), "new": _named(key.rules[arrow + 1 :])}
        if arrow
        else _named(key.rules),
        "method": key.method,
        "host": key.host,
        "path": key.path,
        "entity": key.entity or None,
        "location": key.location or None,
        "count": group.count,
        "examples": list(group.examples),
        "why": dict(sorted(group.why.items())),
        "may_loosen": group.loosens,
        "allowed": report.is_allowed(key),
    }


def _named(rules: tuple[str, ...]) -> list[str]:
    return [rule for rule in rules if rule != "-"]


def _ref(bundle: BundleRef) -> dict[str, str]:
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
