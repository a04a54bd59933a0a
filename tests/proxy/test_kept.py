"""What stays of a WebSocket's messages, and what becomes of its pings."""

import pytest

from headgate.masking.due import NOTHING, Due
from headgate.masking.plan import Operator, Plan
from headgate.proxy.kept import LARGEST_SHOWN, MOST_PINGS, MOST_SHOWN, Pings, Socket


def show(socket: Socket, content: bytes) -> None:
    socket.show(content, from_client=False, is_text=True, now=1.0)


def test_only_the_last_messages_stay() -> None:
    socket = Socket(NOTHING, 0.0)
    for number in range(MOST_SHOWN + 50):
        show(socket, b"%d" % number)
    assert [message.content for message in socket.data.messages] == [b"%d" % n for n in range(50, MOST_SHOWN + 50)]


def test_nor_do_more_bytes_than_are_allowed() -> None:
    socket = Socket(NOTHING, 0.0)
    for _ in range(5):
        show(socket, b"x" * (LARGEST_SHOWN // 2))
    assert [len(message.content) for message in socket.data.messages] == [LARGEST_SHOWN // 2] * 2
    show(socket, b"x" * (LARGEST_SHOWN + 1))
    assert socket.data.messages == []
    show(socket, b"small")
    assert [message.content for message in socket.data.messages] == [b"small"]


def test_what_others_make_of_them_is_undone() -> None:
    socket = Socket(NOTHING, 0.0)
    for content in (b"a", b"b", b"c"):
        show(socket, content)
    socket.data.messages[0].content = b"forged"
    socket.data.messages.append(socket.data.messages.pop(1))
    socket.restore()
    assert [message.content for message in socket.data.messages] == [b"a", b"b", b"c"]


READING = Plan(paths=(("$.ssn", Operator.REDACT),))
NAMING = Plan(headers=(("x-name", Operator.REDACT),))


@pytest.mark.parametrize("plan", [None, NAMING, READING])
def test_messages_are_masked_only_where_bodies_are_read(plan: Plan | None) -> None:
    expected = READING if plan is READING else None
    assert Socket(Due(caller=plan), 0.0).plan(from_client=False) == expected
    assert Socket(Due(caller=plan), 0.0).plan(from_client=True) is None
    assert Socket(Due(request=plan), 0.0).plan(from_client=True) == expected
    assert Socket(Due(record=plan), 0.0).recorded == expected


@pytest.mark.parametrize("from_client", [True, False])
def test_a_masked_peers_ping_goes_on_as_a_number_and_comes_back_as_it_was(from_client: bool) -> None:
    pings = Pings()
    numbers = [pings.ping(b"secret %d" % at, from_client=from_client, masked=True) for at in range(3)]
    assert numbers == [b"1", b"2", b"3"]
    assert pings.pong(b"2", from_client=not from_client, masked=False) == b"secret 1"
    assert pings.pong(b"unasked", from_client=not from_client, masked=False) == b"unasked"


@pytest.mark.parametrize("from_client", [True, False])
def test_a_masked_peer_pongs_what_it_was_sent_or_nothing(from_client: bool) -> None:
    pings = Pings()
    assert pings.ping(b"mine", from_client=not from_client, masked=False) == b"mine"
    assert pings.pong(b"mine", from_client=from_client, masked=True) == b"mine"
    assert pings.pong(b"secret", from_client=from_client, masked=True) == b""
    for at in range(MOST_PINGS):
        pings.ping(b"%d" % at, from_client=not from_client, masked=False)
    assert pings.pong(b"mine", from_client=from_client, masked=True) == b""


def test_where_both_are_masked_neither_hears_what_the_other_put_into_a_ping() -> None:
    pings = Pings()
    to_server = pings.ping(b"of the client", from_client=True, masked=True)
    to_client = pings.ping(b"of the server", from_client=False, masked=True)
    assert {to_server, to_client} == {b"1", b"2"}
    assert pings.pong(to_server, from_client=False, masked=True) == b"of the client"
    assert pings.pong(to_client, from_client=True, masked=True) == b"of the server"
