"""A response that flows: what may pass, what others see of it, and how it ends (at the door: e2e/test_streams.py)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow
from mitmproxy.test.tutils import tresp

from headgate.masking.due import NOTHING, Due
from headgate.masking.plan import CannotMask, Operator, Plan
from headgate.masking.response import Received
from headgate.masking.streaming import StreamMask
from headgate.model import Refusal, denied, guard_error, withheld
from headgate.proxy.flowing import CUT_OFF, Flowing, Opening
from headgate.proxy.held import Held
from headgate.proxy.stages import NO_STREAMS, StreamStages
from headgate.proxy.streaming import Streams

EVENTS = (b"content-type", b"text/event-stream")
SSN = Plan(paths=(("$..ssn", Operator.REDACT),))
SECRET, MASKED = b'data: {"ssn": "c4n4ry"}\n\n', b'data: {"ssn": "[REDACTED]"}\n\n'


def mask_of(due: Due = Due(SSN, SSN)) -> StreamMask:  # noqa: B008 - it is frozen
    def no_detector(_: Plan) -> Any:
        raise AssertionError("no mask here detects")

    return StreamMask(due, Received("GET", 200, (EVENTS, (b"x-api-key", b"c4n4ry")), b""), no_detector)


class Bench:
    """The guard's side of one response, with stages that a test replaces."""

    def __init__(self, **changed: Any) -> None:
        self.flow = tflow.tflow()
        self.held = Held("01", 0.0, flow=self.flow, client=self.flow.client_conn)
        self.held.withheld = tresp(headers=http.Headers([EVENTS]), content=None, reason=b"c4n4ry")
        self.closed: list[tuple[http.HTTPFlow, int, int]] = []
        self.streams = Streams({self.flow.id: self.held})
        self.streams.stages = StreamStages(
            **{
                "mask": self.mask,
                "due": lambda _: NOTHING,
                "keep": lambda _: None,
                "finish": self.finish,
                "closed": lambda *closed: self.closed.append(closed),
                **changed,
            }
        )

    async def mask(self, _: http.HTTPFlow) -> StreamMask | None:
        return mask_of()

    async def finish(self, _: http.HTTPFlow) -> None:
        self.held.masked = True

    async def open(self) -> Opening:
        opening = Opening(self.flow)
        verdict = self.streams.open(opening)
        assert (verdict if isinstance(verdict, bool) else await verdict) is False, "no addon hears of it"
        return opening

    async def opened(self) -> Flowing:
        flowing = (await self.open()).flowing
        assert flowing
        return flowing


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


# ----------------------------------------------------------------------------------------------------- its beginning


def test_others_see_a_head_without_credentials_and_without_a_body() -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        shown = bench.flow.response
        assert shown is not flowing.head
        assert (dict(flowing.head.headers)["x-api-key"], flowing.head.reason) == ("c4n4ry", "OK")
        assert (dict(shown.headers)["x-api-key"], shown.raw_content) == ("[redacted]", None)

    run(test)


@pytest.mark.parametrize(
    ("version", "fields", "chunked"),
    [
        (b"HTTP/1.1", ((b"content-length", b"3"),), False),
        (b"HTTP/1.1", ((b"transfer-encoding", b"chunked"), (b"trailer", b"x")), True),
        (b"HTTP/1.1", (), True),
        (b"HTTP/1.0", ((b"Transfer-Encoding", b"chunked"),), False),
        (b"HTTP/2.0", ((b"transfer-encoding", b"chunked"),), False),
    ],
)
def test_a_client_is_told_the_end_as_it_understands_it(
    version: bytes, fields: tuple[tuple[bytes, bytes], ...], chunked: bool
) -> None:
    async def plain(_: http.HTTPFlow) -> StreamMask:
        return StreamMask(NOTHING, Received("GET", 200, (EVENTS, *fields), b""), lambda _: pytest.fail("no detection"))

    async def test() -> None:
        bench = Bench(mask=plain)
        bench.flow.request.data.http_version = version
        headers = (await bench.opened()).head.headers
        assert ("transfer-encoding" in headers) == chunked
        assert "trailer" not in headers
        assert headers.get("content-length", "") == dict(fields).get(b"content-length", b"").decode()

    run(test)


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (CannotMask("charset-not-maskable"), "charset-not-maskable"),
        (ValueError("c4n4ry"), "masking-failed"),
        (asyncio.CancelledError("c4n4ry"), "masking-failed"),
        (RecursionError("c4n4ry"), "masking-failed"),
    ],
)
def test_what_cannot_begin_is_refused(failing: BaseException, reason: str) -> None:
    async def fail(_: http.HTTPFlow) -> StreamMask:
        raise failing

    async def test() -> None:
        bench = Bench(mask=fail)
        opening = await bench.open()
        assert (opening.flowing, opening.refused) == (None, True)
        assert bench.held.refusal == withheld(reason)
        assert bench.held.flowing is None

    run(test)


def test_what_could_not_be_recorded_is_refused() -> None:
    unavailable = guard_error("capture-unavailable")

    async def test() -> None:
        bench = Bench(keep=lambda _: setattr(bench.held, "refusal", unavailable))
        opening = await bench.open()
        assert (opening.flowing, opening.refused, bench.held.refusal) == (None, True, unavailable)

    run(test)


