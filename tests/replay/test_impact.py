"""Whole captures compared: nothing changes from rules to themselves, what is swapped is mirrored, no value is shown."""

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.replay.under_rules import Asked, by, capture, make_bundle

from headgate.bundle.load import Bundle, load_bundle
from headgate.capture.entries import Entry
from headgate.capture.record import Mode
from headgate.errors import HeadgateError
from headgate.model import unauthenticated
from headgate.replay.comparison import MIRRORED, Change, Kind, compare
from headgate.replay.impact import Task, measure, source_of
from headgate.replay.judging import Judge
from headgate.replay.masks import Masking
from headgate.replay.once import remembering
from headgate.replay.report import Report, as_json, lines
from headgate.replay.report_junit import junit
from headgate.replay.report_markdown import markdown

MAIL, CARD, NAME = "ana.secret@example.com", "4111 1111 1111 1111", "Ana Secretname"
ANSWER = json.dumps({"rows": [{"mail": MAIL, "card": CARD, "name": NAME}], "n": 1}).encode()
DAY = [
    Asked(answer=ANSWER),
    Asked(answer=ANSWER, cut=30),
    Asked(answer=ANSWER, mode=Mode.METADATA),
    Asked(query=f"to={MAIL}", answer=ANSWER),
    Asked("POST", "/v1/refunds", body=b'{"amount": 5000}'),
    Asked("POST", "/v1/refunds", body=f'{{"amount": 5000, "to": "{MAIL}"}}'.encode()),
    Asked("DELETE"),
    Asked(who=by("eve", "others"), answer=ANSWER),
    Asked(signals=None),
    Asked(who=None, refusal=unauthenticated("expired")),
    Asked(answer=b"\x89PNG", answer_headers=((b"content-type", b"image/png"),)),
    Asked(answer=f"write to {MAIL}".encode(), answer_headers=((b"content-type", b"text/plain"),)),
    Asked(exhausted=frozenset({"few"})),
]
RULES = [
    {"id": "all", "effect": "allow", "match": {"target": "api"}},
    {"id": "support", "effect": "allow", "match": {"principal": {"groups": ["support"]}}},
    {"id": "never-deleted", "effect": "deny", "match": {"method": "DELETE"}},
    {
        "id": "refunds",
        "effect": "approve",
        "match": {"body": {"$.amount": {"gt": 10}}},
        "approval": {"by": {"groups": ["a"]}},
    },
    {"id": "gold", "effect": "deny", "match": {"principal": {"claims": {"level": "gold"}}}},
    {"id": "frozen", "effect": "deny", "match": {"signal": "incident"}, "mode": "shadow"},
]
MASKS = [
    {"id": "mails", "match": {}, "detect": ["EMAIL_ADDRESS"]},
    {"id": "cards", "match": {}, "detect": ["CREDIT_CARD"], "as": {"default": "last4"}},
    {"id": "names", "match": {}, "fields": ["$..name", "$..card"]},
    {"id": "stock", "match": {}, "detect": ["EMAIL_ADDRESS"], "profile": "stock", "min_score": 0.6},
    {"id": "others", "match": {}, "detect": ["CREDIT_CARD"], "except": {"principal": {"groups": ["others"]}}},
]
LIMITS = [{"id": "few", "match": {}, "rate": "2/hour"}]
DIRECTED = {Kind.LOOSENED, Kind.TIGHTENED, Kind.MASK_LOST, Kind.MASK_GAINED}


def bundle_of(folder: Path, rules: int, masks: int, limits: int = 1) -> Bundle:
    """The rules and masks whose bits are set."""
    chosen = [rule for at, rule in enumerate(RULES) if rules >> at & 1]
    masking = [mask for at, mask in enumerate(MASKS) if masks >> at & 1]
    return make_bundle(folder, policy={"rules": chosen, "limits": LIMITS[:limits]}, masking=masking)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("origin") / "rules", 0b111111, 0b10111)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, origin: Bundle) -> list[Entry]:
    return capture(tmp_path_factory.mktemp("day"), origin, DAY)


MASKING = Masking(remembering())


def changes(entry: Entry, old: Bundle, new: Bundle, origin: Bundle | None) -> list[Change]:
    before, after = (Judge(each, masking=MASKING)(entry, recorded_under=origin) for each in (old, new))
    return compare(before, after)


SETS = st.tuples(st.integers(0, 63), st.integers(0, 31), st.integers(0, 1))


