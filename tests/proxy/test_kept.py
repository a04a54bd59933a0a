"""What stays of a WebSocket's messages, and what becomes of its pings."""

from headgate.masking.plan import Operator, Plan
from headgate.proxy.kept import LARGEST_SHOWN, MOST_PINGS, MOST_SHOWN, Pings, Socket


def show(socket: Socket, content: bytes) -> None:
    socket.show(content, from_client=False, is_text=True, now=1.0)


def test_only_the_last_messages_stay() -> None:
    socket = Socket(None, 0.0)
    for number in range(MOST_SHOWN + 50):
        show(socket, b"%d" % number)
    assert [message.content for message in socket.data.messages] == [b"%d" % n for n in range(50, MOST_SHOWN + 50)]


def test_nor_do_more_bytes_than_are_allowed() -> None:
    socket = Socket(None, 0.0)
    for _ in range(5):
        show(socket, b"x" * (LARGEST_SHOWN // 2))
    assert [len(message.content) for message in socket.data.messages] == [LARGEST_SHOWN // 2] * 2
    show(socket, b"x" * (LARGEST_SHOWN + 1))
    assert socket.data.messages == []
    show(socket, b"small")
    assert [message.content for message in socket.data.messages] == [b"small"]


def test_what_others_make_of_them_is_undone() -> None:
    socket = Socket(None, 0.0)
    for content in (b"a", b"b", b"c"):
        show(socket, content)
    socket.data.messages[0].content = b"forged"
    socket.data.messages.append(socket.data.messages.pop(1))
    socket.restore()
    assert [message.content for message in socket.data.messages] == [b"a", b"b", b"c"]


def test_messages_to_the_caller_are_masked_only_where_bodies_are_read() -> None:
    assert not Socket(None, 0.0).masks
    assert not Socket(Plan(headers=(("x-name", Operator.REDACT),)), 0.0).masks
    assert Socket(Plan(paths=(("$.ssn", Operator.REDACT),)), 0.0).masks


def test_an_upstreams_ping_goes_on_as_a_number_and_comes_back_as_it_was() -> None:
    pings = Pings()
    numbers = [pings.ping(b"secret %d" % at, from_client=False) for at in range(3)]
    assert numbers == [b"1", b"2", b"3"]
    assert pings.pong(b"2", from_client=True) == b"secret 1"
    assert pings.pong(b"unasked", from_client=True) == b"unasked"


def test_an_upstream_pongs_what_it_was_sent_or_nothing() -> None:
    pings = Pings()
    assert pings.ping(b"mine", from_client=True) == b"mine"
    assert pings.pong(b"mine", from_client=False) == b"mine"
    assert pings.pong(b"secret", from_client=False) == b""
    for at in range(MOST_PINGS):
        pings.ping(b"%d" % at, from_client=True)
    assert pings.pong(b"mine", from_client=False) == b""
