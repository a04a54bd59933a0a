"""What a rule or a limit says by itself that is hardly meant: too much, or nothing."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple

from headgate.match import MatchSpec, PathTemplate, Section
from headgate.match.regexes import fits
from headgate.match.values import TextConditions
from headgate.model import Effect
from headgate.policy.covering import Key, adds_nothing
from headgate.policy.engine import Rule
from headgate.policy.inclusion import Side, side_of
from headgate.policy.limits import Limit
from headgate.policy.mutants import Location, name_of
from headgate.policy.reach import World

MAX_RATE = 10_000
"""Requests a second: no proxy of this kind passes on as many."""

SAMPLES = (*map(chr, range(32, 127)), "é", "日本", "a b", "x" * 300, "../../etc/passwd", "' OR 1=1 --", "a,b;c=d")
"""What no condition that means something would let through all together."""


class Remark(NamedTuple):
    """Where it stands in the entry, which finding it is, and what it is about."""

    where: Location
    code: str
    message: str


def of_rule(rule: Rule, spec: Any, world: World, anonymous: bool) -> Iterator[Remark]:
    match: MatchSpec = spec.match
    name = f"rule {rule.ref.id}"
    if rule.ref.effect is Effect.ALLOW and not rule.shadow:
        yield from _of_allow(name, match, spec.when, anonymous and not world.all.isolate_environments)
    if rule.ref.effect is not Effect.DENY and world.all.isolate_environments:
        yield from _isolated(name, side_of(match, rule.ref.effect, None), world)
    yield from _of_match(name, match, ("match",))


def of_limit(limit: Limit, spec: Any) -> Iterator[Remark]:
    name = f"limit {limit.id}"
    per_second = limit.rate.count / limit.rate.seconds
    if per_second >= MAX_RATE:
        yield Remark(("rate",), "limit-too-high", f"{name}: no caller comes near {spec.rate}")
    if limit.burst > max(limit.rate.count, per_second * 3600):
        hours = limit.burst / per_second / 3600
        what = f"{name}: a burst of {limit.burst} is what {spec.rate} gives in {hours:.3g} hours"
        yield Remark(("burst",), "burst-too-large", what)
    yield from _of_match(name, spec.match, ("match",))


def _of_allow(name: str, match: MatchSpec, when: str | None, anonymous: bool) -> Iterator[Remark]:
    where = ("match",)
    if not match.model_fields_set and when is None:
        yield Remark(where, "allow-everything", f"{name} allows everybody everything")
        return
    if match.target is None and match.host is None:
        yield Remark(where, "allow-without-target", f"{name} allows this at every target, also at those to come")
    excluded = match.not_ is not None and match.not_.principal is not None
    if match.principal is None and excluded:
        yield Remark(("match", "not"), "allow-by-exclusion", f"{name} allows it to everybody but some")
    elif match.principal is None and when is None and anonymous:
        yield Remark(where, "open-to-anonymous", f"{name} asks nothing of the caller, and anonymous ones are let in")


def _isolated(name: str, side: Side, world: World) -> Iterator[Remark]:
    """A caller may have several environments, so this is odd rather than impossible."""
    asked = side.leaves.get(("principal", "environment"))
    reach = side.reach(world)
    there = {target.environment for target in reach.targets}
    if asked and there and there.isdisjoint(asked):
        about = ", ".join(sorted(map(str, there)))
        what = f"{name} asks for a caller of {', '.join(asked)}, and is about targets of {about}"
        yield Remark(("match", "principal", "environment"), "environment-isolated", what)


def _of_match(name: str, match: MatchSpec, at: Location) -> Iterator[Remark]:
    if match.path and any(_is_everything(text) for text in match.path):
        yield Remark((*at, "path"), "matches-everything", f"{name}: the path stands for every path")
    if match.source and _is_every_address(match.source):
        yield Remark((*at, "source"), "matches-everything", f"{name}: the source is every address")
    for where, value in _parts(match, ()):
        if isinstance(value, TextConditions) and value.regex is not None and _fits_everything(value.regex):
            what = f"{name}: the regex of {name_of(where)} matches everything"
            yield Remark((*at, *where, "regex"), "matches-everything", what)
        if isinstance(value, tuple):
            yield from _values(name, where, value, at)
    if match.not_ is not None:
        yield from _of_match(name, match.not_, (*at, "not"))


def _values(name: str, where: Key, values: tuple[Any, ...], at: Location) -> Iterator[Remark]:
    for place, value in enumerate(values):
        if adds_nothing(where, values, place):
            what = f"{name}: `{str(value)[:80]}` adds nothing to the other values of {name_of(where)}"
            yield Remark((*at, *where, place), "value-adds-nothing", what)


def _parts(value: Any, at: Key) -> Iterator[tuple[Key, Any]]:
    """Every part of a match by its key, but for what is below `not:`."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _parts(part, (*at, name))
        return
    if at:
        yield at, value
    if isinstance(value, Section):
        for name in type(value).model_fields:
            if name in value.model_fields_set and name != "not_":
                yield from _parts(getattr(value, name), (*at, name))


def _is_everything(template: str) -> bool:
    parsed = PathTemplate.parse(template)
    return parsed.rest and not parsed.head and not parsed.tail


def _is_every_address(networks: tuple[str, ...]) -> bool:
    return any(ip_network(text).prefixlen == 0 for text in networks)


def _fits_everything(regex: str) -> bool:
    fitting = fits(regex, widen=False)
    return all(fitting(sample) for sample in SAMPLES)
