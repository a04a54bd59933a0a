"""Reads one YAML file into nodes that know their place, and names everything about it that is wrong.

Built from PyYAML's events, not from its objects: so that nothing is constructed that a file names, duplicate keys
do not vanish, every problem has its place, and a file cannot grow when read (no anchors, no aliases, a bounded depth).
Scalars are read as the safe loader reads them, except dates, which stay text.
"""

from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import Reader
from yaml.resolver import Resolver

from headgate.bundle.document import TOP, Fault, Mapping, Node, Place, Scalar, Sequence

MAX_BYTES = 5 << 20
MAX_DEPTH = 32
MAX_NUMBER = 100
"""Characters: numbers of thousands of digits, or to the base of 60, take time without end."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_QUOTES = "accepted: YAML, with quotes around text that holds any of `{ } [ ] * & @ %` or a colon and a space"
_NONE = "accepted: none, and text that begins with `{}` in quotes"


class UnreadableError(Exception):
    """The file cannot be read to its end; the faults so far are kept by the reader."""


def read(data: bytes) -> tuple[Node | None, list[Fault]]:
    """The document, as far as it could be read (None: not at all), and what is wrong with it as YAML."""
    faults: list[Fault] = []
    text = _decoded(data, faults)
    if text is None:
        return None, faults
    builder = _Builder(faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        faults.append(_syntax(error, text))
        return None, faults
    except UnreadableError:
        return None, faults
    if builder.root is None and not faults:
        faults.append(Fault(TOP, "the file is empty; accepted: a mapping"))
    return builder.root, faults


def _decoded(data: bytes, faults: list[Fault]) -> str | None:
    if len(data) > MAX_BYTES:
        most = f"{MAX_BYTES >> 20} MB"
        faults.append(Fault(TOP, f"the file is larger than {most}; accepted: up to {most} of rules"))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults.append(Fault(_place_at(data[: error.start].decode("utf-8", "replace")), "not UTF-8; accepted: UTF-8"))
        return None
    if found := Reader.NON_PRINTABLE.search(text):
        what = f"the control character U+{ord(found[0]):04X} stands here; accepted: printable text"
        faults.append(Fault(_place_at(text[: found.start()]), what))
        return None
    return text


def _place_at(before: str) -> Place:
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _syntax(error: yaml.YAMLError, text: str) -> Fault:
    """What the parser says, without the excerpt it would show: a line of a file may hold anything."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = _place_of(mark) if mark else TOP
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return Fault(Place(place.line, line.index("\t") + 1), "a tab stands in the indentation; accepted: spaces")
    return Fault(place, f"not YAML: {getattr(error, 'problem', None) or 'unreadable'}; {_QUOTES}")


def _place_of(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Builder:
    """Puts events together into nodes; one open node for each level of the document."""

    def __init__(self, faults: list[Fault]) -> None:
        self.root: Node | None = None
        self._faults = faults
        self._open: list[Sequence | Mapping] = []
        self._key: list[str | None] = []  # for each open node: the key whose value comes next
        self._skip: list[bool] = []  # for each open node: whether that value belongs to a key that cannot be used
        self._scalars = _Scalars()

    def take(self, event: yaml.Event) -> None:
        place = _place_of(event.start_mark) if event.start_mark else TOP
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._stop(place, "a second document begins; accepted: one document in a file")
        if isinstance(event, yaml.AliasEvent):
            self._stop(place, f"an alias (`*name`) stands here; {_NONE.format('*')}")
        if isinstance(event, yaml.NodeEvent):
            self._plain_node(event, place)
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalars.read(event, place, self._faults))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(Sequence(place) if isinstance(event, yaml.SequenceStartEvent) else Mapping(place))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._key.pop()
            self._skip.pop()
            self._add(self._open.pop())

    def _plain_node(self, event: Any, place: Place) -> None:
        if event.anchor is not None:
            self._stop(place, f"an anchor (`&name`) stands here; {_NONE.format('&')}")
        if getattr(event, "tag", None) is not None:
            self._faults.append(Fault(place, f"a tag (`!name`) stands here; {_NONE.format('!')}"))

    def _stop(self, place: Place, message: str) -> None:
        self._faults.append(Fault(place, message))
        raise UnreadableError

    def _begin(self, node: Sequence | Mapping) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._stop(node.place, f"nested deeper than {MAX_DEPTH} levels; accepted: up to {MAX_DEPTH}")
        self._open.append(node)
        self._key.append(None)
        self._skip.append(False)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif self._skip[-1]:
            self._skip[-1] = False
        elif (key := self._key[-1]) is not None:
            parent.items[key] = node
            self._key[-1] = None
        else:
            self._take_key(parent, node)

    def _take_key(self, parent: Mapping, node: Node) -> None:
        key = node.value if isinstance(node, Scalar) else None
        if not isinstance(key, str):
            self._faults.append(Fault(node.place, _no_key(node)))
        elif key in parent.keys:
            message = f"`{key[:80]}` is given twice, first in line {parent.keys[key].line}; accepted: each key once"
            self._faults.append(Fault(node.place, message))
        else:
            parent.keys[key] = node.place
            self._key[-1] = key
        self._skip[-1] = self._key[-1] is None


def _no_key(node: Node) -> str:
    if isinstance(node, Scalar) and node.text and len(node.text) <= 20:
        return f'`{node.text}` as a key is not text in YAML; accepted: text, here `"{node.text}"` in quotes'
    return "a key is not text; accepted: text"


class _Scalars:
    """Scalars as the safe loader reads them (YAML 1.1, where `no` is a boolean), except dates, which stay text."""

    def __init__(self) -> None:
        self._resolver, constructor = Resolver(), SafeConstructor()
        self._read = {
            f"{_TAG}null": constructor.construct_yaml_null,
            f"{_TAG}bool": constructor.construct_yaml_bool,
            f"{_TAG}int": constructor.construct_yaml_int,
            f"{_TAG}float": constructor.construct_yaml_float,
        }

    def read(self, event: Any, place: Place, faults: list[Fault]) -> Scalar:
        is_plain = bool(event.implicit[0])
        tag = self._resolver.resolve(yaml.ScalarNode, event.value, (is_plain, not is_plain))  # type: ignore[no-untyped-call]  # the stub lacks types
        if tag == f"{_TAG}merge":
            faults.append(Fault(place, "a merge key (`<<`) stands here; accepted: YAML without merge keys"))
        value: Any = event.value
        if tag in self._read:
            try:
                if len(event.value) > MAX_NUMBER:
                    raise ValueError
                value = self._read[tag](yaml.ScalarNode(tag, event.value))
            except ValueError:
                faults.append(Fault(place, "a number stands here that cannot be read; accepted: text in quotes"))
        return Scalar(place, value, event.value, is_plain)
