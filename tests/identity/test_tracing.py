"""Which trace a request belongs to: the table cases/tracing.yaml, what bounds it, and any text at all."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.tracing import Link, Trace, continue_or_start, traceparent

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "tracing.yaml").read_text(encoding="utf-8"))

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
NEW_TRACE, NEW_SPAN = "a1" * 16, "a1" * 8


def chance(size: int) -> bytes:
    return b"\xa1" * size


def trace(
    parents: Sequence[str],
    states: Sequence[str] = (),
    *,
    trusted: bool = True,
    randomness: Callable[[int], bytes] = chance,
) -> Trace:
    named = [text.replace("T", TRACE).replace("P", SPAN) for text in parents]
    return continue_or_start(named, states, trusted=trusted, randomness=randomness)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_table(case: dict[str, Any]) -> None:
    found = trace(case["traceparent"], case.get("tracestate", ()), trusted=case.get("trusted", True))
    assert found.tracestate == case.get("state", "")
    assert found.link == (Link(TRACE, SPAN) if case.get("link") else None)
    if case["expect"] == "continued":
        assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, NEW_SPAN, SPAN)
        if "flags" in case:
            assert traceparent(found) == f"00-{TRACE}-{NEW_SPAN}-{case['flags']}"
    else:
        assert (found.trace_id, found.span_id, found.parent_id) == (NEW_TRACE, NEW_SPAN, None)
        assert traceparent(found) == f"00-{NEW_TRACE}-{NEW_SPAN}-03"


def test_each_request_gets_a_span_of_its_own() -> None:
    made = iter([b"\x01" * 8, b"\x02" * 8])
    spans = [trace(["00-T-P-01"], randomness=lambda _: next(made)).span_id for _ in range(2)]
    assert spans == ["01" * 8, "02" * 8]


def test_an_id_is_never_zeros_and_always_of_full_length() -> None:
    for bytes_given in (bytes, lambda _: b"\x01", lambda _: b""):
        made = trace([], randomness=bytes_given)
        assert (len(made.trace_id), len(made.span_id)) == (32, 16)
        assert int(made.trace_id, 16)
        assert int(made.span_id, 16)


def test_a_proxy_behind_this_one_continues_what_it_is_sent() -> None:
    first = trace(["00-T-P-01"], ["congo=1"])
    second = continue_or_start([traceparent(first)], [first.tracestate], trusted=True, randomness=lambda n: b"\x02" * n)
    assert (second.trace_id, second.parent_id, second.tracestate) == (TRACE, first.span_id, "congo=1")
    assert (second.sampled, second.random) == (first.sampled, first.random)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (",".join(f"k{n}=v" for n in range(32)), True),
        (",".join(f"k{n}=v" for n in range(33)), False),
        ("k" * 256 + "=v", True),
        ("k" * 257 + "=v", False),
        ("k=" + "v" * 256, True),
        ("k=" + "v" * 257, False),
    ],
    ids=["32 members", "33 members", "a long key", "a longer key", "a long value", "a longer value"],
)
def test_a_state_has_limits(state: str, kept: bool) -> None:
    assert trace(["00-T-P-01"], [state]).tracestate == (state if kept else "")


@pytest.mark.parametrize(("length", "continued"), [(512, True), (513, False)])
def test_a_later_version_has_a_limit(length: int, continued: bool) -> None:
    named = f"01-{TRACE}-{SPAN}-01-"
    assert (trace([named.ljust(length, "x")]).trace_id == TRACE) is continued


TEXT = st.text(st.characters(codec=None), max_size=80)
PARENTS = st.one_of(
    TEXT, st.from_regex(r"[0-9a-f]{2}-[0-9a-fA-F]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,5})?", fullmatch=True)
)
STATES = st.one_of(TEXT, st.from_regex(r"([a-z@]{1,3}=[ -~]{1,3},?){0,5}", fullmatch=True))


@given(parents=st.lists(PARENTS, max_size=2), states=st.lists(STATES, max_size=3), trusted=st.booleans())
def test_whatever_is_sent_what_goes_on_is_well_formed(parents: list[str], states: list[str], trusted: bool) -> None:
    found = continue_or_start(parents, states, trusted=trusted, randomness=chance)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", traceparent(found))
    assert re.fullmatch(r"[\x20-\x7e]*", found.tracestate)
    if not trusted:
        assert (found.trace_id, found.parent_id, found.tracestate) == (NEW_TRACE, None, "")
