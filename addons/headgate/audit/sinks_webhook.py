"""Events to a webhook: batches of JSON, each signed, so that the receiver knows who sent it and when.

`Headgate-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over `SECONDS.BODY`: a receiver compares in constant
time and refuses what is older than a few minutes. What is not answered with 2xx is sent again, signed anew, unless the
answer says that it never will be taken; so a batch may arrive twice. Redirects are not followed and proxies of the
environment not used: nobody but the address that was configured gets what happened here.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx

from headgate.audit.sinks import Event, RejectedError, UndeliveredError

SECONDS = httpx.Timeout(10.0, connect=5.0)
LONGEST = 30.0
"""Seconds for one batch: a receiver that goes on saying `100 Continue`, or a header a letter at a time, is cut off."""

BATCH = 100
SIGNATURE = "Headgate-Signature"

AGAIN = frozenset({408, 425, 429})
"""Refusals that say `later`, beside everything from 500 on."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and those may hold a secret


class Webhook:
    """`key` signs; `clock` gives seconds since the epoch; `longest` is how many of them one batch may take."""

    batch = BATCH

    def __init__(self, url: httpx.URL, key: bytes, clock: Callable[[], float], longest: float = LONGEST) -> None:
        self.name = f"the webhook at {url.host}"  # a path may hold a secret
        self._url, self._key, self._clock, self._longest = url, key, clock, longest
        self._client: httpx.Client | None = None

    def send(self, events: Sequence[Event]) -> None:
        body = b'{"events":[' + b",".join(event.line for event in events) + b"]}"
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self._key, body, int(self._clock()))}
        try:
            status = self._answered(self._client or self._open(), body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise UndeliveredError(f"no answer ({type(error).__name__})") from None
        if 400 <= status < 500 and status not in AGAIN:
            raise RejectedError(f"it answers with status {status}")
        if not 200 <= status < 300:
            raise UndeliveredError(f"it answers with status {status}; redirects are not followed")

    def _answered(self, client: httpx.Client, body: bytes, headers: dict[str, str]) -> int:
        """The status; what is answered beyond that is not read."""
        end = threading.Timer(self._longest, client.close)
        end.daemon = True
        end.start()
        try:
            with client.stream("POST", self._url, content=body, headers=headers) as response:
                return response.status_code
        finally:
            end.cancel()
            if client.is_closed:
                self._client = None

    def close(self) -> None:
        if self._client:
            with suppress(OSError):
                self._client.close()
        self._client = None

    def _open(self) -> httpx.Client:
        """In the sink's own thread: to read the certificates of this machine takes a moment."""
        trust = httpx.create_ssl_context(trust_env=False)  # certifi's list
        trust.load_default_certs()
        self._client = httpx.Client(verify=trust, trust_env=False, follow_redirects=False, timeout=SECONDS)
        return self._client


def signature(key: bytes, body: bytes, seconds: int) -> str:
    signed = hmac.digest(key, f"{seconds}.".encode() + body, "sha256").hex()
    return f"t={seconds},v1={signed}"
