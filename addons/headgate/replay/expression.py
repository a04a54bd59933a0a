"""Filter expressions read into trees: mitmproxy's grammar, whatever terms there are.

A term is `~code`, `~code argument`, or a bare word. `!` binds closest, then `&`, then `|`; terms that stand beside one
another without a sign must all hold. A word ends at a space, a quote, a `~` or a parenthesis, so that `a&b` is one
word; within quotes a backslash makes the next character plain. mitmproxy takes a sign with nothing on one side for a
regex: here it is an error, and so is everything else that cannot be meant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyparsing

from headgate.errors import HeadgateError

LONGEST = 10_000
DEEPEST = 50
"""Characters of an expression, and parentheses within one another."""

BARE = ""
"""The code of a word without one."""

_BLANK = re.compile(r"[ \n\t\r]*")
_CODE = re.compile(r"~([^\s()~'\"]*)")
_WORD = re.compile(r"[^()~'\" \n\t\r]+")
_QUOTED = {sign: pyparsing.QuotedString(sign, esc_char="\\").parse_with_tabs() for sign in "'\""}


class NoFilter(HeadgateError):
    """An expression that cannot be read."""


@dataclass(frozen=True, slots=True)
class Term:
    """`at` is where it begins, counted from 0."""

    code: str
    argument: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    node: "Node"


@dataclass(frozen=True, slots=True)
class All:
    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Any:
    nodes: tuple["Node", ...]


Node = Term | Not | All | Any


def read(text: str, codes: Mapping[str, bool]) -> Node:
    """The tree of `text`; `codes` tells for each code whether an argument follows. Raises `NoFilter`."""
    if len(text) > LONGEST:
        raise NoFilter(f"the filter has {len(text)} characters; accepted: up to {LONGEST}")
    reading = _Reading(text, codes)
    tree = reading.sequence()
    if not reading.ended:
        raise reading.wrong("a `)` without its `(`", "as many of one as of the other")
    return tree


TOLD = frozenset({"c", "d", "decision", "m", "mask", "principal", "rule"})
"""Codes whose arguments name what the audit log names, too."""


def told(text: str, codes: Mapping[str, bool]) -> str:
    """The terms of `text` with `...` for what is looked for in paths, headers and bodies."""
    return _told(read(text, codes))


def _told(node: Node) -> str:
    match node:
        case Not(inner):
            return f"!{_told(inner)}"
        case All(nodes) | Any(nodes):
            sign = " & " if isinstance(node, All) else " | "
            return f"({sign.join(map(_told, nodes))})"
        case Term(code, argument):
            shown = argument if code in TOLD else "..."
            return " ".join(([f"~{code}"] if code else []) + ([str(shown)] if argument is not None else []))


class _Reading:
    def __init__(self, text: str, codes: Mapping[str, bool]) -> None:
        self._text, self._codes, self._at, self._depth = text, codes, 0, 0

    @property
    def ended(self) -> bool:
        self._skip()
        return self._at == len(self._text)

    def sequence(self) -> Node:
        """What stands beside one another; the lowest precedence."""
        nodes = [self._either()]
        while not self.ended and self._next() != ")":
            nodes.append(self._either())
        return nodes[0] if len(nodes) == 1 else All(tuple(nodes))

    def wrong(self, what: str, accepted: str) -> NoFilter:
        piece = self._text[self._at : self._at + 40]
        shown = "".join(character if character.isprintable() else "\ufffd" for character in piece)
        where = f"at character {self._at + 1}, `{shown}`" if shown else "at its end"
        return NoFilter(f"the filter has {what} {where}; accepted: {accepted}")

    def _either(self) -> Node:
        nodes = [self._both()]
        while self._take("|"):
            nodes.append(self._both())
        return nodes[0] if len(nodes) == 1 else Any(tuple(nodes))

    def _both(self) -> Node:
        nodes = [self._one()]
        while self._take("&"):
            nodes.append(self._one())
        return nodes[0] if len(nodes) == 1 else All(tuple(nodes))

    def _one(self) -> Node:
        signs = 0
        while self._take("!"):
            signs += 1
        if self.ended or self._next() in "&|)":
            raise self.wrong("nothing to match", "a term such as `~d example` on each side of `&` and `|`")
        node = self._group() if self._next() == "(" else self._term()
        return Not(node) if signs % 2 else node

    def _group(self) -> Node:
        opened = self._at
        self._take("(")
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.wrong(f"more than {DEEPEST} parentheses within one another", "fewer")
        node = self.sequence()
        if not self._take(")"):
            self._at = opened
            raise self.wrong("a `(` without its `)`", "as many of one as of the other")
        self._depth -= 1
        return node

    def _term(self) -> Term:
        at = self._at
        found = _CODE.match(self._text, at)
        if not found:
            return Term(BARE, self._argument(at), at)
        code = found[1]
        if code not in self._codes:
            raise self.wrong("an unknown term", ", ".join(f"`~{known}`" for known in sorted(self._codes)))
        self._at = found.end()
        return Term(code, self._argument(at) if self._codes[code] else None, at)

    def _argument(self, began: int) -> str:
        self._skip()
        start = self._at
        if (sign := self._next()) in _QUOTED and sign:
            try:
                (argument,) = _QUOTED[sign].parse_string(self._text[start:])
                _, _, end = next(_QUOTED[sign].scan_string(self._text[start:]))
            except (pyparsing.ParseException, StopIteration):
                raise self.wrong("a quote that is not closed", f"text between two {sign}") from None
            self._at += end
            return str(argument)
        word = _WORD.match(self._text, start)
        if not word:
            self._at = began
            raise self.wrong("a term without its argument", "a word, or anything within quotes, after it")
        self._at = word.end()
        return word[0]

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        self._skip()
        if self._next() != sign:
            return False
        self._at += 1
        return True

    def _skip(self) -> None:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
