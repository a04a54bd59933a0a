"""Masked names of members: no two members that had different names get the same one, so that none is lost."""

from collections.abc import Iterator, Mapping

from headgate.masking.formats.jsonlayout import Layout
from headgate.masking.formats.jsonsearch import Hit
from headgate.masking.operators import replacement, splice, whole
from headgate.masking.plan import Operator, Plan


def masked_name(hit: Hit, plan: Plan) -> str:
    """A name is never null, and one whose member is dropped is shown like this, too: then nothing of it is left."""
    name, chosen = hit.text, hit.cuts(plan)
    decisive = whole(chosen)
    if decisive.operator in (Operator.DROP, Operator.NULL):
        return replacement(name, decisive.entity, Operator.REDACT)
    edits = ((cut.start, cut.end, replacement(name[cut.start : cut.end], *cut[2:], plan.key)) for cut in chosen)
    return splice(name, edits)


def distinct(masked: Mapping[int, str], layout: Layout) -> dict[int, str]:
    """The masked names, by the number of the member, with a number after each that something else is called."""
    objects = layout.children({layout.parents[at] for at in masked})
    return {at: name for members in objects.values() for at, name in _distinct(members, masked, layout)}


def _distinct(members: list[int], masked: Mapping[int, str], layout: Layout) -> Iterator[tuple[int, str]]:
    taken = {layout.name(at) for at in members if at not in masked}
    given: dict[str, str] = {}
    last: dict[str, int] = {}
    for at in members:
        if at not in masked:
            continue
        original, wanted = layout.name(at), masked[at]
        if original not in given:
            name = wanted
            while name in taken:
                last[wanted] = last.get(wanted, 1) + 1
                name = f"{wanted} {last[wanted]}"
            taken.add(name)
            given[original] = name
        yield at, given[original]
