"""Which peers are believed about the client behind them, and which address that client then has.

Anybody can write `X-Forwarded-For`. Each proxy adds the address that it saw to the end, so the entries are as true as
the proxies that added them: read from the end, up to the first address that is no trusted proxy. That one is the
source; what stands before it, the client wrote itself. From a peer that is not trusted the header means nothing.

A peer is an address, so the networks listed have to be ones in which nobody else can take one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

from headgate.errors import InvalidRules
from headgate.identity.reasons import Malformed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ACCEPTED = "accepted: addresses and networks such as `10.1.2.3`, `10.0.0.0/8` or `fd00::/8`"
MAX_HOPS = 50
"""Trusted proxies that one request may have come through: who names more of them only makes work."""

_CIDR = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?\Z")
_ENTRY = re.compile(rb"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?\Z|([0-9A-Fa-f:.]+)\Z")
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The peers whose word counts; made by `compile_trusted`."""

    networks: tuple[Network, ...]

    def trusts(self, address: str) -> bool:
        """Whether `address`, as a socket names its peer, is a listed one."""
        parsed = _peer(address)
        return parsed is not None and self._listed(parsed)

    def source(self, peer: str, forwarded_for: Sequence[bytes]) -> str | Malformed:
        """The address of the client, in its one spelling; `forwarded_for` are the values of the fields, in order."""
        address = _peer(peer)
        if address is None:
            return peer
        entries = [entry for value in forwarded_for for entry in value.split(b",")]
        beyond = len(entries) - MAX_HOPS
        while entries and self._listed(address):
            if len(entries) <= beyond:
                return Malformed.FORWARDED_FOR
            hop = _entry(entries.pop().strip(b" \t"))
            if hop is None:
                return Malformed.FORWARDED_FOR
            address = hop
        return str(address)

    def _listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def compile_trusted(texts: Sequence[str]) -> TrustedProxies:
    """The peers listed in `trusted_proxies`; InvalidRules names each entry (by its index) that is not accepted."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    networks: list[Network] = []
    for index, text in enumerate(texts):
        try:
            networks.append(_network(text))
        except ValueError as error:
            problems.append(((index,), str(error)))
    if not problems and any(network.prefixlen == 0 for network in _together(networks)):
        problems.append(((), "together these are every address, so everybody would be believed about who calls"))
    if problems:
        raise InvalidRules(problems)
    return TrustedProxies(tuple(networks))


def _network(text: str) -> Network:
    if not _CIDR.match(text):
        raise ValueError(f"`{text[:80]}` is not a network; {ACCEPTED}")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"`{text[:80]}` is not a network; {ACCEPTED}") from None
    if network.prefixlen == 0:
        raise ValueError(f"`{text}` is every address, so everybody would be believed about who calls; {ACCEPTED}")
    if network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"`{text}` has bits set beyond its prefix; accepted: `{network}`")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"`{text}` is IPv4 written as IPv6; accepted: the same as IPv4")
    return network


def _together(networks: Sequence[Network]) -> list[Network]:
    four = [network for network in networks if isinstance(network, IPv4Network)]
    six = [network for network in networks if isinstance(network, IPv6Network)]
    return [*collapse_addresses(four), *collapse_addresses(six)]


@lru_cache(maxsize=4096)
def _peer(text: str) -> Address | None:
    """The address of a socket's peer; its zone is about this machine's interfaces and no part of it."""
    return _address(text.partition("%")[0])


def _entry(text: bytes) -> Address | None:
    """An entry of X-Forwarded-For: an address, with or without a port."""
    found = _ENTRY.match(text)
    if not found or (found[3] and int(found[3]) > 65535):
        return None
    return _address((found[1] or found[2] or found[4]).decode("ascii"), six=found[2] is not None)


def _address(text: str, *, six: bool = False) -> Address | None:
    """An address in one of its textual forms; one of IPv4 mapped into IPv6 is the IPv4 one, as connections go."""
    try:
        address = IPv6Address(text) if six else ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
