"""`source:` the address of the peer. An IPv4 address mapped into IPv6 is the IPv4 address, as for hosts."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from headgate.match.conditions import Condition, shared
from headgate.match.facts import Facts
from headgate.match.sections import Some, Text, listed
from headgate.model import Request

MAPPED = IPv6Network("::ffff:0:0/96")


def network(text: str) -> str:
    """A network as rules write it; ValueError says what is accepted."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        accepted = "an address or a network such as `10.0.0.0/8` or `2001:db8::/32`"
        raise ValueError(f"`{text[:80]}` is not a network; accepted: {accepted}") from None
    address, _, length = text.partition("/")
    if length and not (length.isascii() and length.isdigit()):
        raise ValueError(f"`{text[:80]}` has no length of a prefix; accepted: `{found}`")
    if "%" in text:
        raise ValueError(f"`{text[:80]}` names a zone; accepted: a network without one")
    if isinstance(found, IPv6Network) and found.subnet_of(MAPPED):
        plain = IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
        raise ValueError(f"`{text[:80]}` is IPv4 mapped into IPv6; accepted: `{plain}`")
    if ip_address(address) != found.network_address:
        raise ValueError(f"`{text[:80]}` is longer than its prefix; accepted: `{found}` or `{address}`")
    return str(found)


Networks = Annotated[
    tuple[Annotated[Text, AfterValidator(network)], ...],
    BeforeValidator(listed, json_schema_input_type=str | list[str]),
    Some,
]


def compile_source(spec: tuple[str, ...]) -> Iterator[Condition]:
    yield _source(spec)


@shared
def _source(texts: tuple[str, ...]) -> Condition:
    prefixes: dict[tuple[int, int], set[int]] = {}
    for found in map(ip_network, texts):
        shift = found.max_prefixlen - found.prefixlen
        prefixes.setdefault((found.version, shift), set()).add(int(found.network_address) >> shift)
    wanted = tuple((version, shift, frozenset(found)) for (version, shift), found in prefixes.items())

    def test(facts: Facts) -> bool | None:
        peer = facts.view(address)
        if peer is None:
            return None
        of, number = peer
        return any(version == of and number >> shift in found for version, shift, found in wanted)

    return Condition(test, "source", list(texts), lambda facts: facts.request.source or None, location=("source",))


def address(request: Request) -> tuple[int, int] | None:
    """Version and number of the peer's address, None for what is none."""
    try:
        found = ip_address(request.source)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.version, int(found)
