"""Hosts and ports as requests name them: one strict form, or none (RFC 3986, section 3.2; RFC 9110, section 7.2)."""

import re
from typing import NamedTuple

from headgate.match import canonical_host

DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?\Z")


class Authority(NamedTuple):
    """`host` is canonical (lower case, no trailing dot, IPv6 in brackets); `port` is None where none is given."""

    host: str
    port: int | None = None

    def port_for(self, scheme: str) -> int | None:
        return DEFAULT_PORTS.get(scheme) if self.port is None else self.port


def parse_authority(value: bytes) -> Authority | None:
    """`host` or `host:port`; None for user names, blanks, zones, escapes, and numbers that only look like addresses."""
    found = _AUTHORITY.match(value)
    host = canonical_host(found[1].decode()) if found else None
    if not found or not host:
        return None
    port = int(found[2]) if found[2] else None
    return Authority(host, port) if port is None or 0 < port < 65536 else None


def dialled_host(host: str) -> str | None:
    """The canonical form of a host as mitmproxy holds it: IDNA decoded, IPv6 without brackets."""
    if host.isascii():
        return canonical_host(host)
    try:
        return canonical_host(host.encode("idna").decode("ascii"))
    except UnicodeError:
        return None


def host_field(scheme: str, host: str, port: int) -> str:
    """The value of `Host` for a place where bytes go."""
    return host if DEFAULT_PORTS.get(scheme) == port else f"{host}:{port}"
