"""The tests that pytest sees: one for each recorded flow, and one for each expectation whose flow is not there.

A file that cannot be read, expected or judged is one test that fails and says why, never an error of collection: the
other tests of the run go on.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from headgate.errors import HeadgateError
from headgate.replay.places import beside
from headgate.replay.projects import Project, project_of, quietly

if TYPE_CHECKING:
    from headgate.replay.expectations import Expectations
    from headgate.replay.flowdb import FlowDb
    from headgate.replay.judge import Judged

SOMETHING_ELSE = "is a database of something else"
"""What a store says of a SQLite file that other programs have made: with no expectations beside it, it is theirs."""

Compared = dict[str, Any]
"""What came of one flow, as plain values: `database` and `name`, `of` (how many tests the file has), `state` (same,
new, changed or stale), `directions`, `words`, `expected`, `came`, and `place`, a rule's file and line."""


class FlowFile(pytest.File):
    """flows/NAME.db with flows/NAME.expected.yaml."""

    database: "FlowDb"
    expected: "Expectations"
    total = 0

    def collect(self) -> Iterator[pytest.Item]:
        items: list[pytest.Item]
        try:
            with quietly():
                items = self._items()
        except Exception as error:  # noqa: BLE001 - a file may be anything: it is one test that fails, not the run
            if SOMETHING_ELSE in str(error) and not beside(self.path).exists():
                return
            items = [BrokenItem.from_parent(self, name="recording", error=error)]
        self.total = len(items)
        yield from items

    def _items(self) -> list[pytest.Item]:
        from headgate.replay.expectations import load
        from headgate.replay.flowdb import FlowDb

        if not self.path.exists():
            what = f"`{self.shown}` is not there: restore it, or delete what is expected of it"
            raise HeadgateError(f"`{self.project.shown(beside(self.path))}` has no recording: {what}")
        self.expected, self.database = load(beside(self.path)), FlowDb(self.path)
        flows = [FlowItem.from_parent(self, name=name) for name in self.database]
        stale = [name for name in self.expected.flows if name not in self.database.ids]
        return [*flows, *(StaleItem.from_parent(self, name=name) for name in stale)]

    @cached_property
    def project(self) -> Project:
        return project_of(self.config)

    @property
    def shown(self) -> str:
        return self.project.shown(self.path)

    @property
    def rules(self) -> Path:
        return self.project.rules(self.expected.rules)

    @property
    def is_whole(self) -> bool:
        """Whether every test of this file is to run."""
        return sum(item.parent is self for item in self.session.items) == self.total


class _Item(pytest.Item):
    parent: FlowFile
    headgate_flow: Compared | None = None

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self._place or (self.path, None, self.name)

    _place: tuple[Path, int | None, str] | None = None

    def point_to(self, file: Path, line: int) -> None:
        """From now on reports say that the test stands there."""
        self._place = file, max(0, line - 1), self.name
        self.__dict__.pop("location", None)  # which pytest works out once

    def fail(self, text: str) -> NoReturn:
        pytest.fail(text, pytrace=False)

    def compared(self, state: str, **more: Any) -> Compared:
        """What the report of this test brings to where files are written."""
        shown = self.parent.shown
        self.headgate_flow = {"database": shown, "name": self.name, "of": self.parent.total, "state": state, **more}
        return self.headgate_flow

    @property
    def updating(self) -> bool:
        return bool(self.config.option.flows_update)


class BrokenItem(_Item):
    """A recording or its expectations, neither of which say what their flows are."""

    def __init__(self, *, error: Exception, **rest: Any) -> None:
        super().__init__(**rest)
        self._error = error

    def runtest(self) -> None:
        error = self._error
        if isinstance(error, HeadgateError):
            self.fail(str(error))
        if isinstance(error, ImportError):
            self.fail(f"`{self.parent.shown}` cannot be judged here: Headgate is not whole, `{error.name}` is missing")
        self.fail(f"`{self.parent.shown}` is damaged: reading it ended with {type(error).__name__}")


class StaleItem(_Item):
    """An expectation that no flow has: it would never be asked again, and be taken for kept."""

    def runtest(self) -> None:
        file = beside(self.path)
        line = self.parent.expected.lines.get(self.name, 1)
        self.point_to(file, line)
        self.compared("stale", expected=self.parent.expected.flows[self.name])
        if self.updating and self.parent.is_whole:
            return
        where = f"{self.parent.project.shown(file)}:{line}"
        how = "what is stale goes only if all of the file runs" if self.updating else "`--flows-update` removes it"
        self.fail(f"stale: no flow of {self.parent.shown} has this name any more ({where}); {how}")


class FlowItem(_Item):
    """One recorded flow, decided and masked again."""

    def runtest(self) -> None:
        try:
            with quietly():
                problem = self._compare()
        except HeadgateError as error:
            problem = str(error)
        if problem:
            self.fail(problem)

    def _compare(self) -> str | None:
        """What is wrong, if anything is."""
        from headgate.replay.compared import directions, in_words
        from headgate.replay.expectations import expectation
        from headgate.replay.judge import decide_and_mask

        file = self.parent
        entry, bundle = file.database[self.name], file.project.bundle(file.rules)
        judged = decide_and_mask(bundle, entry)
        came, place = expectation(judged, entry), self._rule(judged)
        expected = file.expected.flows.get(self.name)
        if expected is None:
            return self._new(came, place)
        found = directions(expected, came)
        if not found:
            self.compared("same")
            return None
        words = in_words(found, expected, came)
        self.compared(
            "changed", directions=list(map(str, found)), words=words, expected=expected, came=came, place=place
        )
        if self._may_change(found):
            return None
        from headgate.replay.failure import failure

        return failure(self, bundle, entry, found, expected, came)

    def _new(self, came: dict[str, Any], place: str | None) -> str | None:
        taken = None if self.config.option.allow_loosening else self._loosened_from(came)
        words = f"new: {came['effect']} ({came['reason']})"
        self.compared("new", words=words, came=came, place=place, loosened_from=taken)
        if taken:
            return (
                f"not written: it takes the place of `{taken}`, and lets more pass or masks less: `--allow-loosening`"
            )
        if self.updating or self.config.option.flows_update_new_only:
            return None
        from headgate.replay.expectations import text_of

        where = self.parent.project.shown(beside(self.path))
        return (
            f"nothing is expected of this flow: `pytest {self.parent.shown} --flows-update-new-only` writes to "
            f"{where}, for review, what the rules say now:\n\n{text_of({self.name: came})}"
        )

    def _loosened_from(self, came: dict[str, Any]) -> str | None:
        """The stale expectation of which this is the looser one: the same asked by the same caller, recorded anew."""
        from headgate.replay.compared import LOOSER, directions

        file = self.parent
        if not (self.updating or self.config.option.flows_update_new_only):
            return None
        asked = self.name.rpartition("#")[0]
        for name, said in file.expected.flows.items():
            if name in file.database.ids or name.rpartition("#")[0] != asked or said.get("who") != came.get("who"):
                continue
            if not LOOSER.isdisjoint(directions(said, came)):
                return name
        return None

    def _may_change(self, found: list[Any]) -> bool:
        from headgate.replay.compared import LOOSER

        return self.updating and (self.config.option.allow_loosening or LOOSER.isdisjoint(found))

    def _rule(self, judged: "Judged") -> str | None:
        """Where the rule stands that decides; reports of this test point there."""
        rule = next(iter(judged.rules), None)
        if rule is None or not rule.line:
            return None
        self.point_to(self.parent.project.root / rule.file, rule.line)
        return f"{rule.file}:{rule.line}"
