"""Failures told without what they may hold: an exception's text, and mitmproxy's own log lines, can quote traffic."""

import asyncio
import logging
import re
import traceback
from typing import Any

from mitmproxy.proxy.layers.http import _http1, _http2, _http3
from mitmproxy.proxy.layers.http._base import format_error

QUOTED = re.compile(r"""(?<!\w)(?:bytearray\(b|b)?(?:'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?)\)?""", re.DOTALL)
LONGEST = 4096
"""Characters of a message that are looked at: mitmproxy puts all that a client has sent into some, gigabytes of it,
and searching costs many times that in memory."""

QUERY = re.compile(r"\?\S*")
REASON = re.compile(r"(refused HTTP CONNECT request: \d+).*", re.DOTALL)
TALKATIVE = (
    "mitmproxy.proxy",
    "mitmproxy.net",
    "mitmproxy.master",
    "mitmproxy.addons.next_layer",
    "mitmproxy.addons.proxyserver",
    "mitmproxy.addonmanager",
    "asyncio",
    "h2",
    "hpack",
)
"""Loggers whose lines may quote what a peer sent (a half-read request, a header that does not parse)."""


def describe(error: BaseException) -> str:
    """An exception's type and where it was raised, such as `ValueError at policy/engine.py:40 in decide`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} at {'/'.join(last.filename.split('/')[-2:])}:{last.lineno} in {last.name}"


def without_quotes(text: str) -> str:
    """`text` with all that stands in quotes left out: messages name what they quote that way."""
    return QUOTED.sub("[withheld]", text[:LONGEST])  # where that cuts a quotation, the rest of it has no end


def error_text(text: str) -> str:
    """mitmproxy's words for what became of a flow, without those of a peer: a proxy further on gives any reason."""
    return REASON.sub(r"\1", without_quotes(text))


def stay() -> None:
    """Take back a cancellation of the running hook: mitmproxy would never tell its client that it has ended."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def quiet_pages() -> None:
    """Keep what an upstream sent out of the pages with which mitmproxy answers when it cannot read it."""
    for module in (_http1, _http2, _http3):
        module.format_error = _quiet_page  # type: ignore[attr-defined]


def _quiet_page(status_code: int, message: str) -> bytes:
    return format_error(status_code, "" if status_code >= 500 else without_quotes(message))


def quiet_logs() -> None:
    """Keep traffic out of every log line of mitmproxy's proxy core, whatever handler writes it, at every level."""
    make = logging.getLogRecordFactory()
    if getattr(make, "quiet", False):
        return

    def factory(*arguments: Any, **keywords: Any) -> logging.LogRecord:
        record = make(*arguments, **keywords)
        if record.name.startswith("tornado"):  # mitmweb's token is a query parameter
            record.msg, record.args = QUERY.sub("?[withheld]", record.getMessage()), ()
        elif record.name.startswith(TALKATIVE):
            text = without_quotes(record.getMessage())
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text.splitlines()[0] if text else ''} ({describe(record.exc_info[1])})"
            record.msg, record.args, record.exc_info = text, (), None
        return record

    factory.quiet = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
