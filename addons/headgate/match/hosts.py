"""Hosts in one spelling each, so that a rule and a connection cannot mean different machines by the same text."""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\Z")
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)\Z")


@lru_cache(maxsize=4096)
def canonical_host(host: str) -> str | None:
    """The one spelling of a host: a name in lower case, an IPv4 address, or an IPv6 address in brackets.

    None for what two parsers may read differently: other spellings of IPv4 (`127.1`, `0x7f000001`), zones, names that
    are not ASCII. An IPv4 address mapped into IPv6 is the IPv4 address, for that is where a connection goes.
    """
    if not host.isascii():
        return None
    name = host.lower().removesuffix(".")
    try:
        if ":" in name:
            address = IPv6Address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
            return None if address.scope_id else str(address.ipv4_mapped or f"[{address}]")
        if is_address(name):
            return str(IPv4Address(name))
    except AddressValueError:
        return None
    return name if _NAME.match(name) else None


def is_address(host: str) -> bool:
    """Whether a host would be read as an address, well-formed or not (URL Standard, "ends in a number")."""
    return host.startswith("[") or _NUMBER.match(host.rpartition(".")[2]) is not None


def host_pattern(text: str) -> str:
    """A host as rules write it, exact or `*.suffix`, in its one spelling; ValueError says what is accepted."""
    name = text.removeprefix("*.")
    canonical = canonical_host(name)
    if canonical is None or (is_address(canonical) and canonical != text.lower()):
        accepted = "a name in ASCII without a port, `*.suffix`, `10.1.2.3`, or `[2001:db8::1]` in its short form"
        raise ValueError(f"`{text[:80]}` is not a host; accepted: {accepted}")
    return canonical if name == text else f"*.{canonical}"


def host_keys(host: str) -> Iterator[str]:
    """The host patterns that hold for a canonical host, the most specific first."""
    yield host
    while not is_address(host) and "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"
