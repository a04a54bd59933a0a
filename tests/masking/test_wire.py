"""Jobs and results between processes: they arrive as they were sent, and anything else is refused."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.job import Done, Job
from headgate.masking.plan import Operator, Plan, Profile, Wanted
from headgate.masking.response import MaskedResponse, Received
from headgate.masking.scrub import Sent
from headgate.masking.wire import (
    LARGEST,
    LENGTHS,
    Garbled,
    Message,
    done_message,
    job_message,
    lengths,
    pack,
    read_done,
    read_job,
    unpack,
)
from headgate.model import Finding

bodies = st.binary()
fields = st.lists(st.tuples(st.binary(), st.binary())).map(tuple)
sent = st.builds(Sent, st.binary(), fields, bodies)
operators = st.sampled_from(list(Operator))
named = st.lists(st.tuples(st.text(), operators)).map(tuple)
profiles = st.sampled_from(list(Profile))
wanted = st.lists(st.builds(Wanted, st.text(), operators, profiles, st.floats(0, 1))).map(tuple)
texts = st.lists(st.text()).map(tuple)
plans = st.builds(
    Plan, named, texts, named, named, named, named, wanted, st.frozensets(st.text()), st.booleans(), st.text(), texts,
    st.booleans(), st.binary(),
)  # fmt: skip
received = st.builds(Received, st.text(), st.integers(100, 599), fields, bodies)
jobs = st.builds(Job, st.none() | plans, st.none() | plans, sent, st.none() | received, st.booleans())
findings = st.lists(st.builds(Finding, st.text(), st.text(), st.integers(), st.integers(), st.floats(0, 1))).map(tuple)
counts = st.dictionaries(st.tuples(st.text(), st.text(), st.text()), st.integers(1)).map(Counter)
masked = st.builds(MaskedResponse, fields, st.none() | bodies, counts, findings)
done = st.builds(Done, sent, st.none() | masked, st.none() | st.text(), st.none() | masked)
anything = st.recursive(st.none() | st.integers() | st.text() | st.booleans(), lambda inner: st.lists(inner))


def _carried(message: Message) -> Message:
    """The message after a way through a pipe."""
    packed = pack(message)
    text, rest = lengths(packed[: LENGTHS.size])
    at = LENGTHS.size + text
    assert len(packed) == at + rest
    return unpack(packed[LENGTHS.size : at], packed[at:])


@given(st.integers(0), jobs)
def test_a_job_arrives_as_it_was_sent(number: int, job: Job) -> None:
    message = _carried(job_message(number, job))
    assert message.number == number
    assert read_job(message) == job


@given(st.integers(0), done)
def test_a_result_arrives_as_it_was_sent(number: int, result: Done) -> None:
    message = _carried(done_message(number, result))
    assert message.number == number
    assert read_done(message) == result


@given(st.binary(), st.binary())
def test_bytes_that_are_no_message_are_garbled(text: bytes, rest: bytes) -> None:
    with pytest.raises(Garbled):
        unpack(text, rest)


@given(anything, st.lists(st.binary()))
def test_a_message_that_is_no_result_is_garbled(content: Any, bodies: list[bytes]) -> None:
    with pytest.raises(Garbled):
        read_done(Message(1, content, bodies))


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "[1, 2, [-1, 1]]", "[1, 2, [5]]", "[1, 2, null]", '[1, 2, ["a"]]', "{}", "[" * 100_000, "nope"],
)
def test_sizes_that_do_not_add_up_are_garbled(text: str) -> None:
    with pytest.raises(Garbled):
        unpack(text.encode(), b"")


def test_a_message_has_a_largest_size() -> None:
    with pytest.raises(Garbled):
        lengths(LENGTHS.pack(LARGEST + 1, 0))
    with pytest.raises(Garbled):
        lengths(LENGTHS.pack(0, LARGEST + 1))


@given(jobs)
def test_a_job_is_written_as_json_alone(job: Job) -> None:
    message = job_message(1, job)
    assert json.loads(json.dumps(message.content)) is not None
