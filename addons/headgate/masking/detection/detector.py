"""What one plan wants found in leaves: the detector that every format is given.

Presidio's findings come the fast way, credentials from their own formats, names and places from a language model where
one is asked for. Each finding is told whether it is plausible in an API's payload (`profile`); the plan decides what
that means.

A leaf with escapes in it is looked at without them, too. What is found only then cannot be told where it stands, so
that the whole leaf is the finding. Characters that nobody sees do not hide a value either.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from headgate.masking.detection.budget import Budget
from headgate.masking.detection.cache import Cache
from headgate.masking.detection.custom import recognizers_of
from headgate.masking.detection.fast import GATE_SHARE, SEARCH_SHARE, SEARCH_UNITS, UNLIMITED, Fast
from headgate.masking.detection.profile import plausible
from headgate.masking.detection.secrets import find_secrets, names_secret, suspects
from headgate.masking.disguise import disguises, may_be_disguised, visible
from headgate.masking.entities import ENTITIES
from headgate.masking.operators import cuts, splice
from headgate.masking.plan import LANGUAGE_MODEL, CannotMask, Leaf, Plan, Profile, Span

LONGEST = 1 << 20
"""Characters a leaf may have."""

SECRET = "SECRET"  # noqa: S105 - an entity's name

SAMPLE = Leaf("ana@example.com, +1 212 555 0123, 4111 1111 1111 1111, 10.1.2.3", "contact")


class _Form(NamedTuple):
    """A leaf without its escapes; `known` are the findings that the leaf itself shows, of each entity."""

    at: int
    leaf: Leaf
    known: Counter[str]


class Detector:
    """Detects what one plan wants (`headgate.masking.plan.Detect`), within a budget, once; OverBudget.

    `cache` may be shared by all detectors of a process.
    """

    def __init__(self, plan: Plan, budget: Budget | None = None, cache: Cache | None = None) -> None:
        self._plan, self._cache = plan, cache
        self._budget = budget or Budget(UNLIMITED)
        self._ways = _ways(plan.entities, plan.recognizers, plan.internal_domains)
        self._filtered = any(wanted.profile is Profile.API for wanted in plan.detect)

    def __call__(self, leaves: Sequence[Leaf]) -> list[list[Span]]:
        if not self._plan.detect:
            return [[] for _ in leaves]
        if any(len(leaf.text) > LONGEST for leaf in leaves):
            raise CannotMask("value-too-long")
        found = self._find(leaves)
        self._look_through(leaves, found)
        forms = list(self._forms(leaves, found))
        if forms:
            for form, spans in zip(forms, self._find([form.leaf for form in forms]), strict=True):
                whole = len(leaves[form.at].text)
                hidden = (span._replace(start=0, end=whole) for span in self._more(spans, form.known))
                found[form.at] = sorted({*found[form.at], *hidden})
        return found

    def _look_through(self, leaves: Sequence[Leaf], found: list[list[Span]]) -> None:
        """Add what is found in leaves once the characters are gone that nobody sees."""
        odd = [at for at, leaf in enumerate(leaves) if not leaf.text.isascii()]
        clear = [(at, seen) for at in odd if (seen := visible(leaves[at].text))]
        if not clear:
            return
        more = self._find([leaves[at]._replace(text=text) for at, (text, _) in clear])
        for (at, (_, places)), spans in zip(clear, more, strict=True):
            moved = (span._replace(start=places[span.start], end=places[span.end - 1] + 1) for span in spans)
            found[at] = sorted({*found[at], *moved})

    def _forms(self, leaves: Sequence[Leaf], found: Sequence[Sequence[Span]]) -> Iterator[_Form]:
        """What leaves say without their escapes, whole and without what is found in them anyway."""
        odd = (at for at, leaf in enumerate(leaves) if may_be_disguised(leaf.text))
        for at in odd:
            leaf = leaves[at]
            self._budget.spend(SEARCH_UNITS + len(leaf.text) // SEARCH_SHARE)
            if not (forms := disguises(leaf.text)):
                continue
            seen = cuts(found[at], self._plan)
            known = Counter(span.entity for span in self._wanted(found[at]))
            yield from (_Form(at, leaf._replace(text=form), known) for form in forms)
            if seen:
                rest = splice(leaf.text, ((cut.start, cut.end, " ") for cut in seen))
                yield from (_Form(at, leaf._replace(text=form), Counter()) for form in disguises(rest))

    def _more(self, found: Sequence[Span], known: Counter[str]) -> list[Span]:
        """What is wanted of the findings, of each entity that has more of them than is known."""
        wanted = self._wanted(found)
        more = Counter(span.entity for span in wanted) - known
        return [span for span in wanted if span.entity in more]

    def _wanted(self, found: Sequence[Span]) -> list[Span]:
        return [span for span in found if self._plan.operator(span)]

    def _find(self, leaves: Sequence[Leaf]) -> list[list[Span]]:
        spans: list[list[Span]] = [[] for _ in leaves]
        for at, searches in self._ways.fast.suspects(leaves, self._budget).items():
            spans[at] = self._remembered(leaves[at], searches)
        others = [*self._secrets(leaves), *self._named(leaves)]
        for at, span in others:
            spans[at].append(span)
        for at in {at for at, _ in others}:
            spans[at].sort()
        return spans

    def _remembered(self, leaf: Leaf, searches: Sequence[int]) -> list[Span]:
        if self._cache is None:
            return self._judged(leaf, self._ways.fast.confirm(leaf, searches, self._budget))
        self._budget.spend(SEARCH_UNITS)
        place = self._cache.place(self._ways.digest, leaf)
        if (known := self._cache.get(place)) is None:
            known = self._ways.fast.confirm(leaf, searches, self._budget)
            self._cache.put(place, known)
        return self._judged(leaf, known)

    def _judged(self, leaf: Leaf, found: Sequence[Span]) -> list[Span]:
        if not self._filtered:
            return list(found)
        domains = self._plan.internal_domains
        return [span if plausible(leaf, span, domains) else span._replace(plausible=False) for span in found]

    def _secrets(self, leaves: Sequence[Leaf]) -> Iterator[tuple[int, Span]]:
        if not self._ways.secret:
            return
        self._budget.spend(sum(len(leaf.text) for leaf in leaves) // GATE_SHARE)
        places = {*suspects([leaf.text for leaf in leaves])}
        places |= {at for at, leaf in enumerate(leaves) if leaf.key and names_secret(leaf.key)}
        for at in places:
            self._budget.spend(SEARCH_UNITS + len(leaves[at].text) // SEARCH_SHARE)
            yield from ((at, Span(SECRET, *each)) for each in find_secrets(leaves[at].text, leaves[at].key))

    def _named(self, leaves: Sequence[Leaf]) -> Iterator[tuple[int, Span]]:
        if not self._ways.model:
            return
        from headgate.masking.detection.language import language_model

        found = language_model().find([leaf.text for leaf in leaves], self._ways.model)
        yield from ((at, span) for at, spans in enumerate(found) for span in spans)


class _Ways(NamedTuple):
    """How entities are found; `digest` stands for all that findings depend on but the leaf."""

    fast: Fast
    secret: bool
    model: frozenset[str]
    digest: bytes


@lru_cache(maxsize=64)
def _ways(entities: tuple[str, ...], recognizers: str, internal_domains: tuple[str, ...]) -> _Ways:
    wanted = frozenset(entities)
    custom = [each for each in recognizers_of(recognizers) if not wanted.isdisjoint(each.supported_entities)]
    digest = blake2b(repr((entities, recognizers, internal_domains)).encode("utf-8", "surrogatepass")).digest()
    return _Ways(Fast(wanted, custom, internal_domains), SECRET in wanted, wanted & LANGUAGE_MODEL, digest)


def warm() -> None:
    """Load all that the first leaf would otherwise wait for, but a language model; takes seconds."""
    every = Fast(ENTITIES)
    for text in (SAMPLE.text, f"{SAMPLE.text} \u017f"):
        every([SAMPLE._replace(text=text)])
    find_secrets(SAMPLE.text, SAMPLE.key)
    suspects([SAMPLE.text])
