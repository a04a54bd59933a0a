"""A response that flows: what lets it pass piece by piece, and what its layer and the guard say to each other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands, events

from headgate.masking.plan import CannotMask
from headgate.masking.streaming import StreamMask
from headgate.model import Refusal, withheld
from headgate.proxy.faults import describe

log = logging.getLogger(__name__)

CUT_OFF = "cut-off"
"""The error of an exchange whose response was ended by the guard after its beginning had been sent."""


@dataclass(slots=True, eq=False)
class Flowing:
    """One response on its way to the caller; nothing in it is on the flow, where others could get at it.

    `head` is what the caller gets. `stop` says why nothing more may go on, None while it may; `refuse` ends it.
    """

    mask: StreamMask = field(repr=False)
    head: http.Response = field(repr=False)
    opened: float
    stop: Callable[[], Refusal | None]
    refuse: Callable[[Refusal], None]
    shown: Any = field(default=None, repr=False)  # the state of what others see in its place
    size: int = 0  # bytes that have gone on
    nanoseconds: int = 0  # what masking has taken

    def feed(self, data: bytes) -> bytes:
        """What may go on of this; never raises: what fails ends it."""
        return self._pass_on(lambda: self.mask.feed(data))

    def end(self) -> bytes:
        """The rest, once the upstream has said all."""
        return self._pass_on(self.mask.end)

    def _pass_on(self, step: Callable[[], bytes]) -> bytes:
        if self.stop():
            return b""
        started = perf_counter_ns()
        try:
            out = step()
            self.size += len(out)
        except CannotMask as cannot:
            self.refuse(withheld(cannot.reason))
            return b""
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more of the response may go on
            log.error("masking failed, a stream ends: %s", describe(error))
            self.refuse(withheld("masking-failed"))
            return b""
        finally:
            self.nanoseconds += perf_counter_ns() - started
        return out


@dataclass(slots=True, eq=False)
class Opening:
    """The head of a response has come whose body may flow. It does if the guard has set `flowing`; with `refused`, the
    caller is answered at once, and with neither the body is waited for."""

    flow: http.HTTPFlow = field(repr=False)
    flowing: Flowing | None = None
    refused: bool = False


@dataclass
class OpeningHook(commands.StartHook):
    """Heard by the guard alone."""

    opening: Opening
    name = "headgate_opening"


class Cutting(events.MessageInjected[None]):
    """The guard ends a response that flows."""
