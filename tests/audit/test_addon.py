"""Each exchange has one decision and one outcome in the log, and nothing goes on that the log has not taken."""

import asyncio
import dataclasses

import pytest
from mitmproxy import flow as flows
from mitmproxy.test import taddons, tflow, tutils

from headgate.audit.addon import UNAVAILABLE, Audit
from headgate.audit.leaf import LeafKind
from headgate.audit.writer import AuditUnavailable
from headgate.model import (
    BundleRef,
    Decision,
    Effect,
    Exchange,
    Kind,
    MaskCount,
    Principal,
    Request,
    RuleRef,
    Target,
    denied,
    malformed,
    ulid,
    withheld,
)

NOW = 1_800_000_000.0
RULE = RuleRef("support-reads", Effect.ALLOW, "rules/policy.yaml", 12)


def allowed(**changes):
    """An exchange as it is when everything on the way in has passed."""
    made = Exchange(
        ulid(int(NOW * 1000), 7),
        NOW,
        bundle=BundleRef("demo", "1.0.0", "ab" * 32),
        source="127.0.0.1",
        request=Request("POST", "http", "customers.internal", 80, "/v1/customers/4111111111111111", body=b"s3cr3t"),
        principal=Principal("ana", Kind.HUMAN, "corp-sso"),
        target=Target("customers", "prod"),
        decision=Decision(Effect.ALLOW, "allowed-by-rule", (RULE,)),
    )
    return dataclasses.replace(made, **changes)


class Log:
    """Stands in for a writer: takes entries and makes them at once, or does not take them."""

    def __init__(self, *, ready=True, takes=True):
        self.ready, self.takes = ready, takes
        self.leaves, self.weights, self.asked = [], [], []

    def put(self, make, weight=1024):
        self.asked.append(make)
        if self.takes:
            self.leaves.append(make())
            self.weights.append(weight)
        return self.takes

    def put_and_wait(self, make, weight=1024):
        self.put(make, weight)
        self.written = asyncio.get_running_loop().create_future()
        return self.written

    def digest(self, data):
        return f"digest of {len(data)} bytes"

    @property
    def kinds(self):
        return [leaf["kind"] for leaf in self.leaves]


@pytest.fixture
def flow():
    return tflow.tflow(req=tutils.treq(path=b"/v1/customers/[redacted]?a=1"), resp=tutils.tresp(status_code=200))


def audit(flow, exchange, log, *, on_error="refuse", strict=False, address=None):
    return Audit(
        {flow.id: exchange},
        log,
        on_error=lambda: on_error,
        clock=lambda: NOW + 1,
        strict=strict,
        address=lambda _flow, _plain: address,
    )


# -- what is written --------------------------------------------------------------------------------------------------


def test_a_request_that_goes_on_has_its_decision_in_the_log_before_and_its_outcome_after(flow):
    log, exchange = Log(), allowed()
    stage = audit(flow, exchange, log)
    assert stage.request(flow) is None
    assert (log.kinds, exchange.refusal) == (["decision"], None)
    exchange.masked = True
    stage.ended(flow, 128)
    assert log.kinds == ["decision", "outcome"]
    assert (log.leaves[1]["status"], log.leaves[1]["bytes"], log.leaves[1]["path"]) == (
        200,
        128,
        "/v1/customers/[redacted]",
    )


def test_a_refused_request_has_both_in_the_log_when_it_ends(flow):
    log, exchange = Log(), allowed(decision=None, refusal=denied("rule-denies", rule="no"))
    audit(flow, exchange, log).ended(flow, 0)
    assert log.kinds == ["decision", "outcome"]
    assert log.leaves[0]["refusal"] == {"type": "denied", "reason": "rule-denies"}
    assert log.leaves[1]["status"] == 403


def test_however_often_it_ends_there_is_one_of_each(flow):
    log, exchange = Log(), allowed()
    stage = audit(flow, exchange, log)
    stage.request(flow)
    for _ in range(3):
        stage.ended(flow, 1)
    assert log.kinds == ["decision", "outcome"]


def test_what_becomes_of_an_exchange_later_changes_no_entry_that_is_waiting(flow):
    """The writer's thread makes entries when it gets to them."""
    log, exchange = Log(takes=False), allowed()
    stage = audit(flow, exchange, log, on_error="continue")
    stage.request(flow)
    exchange.refusal, exchange.masks = withheld("not-masked"), (MaskCount("/a", "field", "redact", 1),)
    exchange.stage_us["late"] = 1
    stage.ended(flow, 1)
    exchange.refusal, exchange.masks = None, ()
    exchange.stage_us["later"] = 1
    decision, outcome = (make() for make in log.asked)
    assert (decision["refusal"], decision["effect"]) == (None, "allow")
    assert (outcome["refusal"]["reason"], len(outcome["masks"]), outcome["stage_us"]) == ("not-masked", 1, {"late": 1})


def test_a_response_that_is_withheld_later_is_told_by_the_outcome(flow):
    log, exchange = Log(), allowed()
    stage = audit(flow, exchange, log)
    stage.request(flow)
    exchange.refusal = withheld("not-masked")
    stage.ended(flow, 10)
    decision, outcome = log.leaves
    assert (decision["refusal"], outcome["status"]) == (None, 502)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Client disconnected.", "client-disconnected"),
        (flows.Error.KILLED_MESSAGE, "killed"),
        ("Invalid header line: b'Set-Cookie: s3cr3t'", "connection-failed"),
    ],
)
def test_a_connection_that_fails_is_told_without_what_the_message_quotes(message, told, flow):
    log = Log()
    flow.response, flow.error = None, flows.Error(message)
    audit(flow, allowed(), log).ended(flow, 0)
    assert (log.leaves[1]["error"], log.leaves[1]["status"]) == (told, None)
    assert "s3cr3t" not in str(log.leaves)


