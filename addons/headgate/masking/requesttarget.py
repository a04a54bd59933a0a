"""Masking of a request's target: segments of its path, and names and values of its query (RFC 3986, section 3.4)."""

from urllib.parse import quote, unquote, unquote_plus

from headgate.masking.credentials import REDACTED
from headgate.masking.formats.form import names_of
from headgate.masking.formats.plaintext import mask_value
from headgate.masking.operators import replacement
from headgate.masking.plan import Detect, Leaf, Operator, Plan, strongest
from headgate.masking.tokens import FIELD

_KEPT = "!$&'()*+,;=:@-._~[]"
NO_LEAF = Leaf("", "")


def mask_target(target: str, plan: Plan, detect: Detect, *, longest: int | None = None, path: bool = True) -> str:
    """A target in origin form, masked; its path stays as it is unless `path` says so.

    Segments and values of more than `longest` characters are not looked into: they go as a whole.
    """
    before, question, query = target.partition("?")
    segments = before.split("/") if path else []
    pairs = [pair.partition("=") for pair in query.split("&")]
    leaves = [Leaf(unquote(segment), under) for under, segment in zip(["", *segments], segments, strict=False)]
    leaves += [Leaf(unquote_plus(name), "") for name, _, _ in pairs]
    leaves += [Leaf(unquote_plus(value), name) for name, _, value in pairs]
    masked = _mask_leaves(leaves, plan, detect, longest)
    if path:
        before = "/".join(_segment(new, old) for new, old in zip(masked, segments, strict=False))
    names, values = masked[len(segments) :][: len(pairs)], masked[len(segments) + len(pairs) :]
    queries = zip(names, values, pairs, strict=True)
    return before + question + "&".join(_pair(named, new, pair, plan) for named, new, pair in queries)


def _segment(new: str | None, old: str) -> str:
    """A part of a path; one of which nothing is left says so, for an empty one would make it another path."""
    return old if new is None else new or REDACTED


def _asked(name: str, value: str, plan: Plan) -> Operator | None:
    """What is due for a pair by its names: all that stands before a `=`, alone or in brackets.

    Some readers part pairs at semicolons, too. What else such a pair holds goes with the value that is asked for.
    """
    if not plan.query:
        return None
    inner = [part.partition("=")[0] for part in value.split(";")[1:]]
    first, *others = name.split(";")
    names = {known for each in (name, first, *others, *inner) for known in names_of(unquote_plus(each))}
    return strongest(operator for known, operator in plan.query if known in names)


def _pair(named: str | None, new: str | None, pair: tuple[str, str, str], plan: Plan) -> str:
    """One `name=value`: what its name asks for comes before what was detected in it; `named` is what masks its name."""
    name, sign, value = pair
    operator = _asked(name, value, plan)
    if operator is Operator.DROP:
        return ""
    if operator:
        new = quote(replacement(unquote_plus(value), FIELD, operator, plan.key), safe=_KEPT)
    return f"{name if named is None else named}{sign}{value if new is None else new}"


def _mask_leaves(leaves: list[Leaf], plan: Plan, detect: Detect, longest: int | None) -> list[str | None]:
    """For each leaf what it becomes, encoded again; None when it stays as it is."""
    if not plan.detect:
        return [None] * len(leaves)
    long = [longest is not None and len(leaf.text) > longest for leaf in leaves]
    found = detect([NO_LEAF if skip else leaf for leaf, skip in zip(leaves, long, strict=True)])
    masked: list[str | None] = []
    for leaf, skip, spans in zip(leaves, long, found, strict=True):
        text, counts = mask_value(leaf.text, list(spans), plan, "path")
        masked.append(REDACTED if skip else quote(text, safe=_KEPT) if counts else None)
    return masked
