"""Nothing passes unrecorded: every flow is on the record, and while none can be made, requests are refused."""

import sqlite3

import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Reply, Upstream


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
