"""`headgate flows` shows what was recorded; nothing that a peer sent acts on the terminal."""

import gzip
import json

import pytest
from click.testing import CliRunner

from headgate.capture.connection import Connection, Peer
from headgate.capture.record import Line, Message, Mode
from headgate.capture.sealing import Original, Part, Sealer, read_public
from headgate.capture.spoken import Spoken
from headgate.cli import screen
from headgate.cli.main import main
from headgate.model import Decision, Effect, Kind, LimitUse, MaskCount, Principal, Refusal, RuleRef, denied

PATIENCE = 20.0
NOW = 1_800_000_000.0

CRLF_ESC = "\r\n\x1b[2J\x1b]0;owned\x07\u202e[bold red]"


@pytest.fixture
def put(start, record):
    def make(n=0, **changes):
        writer = start()
        writer.put(record(n, **changes))
        assert writer.flush(PATIENCE)

    return make


@pytest.fixture
def run(state):
    def call(*arguments, code=0):
        result = CliRunner().invoke(main, ["flows", *arguments, "--state", str(state)])
        assert result.exit_code == code, result.output
        return result

    return call


def body(content, *headers):
    return Message(headers, content, len(content))


JSON_TYPE = (b"content-type", b"application/json")


# -- list -------------------------------------------------------------------------------------------------------------


def test_a_line_says_who_did_what_and_what_came_of_it(put, run):
    put()
    header, line = run("list").output.splitlines()
    assert header.split() == ["time", "id", "principal", "method", "where", "verdict", "why", "status", "masked"]
    assert line.split() == [
        "2027-01-15T08:00:00Z",
        "00000000",
        "ana",
        "GET",
        "customers.internal/v1/customers/1",
        "allowed",
        "support-reads",
        "200",
        "2",
    ]


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({"refusal": denied("rule-denies", rule="x")}, "refused", "support-reads"),
        ({"refusal": denied("no-rule-allows"), "decision": None}, "refused", "no-rule-allows"),
        ({"refusal": Refusal(502, "withheld", "", "body-too-large")}, "withheld", "body-too-large"),
        ({"error": "client-disconnected"}, "failed", "client-disconnected"),
    ],
)
def test_the_reason_is_the_one_that_determined_it(changes, verdict, why, put, run):
    put(**changes)
    assert f"{verdict}  " in run("list").output
    assert f" {why} " in run("list").output


def test_a_line_that_is_piped_is_whole_however_long(put, run):
    path = b"/" + b"a" * 500
    put(line=Line(b"GET", "http", "customers.internal", 8080, path, b"HTTP/1.1"))
    line = run("list").output.splitlines()[1]
    assert f"customers.internal:8080{path.decode()}" in line
    assert "\x1b" not in line
    assert line == line.rstrip()


def test_a_terminal_gets_lines_that_fit_with_the_short_columns_whole(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")  # no colours, 80 columns
    row = ("00000000", "a" * 500, "refused")
    screen.print_table(("id", "where", "verdict"), [row], flexible=("where",))
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "where", "verdict"]
    assert line.startswith("00000000  aaaa")
    assert line.rstrip().endswith("a\u2026  refused")
    assert len(line) <= 80


def test_filters_and_json(put, run):
    put(0)
    put(1, principal=Principal("bot", Kind.AGENT, "corp-sso"), refusal=denied("rule-denies"))
    assert [found["principal"]["id"] for found in json.loads(run("list", "--json").output)] == ["bot", "ana"]
    for option in (["--refused"], ["--principal", "bot"], ["--limit", "1"], ["--since", "2027-01-15T08:00:01"]):
        assert [found["principal"]["id"] for found in json.loads(run("list", "--json", *option).output)] == ["bot"]
    assert json.loads(run("list", "--json", "--host", "nowhere").output) == []


def test_nothing_found_says_so_beside_the_output(put, run):
    put()
    result = run("list", "--principal", "nobody")
    assert (result.stdout, result.stderr) == ("", "no recorded flow matches\n")


@pytest.mark.parametrize("since", ["yesterday", "15", "1w", "\x1b[2J"])
def test_a_time_that_is_none_is_wrong_usage(since, run):
    result = run("list", "--since", since, code=2)
    assert "`90s`, `15m`, `2h`, `7d` or ISO 8601 is accepted" in " ".join(result.output.split())
    assert "\x1b" not in result.output


