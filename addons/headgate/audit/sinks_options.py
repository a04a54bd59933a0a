"""Where events go, as the options say: `headgate_events` and `headgate_events_key`.

A webhook is reached over https, or over http on this machine only, and gets nothing that is not signed.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

import httpx

from headgate.audit.sinks import Outlet
from headgate.audit.sinks_stdout import Stdout
from headgate.audit.sinks_syslog import Syslog
from headgate.audit.sinks_webhook import Webhook
from headgate.errors import HeadgateError
from headgate.secret import resolve

OPTION, KEY_OPTION = "headgate_events", "headgate_events_key"
ACCEPTED = "accepted: `stdout`, `syslog`, `syslog:HOST:PORT` and `https://...`, separated by commas"
SHORTEST_KEY = 16

_SYSLOG = re.compile(r"syslog:(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][A-Za-z0-9.-]{0,252})):([0-9]{1,5})\Z")


def outlets(
    events: str, key: str, *, environ: Mapping[str, str], base: Path, clock: Callable[[], float]
) -> list[Outlet]:
    """What the options ask for; HeadgateError when it cannot be had. `key` refers to the secret that signs."""
    wanted = list(dict.fromkeys(part.strip() for part in events.split(",") if part.strip()))
    hooks = [part for part in wanted if "://" in part]
    if key and not hooks:
        raise HeadgateError(f"option `{KEY_OPTION}` signs what a webhook gets, and `{OPTION}` names none")
    secret = _signing_key(key, environ, base) if hooks else b""
    return [_outlet(part, secret, clock) for part in wanted]


def _outlet(part: str, secret: bytes, clock: Callable[[], float]) -> Outlet:
    if part == "stdout":
        return Stdout()
    if part == "syslog":
        return Syslog(None)
    if found := _SYSLOG.match(part):
        if not 0 < int(found[3]) < 65536:
            raise HeadgateError(f"option `{OPTION}`: `{part}` has an impossible port; {ACCEPTED}")
        return Syslog((found[1] or found[2], int(found[3])))
    if "://" in part:
        return Webhook(_address(part), secret, clock)
    shown = "".join(letter if letter.isprintable() else "?" for letter in part[:60])
    raise HeadgateError(f"option `{OPTION}`: `{shown}` is unknown; {ACCEPTED}")


def _signing_key(reference: str, environ: Mapping[str, str], base: Path) -> bytes:
    if not reference:
        raise HeadgateError(
            f"option `{KEY_OPTION}` must name the secret that signs what the webhook gets; accepted: `env:NAME` or "
            "`file:PATH`"
        )
    key = resolve(reference, environ, base).strip()
    if len(key) < SHORTEST_KEY:
        raise HeadgateError(f"secret `{reference}` is too short to sign with; accepted: at least {SHORTEST_KEY} bytes")
    return key


def _address(text: str) -> httpx.URL:
    """Not quoted where it is refused: it may hold a secret."""
    try:
        url = httpx.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        raise HeadgateError(f"option `{OPTION}`: a webhook's address is no URL; {ACCEPTED}") from None
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise HeadgateError(f"option `{OPTION}`: a webhook's address begins with `https://`, but on this machine")
    if not host or url.userinfo or "#" in text or (url.port or 0) > 65535:
        raise HeadgateError(
            f"option `{OPTION}`: a webhook's address has a host, and neither a user, a fragment nor an impossible port"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
