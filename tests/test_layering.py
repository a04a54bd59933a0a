"""Who may import whom in addons/, checked on the syntax tree of every module.

The order of the house is what keeps decisions pure: what decides sees values only, a guardrail never leans on another,
and mitmproxy, databases, clocks and chance stay at the edges. An import inside a function or under `TYPE_CHECKING`
counts like any other; only laziness is about when. What the checker itself finds and lets pass: cases/layering.yaml.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).parent
ADDONS = TESTS.parent / "addons"

VALUES = {"errors", "model"}
SHARED = VALUES | {"match", "schema", "followed", "bundled", "secret"}
GUARDRAILS = {"identity", "policy", "approval", "masking", "capture", "audit"}
COMPOSED = SHARED | GUARDRAILS | {"bundle"}

MAY_IMPORT: dict[str, set[str]] = {
    "headgate": set(),
    "model": set(),
    "errors": set(),
    "match": VALUES,
    "schema": {"errors"},
    "followed": {"errors"},
    "bundled": set(),
    "secret": {"errors"},
    **dict.fromkeys(GUARDRAILS, SHARED),
    "bundle": SHARED,
    "proxy": COMPOSED | {"replay", "admin"},
    "replay": COMPOSED | {"proxy"},
    "admin": COMPOSED,
    "demo": COMPOSED | {"proxy", "replay"},
    "bench": COMPOSED | {"proxy", "replay", "demo"},
    "cli": COMPOSED | {"proxy", "replay", "admin", "demo", "bench"},
    "chain": {"proxy"},
}
"""A part may import itself and these. `bundle` also reads each guardrail's rules.py.

