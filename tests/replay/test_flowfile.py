"""A record opens in mitmproxy with its verdict, and comes back from mitmproxy's file as it was."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from mitmproxy import io as flows
from mitmproxy import tcp, udp
from mitmproxy.test import tflow
from tests.replay.exchanged import DECISION, FLOW, NOW, directions, entry, message, spoken

from headgate.capture.entries import Recorded
from headgate.capture.record import Kind
from headgate.replay.flowfile import flow_of, read_flows, write_flow
from headgate.replay.foreign import Damaged
from headgate.replay.netstrings import DEEPEST, LARGEST, pieces

OPENS = flows.FlowReader


def written(*given_entries, messages=()):
    file = io.BytesIO()
    for one in given_entries:
        write_flow(file, one, messages)
    return file.getvalue()


def read_back(tmp_path, content):
    path = tmp_path / "some.flows"
    path.write_bytes(content)
    return list(read_flows(path))


def test_mitmproxy_opens_it_with_the_verdict_at_the_flow():
    (flow,) = OPENS(io.BytesIO(written(entry()))).stream()
    assert (flow.id, flow.marked, flow.comment) == (FLOW, ":white_check_mark:", "allowed: support-reads, 1 masked")
    assert flow.request.url == "https://api.internal:8443/v1/refunds?a=1&b"
    assert (flow.response.status_code, flow.response.content, flow.error) == (200, b"ok", None)
    assert (flow.request.timestamp_start, flow.request.timestamp_end) == (NOW, NOW + 0.25)
    assert (flow.response.timestamp_start, flow.response.timestamp_end) == (NOW + 0.375, NOW + 0.5)
    assert (flow.client_conn.tls_version, flow.client_conn.sni) == ("TLSv1.3", "api.internal")
    assert (flow.server_conn.peername, flow.server_conn.cipher) == (("198.51.100.1", 8443), "AES")
    assert flow.metadata == {"headgate_decision": DECISION}


@pytest.mark.parametrize(
    ("summary", "marker", "comment"),
    [
        ({"refusal": "denied", "refusal_reason": "rule-denies", "rule": "no"}, ":no_entry:", "refused: no"),
        ({"refusal": "unauthenticated", "refusal_reason": "expired"}, ":no_entry:", "refused: expired"),
        ({"refusal": "withheld", "refusal_reason": "body-missing"}, ":no_entry:", "withheld: body-missing"),
        ({"reason": "imported", "effect": "deny"}, ":inbox_tray:", "imported: never decided by these rules"),
        ({"effect": "deny", "mode": "observe", "reason": "no-rule-allows"}, ":eyes:", "NOT ENFORCED (observed), "),
    ],
)
def test_every_verdict_is_told_apart(summary, marker, comment):
    flow = flow_of(entry(summary=summary))
    assert flow.marked == marker
    assert flow.comment.startswith(comment)


def test_the_same_record_gives_the_same_bytes():
    assert written(entry()) == written(entry())


def test_a_record_without_headers_and_bodies_opens_too():
    none = Recorded(None, b"", 7, truncated=False)
    (flow,) = OPENS(io.BytesIO(written(entry(none, none)))).stream()
    assert (list(flow.request.headers), flow.request.raw_content) == ([], b"")


@given(directions, directions)
def test_a_request_and_a_response_come_back_as_they_were(tmp_path_factory, request_, response):
    (found,) = read_back(tmp_path_factory.mktemp("f"), written(made := entry(request_, response)))
    for part, kept in ((found.request, request_), (found.response, response)):
        assert [
            (n.decode("utf-8", "surrogateescape"), v.decode("utf-8", "surrogateescape")) for n, v in part.fields
        ] == list(kept.headers)
        assert part.body == kept.body
    assert (found.flow_id, found.status, found.started, found.ended) == (FLOW, 200, NOW, NOW + 0.5)
    assert (found.line.method, found.line.host, found.line.port) == (b"POST", "api.internal", 8443)
    assert found.line.target == b"/v1/refunds?a=1&b"
    assert found.connection.client.sni == made.connection["client"]["sni"]
    assert found.connection.times == tuple(made.connection["times"].values())


@given(spoken)
def test_messages_come_back_as_they_were(tmp_path_factory, said):
    websocket = entry(kind="websocket")
    (found,) = read_back(tmp_path_factory.mktemp("f"), written(websocket, messages=said))
    assert found.kind == Kind.WEBSOCKET
    assert [(one.time, one.from_client, one.text, one.content) for one in found.messages] == [
        (one.time, one.from_client, one.kind == "text", one.body) for one in said
    ]


def test_a_tcp_flow_goes_out_and_comes_in(tmp_path):
    made = entry(kind="tcp", summary={"method": "TCP", "path": "", "status": None}, response=None)
    (found,) = read_back(tmp_path, written(made, messages=[message(0, b"\x00hello", text=False)]))
    assert (found.kind, [one.content for one in found.messages]) == (Kind.TCP, [b"\x00hello"])


def test_an_error_comes_back_as_a_word_of_ours(tmp_path):
    one = entry(summary={"error": "client-disconnected"})
    other = entry(summary={"error": "connection-failed"})
    assert [found.error for found in read_back(tmp_path, written(one, other))] == [
        "client-disconnected", "connection-failed"
    ]  # fmt: skip


def test_what_an_error_quotes_stays_outside(tmp_path):
    flow = tflow.tflow(err=True)
    flow.error.msg = "getaddrinfo failed for secret.internal"
    file = io.BytesIO()
    flows.FlowWriter(file).add(flow)
    assert read_back(tmp_path, file.getvalue())[0].error == "connection-failed"


def test_kinds_that_are_not_kept_are_passed_over(tmp_path):
    file = io.BytesIO()
    for flow in (tflow.tudpflow(), tflow.ttcpflow(), tflow.tdnsflow()):
        assert isinstance(flow, udp.UDPFlow | tcp.TCPFlow) or flow.type == "dns"
        flows.FlowWriter(file).add(flow)
    assert [found and found.kind for found in read_back(tmp_path, file.getvalue())] == [None, Kind.TCP, None]


# -- files that are not what they should be ---------------------------------------------------------------------------

GOOD = written(entry())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD + GOOD[: len(GOOD) // 2], "flow 2 of `some.flows` cannot be read: it ends in the middle of a flow"),
        (GOOD + b"hello", "flow 2 of `some.flows` cannot be read: something that is no flow"),
        (b"5:hello,", "something that is no flow"),
        (b"0:}", "a flow that no mitmproxy writes"),
        (b"99999999999999:}", "something that is no flow"),
        (f"{LARGEST + 1}:".encode(), "a flow of more than 128 MB"),
        (b"4:9:x,}", "a flow that is no netstring"),
        (GOOD.replace(b"7:version;2:21#", b"7:version;2:99#"), "a newer mitmproxy wrote it"),
        (GOOD.replace(b"4:8443#", b"4:-443#"), "a port that does not exist"),
        (GOOD.replace(b"3:200#", b"3:-20#"), "a status that does not exist"),
    ],
)
def test_a_damaged_file_is_named_with_the_flow(tmp_path, content, says):
    with pytest.raises(Damaged) as caught:
        read_back(tmp_path, content)
    assert says in str(caught.value)


def test_no_byte_less_and_no_other_byte_makes_it_raise_anything_else(tmp_path):
    for at in range(0, len(GOOD), 7):
        for content in (GOOD[:at], GOOD[:at] + b"\xff" + GOOD[at + 1 :], GOOD[:at] + b"9" + GOOD[at:]):
            try:
                read_back(tmp_path, content)
            except Damaged as error:
                assert "api.internal" not in str(error)  # noqa: PT017 - it may also be read


def test_a_length_that_is_not_there_takes_no_memory():
    class Counting(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            self.asked = max(self.asked, size)
            return super().read(size)

    file = Counting(f"{LARGEST * 50}:".encode())
    with pytest.raises(Damaged):
        list(pieces(file))
    assert file.asked <= 1


def nested(levels):
    text = b"0:]"
    for _ in range(levels):
        text = b"%d:%s]" % (len(text), text)
    return text


def test_what_goes_deeper_than_any_flow_is_refused_before_it_is_parsed():
    with pytest.raises(Damaged, match="more than any has need of"):
        list(pieces(io.BytesIO(nested(5000))))
    assert len(list(pieces(io.BytesIO(nested(DEEPEST - 4))))) == 1


def test_what_holds_more_than_any_flow_is_refused_before_it_is_parsed():
    many = b"0:~" * 500_001
    with pytest.raises(Damaged, match="more than any has need of"):
        list(pieces(io.BytesIO(b"%d:%s]" % (len(many), many))))


def test_an_id_that_cannot_be_asked_for_gets_another_the_same_each_time(tmp_path):
    odd = replace(entry(), summary=replace(entry().summary, flow_id="../../etc"))
    first, second = (read_back(tmp_path, written(odd))[0].flow_id for _ in range(2))
    assert first == second != "../../etc"
