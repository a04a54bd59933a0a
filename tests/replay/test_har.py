"""A record stands in an HTTP Archive as browsers read it, and comes back as it was; archives of others are read."""

import base64
import io
import json

import pytest
from hypothesis import given
from mitmproxy.io import FlowReader
from tests.replay.exchanged import FLOW, NOW, directions, entry, message, recorded, spoken

from headgate.capture.record import Kind
from headgate.replay import harentries
from headgate.replay.foreign import Damaged
from headgate.replay.har import HarFile, read_har

OTHERS = {
    "startedDateTime": "2027-01-15T08:00:00Z",
    "time": 12,
    "request": {
        "method": "POST",
        "url": "https://shop.example/cart?x=1",
        "httpVersion": "HTTP/2",
        "headers": [{"name": ":method", "value": "POST"}, {"name": "cookie", "value": "s=1"}],
        "postData": {"mimeType": "text/plain", "text": "hello"},
    },
    "response": {
        "status": 201,
        "httpVersion": "HTTP/2",
        "headers": [{"name": "content-type", "value": "text/plain"}],
        "content": {"text": "aGk=", "encoding": "base64"},
    },
}


def archive(*given_entries, messages=()):
    file = io.BytesIO()
    har = HarFile(file)
    for one in given_entries:
        assert har.add(one, messages)
    har.close()
    return file.getvalue()


def of_others(*entries, **log):
    return json.dumps({"log": {"version": "1.2", **log, "entries": list(entries)}}).encode()


def read_back(tmp_path, content):
    path = tmp_path / "some.har"
    path.write_bytes(content)
    return list(read_har(path))


def changed(**parts):
    return {name: {**OTHERS[name], **parts[name]} if name in parts else value for name, value in OTHERS.items()}


def test_the_places_of_the_format_hold_what_they_are_for():
    (made,) = json.loads(archive(entry()))["log"]["entries"]
    assert made["startedDateTime"] == "2027-01-15T08:00:00.250000+00:00"
    assert made["request"]["url"] == "https://api.internal:8443/v1/refunds?a=1&b"
    assert made["request"]["postData"]["text"] == '{"n": 1}'
    assert (made["response"]["status"], made["response"]["content"]["text"]) == (200, "ok")
    assert made["comment"] == "allowed: support-reads, 1 masked"
    assert (made["_headgate"]["verdict"], made["_headgate"]["rule"]) == ("allowed", "support-reads")


def test_a_compressed_body_is_shown_as_what_it_says_with_its_sizes():
    import gzip

    body = gzip.compress(b"hello " * 100, mtime=0)
    (made,) = json.loads(archive(entry(response=recorded(((b"content-encoding", b"gzip"),), body))))["log"]["entries"]
    content = made["response"]["content"]
    assert (content["text"], content["size"], content["compression"]) == ("hello " * 100, 600, 600 - len(body))
    assert base64.b64decode(made["_headgate"]["response"]["body"]) == body


def test_mitmproxy_reads_it():
    (flow,) = FlowReader(io.BytesIO(archive(entry()))).stream()
    assert (flow.request.pretty_url, flow.response.text) == ("https://api.internal:8443/v1/refunds?a=1&b", "ok")


def test_no_half_character_stands_in_it():
    (made,) = json.loads(archive(entry(recorded(((b"x", b"\xff\xfe"),), b"\xff"))))["log"]["entries"]
    assert made["request"]["headers"] == [{"name": "x", "value": "\\xff\\xfe"}]
    json.dumps(made, ensure_ascii=False).encode()


@given(directions, directions)
def test_a_record_comes_back_as_it_was(tmp_path_factory, request_, response):
    (found,) = read_back(tmp_path_factory.mktemp("h"), archive(made := entry(request_, response)))
    for part, kept in ((found.request, request_), (found.response, response)):
        assert [
            (n.decode("utf-8", "surrogateescape"), v.decode("utf-8", "surrogateescape")) for n, v in part.fields
        ] == list(kept.headers)
        assert part.body == kept.body
    assert (found.flow_id, found.status, found.started, found.ended) == (FLOW, 200, NOW, NOW + 0.5)
    assert (found.line.method, found.line.host, found.line.port) == (b"POST", "api.internal", 8443)
    assert found.line.target == b"/v1/refunds?a=1&b"
    assert found.connection.times == tuple(made.connection["times"].values())


@given(spoken)
def test_messages_come_back_as_they_were(tmp_path_factory, said):
    (found,) = read_back(tmp_path_factory.mktemp("h"), archive(entry(kind="websocket"), messages=said))
    assert [(one.time, one.from_client, one.text, one.content) for one in found.messages] == [
        (one.time, one.from_client, one.kind == "text", one.body) for one in said
    ]


