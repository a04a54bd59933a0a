"""What is written when the tests of flows are done: expectations, if that is asked for, and a report.

It runs where pytest itself runs, never in a worker of xdist, and knows of the flows only what their reports bring. It
writes to a file nothing but what ran, and takes an expectation out only where all of the file has run.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import HeadgateError
from headgate.replay.places import beside
from headgate.replay.projects import Project, project_of, quietly

STATES = ("same", "new", "changed", "stale")


class Updates:
    """Takes part in a run as a plugin of its own, if anything is to be written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seen: dict[str, dict[str, dict[str, Any]]] = {}  # by database, by name
        self._spoken = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        compared = getattr(report, "headgate_flow", None)
        if compared is not None:
            flows = self._seen.setdefault(compared["database"], {})
            flows[compared["name"]] = {**compared, "passed": report.passed}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        try:
            with quietly():
                self._finish()
        except (HeadgateError, OSError) as error:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reason = str(error) if isinstance(error, HeadgateError) else (error.strerror or "unknown").lower()
            self._say(f"could not be written: {reason}")

    def _finish(self) -> None:
        options = self._config.option
        if not self._seen:
            self._say("no flow ran: is the folder of flows among what pytest was given, or in `testpaths`?")
        if options.flows_report:
            path = self._config.invocation_params.dir / options.flows_report
            path.write_text(_report(self._seen, markdown=path.suffix == ".md"), encoding="utf-8")
        if options.flows_update or options.flows_update_new_only:
            for database, flows in sorted(self._seen.items()):
                self._update(project_of(self._config), database, flows)

    def _update(self, project: Project, database: str, flows: dict[str, dict[str, Any]]) -> None:
        """Show what changes in one file, then write it."""
        meant = {name: one for name, one in flows.items() if one["passed"] and one["state"] != "same"}
        if len(flows) < next(iter(flows.values()))["of"]:
            meant = {name: one for name, one in meant.items() if one["state"] != "stale"}
        loosened = {one["loosened_from"] for one in flows.values() if one.get("loosened_from")}
        meant = {name: one for name, one in meant.items() if name not in loosened}  # to be compared with next time, too
        if not meant:
            return
        for one in meant.values():
            for line in _shown(one):
                self._say(line)
        path = beside(project.root / database)
        _write(path, project.root / database, database, meant)
        self._say(f"wrote {project.shown(path)}: {_counted(meant)}")

    def _say(self, line: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        if not self._spoken:
            terminal.ensure_newline()
            terminal.section("flows", sep="=")
            self._spoken = True
        terminal.write_line(line)


def _shown(one: dict[str, Any]) -> Iterator[str]:
    from headgate.replay.compared import difference

    if one["state"] == "stale":
        yield f"{one['database']}::{one['name']}: stale, and taken out"
        return
    yield f"{one['database']}::{one['name']}: {one['words']}" + (f" ({one['place']})" if one["place"] else "")
    if one["state"] == "changed":
        yield from (f"    {line}" for line in difference(one["expected"], one["came"]))


def _write(path: Path, database: Path, shown: str, meant: dict[str, dict[str, Any]]) -> None:
    from headgate.replay.expectations import dump, load
    from headgate.replay.flowdb import FlowDb

    before = load(path)
    flows = dict(before.flows)
    for name, one in meant.items():
        if flows.get(name) != one.get("expected"):
            raise HeadgateError(f"`{path}` has changed while the tests ran: run them again")
        if one["state"] == "stale":
            del flows[name]
        else:
            flows[name] = one["came"]
    order = [name for name in FlowDb(database) if name in flows]
    ordered = {name: flows[name] for name in dict.fromkeys((*order, *flows))}
    _replace(path, dump(ordered, name=shown, rules=before.rules))


def _replace(path: Path, text: str) -> None:
    """All of it or nothing: a disk that fills up loses no expectation."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _counted(flows: dict[str, dict[str, Any]]) -> str:
    states = [one["state"] for one in flows.values()]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)


# -- the report -------------------------------------------------------------------------------------------------------


def _report(seen: dict[str, dict[str, dict[str, Any]]], *, markdown: bool) -> str:
    compared = [one for _, flows in sorted(seen.items()) for _, one in sorted(flows.items())]
    counts = {state: sum(one["state"] == state for one in compared) for state in STATES}
    differing = [one for one in compared if one["state"] != "same"]
    if not markdown:
        kept = ("database", "name", "state", "directions", "words", "place", "expected", "came")
        flows = [{name: one[name] for name in kept if one.get(name) is not None} for one in differing]
        return json.dumps({"compared": len(compared), "counts": counts, "flows": flows}, indent=2) + "\n"
    return "\n".join(_markdown(len(compared), counts, differing)) + "\n"


def _markdown(total: int, counts: dict[str, int], differing: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{total} recorded flows: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    if differing:
        yield from ("", "| flow | what changes | rule |", "|---|---|---|")
    for one in differing:
        cells = (f"`{one['database']}::{one['name']}`", one.get("words") or one["state"], one.get("place") or "")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
