"""What goes out is well formed, signed, and goes nowhere but where it was configured to go."""

import hmac
import json
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tests.e2e.certificates import issue

from headgate.audit.sinks import CHECKPOINT, Event, RejectedError, UndeliveredError
from headgate.audit.sinks_options import outlets
from headgate.audit.sinks_stdout import Stdout
from headgate.audit.sinks_syslog import LONGEST, Syslog, message
from headgate.audit.sinks_webhook import Webhook
from headgate.errors import HeadgateError

NOW = 1_800_000_000.5
PATIENCE = 20.0
KEY = b"k" * 32
TIME = "2027-01-15T08:00:00.250Z"
EVENT = Event("decision", TIME, b'{"kind":"decision"}')

SYSLOG = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<time>-|[0-9T:.Z-]+) (?P<host>[\x21-\x7e]{1,255}) headgate [0-9]{1,128} "
    rb"(?P<id>[\x21-\x7e]{1,32}) - (?P<text>[\x20-\x7e]*)\Z"
)
"""RFC 5424, section 6, as far as it is used."""


# -- stdout -----------------------------------------------------------------------------------------------------------


def test_a_line_is_written_for_each_event():
    reading, writing = os.pipe()
    Stdout(writing).send([EVENT, EVENT])
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b'{"kind":"decision"}\n' * 2


def test_a_pipe_that_takes_little_at_a_time_gets_whole_lines():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = []

    def drain():
        with os.fdopen(reading, "rb") as pipe:
            got.append(pipe.read())

    lines = [Event("decision", TIME, b"%d" % n * 100_000) for n in range(3)]
    reader = threading.Thread(target=drain)
    reader.start()
    Stdout(writing).send(lines)
    os.close(writing)
    reader.join(PATIENCE)
    assert got[0] == b"".join(event.line + b"\n" for event in lines)


def test_a_pipe_that_nobody_reads_any_more_is_an_error_and_no_signal():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        Stdout(writing).send([EVENT])
    os.close(writing)


# -- syslog -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "priority"), [("decision", 13 * 8 + 6), (CHECKPOINT, 13 * 8 + 5)])
def test_a_message_is_one_of_rfc_5424(kind, priority):
    found = SYSLOG.match(message(Event(kind, TIME, b'{"a":"\\n"}'), "proxy-1.internal", 4711))
    assert found
    assert int(found["pri"]) == priority
    assert (found["time"], found["host"], found["id"]) == (TIME.encode(), b"proxy-1.internal", kind.encode())
    assert json.loads(found["text"]) == {"a": "\n"}


@pytest.mark.parametrize("time", ["", "yesterday", "2027-01-15T08:00:00\n<0>1 forged"])
def test_what_is_no_time_is_left_out(time):
    assert SYSLOG.match(message(Event("a b\nc", time, b"{}"), "h", 1))["time"] == b"-"


def test_it_goes_over_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE)
        outlet = Syslog(collector.getsockname(), host="h")
        outlet.send([EVENT, EVENT])
        for _ in range(2):
            assert SYSLOG.match(collector.recv(65536))["text"] == EVENT.line
        outlet.close()


def test_it_goes_to_the_daemon_of_this_machine_and_finds_it_again(tmp_path):
    path = tmp_path / "log"
    outlet = Syslog(None, host="h", local=(str(tmp_path / "none"), str(path)))
    with pytest.raises(UndeliveredError, match="no daemon"):
        outlet.send([EVENT])
    for _ in range(2):  # the second is a daemon that was restarted
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(path))
            daemon.settimeout(PATIENCE)
            try:
                outlet.send([EVENT])
            except OSError:
                outlet.send([EVENT])
            assert SYSLOG.match(daemon.recv(65536))["text"] == EVENT.line
    outlet.close()


def test_what_is_longer_than_a_datagram_may_be_is_not_cut():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE)
        outlet = Syslog(collector.getsockname(), host="h")
        outlet.send([Event("decision", TIME, b"x" * LONGEST), EVENT])
        assert SYSLOG.match(collector.recv(65536))["text"] == EVENT.line
        outlet.close()


