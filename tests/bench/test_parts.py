"""Each part is measured on what it says: counts of work done, and that the two sides do the same. Nothing is timed."""

import json
import time
from pathlib import Path

import pytest

from headgate.bench import bundle, capture, decisions, detection, tokens
from headgate.bench.detection import ENTITIES
from headgate.bench.documents import SENSITIVE, documents
from headgate.bench.stock import stock
from headgate.bundle.load import load_bundle
from headgate.capture.store import Filter, Store
from headgate.capture.writer import Writer
from headgate.demo.provider import Signer
from headgate.identity.credentials import Shown
from headgate.identity.memory import Memory, Verified
from headgate.identity.presets import BEARER
from headgate.identity.reasons import Reason, Rejected
from headgate.masking.detection.detector import Detector
from headgate.masking.entities import DEFAULT
from headgate.masking.formats.jsontext import mask_json
from headgate.model import Effect
from headgate.policy import engine

NO_KEYS = Rejected(Reason.KEYS_UNAVAILABLE)


@pytest.mark.parametrize("count", [1, 10, 100])
def test_the_bundle_has_as_many_rules_as_asked_for_and_loads(tmp_path: Path, count: int) -> None:
    folder = bundle.write_bundle(tmp_path / "rules", 9000, Signer(time.time), count)
    assert len(load_bundle(folder).policy.rules) == count


def test_a_bench_token_is_believed_by_the_bundle(tmp_path: Path) -> None:
    signer = Signer(time.time)
    folder = bundle.write_bundle(tmp_path / "rules", 9000, signer, 10)
    (asked,) = bundle.requests(signer, "/v1/fields", 1, 9000)
    assert asked.startswith("GET /v1/fields/0 HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nAuthorization: Bearer ")
    rules = load_bundle(folder).identity
    text = asked.partition("Authorization: Bearer ")[2].partition("\r\n")[0]
    found = Memory().token(Shown(text, (BEARER,)), rules, lambda provider: provider.keys.static or NO_KEYS, time.time())
    assert isinstance(found, Verified)
    assert (found.provider.issuer, found.provider.audiences) == (tokens.ISSUER, {"shop"})


def test_decisions_are_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    effects: list[Effect] = []

    def decide(*arguments: object, now: float) -> object:
        decision = engine.decide(*arguments, now=now)  # type: ignore[arg-type]
        effects.append(decision.effect)
        return decision

    monkeypatch.setattr(decisions, "decide", decide)
    assert decisions.batch(1_000)() == len(effects) == decisions.BATCH
    assert set(effects) == {Effect.ALLOW, Effect.DENY}


def test_decisions_tell_each_size_and_the_growth() -> None:
    figures = decisions.measure(1)
    assert [figure.unit for figure in figures] == ["us"] * 4 + ["x"]
    assert [figure.bar is not None for figure in figures] == [False, False, True, False, True]


def test_no_new_token_is_verified_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(tokens, "BATCH", 3)
    verify = tokens.Memory.token

    def watched(memory: tokens.Memory, shown: Shown, *others: object) -> object:
        seen.append(shown.text)
        return verify(memory, shown, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens.Memory, "token", watched)
    figures = tokens.measure(2, time.time)
    assert len(seen) == 2 * 3 * 3  # two works, three rounds with the first, three tokens each
    assert len(set(seen)) == 3 * 3 + 1  # and the one that is seen again
    assert [figure.bar is not None for figure in figures] == [True, False, True]


def test_what_was_handed_over_is_in_the_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path, clock=time.time, randomness=bytes)
    work = capture.batch(writer, time.time(), 250)
    assert work() + work() == 500
    assert len(Store(tmp_path).summaries(Filter(), 1000)) == 500
    assert writer.close()


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_so_many_leaves_are_sensitive(percent: int) -> None:
    (text,) = documents(10_000, percent, 1, 0)
    leaves = [key for row in json.loads(text)["rows"] for key in row]
    kinds = {name for name, _ in SENSITIVE}
    sensitive = sum(key.rpartition("_")[0] in kinds for key in leaves)
    assert sensitive == len(leaves) * percent // 100
    assert 9_000 < len(text) < 12_000


def test_no_two_documents_are_alike() -> None:
    assert len(set(documents(2_000, 10, 5, 0))) == 5


def test_stock_presidio_finds_the_same_as_the_chain() -> None:
    (text,) = documents(2_000, 50, 1, 0)
    engine_of_stock = stock()
    assert detection.differences(engine_of_stock, text) == 0
    found = {span.entity for leaf in detection.found_by_stock(engine_of_stock, text) for span in leaf}
    assert found == set(ENTITIES)
    assert detection.differences(engine_of_stock, text, DEFAULT) == 0
    assert mask_json(text, detection.PLAN, Detector(detection.PLAN)).counts


def test_what_a_kilobyte_costs_in_a_large_document_is_told_as_a_ratio() -> None:
    (figure,) = detection.growth(1, large=100_000)
    assert (figure.unit, figure.name) == ("x", "masking a kB in a document of 100 kB")
