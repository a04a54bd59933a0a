"""Which recorded flows are meant: mitmproxy's filter expressions, and terms for what only a record knows.

Beside every term of mitmproxy's there are `~decision`, `~rule`, `~principal` and `~mask`. mitmproxy's own terms are its
own classes, asked about a flow that is built from the record; nothing in its modules is changed, so that mitmweb's
filters stay as they are. A regex is RE2's: what somebody writes cannot run away on what somebody else has sent.
`~d` looks at the host that a request went to. What SQL can answer of terms that must all hold narrows what is read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import re2  # type: ignore[import-untyped]  # ships no types
from mitmproxy import flowfilter

from headgate.capture.entries import Entry, MessageEntry, Summary
from headgate.capture.record import IMPORTED, Kind
from headgate.replay import expression
from headgate.replay.expression import BARE, Node, NoFilter, Term
from headgate.replay.selection.demands import Demands
from headgate.replay.selection.store import select_entries

if TYPE_CHECKING:
    from headgate.capture.store import Store

MAX_PATTERN = 1000
MAX_MEMORY = 8 << 20

EFFECTS = ("allow", "approve", "deny")
VERDICTS = ("allowed", "failed", IMPORTED, "observed", "refused", "withheld")
OWN = {"decision": True, "mask": True, "principal": True, "rule": True}
BODIES = frozenset({"b", "bq", "bs"})
"""Codes of terms that read bodies."""

_UNARY: dict[str, Any] = {action.code: action for action in flowfilter.filter_unary}
_REGEX = {action.code: action for action in flowfilter.filter_rex}
_NUMBER = {action.code: action for action in flowfilter.filter_int}
CODES = dict.fromkeys(_UNARY, False) | dict.fromkeys([*_REGEX, *_NUMBER], True) | OWN
"""Every code, and whether an argument follows it."""

_IGNORING_CASE = "i" if flowfilter.maybe_ignore_case else ""
_FLAGS = {2: "i", 8: "m", 16: "s"}
"""Flags of `re` as RE2 spells them."""


class Regex:
    """A regex of RE2 that takes texts and bytes alike, and any of them."""

    def __init__(self, text: str, flags: int = 0) -> None:
        """`flags` are those of `re`; ValueError for what RE2 does not take."""
        if len(text) > MAX_PATTERN:
            raise ValueError(f"a regex of {len(text)} characters; accepted: up to {MAX_PATTERN}")
        options = re2.Options()
        options.log_errors, options.max_mem, options.never_capture = False, MAX_MEMORY, True
        if text.isascii():  # so that `.` is any byte
            options.encoding = re2.Options.Encoding.LATIN1
        letters = "".join(letter for flag, letter in _FLAGS.items() if flags & flag) + _IGNORING_CASE
        try:
            self._regex = re2.compile((f"(?{letters})" if letters else "").encode() + text.encode(), options)
        except (re2.error, UnicodeEncodeError):
            raise ValueError(f"`{text[:80]}` is not a regex; accepted: the syntax of RE2") from None

    def search(self, text: str | bytes) -> bool:
        data = (
            text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace") if isinstance(text, str) else text
        )
        return self._regex.search(data) is not None


def _escaped(text: str) -> bool:
    return all(not 0xD800 <= ord(character) <= 0xDFFF or 0xDC80 <= ord(character) <= 0xDCFF for character in text)


Messages = Callable[[str], Iterable[MessageEntry]]
"""What was said on the WebSocket or the TCP flow that this decision is about."""


def no_messages(_: str) -> Iterable[MessageEntry]:
    return ()


class Seen:
    """An entry, and the flow that stands for it, built when a term asks for it; `messages` gives what was said."""

    def __init__(self, entry: Entry, messages: Messages) -> None:
        self.entry, self._messages = entry, messages

    @cached_property
    def flow(self) -> Any:
        from headgate.replay.flowfile import flow_of

        said = () if self.entry.kind == Kind.HTTP else self._messages(self.entry.summary.decision_id)
        return flow_of(self.entry, said)


Test = Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter expression, ready to be asked about entries. `demands` is what must hold of each, for SQL."""

    text: str
    test: Test
    demands: Demands
    reads_bodies: bool

    def __call__(self, entry: Entry, messages: Messages = no_messages) -> bool:
        return self.test(Seen(entry, messages))


def parse(text: str) -> Filter:
    """Raises `NoFilter`, which says what is wrong, where, and what is accepted."""
    tree = expression.read(text, CODES)
    reading = any(term.code in BODIES for term in _terms(tree))
    return Filter(text, _compile(tree), _demands(tree), reading)


