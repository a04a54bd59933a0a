"""Every exchange ends in one place, whatever becomes of its flow: so that its outcome can be put on record."""

import pytest
from mitmproxy.test import tflow, tutils

from headgate.model import BundleRef, denied
from headgate.proxy.guard import Guard
from headgate.proxy.stages import Stages


class Ends:
    """Hears of the end of each exchange."""

    def __init__(self):
        self.told = []
        self.guard = Guard(lambda: 1_800_000_000.0)
        stages = Stages((), (), (), (), (), lambda _client: None, ended=self.ended)
        self.guard.begin(stages, lambda: BundleRef("test", "1.0.0", "ab" * 32))

    def ended(self, flow, size):
        held = self.guard.exchanges[flow.id]
        self.told.append((held.decision_id, held.error, size))


@pytest.fixture
def ends():
    return Ends()


def test_a_flow_that_comes_again_ends_what_was_known_of_it(ends):
    flow = tflow.tflow()
    first = ends.guard._hold(flow, None, anew=True)
    second = ends.guard._hold(flow, None, anew=True)
    assert ends.told == [(first.decision_id, "replaced", 0)]
    ends.guard._forget(flow)
    assert ends.told[1:] == [(second.decision_id, None, 0)]


def test_another_flow_of_the_same_id_ends_what_was_known_of_the_first(ends):
    flow, forged = tflow.tflow(), tflow.tflow()
    forged.id = flow.id
    first = ends.guard._hold(flow, None)
    ends.guard._of(forged)
    assert ends.told == [(first.decision_id, "replaced", 0)]
    ends.guard._forget(flow)
    assert len(ends.told) == 1, "the first has ended already, and the other is still there"


def test_when_the_proxy_ends_all_end_and_are_told_why_unless_it_is_clear(ends):
    waiting, refused, answered = tflow.tflow(), tflow.tflow(), tflow.tflow(resp=tutils.tresp(content=b"12345"))
    for flow in (waiting, refused, answered):
        ends.guard._hold(flow, denied("no") if flow is refused else None, anew=True)
    ends.guard.finish_all("proxy-stopped")
    assert [(error, size) for _, error, size in ends.told] == [("proxy-stopped", 0), (None, 0), (None, 5)]


def test_an_end_that_cannot_be_told_leaves_nothing_in_memory(ends, caplog):
    flow = tflow.tflow()
    ends.guard.stages.ended = lambda _flow, _size: 1 / 0
    held = ends.guard._hold(flow, None, anew=True)
    ends.guard._forget(flow)
    assert not ends.guard.exchanges
    assert f"the end of decision {held.decision_id} is not in the audit log: ZeroDivisionError" in caplog.text
