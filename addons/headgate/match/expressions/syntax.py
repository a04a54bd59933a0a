"""The syntax of CEL (cel-spec, langdef.md, "Syntax"), as far as a `when:` may use it, read into a tree.

The engine keeps its own tree to itself, and which values an expression refers to, of which types and below which macro
must be known before it runs. It also crashes the whole process when parentheses or operators nest deeply enough for
its stack. So every expression is read here first, within limits, and only what was understood is handed over.

Left out: bytes, unsigned numbers, optional syntax, messages and names in backticks; none has a use in a rule.
"""

import re
from typing import Any, NamedTuple, NoReturn

from headgate.match.expressions.engine import constant
from headgate.match.expressions.tree import (
    Binary,
    Call,
    Choice,
    Index,
    Items,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    Pairs,
    Refused,
    Unary,
)

MAX_TEXT = 2000
MAX_NESTING = 16
"""Levels of parentheses, arguments, brackets and branches."""

MAX_DEPTH = 24
"""Levels of the tree, which chains such as `a + b + c` or `a.b.c` deepen, too; `&&` and `||` do not."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n\f]+|//[^\n]*)
    |(?P<number>0x[0-9a-fA-F]+|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+(?:[eE][+-]?[0-9]+)?)(?![0-9A-Za-z_])
    |(?P<text>\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*'
        |[rR]"[^"\r\n]*"|[rR]'[^'\r\n]*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop", "package")
) | {"namespace", "return", "var", "void", "while"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_BINARY = ({"==", "!=", "<", "<=", ">", ">=", "in"}, {"+", "-"}, {"*", "/", "%"})
"""Operators by precedence, all joining from the left."""


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of an expression; `Refused` says where it is no CEL, or more of it than is read."""
    if len(text) > MAX_TEXT:
        raise Refused(MAX_TEXT, f"it has {len(text)} characters; accepted: up to {MAX_TEXT}")
    parser = _Parser(_tokens(text))
    node = parser.expression()
    if parser.token.kind != "end":
        parser.unexpected()
    return node


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Refused(at, _odd(text, at), syntax=True)
        if found.lastgroup and found.lastgroup != "blank":
            tokens.append(Token(found.lastgroup, found[0], at))
        at = found.end()
    return [*tokens, Token("end", "", at)]


def _odd(text: str, at: int) -> str:
    if text[at] in "\"'":
        return "a text has no end"
    return f"unexpected `{text[at]}`" if text[at].isprintable() else "an unexpected control character"


class _Parser:
    """By recursive descent; each level of nesting and of the tree is counted, so that it ends in time."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._next, self._nesting = tokens, 0, 0
        self._depths: dict[int, int] = {}  # by id of a node, all of which are kept below
        self._nodes: list[Node] = []

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def unexpected(self) -> NoReturn:
        kind, text, at = self.token
        shown = " ".join(text.split())[:40]
        raise Refused(at, "unexpected end" if kind == "end" else f"unexpected `{shown}`", syntax=True)

    def expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._too_deep(self.token.at)
        node = self._logic("||", "&&")
        if (at := self._take("?")) is not None:
            yes = self._logic("||", "&&")
            self._need(":")
            no = self.expression()
            node = self._made(Choice(at, node, yes, no), node, yes, no)
        self._nesting -= 1
        return node

    def _too_deep(self, at: int) -> NoReturn:
        raise Refused(at, f"it nests too deeply; accepted: up to {MAX_NESTING} levels, chains of up to {MAX_DEPTH}")

    def _made[Made: Node](self, node: Made, *inner: Node) -> Made:
        depth = 1 + max((self._depths[id(one)] for one in inner), default=0)
        if depth > MAX_DEPTH:
            self._too_deep(node.at)
        self._depths[id(node)] = depth
        self._nodes.append(node)
        return node

    def _take(self, *marks: str) -> int | None:
        """Where one of these stands, and past it."""
        kind, text, at = self.token
        if kind in ("mark", "name") and text in marks:
            self._next += 1
            return at
        return None

    def _need(self, mark: str) -> int:
        at = self._take(mark)
        if at is None:
            self.unexpected()
        return at

    def _logic(self, op: str, inner: str | None) -> Node:
        first = self._logic(inner, None) if inner else self._binary(0)
        parts, at = [first], self.token.at
        while self._take(op) is not None:
            parts.append(self._logic(inner, None) if inner else self._binary(0))
        return self._made(Logic(at, op, tuple(parts)), *parts) if len(parts) > 1 else first

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while (op := self.token.text) in _BINARY[level] and (at := self._take(op)) is not None:
            right = self._binary(level + 1)
            left = self._made(Binary(at, op, left, right), left, right)
        return left

    def _unary(self) -> Node:
        """One sign or several of one kind; the two do not mix."""
        op, signs = self.token.text, list[int]()
        while op in ("!", "-") and (sign := self._take(op)) is not None:
            signs.append(sign)
        node = self._postfix()
        for at in reversed(signs):
            node = self._made(Unary(at, op, node), node)
        return node

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            if self._take(".") is not None:
                name, at = self._name()
                if self._take("(") is not None:
                    args = self._list(")")
                    node = self._made(Call(at, node, name, args), node, *args)
                else:
                    node = self._made(Member(at, node, name), node)
            elif (bracket := self._take("[")) is not None:
                key = self.expression()
                self._need("]")
                node = self._made(Index(bracket, node, key), node, key)
            else:
                return node

    def _name(self) -> tuple[str, int]:
        kind, text, at = self.token
        if kind != "name" or text in _CONSTANTS or text == "in":
            self.unexpected()
        self._next += 1
        return text, at

    def _list(self, end: str, *, trailing: bool = False) -> tuple[Node, ...]:
        items: list[Node] = []
        while self._take(end) is None:
            if items:
                self._need(",")
                if trailing and self._take(end) is not None:
                    break
            items.append(self.expression())
        return tuple(items)

    def _pairs(self) -> tuple[tuple[Node, Node], ...]:
        pairs: list[tuple[Node, Node]] = []
        while self._take("}") is None:
            if pairs:
                self._need(",")
                if self._take("}") is not None:
                    break
            key = self.expression()
            self._need(":")
            pairs.append((key, self.expression()))
        return tuple(pairs)

    def _primary(self) -> Node:
        kind, text, at = self.token
        if kind in ("text", "number"):
            self._next += 1
            return self._made(Literal(at, text, _value(text, at)))
        if self._take("(") is not None:
            node = self.expression()
            self._need(")")
            return node
        if self._take("[") is not None:
            items = self._list("]", trailing=True)
            return self._made(Items(at, items), *items)
        if self._take("{") is not None:
            pairs = self._pairs()
            return self._made(Pairs(at, pairs), *(node for pair in pairs for node in pair))
        return self._named(text, at)

    def _named(self, text: str, at: int) -> Node:
        if self.token.kind != "name" or text in _RESERVED:
            self.unexpected()
        self._next += 1
        if text in _CONSTANTS:
            return self._made(Literal(at, text, _CONSTANTS[text]))
        if self._take("(") is not None:
            args = self._list(")")
            return self._made(Call(at, None, text, args), *args)
        return self._made(Name(at, text))


def _value(code: str, at: int) -> Any:
    """What a literal stands for, as the engine has it; a literal by itself is no danger to it."""
    try:
        return constant(code)
    except ValueError:
        kind = "text" if code[-1] in "\"'" else "number"
        raise Refused(at, f"`{' '.join(code.split())[:40]}` is not a {kind} of CEL", syntax=True) from None
