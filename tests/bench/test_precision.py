"""How precision is counted, on findings made up for it, and which figures come of it."""

from pathlib import Path

import pytest

from headgate.bench import payloads as labelled
from headgate.bench import precision
from headgate.bench.payloads import SEEN, UNSEEN, Labelled, Number, Payload, Truth, payloads
from headgate.bench.precision import OTHERS, USUAL, Tally, judged, measure, mistaken, stocked, tally, together
from headgate.masking.plan import Leaf, Span

TWICE = Labelled(Leaf("a@b.de, 12, a@b.de", "text"), (Truth("EMAIL_ADDRESS", "a@b.de"),) * 2)
FIRST, NUMBER, SECOND = (Span("EMAIL_ADDRESS", start, end, 1.0) for start, end in ((0, 6), (8, 10), (12, 18)))


def test_a_value_is_found_when_none_of_its_characters_are_left() -> None:
    assert [hit for _, hit in judged(TWICE, [FIRST])] == [True, False]
    assert [hit for _, hit in judged(TWICE, [FIRST, SECOND._replace(start=13)])] == [True, False]
    assert [hit for _, hit in judged(TWICE, [Span("EMAIL_ADDRESS", 0, 18, 1.0)])] == [True, True]
    assert [hit for _, hit in judged(TWICE, [FIRST._replace(entity="URL")])] == [False, False]


def test_a_finding_is_false_when_it_touches_no_value_of_its_entity() -> None:
    url = SECOND._replace(entity="URL")
    assert mistaken(TWICE, [FIRST, NUMBER, SECOND._replace(start=10), url]) == [NUMBER, url]


def test_counts_become_percentages() -> None:
    counted = tally([Payload("x", (), (TWICE,))], lambda *_: [FIRST, NUMBER])
    assert counted == {"EMAIL_ADDRESS": Tally(values=2, found=1, false=1)}
    assert (counted["EMAIL_ADDRESS"].recall, counted["EMAIL_ADDRESS"].precision) == (50, 50)
    assert together({**counted, "URL": Tally(1, 1, 1)}, ["EMAIL_ADDRESS", "URL", "UUID"]) == Tally(3, 2, 2)
    assert (Tally().recall, Tally().precision) == (100, 100)


def test_stock_presidio_flags_what_nobody_means() -> None:
    found = {span.entity for span in stocked()(Leaf("2024-05-11T09:14:02Z", "created_at"), ())}
    assert "DATE_TIME" in found


def test_each_figure_has_stock_presidio_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "payloads", lambda half: payloads(half)[:2])
    figures = measure()
    assert [figure.name for figure in figures[:2]] == ["recall, the usual six", "precision, the usual six"]
    assert [figure.bar is not None for figure in figures] == [True, True, *[False] * 2 * len((*USUAL, *OTHERS))]
    assert all("stock" in figure.reference and "at 0.5" in figure.reference for figure in figures)


def test_without_a_clone_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(labelled, "FOLDER", tmp_path)
    assert measure() == []


@pytest.mark.parametrize(
    ("form", "payload", "leaves"),
    [
        ("json", '{"a": [{"b/c": "x"}, 4.50], "d": null}', {"/a/0/b~1c": ("x", "b/c"), "/a/1": ("4.50", "a")}),
        ("ndjson", '{"a": 1}\n{"a": "2"}', {"/0/a": ("1", "a"), "/1/a": ("2", "a")}),
        ("lines", "one\n\ntwo", {"/0": ("one", ""), "/1": ("", ""), "/2": ("two", "")}),
    ],
)
def test_leaves_are_named_as_masking_names_them(form: str, payload: str, leaves: dict[str, tuple[str, str]]) -> None:
    found = labelled._leaves(payload, form)
    assert {pointer: (leaf.text, leaf.key) for pointer, leaf in found} == leaves
    assert not any(isinstance(leaf.text, Number) for _, leaf in found)


def test_a_label_must_name_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(labelled, "FOLDER", tmp_path)
    (tmp_path / SEEN).mkdir()
    (tmp_path / SEEN / "x.yaml").write_text('format: json\npayload: \'{"a": 1}\'\ntruths: [["/b", URL, "1"]]\n')
    with pytest.raises(ValueError, match=r"`x.yaml` has no value at `/b`"):
        payloads(SEEN)
    assert payloads(UNSEEN) == []
