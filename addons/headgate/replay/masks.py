"""Which masks a plan would apply to a captured response, whose record has been masked already.

What the record says was masked is looked for in the plan: a mask is kept where the plan still asks for that field or
entity, by the same or another operator, and gone where it certainly does not. What the record still shows is masked
again by the functions that mask live traffic: what is found there was not masked before. No mark that masking leaves
is found again. Where neither can say, there is a doubt, under a key that two plans share only if it turns out the same
for both.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from headgate.masking.due import Due
from headgate.masking.headers import mask_headers
from headgate.masking.job import Job, run
from headgate.masking.plan import CannotMask, Detect, Fields, Operator, Plan, detect_nothing
from headgate.masking.response import SWITCHING, Received
from headgate.masking.scrub import Sent
from headgate.masking.streaming import StreamMask, flows, waits
from headgate.masking.tokens import FIELD
from headgate.model import MaskCount
from headgate.replay.keeping import Kept, keeping, leads_to_some

if TYPE_CHECKING:
    from headgate.capture.entries import Entry

Detectors = Callable[[Plan], Detect]
Place = tuple[str, str]
"""A location, and an entity or `field`."""

REMEMBERED = 8192
"""Bodies and header fields whose outcome is remembered, without what they say."""

NO_REQUEST = Sent(b"/", (), b"")
OF_BODY = frozenset({b"content-type", b"content-encoding"})
"""Headers that tell how a body is read."""


class Doubt(NamedTuple):
    """What is not known, in words; the same `key` turns out the same. `more`: there can only be more masks than are
    told, never fewer."""

    what: str
    key: str
    more: bool = False


class Beyond(NamedTuple):
    """What is due of the request that goes on, and of the record; `excepted`: its caller gets more than recorders."""

    request: Plan | None = None
    record: Plan | None = None
    excepted: bool = False


class Masks(NamedTuple):
    """How often each place is masked, and how; `withheld` is why there is no response at all."""

    found: Mapping[Place, tuple[Operator, int]]
    doubts: frozenset[Doubt] = frozenset()
    withheld: str | None = None
    beyond: Beyond = Beyond()

    def counts(self) -> tuple[MaskCount, ...]:
        return tuple(MaskCount(*place, operator, n) for place, (operator, n) in sorted(self.found.items()))


NO_MASKS = Masks({})


class Again(NamedTuple):
    """What a plan masks of what a record shows."""

    counts: "Counter[tuple[str, str, str]]"
    withheld: str | None = None


class Masking:
    """Masks records again; what was done once for the same bytes is remembered."""

    def __init__(self, detectors: Detectors) -> None:
        self._detectors = detectors
        self._known: OrderedDict[bytes, Again] = OrderedDict()

    def of_record(self, entry: "Entry", plan: Plan | None, before: Plan | None, *, origin: bool) -> Masks:
        """What `plan` masks of the response in `entry`; `before` is the plan that it was masked by, if `origin`."""
        if entry.response is None or plan is None:
            return NO_MASKS
        doubts, same = set(_unseen(entry, plan)), origin and plan == before
        again = Again(Counter()) if doubts else self._again(entry, plan)
        if again.withheld and not same:
            return Masks({}, frozenset(doubts), again.withheld)
        doubts = set() if same else doubts  # what it has masked of what is not seen is told
        found: dict[Place, tuple[Operator, int]] = {}
        visible = _by_place(again.counts)
        for mask in entry.masks:
            place, count = (mask["location"], mask["entity"]), mask["count"]
            kept = keeping(plan, before if origin else None, place, Operator(mask["operator"]), origin=origin)
            field = (place[0], FIELD)
            if field in visible and (kept.operator is None or place == field):
                operator, seen = visible.pop(field)
                kept, count = _seen_again(kept, plan, place, operator, seen), max(count, seen)
            if kept.doubt:
                doubts.add(Doubt(kept.doubt, kept.key))
            if kept.operator is not None:
                known = found.get(place)
                found[place] = (min(kept.operator, known[0], key=_rank) if known else kept.operator,
                                count + (known[1] if known else 0))  # fmt: skip
        for place, (operator, count) in visible.items():
            known = found.get(place)
            found[place] = (known[0] if known else operator, count + (known[1] if known else 0))
        return Masks(found, frozenset(doubts))

    def of_original(self, entry: "Entry", plan: Plan | None) -> Masks:
        """What `plan` masks of a response that is there as it came."""
        if entry.response is None or plan is None:
            return NO_MASKS
        again = self._again(entry, plan)
        return Masks({} if again.withheld else _by_place(again.counts), frozenset(), again.withheld)

    # -- masking it again ----------------------------------------------------------------------------------------------

    def _again(self, entry: "Entry", plan: Plan) -> Again:
        received = _received(entry)
        about = tuple(field for field in received.headers if field[0].lower() in OF_BODY)
        body = self._remembered(plan, received._replace(headers=about), self._body)
        counts = Counter(body.counts)
        for field in received.headers:
            if field[0].lower() not in OF_BODY:
                counts += self._remembered(plan, received._replace(headers=(field,), body=b""), self._header).counts
        return Again(counts, body.withheld)

    def _remembered(self, plan: Plan, received: Received, work: Callable[[Plan, Received], Again]) -> Again:
        digest = blake2b(repr((received.method, received.status, received.headers)).encode(), digest_size=20)
        digest.update(plan.json.encode("utf-8", "surrogatepass"))
        digest.update(received.body)
        key = digest.digest()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = work(plan, received)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found

    def _header(self, plan: Plan, received: Received) -> Again:
        return Again(mask_headers(received.headers, plan, self._detect(plan)).counts)

    def _body(self, plan: Plan, received: Received) -> Again:
        due = Due(plan, plan)
        try:
            if flows(received) and not waits(due, received):
                return Again(_streamed(StreamMask(due, received, self._detectors), received.body))
        except CannotMask as cannot:
            return Again(Counter(), cannot.reason)
        done = run(Job(plan, None, NO_REQUEST, received), self._detect)
        return Again(Counter(done.masked.counts) if done.masked else Counter(), done.refused)

    def _detect(self, plan: Plan) -> Detect:
        return self._detectors(plan) if plan.detect else detect_nothing


def _seen_again(kept: Kept, plan: Plan, place: Place, operator: Operator, seen: int) -> Kept:
    """A place that is masked as a field in what the record shows, so many times: that these are the values that were
    masked before is only known if every path that leads there leads to all of them."""
    certain = kept.operator is not None and not kept.doubt
    if certain or not leads_to_some(plan, place[0]):
        return kept._replace(operator=operator, doubt=None)
    key = f"some of {place[0]} {plan.paths} {seen}"
    return Kept(operator, "not all of the values there may be asked for", key)


def _streamed(mask: StreamMask, body: bytes) -> "Counter[tuple[str, str, str]]":
    mask.feed(body)
    mask.end()
    return Counter({(each.location, each.entity, each.operator): each.count for each in mask.masks})


def _received(entry: "Entry") -> Received:
    got = entry.response
    fields: Fields = ()
    if got is not None and got.headers is not None:
        fields = tuple((_bytes(name), _bytes(value)) for name, value in got.headers)
    body = got.body if got is not None else b""
    return Received(entry.summary.method, entry.summary.status or 0, fields, body)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# -- what the record does not show -------------------------------------------------------------------------------------


def _unseen(entry: "Entry", plan: Plan) -> Iterator[Doubt]:
    """What of the response was not recorded, so that a plan may mask more of it than is told."""
    got = entry.response
    if got is None:
        return
    if got.headers is None:
        yield Doubt("the response was not recorded", f"unseen {plan.json}", more=True)
    elif not plan.reads_body:
        return
    elif entry.summary.status == SWITCHING:
        yield Doubt("messages are masked as far as they were recorded", f"unseen {plan.json}", more=True)
    elif got.truncated:
        yield Doubt("only the beginning of the body was recorded", f"unseen {plan.json}", more=True)
    elif got.size and not got.body:
        yield Doubt("the body was not recorded", f"unseen {plan.json}", more=True)


def _by_place(counts: Mapping[tuple[str, str, str], int]) -> dict[Place, tuple[Operator, int]]:
    found: dict[Place, tuple[Operator, int]] = {}
    for (location, entity, operator), count in counts.items():
        before = found.get((location, entity))
        strongest = min(Operator(operator), before[0], key=_rank) if before else Operator(operator)
        found[location, entity] = (strongest, count + (before[1] if before else 0))
    return found


def _rank(operator: Operator) -> int:
    return operator.rank


def recorded_masks(entry: "Entry") -> tuple[MaskCount, ...]:
    """The masks that the record tells of."""
    made: Iterable[MaskCount] = (
        MaskCount(mask["location"], mask["entity"], mask["operator"], mask["count"]) for mask in entry.masks
    )
    return tuple(sorted(made, key=lambda mask: (mask.location, mask.entity, mask.operator)))