def test_a_path_is_outlined_unless_it_is_known_how_records_may_show_it(flow):
    outlined, shown = Log(), Log()
    audit(flow, allowed(), outlined).request(flow)
    audit(flow, allowed(), shown, address="/v1/customers/[CARD]").request(flow)
    assert outlined.leaves[0]["request"]["path"] == "/v1/customers/[redacted]"
    assert shown.leaves[0]["request"]["path"] == "/v1/customers/[CARD]"


@pytest.mark.parametrize(("path", "plain"), [("/v1/customers/7", True), ("/v1/customers/AKIAIOSFODNN7EXAMPLE", False)])
def test_who_masks_the_path_is_told_whether_its_outline_hides_nothing_of_it(path, plain, flow):
    asked, exchange = [], allowed(request=dataclasses.replace(allowed().request, path=path))
    made = {"on_error": lambda: "refuse", "clock": lambda: NOW}
    Audit({flow.id: exchange}, Log(), **made, address=lambda _flow, plain: asked.append(plain) or "/").request(flow)
    assert asked == [plain]


def test_a_path_that_nobody_has_masked_is_not_shown_at_the_end(flow):
    log = Log()
    audit(flow, allowed(masked=False), log).ended(flow, 0)
    assert log.leaves[1]["path"] is None


def test_a_body_is_told_by_a_digest_and_weighs_what_it_holds(flow):
    log = Log()
    audit(flow, allowed(), log).request(flow)
    assert log.leaves[0]["request"]["body_digest"] == "digest of 6 bytes"
    assert "s3cr3t" not in str(log.leaves)
    heavy = allowed(request=dataclasses.replace(allowed().request, body=b"x" * 100_000))
    audit(flow, heavy, log).request(flow)
    assert log.weights[1] - log.weights[0] == 100_000 - 6


def test_a_flow_that_is_not_http_is_told_as_it_is_refused():
    log, other = Log(), tflow.ttcpflow()
    stage = Audit({}, log, on_error=lambda: "refuse", clock=lambda: NOW)
    stage.other(other, allowed(request=None, principal=None, target=None, decision=None, refusal=malformed("not-http")))
    assert log.kinds == [LeafKind.DECISION, LeafKind.OUTCOME]
    assert log.leaves[0]["reason"] == "not-http"


# -- while the log takes nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_error", "strict", "refused"), [("refuse", False, True), ("continue", False, False), ("continue", True, True)]
)
def test_while_the_log_takes_nothing_requests_are_refused_unless_they_may_go_on(flow, on_error, strict, refused):
    log = Log(ready=False, takes=False)
    expected = UNAVAILABLE if refused else None
    for hook in ("requestheaders", "request"):
        exchange = allowed()
        getattr(audit(flow, exchange, log, on_error=on_error, strict=strict), hook)(flow)
        assert exchange.refusal == expected


def test_a_log_that_fills_just_then_refuses_too_and_gets_the_decision_later(flow):
    log, exchange = Log(takes=False), allowed()
    stage = audit(flow, exchange, log)
    stage.request(flow)
    assert exchange.refusal == UNAVAILABLE
    log.takes = True
    stage.ended(flow, 0)
    assert log.kinds == ["decision", "outcome"]
    assert log.leaves[0]["refusal"]["reason"] == "audit-unavailable"


def test_who_was_refused_before_keeps_that_reason(flow):
    exchange = allowed(refusal=denied("rule-denies"))
    with taddons.context():
        stage = audit(flow, exchange, Log(ready=False, takes=False))
    stage.ended(flow, 0)
    assert exchange.refusal.reason == "rule-denies"


def test_once_the_proxy_stops_nothing_goes_on_whatever_the_operator_says(flow):
    log = Log()
    stage = audit(flow, exchange := allowed(), log, on_error="continue")
    stage.stop()
    stage.request(flow)
    assert (exchange.refusal, log.kinds) == (UNAVAILABLE, [])


# -- strict -----------------------------------------------------------------------------------------------------------


def test_a_strict_request_waits_until_its_decision_is_on_disk(flow):
    async def go_on():
        log, exchange = Log(), allowed()
        waiting = asyncio.ensure_future(audit(flow, exchange, log, strict=True).request(flow))
        await asyncio.sleep(0)
        assert not waiting.done()
        log.written.set_result(1)
        await waiting
        assert exchange.refusal is None

    asyncio.run(go_on())


def test_a_strict_request_whose_decision_does_not_reach_the_disk_is_refused_and_told_once(flow):
    """The entry was taken: it may still be written, and its outcome says what became of it."""

    async def fail():
        log, exchange = Log(), allowed()
        stage = audit(flow, exchange, log, strict=True)
        waiting = asyncio.ensure_future(stage.request(flow))
        await asyncio.sleep(0)
        log.written.set_exception(AuditUnavailable("the disk is full"))
        await waiting
        assert exchange.refusal == UNAVAILABLE
        stage.ended(flow, 0)
        assert log.kinds == ["decision", "outcome"]
        assert (log.leaves[1]["status"], log.leaves[1]["refusal"]["reason"]) == (503, "audit-unavailable")

    asyncio.run(fail())


def test_while_one_strict_request_waits_another_goes_on(flow):
    async def both():
        log = Log()
        slow, quick = allowed(), allowed()
        first = asyncio.ensure_future(audit(flow, slow, log, strict=True).request(flow))
        await asyncio.sleep(0)
        kept = log.written
        second = asyncio.ensure_future(audit(flow, quick, log, strict=True).request(flow))
        await asyncio.sleep(0)
        log.written.set_result(2)
        await second
        assert not first.done()
        kept.set_result(1)
        await first

    asyncio.run(both())