def test_since_may_be_how_long_ago(put, run, monkeypatch):
    monkeypatch.setattr("headgate.cli.options.time.time", lambda: NOW + 90)
    put(0)
    put(60)
    assert len(run("list", "--since", "1m").output.splitlines()) == 2
    assert len(run("list", "--since", "2m").output.splitlines()) == 3


def test_no_capture_is_one_line_and_exit_1(run):
    for arguments in (("list",), ("show", "00000000")):
        output = run(*arguments, code=1).output
        assert output.startswith("Error: there is no capture at `")
        assert len(output.splitlines()) == 1


# -- show -------------------------------------------------------------------------------------------------------------


def test_show_says_everything(put, run):
    put(masks=(MaskCount("/email", "EMAIL_ADDRESS", "redact", 2),), response=body(b'{"a": 1}', JSON_TYPE))
    assert (
        run("show", "00000000").output
        == """\
flow      00000000-0000-4000-8000-000000000000
decision  01MCC5RM000000000000000000
time      2027-01-15T08:00:00.000Z, 12 ms
verdict   allowed
rule      support-reads (allow), rules/policy.yaml:12
who       ana (human, by corp-sso)
groups    eu, support
runs in   prod
scopes    read
email     ana@corp.example
session   s-1
workload  name desk, version 1.2
from      127.0.0.1
what      GET http://customers.internal/v1/customers/1?fields=name
target    customers (prod)
bundle    demo 1.0.0 (abababababab)
status    200
masked    /email: EMAIL_ADDRESS, redact, 2 times
stages    identity 40 us, policy 11 us

request (0 bytes)
  accept: */*

response (8 bytes)
  content-type: application/json

  {
    "a": 1
  }
"""
    )


NEAREST = {
    "rule": {"id": "leads-read", "effect": "allow", "file": "rules/policy.yaml", "line": 40},
    "failing": [
        {
            "key": "principal.groups",
            "outcome": "false",
            "line": 42,
            "expected": ["leads"],
            "actual": ["support"],
            "file": "rules/policy.yaml",
        },
        {"key": "body $.amount", "outcome": "unknown", "line": 43, "expected": {"gt": 5}, "file": "rules/policy.yaml"},
        {
            "key": "not",
            "outcome": "false",
            "line": 44,
            "conditions": [{"key": "method", "outcome": "true", "line": 44, "expected": ["GET"], "actual": "GET"}],
            "file": "rules/policy.yaml",
        },
    ],
}


def test_show_says_what_came_nearest_and_what_was_not_enforced(put, run):
    said = Decision(
        Effect.DENY,
        "no-rule-allows",
        shadow=(RuleRef("later", Effect.ALLOW, "rules/policy.yaml", 50),),
        shadow_effect=Effect.ALLOW,
        errors=("broken",),
        observed=True,
        limits=(LimitUse("per-caller", 0, exhausted=True, enforced=False), LimitUse("all", 1200)),
        violations=("/body/amount", ""),
    )
    put(decision=said, nearest=lambda: json.dumps(NEAREST), trace_id="ab" * 16, trace_link="cd" * 16)
    lines = run("show", "00000000").output.splitlines()
    assert lines[3:14] == [
        "verdict   observed: no-rule-allows",
        "mode      observe: recorded, not enforced",
        "shadow    later (allow), rules/policy.yaml:50",
        "shadow    if enforced: allow",
        "error     the `when` of broken could not be evaluated",
        "nearest   leads-read (allow), rules/policy.yaml:40",
        "          principal.groups does not hold: expected leads, got support, line 42",
        '          body $.amount is unknown: expected {"gt": 5}, line 43',
        "          not does not hold: it excludes method GET, got GET, line 44",
        "who       ana (human, by corp-sso)",
        "groups    eu, support",
    ]
    assert "limit     per-caller: used up (shadow)" in lines
    assert "limit     all: 1,200 left" in lines
    assert "invalid   /body/amount" in lines
    assert "invalid   the whole body" in lines
    assert f"trace     {'ab' * 16}, linked to {'cd' * 16}" in lines


