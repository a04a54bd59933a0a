"""Which address a client has behind trusted proxies, and which peers are trusted."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import InvalidRules
from headgate.identity.peers import TrustedProxies, compile_trusted
from headgate.identity.reasons import Malformed

EDGE = compile_trusted(["10.0.0.0/8", "192.0.2.7", "fd00::/8", "fe80::/10"])
NOBODY = TrustedProxies(())


def problems(*texts: str) -> list[tuple[Any, str]]:
    with pytest.raises(InvalidRules) as caught:
        compile_trusted(texts)
    return caught.value.problems


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:a00:1", True),
        ("::ffff:11.0.0.1", False),
        ("::10.0.0.1", False),
        ("fd12::1", True),
        ("FD12:0:0:0:0:0:0:1", True),
        ("fe80::1%eth0", True),
        ("fe80::1%25", True),
        ("2001:db8::1", False),
        ("10.0.0.1 ", False),
        ("010.0.0.1", False),
        ("10.0.0.1:80", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_listed_peers_are_trusted(address: str, trusted: bool) -> None:
    assert EDGE.trusts(address) is trusted
    assert not NOBODY.trusts(address)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "source"),
    [
        pytest.param("203.0.113.9", [], "203.0.113.9", id="a client itself"),
        pytest.param("203.0.113.9", ["10.0.0.1"], "203.0.113.9", id="a client that claims to be a proxy"),
        pytest.param("203.0.113.9", ["\xff garbage"], "203.0.113.9", id="a client that writes anything"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy itself"),
        pytest.param("10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="a client behind a proxy"),
        pytest.param("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9", id="what the client wrote comes before it"),
        pytest.param("10.0.0.1", ["garbage, 203.0.113.9"], "203.0.113.9", id="whatever it wrote"),
        pytest.param("10.0.0.1", ["10.9.9.9, 203.0.113.9"], "203.0.113.9", id="even the address of a proxy"),
        pytest.param("10.0.0.1", ["203.0.113.9, 10.0.0.2,192.0.2.7"], "203.0.113.9", id="behind three proxies"),
        pytest.param("10.0.0.1", ["1.1.1.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9", id="in several fields"),
        pytest.param("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3", id="the first of nothing but proxies"),
        pytest.param("10.0.0.1", ["\t203.0.113.9 "], "203.0.113.9", id="blanks around it"),
        pytest.param("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9", id="with a port"),
        pytest.param("10.0.0.1", ["203.0.113.9, 10.0.0.2:80"], "203.0.113.9", id="a proxy with a port"),
        pytest.param("10.0.0.1", ["[2001:DB8::0:1]:443"], "2001:db8::1", id="IPv6 with a port"),
        pytest.param("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1", id="IPv6 in brackets"),
        pytest.param("10.0.0.1", ["2001:db8::1"], "2001:db8::1", id="IPv6 alone"),
        pytest.param("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9", id="IPv4 as IPv6"),
        pytest.param("10.0.0.1", ["203.0.113.9, [::ffff:10.0.0.2]:1"], "203.0.113.9", id="a proxy as IPv6"),
        pytest.param("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="the peer as IPv6"),
        pytest.param("::ffff:203.0.113.9", ["1.1.1.1"], "203.0.113.9", id="the client as IPv6"),
        pytest.param("fe80::1%eth0", ["203.0.113.9"], "203.0.113.9", id="the peer with a zone"),
        pytest.param("2001:db8::1%3", ["1.1.1.1"], "2001:db8::1", id="the client with a zone"),
        pytest.param("", ["1.1.1.1"], "", id="no peer"),
    ],
)
def test_the_source_is_the_last_address_that_is_no_proxy(peer: str, forwarded_for: list[str], source: str) -> None:
    assert EDGE.source(peer, [value.encode("latin-1") for value in forwarded_for]) == source


def test_without_trusted_proxies_the_peer_is_the_source() -> None:
    assert NOBODY.source("10.0.0.1", [b"203.0.113.9"]) == "10.0.0.1"


@pytest.mark.parametrize(
    "entry",
    [
        "", " ", "unknown", "_hidden", "localhost", "203.0.113", "203.0.113.256", "203.0.113.09", "0x7f.1",
        "3405803785", "203.0.113.9:", "203.0.113.9:x", "203.0.113.9:65536", "203.0.113.9:4711:1", "203.0.113.9/32",
        "203.0.113.9 x", "[203.0.113.9]", "[2001:db8::1", "2001:db8::1]", "[2001:db8::1]80", "[2001:db8::1]:",
        "fe80::1%eth0", "[::1%1]:80", "2001:db8::1::2", ":", "::ffff:203.0.113.256", '"203.0.113.9"', "for=203.0.113.9",
        "203.0.113.9;10.0.0.2", "203.0.113.9\0", "\xff",
    ],
)  # fmt: skip
def test_an_entry_that_is_no_address_is_refused_where_it_counts(entry: str) -> None:
    value = entry.encode("latin-1")
    assert EDGE.source("10.0.0.1", [value]) is Malformed.FORWARDED_FOR
    assert EDGE.source("10.0.0.1", [b"1.1.1.1, " + value + b", 10.0.0.2"]) is Malformed.FORWARDED_FOR
    assert EDGE.source("10.0.0.1", [value + b", 203.0.113.9, 10.0.0.2"]) == "203.0.113.9"
    assert EDGE.source("203.0.113.9", [value]) == "203.0.113.9"


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_bytes_are_a_source_or_malformed(values: list[bytes]) -> None:
    source = EDGE.source("10.0.0.1", values)
    assert source is Malformed.FORWARDED_FOR or str(ipaddress.ip_address(source)) == source


@given(forged=st.binary(max_size=60), client=st.ip_addresses(v=4, network="203.0.113.0/24"))
def test_nothing_that_a_client_writes_changes_its_source(forged: bytes, client: ipaddress.IPv4Address) -> None:
    added = forged + b", " + str(client).encode()
    assert EDGE.source("10.0.0.1", [added]) == EDGE.source("10.0.0.1", [forged, str(client).encode()]) == str(client)


# ---------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_trusting_everybody_is_refused(text: str) -> None:
    ((where, message),) = problems("10.0.0.0/8", text)
    assert where == (1,)
    assert message.startswith(f"`{text}` is every address, so everybody would be believed")


@pytest.mark.parametrize("texts", [("0.0.0.0/1", "128.0.0.0/1"), ("::/2", "8000::/1", "4000::/2", "10.0.0.1")])
def test_trusting_everybody_in_pieces_is_refused(texts: tuple[str, ...]) -> None:
    ((where, message),) = problems(*texts)
    assert where == ()
    assert message.startswith("together these are every address")


@pytest.mark.parametrize(
    "text",
    [
        "", "proxy.internal", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255",
        " 10.0.0.1", "010.0.0.1", "fe80::1%eth0", "[fd00::]/8", "fd00::/129", "*", "10.*", "10.0.0.1-10.0.0.9",
        "10.0.0.1:80",
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(text: str) -> None:
    ((where, message),) = problems(text)
    assert where == (0,)
    assert message.startswith(f"`{text}` is not a network; accepted: ")


def test_a_network_is_written_without_stray_bits() -> None:
    assert problems("10.1.2.3/8") == [((0,), "`10.1.2.3/8` has bits set beyond its prefix; accepted: `10.0.0.0/8`")]
    assert problems("fd00::1/8") == [((0,), "`fd00::1/8` has bits set beyond its prefix; accepted: `fd00::/8`")]


@pytest.mark.parametrize("text", ["::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "::ffff:0:0/96"])
def test_ipv4_is_written_as_ipv4(text: str) -> None:
    """Connections over such an address are seen as IPv4, so the entry would never match."""
    assert problems(text) == [((0,), f"`{text}` is IPv4 written as IPv6; accepted: the same as IPv4")]


def test_every_problem_is_named() -> None:
    assert [where for where, _ in problems("x", "10.0.0.1", "::/0")] == [(0,), (2,)]


def test_a_list_of_nobody_trusts_nobody() -> None:
    assert compile_trusted([]) == NOBODY
