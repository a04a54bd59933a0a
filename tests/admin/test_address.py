"""Where the admin listener is, and which names it answers to."""

import socket

import pytest

from headgate.admin.address import Address, names_loopback, on_loopback
from headgate.errors import HeadgateError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8082", "127.0.0.1", 8082),
        ("localhost:0", "localhost", 0),
        ("Admin.Internal:65535", "admin.internal", 65535),
        ("0.0.0.0:80", "0.0.0.0", 80),  # noqa: S104 - parsed, not bound
        ("[::1]:8082", "::1", 8082),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "8082",
        ":8082",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:8082/",
        "127.0.0.1:8082\n",
        "::1:8082",
        "[::1]",
        "http://127.0.0.1:8082",
        "user@127.0.0.1:8082",
        "a b:8082",
        "127.0.0.1:٨٠",
        " ",
        "false",
        "x" * 500 + ":1",
    ],
)
def test_anything_else_is_refused_in_one_line_that_names_the_option(text: str) -> None:
    with pytest.raises(HeadgateError) as refused:
        Address.parse(text)
    message = str(refused.value)
    assert message.startswith("option `headgate_admin`: ")
    assert message.endswith("accepted: `HOST:PORT` such as `127.0.0.1:8082`, or empty for none")
    assert message.isprintable()
    assert len(message) < 200


def test_a_port_in_use_is_refused_in_one_line_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HeadgateError) as refused:
            Address("127.0.0.1", port).bind()
    assert str(refused.value) == (
        f"option `headgate_admin`: cannot listen on `127.0.0.1:{port}`: address already in use; "
        "accepted: another `HOST:PORT`, or empty for none (`--set headgate_admin=`)"
    )


def test_what_is_bound_is_listened_on() -> None:
    with Address("localhost", 0).bind() as bound, socket.create_connection(bound.getsockname(), timeout=5):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "256.1.1.1", "a..b", "-"])
def test_an_address_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(HeadgateError, match=r"option `headgate_admin`: cannot listen on `.*:0`: "):
        Address(host, 0).bind()


@pytest.mark.parametrize(
    ("host", "closed"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("localhost", True), ("0.0.0.0", False)],  # noqa: S104
)
def test_what_others_can_reach_is_told_by_the_address_it_is_bound_to(host: str, closed: bool) -> None:
    with socket.socket() as bound:  # not listening: nobody gets in meanwhile
        bound.bind((host, 0))
        assert on_loopback(bound) is closed


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8082", True),
        ("127.0.0.1", True),
        ("127.8.9.1:1", True),
        ("localhost:9999", True),
        ("LOCALHOST", True),
        ("[::1]:8082", True),
        ("guard.local:8082", True),
        ("", False),
        ("evil.example", False),
        ("evil.example:8082", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("127.0.0.1@evil.example", False),
        ("127.0.0.1, evil.example", False),
        ("10.0.0.1:8082", False),
        ("0.0.0.0:8082", False),
        ("[::]:8082", False),
        ("2130706433", False),
        ("localhost:x", False),
        ("guard.local.", False),
    ],
)
def test_a_listener_on_loopback_answers_to_loopback_names_and_its_own(host: str, answered: bool) -> None:
    assert names_loopback(host, "guard.local") is answered