def test_show_as_json(put, run, record):
    put()
    shown = json.loads(run("show", "00000000", "--json").output)
    assert shown["decision_id"] == record().decision_id
    assert shown["principal"]["groups"] == ["eu", "support"]


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (body(b"one\r\ntwo\tthree", (b"content-type", b"text/plain")), ["one", "two\tthree"]),
        (body(b"\x89PNG\r\n\x1a\n\0\0"), ["(binary, 10 bytes kept)"]),
        (body(b"\xff\xfe\xfd\xfc\xfb"), ["(binary, 5 bytes kept)"]),
        (body(gzip.compress(b'{"a":1}', mtime=0), (b"Content-Encoding", b"gzip")), ["{", '  "a": 1', "}"]),
        (body(b"not gzip", (b"content-encoding", b"gzip")), ["(binary, 8 bytes kept)"]),
        (body(b'{"a":1,"a":2}', JSON_TYPE), ['{"a":1,"a":2}']),
        (body(b"[" * 50_000, JSON_TYPE), ["[" * 50_000]),
        (Message((), b"abc\xc3", 1000), ["abc", "... cut after 4 of 1,000 bytes"]),
    ],
    ids=["text", "binary", "not utf-8", "gzip", "damaged", "a member twice", "deep", "cut in a character"],
)
def test_a_body_is_shown_as_people_read_it(message, lines, put, run):
    put(response=message)
    assert run("show", "00000000").output.splitlines()[-len(lines) :] == [f"  {line}" for line in lines]


def test_metadata_only_is_said(put, run):
    put(mode=Mode.METADATA, request=Message(size=7), response=Message(size=9))
    output = run("show", "00000000").output
    assert "query     fields (names only)" in output
    assert "request (7 bytes, only metadata kept)" in output


@pytest.mark.parametrize("command", [("list",), ("show", "00000000")])
def test_nothing_that_was_sent_acts_on_the_terminal(command, put, run):
    evil = CRLF_ESC.encode()
    put(
        line=Line(b"GET" + evil, "http", "a" + CRLF_ESC, 80, b"/" + evil + b"?" + evil, b"HTTP/1.1"),
        principal=Principal("ana" + CRLF_ESC, Kind.HUMAN, "sso" + CRLF_ESC, groups=frozenset({CRLF_ESC})),
        request=body(evil, (b"x" + evil, evil + b"\xff")),
        response=body(json.dumps({CRLF_ESC: CRLF_ESC + "\x9b"}, ensure_ascii=False).encode(), JSON_TYPE),
        masks=(MaskCount("/" + CRLF_ESC, "field", "drop", 1),),
    )
    output = run(*command).output
    assert [character for character in output if not (character.isprintable() or character == "\n")] == []
    assert "\\x1b[2J" in output
    assert "[bold red]" in output, "no markup was obeyed"


def test_each_command_is_explained_with_examples():
    for command in ([], ["list"], ["show"]):
        output = CliRunner().invoke(main, ["flows", *command, "--help"]).output
        assert "headgate flows " in output.split("Options:")[0].split("\n", 2)[2]


# -- connections, messages and originals ------------------------------------------------------------------------------

CONNECTION = Connection(
    Peer("192.0.2.7", 50123, "TLSv1.3", "TLS_AES_256_GCM_SHA384", b"h2", "customers.internal"),
    Peer("10.0.0.8", 443),
    (NOW, NOW, None, None, NOW, NOW + 0.25, NOW + 0.75, NOW + 1),
)


def test_show_says_which_connections_and_signals_there_were(put, run):
    put(connection=CONNECTION, signals=frozenset({"freeze"}))
    lines = run("show", "00000000").output
    assert "client    192.0.2.7:50123, TLSv1.3, TLS_AES_256_GCM_SHA384, h2, sni customers.internal" in lines
    assert "upstream  10.0.0.8:443" in lines
    assert "waited    500.0 ms for the response" in lines
    assert "signals   freeze" in lines
    told = json.loads(run("show", "00000000", "--json").output)
    assert (told["kind"], told["signals"], told["recorded"]["sealed"]) == ("http", ["freeze"], False)
    assert told["connection"]["times"]["client_connected"] == "2027-01-15T08:00:00.000Z"


