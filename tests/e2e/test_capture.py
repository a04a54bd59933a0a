"""Nothing passes unrecorded: every flow is on the record, and while none can be made, requests are refused."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.e2e.canary import CANARY, CUSTOMER
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.sockets import UPGRADE, SocketUpstream, asking, open_on
from tests.e2e.upstream import Reply, Upstream

from headgate.cli.main import main


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(mode=f"reverse:{upstream.url}").warm()


def test_every_flow_is_recorded_whatever_became_of_it(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/odd"] = Reply(b"c4n4ry", headers={"Content-Type": "image/png"})
    upstream.replies["/broken"] = Reply(raw=b"", then="reset")
    before = len(proxy.flows("list", "--limit", "1000"))
    proxy.get("/customers/7")
    proxy.get("/customers/7", token=None)
    proxy.get("/customers/7", token=proxy.token(groups=["visitors"]))
    proxy.request("DELETE", "/customers/7")
    proxy.get("/a/%2e%2e/b")
    proxy.get("/odd")
    proxy.get("/broken")
    connection = proxy.connect()
    connection.sendall(proxy.written("POST", "/upload", "Content-Length: 2000000", token=None))
    proxy.hang_up(connection)
    connection = proxy.connect()
    connection.sendall(proxy.written("POST", "/upload", "Content-Length: 20000000"))
    proxy.hang_up(connection)
    recorded = proxy.flows("list", "--limit", "1000")[:-before]
    told = [(flow["request"]["path"], flow["verdict"], flow["outcome"]["status"]) for flow in reversed(recorded)]
    assert told == [
        ("/customers/7", "allowed", 200),
        ("/customers/7", "refused", 401),
        ("/customers/7", "refused", 403),
        ("/customers/7", "refused", 403),
        ("/a/[redacted]/b", "refused", 400),
        ("/odd", "withheld", 502),
        ("/broken", "failed", None),
        ("/upload", "refused", 401),
        ("/upload", "failed", None),
    ]


def test_a_record_says_who_what_and_why_and_holds_no_secret(proxy: Proxy) -> None:
    details = proxy.request("DELETE", f"/customers/7?token={CANARY}").json()
    entry = proxy.flows("show", details["decision_id"])
    assert entry["principal"]["id"] == "ana"
    assert entry["target"] == {"name": "api", "environment": "dev"}
    (rule,) = entry["rules"]
    assert (rule["id"], rule["file"].endswith("policy.yaml"), rule["line"]) == ("nobody-deletes", True, 3)
    assert entry["request"]["query_names"] == ["token"]
    assert entry["bundle"]["name"] == "test"
    assert CANARY not in str(entry)


def refused_for_want_of_a_record(proxy: Proxy, upstream: Upstream) -> None:
    upstream.forget()
    response = proxy.get("/customers/7")
    assert (response.status_code, response.json()["reason"]) == (503, "capture-unavailable")
    assert upstream.connections == 0


def test_while_the_record_is_locked_requests_are_refused(proxy: Proxy, upstream: Upstream) -> None:
    proxy.settle()
    before = len(proxy.output.lines)
    holder = sqlite3.connect(proxy.state / "capture.db", isolation_level=None)
    holder.execute("begin exclusive")
    proxy.get("/orders", token=None)  # the first that cannot be written tells the writer
    proxy.output.wait_for(r"the capture .* cannot be written: another program keeps it locked", after=before)
    refused_for_want_of_a_record(proxy, upstream)
    holder.execute("rollback")
    holder.close()
    proxy.output.wait_for(r"the capture .* is written again", after=before)
    assert proxy.get("/customers/7").status_code == 200


def test_while_the_record_is_no_database_requests_are_refused(proxy: Proxy, upstream: Upstream) -> None:
    proxy.settle()
    before = len(proxy.output.lines)
    database = proxy.state / "capture.db"
    aside = database.rename(proxy.state / "aside.db")
    database.write_text("this is no database, and long enough for somebody to notice that it is none\n" * 100)
    proxy.get("/orders", token=None)
    proxy.output.wait_for(r"the capture .* cannot be written: it is not a SQLite database", after=before)
    refused_for_want_of_a_record(proxy, upstream)
    database.unlink()
    aside.rename(database)
    proxy.output.wait_for(r"the capture .* is written again", after=before)
    assert proxy.get("/customers/7").status_code == 200


def test_a_record_that_was_moved_away_goes_on_in_a_new_file(proxy: Proxy) -> None:
    proxy.settle()
    before = len(proxy.output.lines)
    (proxy.state / "capture.db").rename(proxy.state / "moved.db")
    assert proxy.get("/orders").status_code == 200
    proxy.output.wait_for(r"the capture .* was removed or replaced", after=before)
    assert [flow["request"]["path"] for flow in proxy.flows("list")] == ["/orders"]


@pytest.mark.parametrize("kept", ["metadata", "off"])
def test_with_less_to_record_requests_are_judged_and_masked_all_the_same(
    proxies: Start, upstream: Upstream, kept: str
) -> None:
    proxy = proxies("--set", f"headgate_capture={kept}", mode=f"reverse:{upstream.url}").warm()
    upstream.forget()
    assert proxy.get("/customers/7", token=None).status_code == 401
    assert upstream.connections == 0
    answer = proxy.get("/customers/7")
    assert answer.status_code == 200
    assert CANARY not in answer.text
    recorded = proxy.flows("list")
    assert bool(recorded) is (kept == "metadata")
    if recorded:
        entry = proxy.flows("show", recorded[0]["decision_id"])
        assert entry["recorded"]["response"]["body"] is None


def test_where_the_operator_says_so_requests_go_on_unrecorded(proxies: Start, upstream: Upstream) -> None:
    proxy = proxies("--set", "headgate_on_capture_error=continue", mode=f"reverse:{upstream.url}").warm()
    proxy.settle()
    before = len(proxy.output.lines)
    database = proxy.state / "capture.db"
    aside = database.rename(proxy.state / "aside.db")
    database.write_text("this is no database, and long enough for somebody to notice that it is none\n" * 100)
    proxy.get("/orders", token=None)
    proxy.output.wait_for(r"the capture .* cannot be written", after=before)
    assert proxy.get("/customers/7").status_code == 200
    database.unlink()
    aside.rename(database)
    proxy.output.wait_for(r"the capture .* is written again", after=before)


# -- originals --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """The folder of a pair of keys."""
    made = CliRunner().invoke(main, ["flows", "keys", str(tmp_path / "pair")])
    assert made.exit_code == 0, made.output
    return tmp_path / "pair"


def test_originals_are_kept_for_who_has_the_key_and_for_nobody_else(
    proxies: Start, upstream: Upstream, pair: Path
) -> None:
    """That no file holds a secret in clear is seen when the proxy ends, as everywhere."""
    options = ["--set", "headgate_capture=sealed", "--set", f"headgate_sealing_key={pair / 'sealing.pub'}"]
    proxy = proxies(*options, mode=f"reverse:{upstream.url}").warm()
    answer = proxy.get("/customers/7", headers={"Cookie": f"sid={CANARY}-cookie"})
    assert CANARY not in answer.text
    refused = proxy.request("DELETE", "/customers/7").json()["decision_id"]
    unknown = proxy.get("/customers/7", token=None).json()["decision_id"]
    recorded = {flow["request"]["method"]: flow for flow in proxy.flows("list") if flow["principal"]}
    key = str(pair / "sealing.key")
    entry = proxy.flows("show", recorded["GET"]["decision_id"], "--open", key)
    assert CANARY not in str({**entry, "original": None})
    original = entry["original"]
    assert json.loads(original["response"]["body"]["text"]) == json.loads(CUSTOMER)
    assert f"{CANARY}-cookie" not in str(original["request"]), "credentials are no part of it"
    assert "authorization" not in str(original["request"]["headers"]).lower()
    opened = proxy.flows("show", refused, "--open", key)["original"]
    assert (opened["method"], opened["target"], opened["response"]) == ("DELETE", "/customers/7", None)
    assert proxy.flows("show", unknown)["recorded"]["sealed"] is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["headgate_capture=sealed"], r"option `headgate_capture=sealed` needs `headgate_sealing_key`"),
        (
            ["headgate_capture=sealed", "headgate_sealing_key={}/sealing.key"],
            "holds a private key, which must stay away",
        ),
        (["headgate_capture=sealed", "headgate_sealing_key={}/none"], r"`.*none` cannot be read: no such file"),
        (["headgate_sealing_key={}/sealing.pub"], r"is for `headgate_capture=sealed`, and `masked` keeps no original"),
    ],
    ids=["no key", "a private key", "no file", "not sealed"],
)
def test_without_a_public_key_to_seal_to_nothing_starts(
    attempt: Start, pair: Path, settings: list[str], message: str
) -> None:
    options = [part for setting in settings for part in ("--set", setting.format(pair))]
    proxy = attempt(*options)
    assert proxy.process.wait(PATIENCE) == 1
    proxy.output.wait_for(message)
    assert (pair / "sealing.key").read_text().partition(":")[2].strip() not in proxy.output.text


# -- messages ---------------------------------------------------------------------------------------------------------

ANYBODY = "rules:\n  - {id: all, effect: allow, match: {target: api}}\n"
SOME_MASKED = 'masks:\n  - {id: ssn, match: {path: "/masked/{rest...}"}, fields: ["$..ssn"]}\n'


def test_messages_are_on_the_record_while_a_websocket_is_open_as_recorders_may_see_them(
    proxies: Start, tmp_path: Path
) -> None:
    sockets = SocketUpstream()
    try:
        rules = write_rules(tmp_path / "rules", policy=ANYBODY, masking=SOME_MASKED)
        proxy = proxies(mode=f"reverse:{sockets.url}", rules=rules).ready()
        with proxy.connect() as connection:
            opening = open_on(
                connection,
                asking(
                    "/masked/chat", f"127.0.0.1:{proxy.port}", f"Authorization: Bearer {proxy.token()}", upgrade=UPGRADE
                ),
            )
            assert opening.status == 101
            client, upstream = opening.peer, sockets.next()
            client.text("hello")
            assert upstream.hear() == "hello"
            upstream.text(f'{{"ssn": "{CANARY}"}}')
            assert json.loads(str(client.hear())) == {"ssn": "[REDACTED]"}
            decision = eventually(lambda: messages_of(proxy.state))
            client.close()
            assert upstream.hear() == ("close", 1000, "")
            upstream.hang_up()
        (flow,) = proxy.flows("list")
        told = proxy.flows("show", flow["decision_id"])
        assert (told["kind"], told["decision_id"], told["connection"]["close"]) == (
            "websocket",
            decision,
            {"code": 1000, "by_client": True},
        )
        assert [(said["sender"], said["body"]) for said in told["recorded"]["messages"]] == [
            ("caller", None),  # what nobody masks is not shown where a mask is due, but for its size
            ("upstream", {"text": '{"ssn": "[REDACTED]"}'}),
        ]
    finally:
        sockets.stop()


def messages_of(state: Path) -> str | None:
    """The decision of which two messages have been written."""
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        found = connection.execute("select decision from messages group by decision having count(*) = 2").fetchone()
    return str(found[0]) if found else None


def eventually[Found](look: Callable[[], Found | None]) -> Found:
    """What is found within the patience of these tests."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
    return found
