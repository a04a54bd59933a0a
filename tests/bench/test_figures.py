"""What is made of measurements: ratios, spreads, bars, and how they read. Nothing here is timed."""

import pytest

from headgate.bench.chain import Alone
from headgate.bench.figures import Bar, Figure
from headgate.bench.run import FULL, QUICK, Result, Scale, steps
from headgate.bench.show import number, show, soundness_text
from headgate.bench.timing import Sample, in_turns, ratios

FASTER = Figure("throughput", Sample(1.2, 0.9, 1.4), "x", "bare", Bar("at least", 1.0, "1.0 x"))
SLOWER = Figure("one decision", Sample(40.0, 30.0, 50.0), "us", "none", Bar("at most", 25, "25 us"))
UNBOUND = Figure("flows recorded", Sample(12_400.4, 9_000, 13_000), "/s", "none")


def test_a_ratio_is_taken_with_the_reference_next_to_it() -> None:
    assert ratios([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == Sample(3.0, 2.0, 4.0)


def test_works_take_turns_in_changing_order_after_one_round_that_does_not_count() -> None:
    done: list[str] = []

    def work(name: str) -> int:
        done.append(name)
        return 10

    taken = in_turns({"a": lambda: work("a"), "b": lambda: work("b")}, 2)
    assert done == ["a", "b", "a", "b", "b", "a"]
    assert {name: len(values) for name, values in taken.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(("figure", "met"), [(FASTER, True), (SLOWER, False), (UNBOUND, None)])
def test_a_bar_is_met_by_the_median_or_there_is_none(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_a_figure_as_json_says_what_it_was_taken_against() -> None:
    assert FASTER.json() == {
        "name": "throughput",
        "median": 1.2,
        "low": 0.9,
        "high": 1.4,
        "unit": "x",
        "reference": "bare",
        "bar": "at least 1.0 x",
        "met": True,
    }


@pytest.mark.parametrize(
    ("value", "text"), [(0.2345, "0.23"), (1.5, "1.50"), (14.26, "14.3"), (140.6, "141"), (12_400.4, "12,400")]
)
def test_numbers_show_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_it_is_said_how_the_load_is_known_not_to_be_the_bottleneck() -> None:
    known = {
        "direct_requests_per_second": 29000,
        "direct_over_fastest_proxied": 26.5,
        "load_busy": 0.05,
        "upstream_busy": None,
    }
    text = soundness_text(known)
    assert "29,000 requests/s, 26.5 times the fastest proxied round" in text
    assert "busy 5%" in text
    assert "upstream unknown here" in text


def test_the_table_says_which_bars_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"direct_requests_per_second": 1, "direct_over_fastest_proxied": 1, "load_busy": 0.1, "upstream_busy": 0.1}
    alone = {"bare": Alone(0.5, {}), "chain": Alone(1.25, {"identity": 200, "masking": 50})}
    show(Result({"processor": "a fast one"}, [FASTER, SLOWER, UNBOUND], alone, known))
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "processor a fast one" in shown
    assert "throughput 1.20 x 0.90 to 1.40 bare at least 1.0 x met" in shown
    assert "one decision 40.0 us 30.0 to 50.0 none at most 25 us not met" in shown
    assert "flows recorded 12,400/s 9,000 to 13,000 none none -" in shown
    assert "chain 1,250 200 50 1,000" in shown


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_progress_bar_knows_how_far_it_is(scale: Scale) -> None:
    assert steps(scale) == 1 + 5 * scale.cycles + 3 + 8 + len(scale.sizes)
