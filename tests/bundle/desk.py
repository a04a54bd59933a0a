"""Rules to make versions of, and what a proxy and a command have of them."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from headgate.bundle.activation import Demands
from headgate.bundle.active import ActiveBundle
from headgate.bundle.admission import Admission
from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.store import BundleStore
from headgate.bundle.versions import Activation
from headgate.errors import HeadgateError

NOW = 1_700_000_000.0
NO_RULES = "rules: []\n"
BROKEN = "rules: [\n"


def rule(name: str, effect: str = "deny", more: str = "") -> str:
    return f"rules: [{{id: {name}, effect: {effect}, match: {{}}{more}}}]\n"


def write(folder: Path, version: str = "1.0.0", policy: str = NO_RULES, **more: str) -> Path:
    """A folder with these rules and no others; a key of `more` is a file's name without `.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "bundle": f"name: n\nversion: {version}\n",
        "identity": "providers: [{name: dev, preset: development, audiences: [a]}]\n",
        "targets": "targets: []\n",
        "policy": policy,
        "masking": "masks: []\n",
        **more,
    }
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return folder


def loaded(folder: Path, version: str = "1.0.0", policy: str = NO_RULES, **more: str) -> Bundle:
    return load_bundle(write(folder, version, policy, **more))


def ids(bundle: Bundle | None) -> list[str]:
    return [rule.ref.id for rule in bundle.policy.rules] if bundle else []


def proxy(
    rules: Path,
    state: Path,
    demands: Demands | None = None,
    prepare: Callable[[Bundle], None] = lambda _: None,
    load: Callable[[Path], Bundle] = load_bundle,
) -> ActiveBundle:
    """What one proxy has, before its start."""
    admission = Admission(BundleStore(state), demands or Demands(), prepare, lambda: NOW, "proxy")
    return ActiveBundle(rules, admission, load)


def failing(*names: str) -> Demands:
    """Whatever holds a rule with one of these names fails a test of its own."""

    def prove(bundle: Bundle) -> list[str]:
        return [f"test of `{name}` fails" for name in ids(bundle) if name in names]

    return Demands(prove)


def told(history: Sequence[Activation]) -> list[str]:
    """The history in short: how and which version, of a refusal the last words."""
    return [f"{entry.how} {entry.version}" for entry in history]


def refusal(act: Callable[[], Any]) -> str:
    """What somebody is told who is refused; empty where nobody is."""
    try:
        act()
    except HeadgateError as error:
        return str(error)
    return ""


def ask(state: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()