def test_a_tcp_flow_has_no_place_in_it():
    har = HarFile(io.BytesIO())
    assert not har.add(entry(kind="tcp"), [message(0, b"x")])


# -- archives of others -----------------------------------------------------------------------------------------------


def test_an_archive_of_somebody_else_is_read(tmp_path):
    (found,) = read_back(tmp_path, of_others(OTHERS))
    assert (found.line.method, found.line.host, found.line.target) == (b"POST", "shop.example", b"/cart?x=1")
    assert (found.request.body, found.status, found.response.body) == (b"hello", 201, b"hi")


def test_the_same_archive_gives_the_same_ids_and_no_two_alike(tmp_path):
    first, second = (read_back(tmp_path, of_others(OTHERS, OTHERS)) for _ in range(2))
    assert [one.flow_id for one in first] == [one.flow_id for one in second]
    assert len({one.flow_id for one in first}) == 2


def test_a_byte_order_mark_and_other_members_do_not_matter(tmp_path):
    content = of_others(OTHERS, pages=[{"entries": [{"no": "entry"}], "x": "]}"}], creator={"name": '"log"'})
    assert len(read_back(tmp_path, b"\xef\xbb\xbf" + content)) == 1


def test_a_request_that_nobody_answered_has_no_response(tmp_path):
    (found,) = read_back(tmp_path, of_others(changed(response={"status": 0, "content": {}})))
    assert (found.status, found.response, found.error) == (None, None, "connection-failed")


def test_messages_of_a_browser_are_kept(tmp_path):
    said = [
        {"type": "send", "time": NOW, "opcode": 1, "data": "hi"},
        {"type": "receive", "time": NOW, "opcode": 2, "data": "AAE="},
    ]
    (found,) = read_back(tmp_path, of_others(OTHERS | {"_webSocketMessages": said}))
    assert (found.kind, [one.content for one in found.messages]) == (Kind.WEBSOCKET, [b"hi", b"\x00\x01"])


def test_what_an_archive_claims_of_a_verdict_is_not_read(tmp_path):
    (made,) = json.loads(archive(entry()))["log"]["entries"]
    (found,) = read_back(tmp_path, of_others(made))
    assert not {"verdict", "effect", "principal", "masks"} & set(type(found).__dataclass_fields__)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (of_others(OTHERS)[:-20], "it ends in the middle"),
        (of_others(OTHERS, OTHERS)[:-200], "entry 2 of `some.har` cannot be read"),
        (b"{}", "it has no `log.entries`"),
        (b'{"log": {"entries": {"a": {}}}}', "it has no `log.entries`"),
        (b'{"other": {"entries": [{}]}}', "it has no `log.entries`"),
        (of_others({"no": "entry"}), "an entry that is not as HAR 1.2 has it"),
        (of_others(changed(request={"url": 7})), "an entry that is not as HAR 1.2 has it"),
        (of_others(changed(response={"status": 12345})), "a status that does not exist"),
        (of_others(OTHERS | {"startedDateTime": "0001-01-01T00:00:00Z"}), "cannot be read"),
        (of_others(OTHERS | {"_headgate": {"kind": "http"}}), "an entry that is not as HAR 1.2 has it"),
        (b'{"log": {"entries": [' + b"[" * 100 + b"]" * 100 + b"]}}", "deeper than any archive"),
        (b'{"log": {"entries": [{"a": [' + b"0," * 500_001 + b"0]}]}}", "more than any has need of"),
        (b"}" + of_others(OTHERS), "a bracket too many"),
    ],
)
def test_a_damaged_archive_is_named_with_the_entry(tmp_path, content, says):
    with pytest.raises(Damaged) as caught:
        read_back(tmp_path, content)
    assert says in str(caught.value)


def test_entries_are_found_wherever_the_pieces_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(harentries, "CHUNK", 7)
    odd = OTHERS | {"comment": 'a "quoted \\" brace } ] and \\'}
    assert len(read_back(tmp_path, of_others(odd, OTHERS, odd))) == 3


def test_no_more_than_one_entry_is_in_memory(tmp_path, monkeypatch):
    """However many entries there are, what is held is one of them, and a piece."""
    monkeypatch.setattr(harentries, "CHUNK", 4096)
    held = []
    more = harentries._Cutter._more

    def watched(self, quote):
        held.append(len(self._text))
        return more(self, quote)

    monkeypatch.setattr(harentries._Cutter, "_more", watched)
    assert len(read_back(tmp_path, of_others(*[OTHERS] * 300))) == 300
    assert max(held) < 4 * 4096