@settings(max_examples=25, deadline=None)
@given(chosen=SETS, known=st.booleans())
def test_from_rules_to_themselves_nothing_changes(
    chosen: tuple[int, int, int],
    known: bool,
    day: list[Entry],
    origin: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("self")
    one, same = bundle_of(folder / "one", *chosen), bundle_of(folder / "same", *chosen)
    for entry in day:
        found = changes(entry, one, same, origin if known else None)
        assert [change for change in found if change.kind is not Kind.NOT_JUDGED] == []


@settings(max_examples=25, deadline=None)
@given(first=SETS, second=SETS, known=st.booleans())
def test_what_is_swapped_is_mirrored(
    first: tuple[int, int, int],
    second: tuple[int, int, int],
    known: bool,
    day: list[Entry],
    origin: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("swapped")
    old, new = bundle_of(folder / "old", *first), bundle_of(folder / "new", *second)
    for entry in day:
        there = Counter(change.kind for change in changes(entry, old, new, origin if known else None))
        back = Counter(change.kind for change in changes(entry, new, old, origin if known else None))
        assert back == Counter({MIRRORED.get(kind, kind): count for kind, count in there.items()})


def test_less_is_never_called_more(day: list[Entry], origin: Bundle, tmp_path: Path) -> None:
    """Rules that only deny more, and masks that only mask more, loosen nothing and lose no mask."""
    bits = [0b000011, 0b000111, 0b010111]
    bundles = [bundle_of(tmp_path / f"{at}", rules, 0b00001 | at) for at, rules in enumerate(bits)]
    for old, new in combinations(bundles, 2):
        found = {change.kind for entry in day for change in changes(entry, old, new, origin)}
        assert not found & {Kind.LOOSENED, Kind.MASK_LOST}


# -- a whole capture ---------------------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path: Path, origin: Bundle) -> Task:
    capture(tmp_path / "state", origin, DAY * 3)
    bundle_of(tmp_path / "old", 0b111111, 0b10111)
    bundle_of(tmp_path / "new", 0b000011, 0b00010)
    old, new = (load_bundle(tmp_path / name) for name in ("old", "new"))
    return Task(
        tmp_path / "state", "capture.db", source_of(new, tmp_path / "new"), source_of(old, tmp_path / "old"), page=7
    )


def test_processes_find_what_one_finds(task: Task) -> None:
    done: list[int] = []
    shared, alone = measure(task, done.append, processes=2), measure(replace(task, page=500))
    assert shared == alone
    assert (sum(done), shared.flows, len(done)) == (39, 39, 6)


def test_no_value_is_in_any_output(task: Task) -> None:
    old, new = (load_bundle(source.folder) for source in (task.old, task.new) if source and source.folder)
    report = Report(measure(task), new, old)
    assert min(report.tally.by_kind[Kind.MASK_LOST], report.tally.by_kind[Kind.LOOSENED]) > 0
    shown = "\n".join(text for _, text in lines(report, 100)) + json.dumps(as_json(report)) + markdown(report, 100)
    for value in (MAIL, CARD, NAME, "secret", "4111"):
        assert value not in shown + junit(report).decode()


def test_what_drifted_is_told_from_what_changes(task: Task, tmp_path: Path) -> None:
    """A record that says another thing than its own rules say now, for whatever reason."""
    state = tmp_path / "drifted"
    old = bundle_of(tmp_path / "certain", 0b000111, 0)
    entries = capture(state, old, [Asked("DELETE"), Asked()])
    assert {entry.summary.effect for entry in entries} == {"allow", "deny"}
    from sqlite_utils import Database

    database = Database(state / "capture.db")
    database.execute("update decisions set effect = 'allow', reason = 'allowed-by-rule', refusal = null")
    database.conn.commit()
    database.close()
    source = source_of(old, tmp_path / "certain")
    tally = measure(replace(task, state=state, old=source, new=source, page=500))
    assert (tally.flows, tally.unchanged, dict(tally.by_kind)) == (2, 2, {Kind.DRIFT: 1})


def test_rules_that_have_changed_meanwhile_are_refused(task: Task) -> None:
    with pytest.raises(HeadgateError, match="have changed meanwhile"):
        measure(replace(task, new=replace(task.new, sha256="0" * 64)))
    with pytest.raises(HeadgateError, match="have changed meanwhile"):
        measure(replace(task, new=replace(task.new, sha256="0" * 64)), processes=2)


def test_a_rule_that_applies_without_deciding_is_hit(task: Task) -> None:
    assert measure(task).unhit == frozenset()
