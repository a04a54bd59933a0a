"""The pytest plugin: every recorded flow in `flows/` is a test of the rules, and proxies are fixtures.

pytest loads this module in every run of every project that has Headgate installed. So it imports nothing but pytest,
and looks at nothing but the names of files, until a recording is there to be judged or a fixture is asked for; what it
then needs stands in `items`, `updates` and `fixtures`. `-p no:headgate` leaves it out.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from headgate.replay.fixtures import flow_db, headgate_proxy, mint_token, replay_upstream
from headgate.replay.places import EXPECTED, RECORDING, recording_of

FLOWS = "flows"

__all__ = ["flow_db", "headgate_proxy", "mint_token", "replay_upstream"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("headgate", "recorded flows, decided and masked again")
    group.addoption(
        "--flows-update",
        action="store_true",
        help="Show what the rules now say of the flows that ran, and write it to flows/NAME.expected.yaml.",
    )
    group.addoption(
        "--flows-update-new-only",
        action="store_true",
        help="The same, but only for flows that have no expectation.",
    )
    group.addoption(
        "--allow-loosening",
        action="store_true",
        help="With --flows-update: write also what lets more pass, masks less, or is no longer certain.",
    )
    group.addoption(
        "--flows-rules",
        metavar="DIR",
        help="Judge every flow by the rules in DIR, whatever the project or an expectations file names.",
    )
    group.addoption(
        "--flows-report",
        metavar="FILE",
        help="Write what was compared, and how it differs, to FILE: Markdown if it ends in .md, else JSON.",
    )
    parser.addini("flows_dir", "The folder of recorded flows and their expectations (default: flows).", default=FLOWS)
    parser.addini("flows_rules", "The folder of the rules that flows are judged by (default: rules).", default="rules")


def pytest_configure(config: pytest.Config) -> None:
    named = config.getini("flows_dir")
    if named != FLOWS and not _folder(config).is_dir():
        raise pytest.UsageError(f"flows_dir: there is no folder `{named}`, so that no flow would run")
    asked = config.option.flows_update or config.option.flows_update_new_only or config.option.flows_report
    if asked and not hasattr(config, "workerinput"):  # a worker of xdist writes nothing
        from headgate.replay.updates import Updates

        config.pluginmanager.register(Updates(config), "headgate-updates")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A recording in the folder of flows, and expectations whose recording is not there."""
    if not file_path.name.endswith((RECORDING, EXPECTED)) or file_path.parent != _folder(parent.config):
        return None
    if file_path.name.endswith(EXPECTED):
        file_path = recording_of(file_path)
        if file_path.exists():
            return None
    from headgate.replay.items import FlowFile

    collector: pytest.Collector = FlowFile.from_parent(parent, path=file_path)
    return collector


def _folder(config: pytest.Config) -> Path:
    return Path(config.rootpath, config.getini("flows_dir"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Generator[None, Any, Any]:
    """What came of a flow travels in its report, so that it gets from a worker of xdist to where files are written."""
    report = yield
    compared = getattr(item, "headgate_flow", None)
    if compared is not None and call.when == "call":
        report.headgate_flow = compared
    return report
