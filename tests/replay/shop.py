"""The example project in a folder of its own, with its recording, and pytest run there."""

import shutil
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from tests.replay.checkout import CHECKOUT, save

LOADED = (
    "bundle.load",
    "masking.detection.detector",
    "policy.explain",
    "replay.failure",
    "replay.judging",
    "replay.updates",
)
for module in ("httpcore", *(f"headgate.{name}" for name in LOADED)):
    import_module(module)  # once, here: pytester forgets what is imported while it is there, and halves do not fit

EXAMPLE = Path(__file__).parent / "example"
PLUGIN = () if entry_points(group="pytest11", name="headgate") else ("-p", "headgate.replay.plugin")
"""What makes pytest load the plugin: nothing, once its entry point is there."""

READ = "flows/checkout.db::GET /v1/customers/17#32ce"
REFUND = "flows/checkout.db::POST /v1/refunds#330c"
BOBS = "flows/checkout.db::GET /v1/customers/17#8f40"
DELETE = "flows/checkout.db::DELETE /v1/customers/17#b919"
NAMES = (READ, REFUND, BOBS, DELETE)


class Shop:
    """The project; `run` gives what pytest says of it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.root = pytester, pytester.path
        shutil.copytree(EXAMPLE, self.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        self.database = save(self.root / "flows/checkout.db", CHECKOUT)
        self.expected = self.root / "flows/checkout.expected.yaml"

    def run(self, *arguments: str, where: str | None = "flows", apart: bool = False) -> pytest.RunResult:
        given = [*PLUGIN, "-p", "no:cacheprovider", *([where] if where else []), *arguments]
        if apart:
            return self.pytester.run(sys.executable, "-m", "pytest", *given)
        return self.pytester.runpytest_inprocess(*given)

    def change(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def loosen(self) -> None:
        """Sales may read customers, too."""
        self.change(
            "rules/policy.yaml",
            "{groups: [support]}, target: shop, method: GET",
            "{kind: human}, target: shop, method: GET",
        )

    def tighten(self) -> None:
        """Nobody books refunds any more."""
        self.change("rules/policy.yaml", "path: /v1/refunds}", "path: /v2/refunds}")

    def unmask(self) -> None:
        self.change("rules/masking.yaml", "    detect: [EMAIL_ADDRESS]\n", "")


def outcomes(result: pytest.RunResult, **expected: int) -> None:
    found: dict[str, Any] = {name: count for name, count in result.parseoutcomes().items() if name != "warnings"}
    assert found == expected, result.stdout.str() + result.stderr.str()