@pytest.fixture
def talk(put, start, record):
    put(kind="websocket")
    writer = start()
    decision = record().decision_id
    for n, (from_client, kind, content) in enumerate(
        [(True, "text", b"hello\x1b[2J"), (False, "binary", b"\x00\xff"), (False, "text", None)]
    ):
        size = 70_000 if content is None else len(content)
        writer.put(Spoken(decision, "flow", n, NOW + n, from_client, kind, content, size))
    assert writer.flush(PATIENCE)


@pytest.mark.usefixtures("talk")
def test_show_lists_what_was_said_on_a_websocket(run):
    shown = run("show", "00000000").output.partition("messages\n")[2]
    assert [line.split("Z ", 1)[1] for line in shown.splitlines()] == [
        "-> hello\\x1b[2J",
        "<- (binary, 2 bytes)",
        "<- (text, 70,000 bytes)",
    ]
    told = json.loads(run("show", "00000000", "--json").output)["recorded"]["messages"]
    assert [(one["sender"], one["body"], one["truncated"]) for one in told] == [
        ("caller", {"text": "hello\x1b[2J"}, False),
        ("upstream", {"base64": "AP8="}, False),
        ("upstream", None, True),
    ]


@pytest.mark.usefixtures("talk")
def test_show_lists_no_more_messages_than_asked_for(run):
    assert "... after 1 messages (--messages shows more)" in run("show", "00000000", "--messages", "1").output
    assert json.loads(run("show", "00000000", "--messages", "0", "--json").output)["recorded"]["messages"] == []


@pytest.fixture
def folder(tmp_path):
    made = CliRunner().invoke(main, ["flows", "keys", str(tmp_path / "pair")])
    assert made.exit_code == 0, made.output
    return tmp_path / "pair"


@pytest.fixture
def sealed(start, record, folder):
    writer = start(sealer=Sealer(read_public(folder / "sealing.pub"), lambda original: original))
    line = Line(b"GET", "http", "customers.internal", 80, b"/v1/customers/1?ssn=078-05-1120", b"HTTP/1.1")
    answer = Part((JSON_TYPE,), b'{"ssn": "078-05-1120"}', 22)
    writer.put(record(original=Original(line, Part(((b"x-note", b"078-05-1120"),)), 200, answer)))
    assert writer.flush(PATIENCE)
    return folder


def test_show_opens_an_original_for_the_holder_of_the_key(sealed, run):
    closed = run("show", "00000000").output
    assert "078-05-1120" not in closed
    assert "sealed (--open KEYFILE)" in closed
    shown = run("show", "00000000", "--open", str(sealed / "sealing.key")).output
    assert "GET /v1/customers/1?ssn=078-05-1120" in shown
    assert '"ssn": "078-05-1120"' in shown
    told = json.loads(run("show", "00000000", "--open", str(sealed / "sealing.key"), "--json").output)["original"]
    assert (told["target"], told["status"]) == ("/v1/customers/1?ssn=078-05-1120", 200)
    assert told["response"]["body"] == {"text": '{"ssn": "078-05-1120"}'}


@pytest.mark.parametrize(
    ("name", "message"),
    [("sealing.pub", "holds a public key, which opens nothing"), ("none", "cannot be read: no such file")],
)
def test_show_opens_nothing_with_anything_else(name, message, sealed, run):
    refused = run("show", "00000000", "--open", str(sealed / name), code=1)
    assert message in refused.output
    assert "078-05-1120" not in refused.output


@pytest.mark.usefixtures("sealed")
def test_show_opens_nothing_with_the_key_of_another_pair(run, tmp_path):
    CliRunner().invoke(main, ["flows", "keys", str(tmp_path / "other")])
    refused = run("show", "00000000", "--open", str(tmp_path / "other" / "sealing.key"), code=1)
    assert "cannot be opened with this key" in refused.output


def test_keys_are_made_once_and_only_their_owner_reads_the_private_one(folder):
    files = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert {name: mode for name, (_, mode) in files.items()} == {"sealing.key": 0o600, "sealing.pub": 0o644}
    again = CliRunner().invoke(main, ["flows", "keys", str(folder)])
    assert (again.exit_code, "a key is never replaced" in again.output) == (1, True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {n: text for n, (text, _) in files.items()}
    assert not any(text.partition(":")[2].strip() in again.output for text, _ in files.values())
