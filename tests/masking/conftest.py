"""Plans written as masks are, detection that is certain and quick, and one real worker for a whole module."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headgate.bundled import Files
from headgate.masking.plan import Detect, Leaf, Plan, Span
from headgate.masking.rules import MaskingFile, compile_masking
from headgate.masking.workers import Workers

PATIENCE = 60.0
"""Seconds; a deadline that a test does not mean to reach, on a machine that has much else to do."""


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., Plan]:
    """The plan of one mask, given by the keys it has in masking.yaml."""

    def make(**mask: Any) -> Plan:
        file = MaskingFile.model_validate({"masks": [{"id": "one", "match": {}, **mask}]})
        return compile_masking(file, Files(Path()), frozenset()).everything

    return make


@pytest.fixture(scope="session")
def find_words() -> Callable[..., Detect]:
    """A detector that finds each of some words as an EMAIL_ADDRESS, wherever it stands."""

    def make(*wanted: str) -> Detect:
        def detect(leaves: Sequence[Leaf]) -> list[list[Span]]:
            return [[span for word in wanted for span in _occurrences(word, leaf.text)] for leaf in leaves]

        return detect

    return make


def _occurrences(word: str, text: str) -> Iterator[Span]:
    at = text.find(word)
    while at >= 0:
        yield Span("EMAIL_ADDRESS", at, at + len(word), 1.0)
        at = text.find(word, at + 1)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def workers(loop: asyncio.Runner) -> Iterator[Workers]:
    """One worker with Presidio in it, warm when a test first needs it."""
    started = Workers(count=1, deadline=PATIENCE)
    loop.run(started.start())
    yield started
    loop.run(started.stop())
