"""The demo's day as a recording for the test suite: its flows, its rules, and what these say of each flow.

The sample API and the identity provider get ports that stay the same, so that a new recording differs from the one
before only in what has changed.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from headgate.bundle.load import load_bundle
from headgate.capture.store import Store
from headgate.demo.play import play
from headgate.demo.stage import stage
from headgate.errors import HeadgateError
from headgate.replay.saved.saving import Saved, save

NAME = "shop"
PORTS = 18901, 18902


def record(flows: Path, clock: Callable[[], float]) -> Saved:
    """Play the day and save it as `flows`/shop.db; its rules go to `flows`/shop.rules, in place of what is there."""
    rules = flows / f"{NAME}.rules"
    with tempfile.TemporaryDirectory(prefix="headgate-day-") as folder:
        with stage(Path(folder), clock, ports=PORTS) as on:
            played = play(on, clock, lambda _: None)
        if not played.as_expected:
            raise HeadgateError("the day did not go as it must, and is not recorded: `headgate demo` shows why")
        if rules.exists():
            shutil.rmtree(rules)
        shutil.copytree(on.rules, rules)
        entries = list(Store(on.state).walk())
        return save(Store(on.state), entries, load_bundle(rules), flows, NAME, rules=rules.as_posix())


if __name__ == "__main__":
    import sys
    import time

    saved = record(Path("flows"), time.time)
    sys.stdout.write(f"recorded {saved.flows} flows: {saved.database}, {saved.expected}\n")