# -- webhook ----------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        kept = self.server.kept
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept.got.append((self.path, dict(self.headers), body))
        self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
        if kept.location:
            self.send_header("Location", kept.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Silence."""


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that does not trust the certificate goes away."""


class Receiver:
    """A webhook's receiver: answers with one status after the other, and keeps what it gets."""

    def __init__(self, *statuses, tls=None, location=""):
        self.got, self.statuses, self.location = [], list(statuses), location
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.kept = self
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = httpx.URL(f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}/hook?a=s3cr3t")
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_a_batch_is_signed_as_a_receiver_checks_it():
    with Receiver() as receiver:
        outlet = Webhook(receiver.url, KEY, lambda: NOW)
        outlet.send([EVENT, EVENT])
        outlet.close()
        ((path, headers, body),) = receiver.got
    found = re.fullmatch(r"t=([0-9]+),v1=([0-9a-f]{64})", headers["Headgate-Signature"])
    expected = hmac.digest(KEY, found[1].encode() + b"." + body, "sha256").hex()
    assert (path, found[1], found[2]) == ("/hook?a=s3cr3t", "1800000000", expected)
    assert json.loads(body) == {"events": [{"kind": "decision"}] * 2}
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 301, 307])
def test_an_answer_that_may_be_another_later_is_one_to_try_again_after(status):
    with Receiver(status, location="http://127.0.0.1:9/elsewhere") as receiver:
        outlet = Webhook(receiver.url, KEY, lambda: NOW)
        with pytest.raises(UndeliveredError, match=str(status)):
            outlet.send([EVENT])
        outlet.send([EVENT])
        outlet.close()
        assert len(receiver.got) == 2, "a redirect is not followed"


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413])
def test_an_answer_that_says_never_is_believed(status):
    with Receiver(status) as receiver:
        outlet = Webhook(receiver.url, KEY, lambda: NOW)
        with pytest.raises(RejectedError, match=str(status)):
            outlet.send([EVENT])
        outlet.close()


def test_nobody_there_is_one_to_try_again_after_and_the_address_is_not_told(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Receiver() as receiver:
        url = receiver.url
    outlet = Webhook(url, KEY, lambda: NOW)
    with pytest.raises(UndeliveredError) as caught:
        outlet.send([EVENT])
    assert "s3cr3t" not in str(caught.value) + outlet.name
    outlet.close()


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path):
    with Receiver(tls=issue(tmp_path).server()) as receiver:
        outlet = Webhook(receiver.url, KEY, lambda: NOW)
        with pytest.raises(UndeliveredError):
            outlet.send([EVENT])
        outlet.close()
        assert receiver.got == []


# -- options ----------------------------------------------------------------------------------------------------------


def asked(events, key="", environ=None, base=None):
    return outlets(events, key, environ=environ or {"HOOK": "s" * 32}, base=base, clock=lambda: NOW)


def test_each_outlet_is_had_once_in_the_order_asked_for():
    names = [
        outlet.name
        for outlet in asked(
            " stdout, syslog ,syslog:10.0.0.1:514,syslog:[::1]:514,https://siem.example/in,stdout,", "env:HOOK"
        )
    ]
    assert names == [
        "stdout",
        "this machine's syslog",
        "syslog at 10.0.0.1:514",
        "syslog at ::1:514",
        "the webhook at siem.example",
    ]


def test_nothing_asked_for_is_nothing_told():
    assert asked("") == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/in", "http://localhost/in", "http://[::1]:9000/in"])
def test_on_this_machine_a_webhook_may_go_without_tls(url):
    assert len(asked(url, "env:HOOK")) == 1


@pytest.mark.parametrize(
    ("events", "key", "says"),
    [
        ("file", "", "`file` is unknown; accepted: `stdout`"),
        ("syslog:10.0.0.1", "", "`syslog:10.0.0.1` is unknown"),
        ("syslog:10.0.0.1:0", "", "impossible port"),
        ("syslog:10.0.0.1:70000", "", "impossible port"),
        ("std\x1b[31mout", "", "`std?[31mout` is unknown"),
        ("https://siem.example/in", "", "must name the secret that signs"),
        ("https://siem.example/in", "s3cr3t-in-clear", "not a reference to a secret"),
        ("https://siem.example/in", "env:NONE", "secret `env:NONE` is not set"),
        ("https://siem.example/in", "env:SHORT", "too short to sign with"),
        ("stdout", "env:HOOK", "names none"),
        ("http://siem.example/in", "env:HOOK", "begins with `https://`"),
        ("http://127.0.0.1.siem.example/in", "env:HOOK", "begins with `https://`"),
        ("ftp://siem.example/in", "env:HOOK", "begins with `https://`"),
        ("https://user:s3cr3t@siem.example/in", "env:HOOK", "neither a user"),
        ("https://siem.example/in#s3cr3t", "env:HOOK", "neither a user"),
        ("https:///in", "env:HOOK", "has a host"),
    ],
)
def test_what_cannot_be_is_said_without_a_secret(events, key, says):
    with pytest.raises(HeadgateError) as caught:
        asked(events, key, {"HOOK": "s" * 32, "SHORT": "short"})
    assert says in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