`proxy` mounts the pages of `admin` and so may import it; `admin` therefore knows the chain only by what it is given."""

COMPOSING = {"proxy", "replay", "admin", "demo", "bench", "cli", "chain"}
"""The parts that may take the wall clock and chance, to hand them to the others."""

WALL_CLOCK = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow"}
WALL_CLOCK |= {"datetime.datetime.today", "datetime.date.today"}
CHANCE = {"os.urandom", "uuid.uuid1", "uuid.uuid4"}
CHANCE_MODULES = {"random", "secrets"}
NO_CHANCE = {"secrets.compare_digest"}

SEES_FLOWS = {"headgate.replay.runner", "headgate.replay.flowfile", "headgate.replay.filters", "headgate.replay.har"}
"""Beyond addon.py and proxy/: where flows are read from disk or written to it."""

QUICK = VALUES | {"cli", "headgate", "bundled"}
SLOW = {"presidio_analyzer", "mitmproxy", "spacy"}
"""What cli/ may import at once of ours, and may not of others."""

TYPES_ONLY = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


@dataclass(frozen=True)
class Import:
    """`module` is dotted and absolute; `lazy` when importing the importer does not run it."""

    module: str
    line: int
    lazy: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


class Reader:
    """Collects what a module imports, and what its local names stand for."""

    def __init__(self, module: str, is_package: bool, known: frozenset[str]) -> None:
        self.imports: list[Import] = []
        self.names: dict[str, str] = {}
        self._package = module if is_package else module.rpartition(".")[0]
        self._known = known

    def read(self, node: ast.AST, lazy: bool = False) -> None:
        match node:
            case ast.Import():
                self._import(node, lazy)
            case ast.ImportFrom():
                self._import_from(node, lazy)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
                if _dotted(function).rpartition(".")[2] in {"import_module", "__import__"}:
                    self.imports.append(Import(name, node.lineno, lazy))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                lazy = True
        types_only = node.body if isinstance(node, ast.If) and _dotted(node.test) in TYPES_ONLY else ()
        for child in ast.iter_child_nodes(node):
            self.read(child, lazy or child in types_only)

    def _import(self, node: ast.Import, lazy: bool) -> None:
        for alias in node.names:
            first = alias.name.partition(".")[0]
            self.names[alias.asname or first] = alias.name if alias.asname else first
            self.imports.append(Import(alias.name, node.lineno, lazy))

    def _import_from(self, node: ast.ImportFrom, lazy: bool) -> None:
        source = self._absolute(node.module or "", node.level)
        for alias in node.names:
            full = f"{source}.{alias.name}"
            self.names[alias.asname or alias.name] = full
            self.imports.append(Import(full if full in self._known else source, node.lineno, lazy))

    def _absolute(self, module: str, level: int) -> str:
        if not level:
            return module
        base = self._package.rsplit(".", level - 1)[0]
        return f"{base}.{module}" if module else base


def violations(module: str, source: str, known: frozenset[str], *, is_package: bool = False) -> list[str]:
    """Every breach of the order in one module, as `module:line: what`."""
    tree = ast.parse(source)
    reader = Reader(module, is_package, known)
    reader.read(tree)
    found = [
        (imported.line, breach)
        for imported in reader.imports
        for breach in (_layer(module, imported), _outside(module, imported), _laziness(module, imported))
        if breach
    ]
    if _part(module) not in COMPOSING:
        found += _clock_and_chance(tree, reader.names)
    return [f"{module}:{line}: {breach}" for line, breach in sorted(set(found))]


def _layer(module: str, imported: Import) -> str | None:
    if imported.top not in {"headgate", "chain"}:
        return None
    importer, part = _part(module), _part(imported.module)
    allowed = MAY_IMPORT.get(importer)
    if allowed is None:
        return f"`{importer}` has no place in the house"
    if part == importer or part in allowed or (part == "headgate" and importer not in VALUES):
        return None
    if importer == "bundle" and part in GUARDRAILS and imported.module == f"headgate.{part}.rules":
        return None
    return f"`{importer}` imports `{imported.module}`; it may import {', '.join(sorted(allowed)) or 'nothing of ours'}"


def _outside(module: str, imported: Import) -> str | None:
    """What only some files may import, of mitmproxy and of the databases."""
    part, _, file = module.removeprefix("headgate.").rpartition(".")
    if imported.top in {"mitmproxy", "mitmproxy_rs"}:
        allowed = _part(module) == "proxy" or (part in GUARDRAILS and file == "addon") or module in SEES_FLOWS
        return None if allowed else f"imports `{imported.module}`; only addon.py and proxy/ see mitmproxy"
    if imported.top in {"sqlite3", "sqlite_utils"} and file not in {"store", "writer", "schema"}:
        return f"imports `{imported.module}`; only store.py, writer.py and schema.py see a database"
    return None


def _laziness(module: str, imported: Import) -> str | None:
    if _part(module) != "cli" or imported.lazy:
        return None
    if imported.top in SLOW or (imported.top == "headgate" and _part(imported.module) not in QUICK):
        return f"imports `{imported.module}` at once; cli/ does so inside functions, for the command to start quickly"
    return None


def _clock_and_chance(tree: ast.AST, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            first, _, rest = _dotted(node).partition(".")
            used = ".".join(filter(None, [names.get(first, ""), rest]))
            from_module = used.partition(".")[0] in CHANCE_MODULES and "." in used and used not in NO_CHANCE
            if used in WALL_CLOCK | CHANCE or from_module:
                yield node.lineno, f"uses `{used}`; the wall clock and chance are passed in"


def _part(module: str) -> str:
    """The part of the house a module belongs to: `headgate.policy.engine` to `policy`, `chain` to `chain`."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] or first


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def modules() -> dict[str, Path]:
    """Every module under addons/ by its dotted name."""
    files = sorted(ADDONS.rglob("*.py"))
    return {".".join(file.relative_to(ADDONS).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@pytest.mark.parametrize("module", modules())
def test_every_module_keeps_to_its_layer(module: str) -> None:
    file = modules()[module]
    is_package = file.name == "__init__.py"
    assert violations(module, file.read_text(encoding="utf-8"), frozenset(modules()), is_package=is_package) == []


def test_the_walk_reaches_the_whole_house() -> None:
    assert {"chain", "headgate", "headgate.model", "headgate.proxy.guard"} <= set(modules())
    assert {_part(module) for module in modules()} <= set(MAY_IMPORT)


CASES = yaml.safe_load((TESTS / "cases" / "layering.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_checker_tells_right_from_wrong(case: dict[str, Any]) -> None:
    """A checker that finds nothing anywhere would pass the test above as well."""
    known = frozenset({"headgate.match", "headgate.identity.rules", "headgate.policy.engine", "headgate.policy"})
    found = violations(case["module"], case["source"], known, is_package=case.get("package", False))
    assert [case["finds"] in line for line in found] == [True] if case["finds"] else found == []
