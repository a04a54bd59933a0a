"""Makes the masker of a response that flows fail, once the response says `wreck: FAULT`."""

from collections.abc import Callable
from typing import Any

from headgate.masking.streaming import StreamMask

SECRET = "c4n4ry in the text of an exception"

FAULTS: dict[str, Callable[[], Any]] = {
    "ValueError": lambda: ValueError(SECRET),
    "RecursionError": lambda: RecursionError(SECRET),
    "MemoryError": lambda: MemoryError(SECRET),
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [ValueError(SECRET)]),
}

_feed = StreamMask.feed


def _wrecked(self: StreamMask, data: bytes) -> Any:
    _, wreck, fault = data.decode("latin-1").partition("wreck: ")
    if wreck:
        name = fault.split()[0]
        if name == "nothing":
            return None
        raise FAULTS[name]()
    return _feed(self, data)


StreamMask.feed = _wrecked  # type: ignore[method-assign]
