"""A bundle in which every part of the rules language stands, and ways to write it otherwise or to break it."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path as Files
from random import Random
from typing import Any

import yaml
from hypothesis import strategies as st

_CASES = Files(__file__).parent.parent / "cases"
RICH: dict[str, Any] = yaml.safe_load((_CASES / "language-bundle.yaml").read_text(encoding="utf-8"))

Path = tuple[str | int, ...]


def places(node: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a document but its top."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in inner:
        yield (*path, step)
        yield from places(value, (*path, step))


PLACES = {name: sorted(places(content), key=repr) for name, content in RICH.items()}
EVERYWHERE = [(name, path) for name, found in sorted(PLACES.items()) for path in found]


def at(node: Any, path: Path) -> Any:
    for step in path:
        node = node[step]
    return node


# -- breaking it -------------------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    return [] if depth == 0 else {"a": nested(depth - 1)} if depth % 2 else [nested(depth - 1)]


JUNK = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**64), 10**30, 10**200, 1e308, 5e-324, 0.1),
    *(float("nan"), float("inf"), -float("inf"), "", " ", "~", "null", "yes", "0x1f", "1:30", "2001-01-01", "=", "<<"),
    *("*a", "&a", "!t", "%", "@", "`", "a: b", "- a", "# a", "{", "}", "{{", "{x}", "{principal.id}", "\\", "'", '"'),
    *("a" * 10_000, "é", "\u202e", "\x00", "\x1b[2J", "\u2028", "\ufeff", "\U0001f600", "a\nb", "\ta", "a\r"),
    *("^$", "^.*$", "^(a$", "^(a{1000}){1000}$", "^" + "(" * 200 + "$", "^[^$", "$", "$.", "$[", "$..*", "$[?@.a]"),
    *(
        "$" + "[0]" * 300,
        "/",
        "//",
        "/{a}/{a}",
        "/{rest...}/{more...}",
        "/a%2Fb",
        "/%00",
        "/..",
        "*",
        "**",
        "*.*",
        "*.",
    ),
    *(
        "127.1",
        "[::1]",
        "::ffff:0:0/96",
        "0.0.0.0/0",
        "10.0.0.0/8/8",
        "1h",
        "0s",
        "999999d",
        "-1s",
        "1/second",
        "0/day",
    ),
    *(
        "true",
        "principal.id ==",
        "(" * 500,
        "x" * 1999,
        "[1, 2].all(x, x > 0)",
        "request.body",
        "1 / 0 == 1",
        "'\\u0000'",
    ),
    *(
        "file:x",
        "file:../x",
        "file:/etc/passwd",
        "file:\x00",
        "env:",
        "env:HOME",
        "http://x",
        "https://",
        "https://[::1",
    ),
    *(
        "GET",
        "write",
        "WRITE",
        "get",
        "mon-sun",
        "sun-mon",
        "24:00-00:00",
        "Europe",
        "../UTC",
        "deny",
        "all",
        "anonymous",
    ),
    *([], {}, [[]], [{}], {"a": {}}, {"all": []}, {"present": True}, {"regex": "^a$"}, {"gt": 1}, {"": 1}, {"/": {}}),
    *(nested(20), nested(40), ["a"] * 1000, [None, True, 1, "a"], {str(at): at for at in range(200)}),
]
TYPOS: list[Callable[[str], str]] = [
    lambda key: key + "s",
    lambda key: key[1:],
    str.upper,
    lambda key: key + "\x00",
    lambda key: " " + key,
    lambda _: "",
    lambda _: "x" * 2000,
    lambda _: "not",
    lambda _: "\u202e",
]


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """The documents with up to three things dropped, renamed, doubled, put elsewhere or made something else."""
    documents = deepcopy(RICH)
    for _ in range(draw(st.integers(1, 3))):
        name, path = draw(st.sampled_from(EVERYWHERE))
        try:
            holder, last = at(documents[name], path[:-1]), path[-1]
            value = holder[last]
        except (KeyError, IndexError, TypeError):
            continue  # what stood there went with an earlier change
        how = draw(st.sampled_from(["drop", "junk", "junk", "junk", "graft", "rename", "double", "wrap"]))
        if how == "drop":
            del holder[last]
        elif how == "junk":
            holder[last] = deepcopy(draw(st.sampled_from(JUNK)))
        elif how == "graft":
            other, there = draw(st.sampled_from(EVERYWHERE))
            holder[last] = deepcopy(at(RICH[other], there))
        elif how == "rename" and isinstance(last, str):
            holder[draw(st.sampled_from(TYPOS))(last)] = holder.pop(last)
        elif how == "double":
            holder[last] = [value, deepcopy(value)]
        else:
            holder[last] = {draw(st.sampled_from(["a", "not", "all", "id"])): value}
    return documents


def dumped(content: Any) -> bytes:
    text: bytes = yaml.safe_dump(content, encoding="utf-8", allow_unicode=True, sort_keys=False)
    return text


SNIPPETS = [
    *(
        "&a ",
        "*a",
        "<<: ",
        "!!python/object:os.system ",
        "!t ",
        "? ",
        ": ",
        "- ",
        "|\n",
        ">-\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "#",
        "\t",
        "\n",
        "\n\n  ",
        "  ",
        "\r",
        "\x00",
        "\x07",
        "\x85",
        "\ufeff",
        "\ufffe",
    ),
    *(
        "é",
        "\u2028",
        "\U0001f600",
        "~",
        "null",
        "0o17",
        "0b1",
        ".nan",
        "-.inf",
        "1e999",
        "2001-01-01",
        "\\",
        "@",
        "`",
        "%",
    ),
    *("rules:", "match:", "id: ", "effect: allow", "[" * 50, "{a: " * 50, "x" * 3000, "9" * 5000, '"\\ud800"', '"\\0"'),
]


@st.composite
def garbled(draw: st.DrawFn) -> tuple[str, bytes]:
    """One file with its bytes cut, doubled, replaced, or with something in between."""
    name = draw(st.sampled_from(sorted(RICH)))
    data = dumped(RICH[name])
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from([0, 0, 1, 1, 5, 40])))
        snippet = draw(st.sampled_from(SNIPPETS).map(str.encode) | st.binary(max_size=3) | st.just(data[begin:end] * 2))
        data = data[:begin] + snippet + data[end:]
    return name, data


# -- writing the same otherwise ----------------------------------------------------------------------------------------


class Style:
    """Writes a document in flow style; chance decides of all that must mean nothing: blanks, line breaks, comments,
    quotes and the order of keys. `twist` may write a node in a way of its own; `again` is a key that is to stand there
    twice, and its other value."""

    def __init__(
        self,
        chance: Random,
        twist: Callable[[Path, str], str | None] = lambda _path, _text: None,
        again: tuple[Path, Any] | None = None,
    ) -> None:
        self._chance, self._twist, self._again = chance, twist, again

    def document(self, content: Any) -> bytes:
        opening = self._chance.choice(["", "---\n", "# of old\n\n", "%YAML 1.1\n---\n", "\ufeff"])
        ending = self._chance.choice(["", "\n", "\n...\n", "\n# the end"])
        text = f"{opening}{self._node(content, ())}{ending}"
        return text.replace("\n", self._chance.choice(["\n", "\n", "\r\n"])).encode()

    def _node(self, value: Any, path: Path) -> str:
        text = self._written(value, path)
        return self._twist(path, text) or text

    def _written(self, value: Any, path: Path) -> str:
        if isinstance(value, dict):
            members = list(value.items())
            if self._again and path == self._again[0][:-1]:
                members.append((str(self._again[0][-1]), self._again[1]))
            self._chance.shuffle(members)
            return self._joined("{}", [self._member(name, inner, path) for name, inner in members])
        if isinstance(value, list):
            return self._joined("[]", [self._node(item, (*path, at)) for at, item in enumerate(value)])
        return self._text(value) if isinstance(value, str) else json.dumps(value)

    def _member(self, name: str, value: Any, path: Path) -> str:
        blank, gap = self._chance.choice(["", "", " "]), self._gap() or " "  # a key ends in the line that it begins in
        return f"{self._text(name)}{blank}:{gap}{self._node(value, (*path, name))}"

    def _joined(self, brackets: str, parts: list[str]) -> str:
        inner = f"{self._gap()},{self._gap() or ' '}".join(parts)
        last = self._chance.choice(["", ","]) if parts else ""
        return f"{brackets[0]}{self._gap()}{inner}{last}{self._gap()}{brackets[1]}"

    def _gap(self) -> str:
        return str(self._chance.choice(["", "", "", " ", "   ", "\n", "\n\n  ", " # {why: [not]}\n "]))

    def _text(self, text: str) -> str:
        escaped = "".join(
            f"\\u{ord(one):04x}" if self._chance.random() < 0.1 else json.dumps(one)[1:-1] for one in text
        )
        forms = [json.dumps(text), f'"{escaped}"', "'" + text.replace("'", "''") + "'"]
        return str(self._chance.choice([*forms, *([text] * 3 if _is_plain(text) else [])]))


@cache
def _is_plain(text: str) -> bool:
    """Whether it may stand without quotes wherever a text may."""
    try:
        return yaml.safe_load(f"[{{{text}: {text}}}]") == [{text: text}] and not set(text) & set(",[]{}:#")
    except (yaml.YAMLError, TypeError):
        return False