def select(
    store: "Store",
    wanted: str | Filter,
    *,
    since: float | None = None,
    until: float | None = None,
    bodies: bool = True,
    newest_first: bool = False,
) -> Iterator[Entry]:
    """The entries that `wanted` means, in order of time; without their bodies where nobody needs them."""
    chosen = parse(wanted) if isinstance(wanted, str) else wanted
    reading, said = bodies or chosen.reads_bodies, store.messages if chosen.reads_bodies else no_messages
    found = select_entries(store, chosen.demands, since=since, until=until, bodies=reading, newest_first=newest_first)
    return (entry for entry in found if chosen(entry, said))


def _terms(node: Node) -> Iterator[Term]:
    match node:
        case Term():
            yield node
        case expression.Not(inner):
            yield from _terms(inner)
        case expression.All(nodes) | expression.Any(nodes):
            for each in nodes:
                yield from _terms(each)


def _compile(node: Node) -> Test:
    match node:
        case Term():
            return _test(node)
        case expression.Not(inner):
            negated = _compile(inner)
            return lambda seen: not negated(seen)
        case expression.All(nodes):
            every = [_compile(each) for each in nodes]
            return lambda seen: all(test(seen) for test in every)
        case expression.Any(nodes):
            some = [_compile(each) for each in nodes]
            return lambda seen: any(test(seen) for test in some)


def _test(term: Term) -> Test:
    code, argument = term.code or "u", term.argument or ""
    if code in OWN:
        return _own(term)
    if code == "d":
        host = _regex(term).search
        return lambda seen: host(seen.entry.summary.host)
    if code in _UNARY:
        action = _UNARY[code]()
    elif code in _NUMBER:
        make: Any = _NUMBER[code]
        action = make(_number(term))
    else:
        kind: Any = _REGEX[code]
        action = kind.__new__(kind)  # its own constructor compiles with `re`, which a pattern can make run away
        action.expr, action.re = argument, _regex(term, kind.flags)
    return lambda seen: bool(action(seen.flow))


def _own(term: Term) -> Test:
    name = term.argument or ""
    if term.code == "decision":
        _known_decision(term)
        return lambda seen: name in _decided(seen.entry.summary)
    if term.code == "rule":
        return lambda seen: any(rule.get("id") == name for rule in seen.entry.rules)
    search = _regex(term).search
    if term.code == "principal":
        return lambda seen: seen.entry.summary.principal is not None and search(seen.entry.summary.principal)
    return lambda seen: any(
        mask["entity"].upper() == name.upper() or search(mask["location"]) for mask in seen.entry.masks
    )


def _decided(summary: Summary) -> tuple[str, str]:
    return summary.effect, IMPORTED if summary.reason == IMPORTED else summary.verdict


def _known_decision(term: Term) -> None:
    if term.argument not in EFFECTS + VERDICTS:
        raise _wrong(term, "is neither an effect nor a verdict", ", ".join(f"`{one}`" for one in EFFECTS + VERDICTS))


def _regex(term: Term, flags: int = 0) -> Regex:
    try:
        return Regex(term.argument or "", flags)
    except ValueError as error:
        raise NoFilter(f"the filter at character {term.at + 1}: {error}") from None


def _number(term: Term) -> int:
    text = term.argument or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _wrong(term, "is no number", "such as `~c 404`")
    return int(text)


def _wrong(term: Term, what: str, accepted: str) -> NoFilter:
    shown = "".join(each if each.isprintable() else "\ufffd" for each in (term.argument or "")[:80])
    return NoFilter(f"the filter at character {term.at + 1}: `{shown}` {what}; accepted: {accepted}")


def _demands(tree: Node) -> Demands:
    """What of a conjunction SQL can answer; it may let through more, never less."""
    demanded = Demands()
    for node in _conjuncts(tree):
        if isinstance(node, Term) and node.code != BARE:
            demanded = _with(demanded, node)
    return demanded


def _conjuncts(node: Node) -> Iterator[Node]:
    if isinstance(node, expression.All):
        for each in node.nodes:
            yield from _conjuncts(each)
    else:
        yield node


def _with(demanded: Demands, term: Term) -> Demands:
    name = term.argument or ""
    match term.code:
        case "d":
            return demanded._replace(hosts=(*demanded.hosts, _regex(term).search))
        case "principal":
            return demanded._replace(principals=(*demanded.principals, _regex(term).search))
        case "m":
            return demanded._replace(methods=(*demanded.methods, _regex(term, 0).search))
        case "mask":
            return demanded._replace(masks=(*demanded.masks, (name, _regex(term).search)))
        case "rule":
            return demanded._replace(rules=(*demanded.rules, name))
        case "c":
            return demanded._replace(statuses=(*demanded.statuses, _number(term)))
        case "decision" if name in EFFECTS:
            return demanded._replace(effects=(*demanded.effects, name))
        case "decision" if name in ("refused", "withheld"):
            return demanded._replace(refused=True)
    return demanded