def test_what_is_masked_as_a_whole_is_neither_let_flow_nor_refused() -> None:
    async def none(_: http.HTTPFlow) -> None:
        return None

    async def test() -> None:
        opening = await Bench(mask=none).open()
        assert (opening.flowing, opening.refused) == (None, False)

    run(test)


def test_one_that_has_been_refused_or_that_nobody_knows_is_refused_at_once() -> None:
    async def test() -> None:
        refused, unknown, headless = Bench(), Bench(), Bench()
        refused.held.refusal = denied("revoked")
        unknown.streams = Streams({})
        headless.held.withheld = None
        for bench in (refused, unknown, headless):
            opening = await bench.open()
            assert (opening.flowing, opening.refused) == (None, True)

    run(test)


def test_before_there_are_stages_nothing_flows() -> None:
    async def test() -> None:
        bench = Bench()
        bench.streams.stages = NO_STREAMS
        assert (await bench.open()).refused

    run(test)


# ---------------------------------------------------------------------------------------------------- while it flows


@pytest.mark.parametrize(
    "failing", [CannotMask("invalid-json"), ValueError("c4n4ry"), RecursionError(), MemoryError(), AssertionError()]
)
@pytest.mark.parametrize("step", ["feed", "end"])
def test_a_masker_that_fails_gives_nothing_any_more(failing: Exception, step: str) -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        assert flowing.feed(SECRET) == MASKED
        fail = replace_step(flowing, step, failing)
        assert getattr(flowing, step)(*fail) == b""
        reason = failing.reason if isinstance(failing, CannotMask) else "masking-failed"
        assert (flowing.stop(), bench.held.error) == (withheld(reason), CUT_OFF)
        assert flowing.feed(SECRET) == flowing.end() == b""
        assert flowing.size == len(MASKED)

    run(test)


def replace_step(flowing: Flowing, step: str, failing: Exception) -> tuple[bytes, ...]:
    def fail(*_: bytes) -> bytes:
        raise failing

    setattr(flowing.mask, step, fail)
    return (SECRET,) if step == "feed" else ()


def test_a_refusal_that_comes_later_stops_it() -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        assert flowing.stop() is None
        bench.held.refusal = denied("revoked")
        assert flowing.feed(SECRET) == b""
        assert flowing.stop() == denied("revoked")

    run(test)


def test_one_that_nobody_has_judged_for_too_long_stops() -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        bench.streams.overdue = lambda held: held is bench.held
        assert flowing.feed(SECRET) == b""
        assert bench.held.refusal == guard_error("not-judged-again")

    run(test)


def test_what_others_make_of_the_flow_is_undone() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.opened()
        shown = bench.flow.response
        before = shown.get_state()
        shown.content, shown.status_code, shown.headers["x"] = b"forged", 201, "y"
        bench.streams.seal(bench.flow)
        assert bench.flow.response.get_state() == before
        bench.flow.response = None
        bench.streams.seal(bench.flow)
        assert bench.flow.response.get_state() == before

    run(test)


# ------------------------------------------------------------------------------------------------------- its end


def test_it_is_recorded_once_with_what_may_be_shown() -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        flowing.feed(SECRET)
        flowing.end()
        await asyncio.gather(bench.streams.finish(bench.held), bench.streams.finish_all("proxy-stopped"))
        await bench.streams.finish(bench.held, "again")
        assert bench.closed == [(bench.flow, 0, 0)]
        assert (bench.flow.response.raw_content, bench.held.error) == (MASKED, None)
        assert [mask.count for mask in bench.held.masks] == [1]
        assert bench.flow.response.headers["x-api-key"] == "[redacted]"

    run(test)


@pytest.mark.parametrize("fails", [True, False])
def test_a_request_that_cannot_be_masked_is_not_shown(fails: bool) -> None:
    async def finish(_: http.HTTPFlow) -> None:
        if fails:
            raise ValueError("c4n4ry")

    async def test() -> None:
        bench = Bench(finish=finish)
        bench.flow.request.path = "/c4n4ry"
        await bench.opened()
        await bench.streams.finish(bench.held)
        assert bench.flow.request.path == "/[withheld]"
        assert bench.held.refusal == withheld("masking-failed" if fails else "not-masked")
        assert len(bench.closed) == 1

    run(test)


def test_a_record_that_fails_is_no_clean_end() -> None:
    def fail(*_: object) -> None:
        raise ValueError("c4n4ry")

    async def test() -> None:
        bench = Bench(closed=fail)
        flowing = await bench.opened()
        await bench.streams.finish(bench.held)
        assert flowing.stop() == guard_error("capture-failed")

    run(test)


def test_what_was_not_kept_is_counted() -> None:
    async def test() -> None:
        bench = Bench()
        flowing = await bench.opened()
        flowing.mask = replaced_mask()
        for _ in range(32):
            flowing.feed(b"x" * 64 * 1024)
        await bench.streams.finish(bench.held)
        ((_, sent, received),) = bench.closed
        assert (sent, received + len(bench.flow.response.raw_content)) == (0, 32 * 64 * 1024)

    run(test)


def replaced_mask() -> StreamMask:
    return mask_of(NOTHING)


def test_refusals_keep_their_first_reason() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.opened()
        first: Refusal = denied("revoked")
        bench.streams.close(bench.held, first)
        bench.streams.close(bench.held, withheld("masks-changed"))
        assert (bench.held.refusal, bench.held.error) == (first, CUT_OFF)

    run(test)
