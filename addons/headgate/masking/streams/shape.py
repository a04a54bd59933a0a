"""Which strings of a JSON document are pieces of a longer text, and which documents end one.

Models send their text in pieces: `choices[n].delta.content`, `delta.partial_json`,
`candidates[n].content.parts[m].text`. A string is a piece when it stands at or below a member that is named for pieces,
or in an object that says that it is unfinished (`"finish_reason": null`, `"done": false` of a model), unless its own
name is that of a label (`type`, `role`, `id`). Pieces belong together when their paths are equal. In a path, an array's
element goes by its `index` member where it has one and else by its place, and an object by the members that tell apart
what is sent at the same time.
"""

from typing import NamedTuple

from headgate.masking.streams.tree import Node

PIECES = frozenset(
    {"chunk", "completion", "contentBlockDelta", "delta", "deltas", "fragment", "partial", "partial_json", "textDelta"}
    | {"text_delta"}
)
LONELY = frozenset({"token"})
"""Members that are pieces where a document has no other text, or where they are objects; others have tokens, too."""

CHOICES = frozenset({"candidates", "choices"})
"""Arrays that hold pieces when their elements are objects; other people offer choices, too."""

SEQUENCES = frozenset({"content", "deltas", "parts", "tokens"})
"""Arrays of pieces whose elements follow one another."""

LABELS = frozenset(
    {"call_id", "created", "created_at", "event", "event_type", "finishReason", "finish_reason", "format", "id"}
    | {"item_id", "kind", "language", "mimeType", "mime_type", "model", "modelVersion", "name", "object", "obfuscation"}
    | {"o", "op", "p", "phase", "responseId", "response_id", "role", "service_tier", "status", "stop_reason"}
    | {"system_fingerprint", "timestamp", "tool_call_id", "type"}
)
APART = ("item_id", "output_index", "content_index", "summary_index", "index", "contentBlockIndex")

FINISHED = frozenset(
    {"completed", "done", "final", "finished", "generationComplete", "is_finished", "last", "stop", "turnComplete"}
)
"""Members that are true at the end."""

UNFINISHED = frozenset({"is_finished", "stop"})
"""Members that are false before it; `done` is so of a model, but other people's tasks are not done either."""

REASONS = frozenset({"doneReason", "done_reason", "finishReason", "finish_reason", "stopReason", "stop_reason"})
"""Members that say why it has ended, and are null before."""

FULL_TEXT = frozenset({"generated_text"})
"""Members that hold the whole text at the end, and are null before."""

ENDS = frozenset(
    {"cancelled", "complete", "completed", "done", "end", "ended", "error", "failed", "finish", "finished"}
    | {"incomplete", "stop"}
)
"""Last words of the types of documents that end something: `content_block_stop`, `response.output_text.done`."""

TYPES = ("type", "event_type", "event")

_TELLING = [f'"{name}"' for name in sorted(PIECES | LONELY | CHOICES | UNFINISHED | REASONS | FULL_TEXT | {"done"})]

Path = tuple[str, ...]


class Name(NamedTuple):
    """Which text a piece belongs to; `apart` are members and what they say."""

    path: Path
    apart: frozenset[tuple[str, str]]

    @property
    def number(self) -> str | None:
        return dict(self.apart).get("index")

    def unnumbered(self) -> "Name":
        return Name(self.path, frozenset(told for told in self.apart if told[0] != "index"))

    def is_over(self, ending: "Name") -> bool:
        """Whether this text is below what ends, and not told apart from it."""
        known = dict(ending.apart)
        below = self.path[: len(ending.path)] == ending.path
        return below and all(known.get(name, value) == value for name, value in self.apart)


class Piece(NamedTuple):
    name: Name
    node: Node


class Shape(NamedTuple):
    """`alone` is the only string that no label names, where there is but one and it is no piece."""

    pieces: list[Piece]
    endings: list[Name]
    alone: Piece | None


def may_hold_pieces(text: str) -> bool:
    """Whether it takes a look at a document to tell that it holds no pieces."""
    return any(name in text for name in _TELLING)


def shape_of(root: Node, event: str = "") -> Shape:
    """`event` is the name of the server-sent event that brings the document."""
    walk = _Walk(event)
    walk.visit(root, (), frozenset(), within=False)
    if walk.pieces or len(walk.others) != 1:
        return Shape(walk.pieces, walk.endings, None)
    alone = walk.others[0]
    return Shape([alone], walk.endings, None) if alone.node.name in LONELY else Shape([], walk.endings, alone)


class _Walk:
    def __init__(self, event: str) -> None:
        self._event = event
        self.pieces: list[Piece] = []
        self.others: list[Piece] = []
        self.endings: list[Name] = []

    def visit(self, node: Node, path: Path, apart: frozenset[tuple[str, str]], *, within: bool) -> None:
        if node.kind == "{":
            self._object(node, path, apart, within=within)
        elif node.kind == "[":
            for place, child in enumerate(node.children):
                self.visit(child, (*path, self._place(node, child, place)), apart, within=within)
        elif node.kind == '"' and not _is_label(node.name):
            (self.pieces if within else self.others).append(Piece(Name(path, apart), node))

    def _object(self, node: Node, path: Path, apart: frozenset[tuple[str, str]], *, within: bool) -> None:
        members = {child.name: child for child in node.children}
        if node.is_member or not path:
            apart |= {(name, members[name].spelled) for name in APART if name in members}
        if any(_ends(child) for child in node.children) or (not path and self._ends_by_type(members)):
            self.endings.append(Name(path, apart))
        within = within or any(_unfinished(child, members) for child in node.children)
        for child in node.children:
            self.visit(child, (*path, child.name), apart, within=within or _holds_pieces(child))

    def _place(self, array: Node, element: Node, place: int) -> str:
        for member in element.children if element.kind == "{" else ():
            if member.name == "index":
                return f"={member.spelled}"
        return "*" if array.name in SEQUENCES else str(place)

    def _ends_by_type(self, members: dict[str, Node]) -> bool:
        kinds = [members[name].text for name in TYPES if name in members and members[name].kind == '"']
        return any(_last_word(kind) in ENDS for kind in (*kinds, self._event))


def _is_label(name: str) -> bool:
    """Whether a member of this name is sent as a whole: identifiers are, whatever of."""
    return name in LABELS or name.endswith(("_id", "Id"))


def _ends(member: Node) -> bool:
    if member.name in FINISHED:
        return member.kind == "t"
    return member.name in REASONS | FULL_TEXT and member.kind == '"' and member.spelled != '""'


def _unfinished(member: Node, members: dict[str, Node]) -> bool:
    if member.name in UNFINISHED or (member.name == "done" and "model" in members):
        return member.kind == "f"
    return member.name in REASONS | FULL_TEXT and member.kind == "n"


def _holds_pieces(member: Node) -> bool:
    if member.name in CHOICES:
        return any(element.kind == "{" for element in member.children)
    return member.name in PIECES or (member.name in LONELY and member.kind == "{")


def _last_word(kind: str) -> str:
    return kind.replace(".", "_").replace("-", "_").rpartition("_")[2].lower()
