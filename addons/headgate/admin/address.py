"""Where the admin listener is, and which names it answers to.

On loopback it has no other protection than that, so it must not be talked to through somebody's browser: a page whose
name has been made to resolve to 127.0.0.1 (DNS rebinding) names its own host in `Host`, and gets no answer.
"""

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address

from headgate.errors import HeadgateError

OPTION = "headgate_admin"
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,99})):(?P<port>[0-9]{1,5})\Z")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?\Z")
_SHOWN = 60
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`HOST:PORT`, an IPv6 address in brackets; HeadgateError for anything else."""
        found = _ADDRESS.match(text)
        if not found or int(found["port"]) > 65535:
            shown = "".join(letter if letter.isprintable() else "?" for letter in text[:_SHOWN])
            raise HeadgateError(
                f"option `{OPTION}`: `{shown}` is no address; accepted: `HOST:PORT` such as `127.0.0.1:8082`, or empty "
                "for none"
            )
        return cls((found["v6"] or found["host"]).lower(), int(found["port"]))

    def bind(self) -> socket.socket:
        """Its socket, listening; HeadgateError if it cannot be had."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            opened = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise self._unavailable((error.strerror or "unknown").partition(" (")[0].lower()) from None
        except UnicodeError:
            raise self._unavailable("not a host name") from None
        opened.setblocking(False)
        return opened

    def _unavailable(self, reason: str) -> HeadgateError:
        return HeadgateError(
            f"option `{OPTION}`: cannot listen on `{self}`: {reason}; accepted: another `HOST:PORT`, or empty for none "
            f"(`--set {OPTION}=`)"
        )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def on_loopback(opened: socket.socket) -> bool:
    """Whether only this machine reaches it; by its address, whatever name it was bound by."""
    return _is_loopback(str(opened.getsockname()[0]))


def names_loopback(host: str, bound: str) -> bool:
    """Whether a request with this `Host` can be meant for a listener on loopback that was bound as `bound`."""
    found = _HOST.match(host.lower())
    name = (found[1] or found[2]) if found else ""
    return name in ("localhost", bound) or _is_loopback(name)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
