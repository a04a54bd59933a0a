"""Detection in the proxy's own process is loaded beside all else, and nobody waits for that longer than they want."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.masking.conftest import PATIENCE

from headgate.masking.inline import Inline
from headgate.masking.plan import Operator, Plan, Wanted, detect_nothing

DETECTING = Plan(detect=(Wanted("NAME", Operator.REDACT),))


def made(_plan: Any, _budget: Any) -> Any:
    return detect_nothing


def test_who_waits_has_it_once_it_is_loaded() -> None:
    async def run() -> None:
        inline = Inline(lambda: made)
        assert not inline.ready
        assert inline.detector(Plan(), 1) is detect_nothing
        with pytest.raises(RuntimeError):
            inline.detector(DETECTING, 1)
        assert await asyncio.gather(*(inline.wait(PATIENCE) for _ in range(3))) == [True] * 3
        assert inline.detector(DETECTING, 1) is detect_nothing

    asyncio.run(run())


def failing(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def test_that_it_fails_is_known_at_once(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(Inline(failing(ImportError("where it is installed"))).wait(PATIENCE)) is False
    assert caplog.messages == ["detection cannot be loaded: ImportError"]


def test_so_it_is_whatever_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _failure: failed.set())
    assert asyncio.run(Inline(failing(ZeroDivisionError())).wait(PATIENCE)) is False
    assert failed.wait(PATIENCE)


def test_a_proxy_that_ends_does_not_wait_for_it() -> None:
    """With a thread of asyncio's own, this would never come to its end."""
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def load() -> Any:
        begun.set()
        go_on.wait(PATIENCE)
        over.set()
        return made

    async def run() -> Inline:
        inline = Inline(load)
        inline.start()
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        assert await inline.wait(0) is False
        await inline.stop()
        return inline

    asyncio.run(run())
    assert not over.is_set()
    loaders = [thread for thread in threading.enumerate() if "loader" in thread.name]
    assert [thread.daemon for thread in loaders] == [True]
    go_on.set()
    loaders[0].join(PATIENCE)
    assert over.is_set()
