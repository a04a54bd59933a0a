"""What the record keeps, and for how long, while a proxy runs."""

import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy
from tests.e2e.test_start import ended
from tests.e2e.upstream import Upstream

from headgate.audit.store import AuditStore
from headgate.capture.entries import Filter
from headgate.capture.store import Store


def _pruned(state: Path) -> list[dict[str, int]]:
    acts = (entry.leaf for entry in AuditStore(state).entries(kinds=("act",)))
    return [leaf["facts"] for leaf in acts if leaf and leaf["act"] == "pruned"]


def test_what_is_older_than_it_may_be_goes_and_the_log_says_so(proxies: Start, upstream: Upstream) -> None:
    mode = f"reverse:{upstream.url}"
    first = proxies(mode=mode).warm()
    first.get("/customers/7")
    first.stop()
    before = len(Store(first.state).summaries(Filter(), 100))
    time.sleep(1.1)  # an age is in whole seconds, and this is the wall clock of another process
    again = proxies("--set", "headgate_retention=1s", mode=mode, state=first.state).ready()
    end = time.monotonic() + PATIENCE
    while not (told := _pruned(again.state)) and time.monotonic() < end:
        time.sleep(0.1)
    assert [facts["flows"] for facts in told] == [before]
    assert Store(again.state).summaries(Filter(), 100) == []


@pytest.mark.parametrize("wrong", ["30", "30d,40d", "0GB"])
def test_a_retention_that_says_nothing_ends_the_start(attempt: Start, upstream: Upstream, wrong: str) -> None:
    proxy: Proxy = attempt("--set", f"headgate_retention={wrong}", mode=f"reverse:{upstream.url}")
    (problem,) = ended(proxy)
    assert "accepted: " in problem
