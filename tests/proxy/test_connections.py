"""Between the verdict and the wire: where a connection leads, and what is sent on it, stays what was judged."""

from typing import Any

import pytest
from mitmproxy import connection, http
from mitmproxy.proxy.layers.http._hooks import HttpConnectUpstreamHook
from mitmproxy.proxy.server_hooks import ServerConnectHook, ServerConnectionHookData
from mitmproxy.test import tflow

from headgate.proxy.guard import Guard
from headgate.proxy.held import Held, request_state
from headgate.proxy.layers import REFUSED, never_held


@pytest.fixture
def guard() -> Guard:
    return Guard(lambda: 0.0)


@pytest.fixture
def flow() -> http.HTTPFlow:
    return tflow.tflow()


def dial(guard: Guard, flow: http.HTTPFlow, first: Any, then: Any) -> str | None:
    """What becomes of a connection to `first` that a script changes to `then`."""
    data = ServerConnectionHookData(server=connection.Server(address=first), client=flow.client_conn)
    event = ServerConnectHook(data)
    assert guard.before(event) is True
    data.server.address = then
    guard.after(event)
    return data.server.error


def test_only_what_an_allowed_request_of_this_client_asked_for_is_dialled(guard: Guard, flow: http.HTTPFlow) -> None:
    assert dial(guard, flow, ("a", 1), ("a", 1)) == REFUSED
    guard.wire.allow(flow.client_conn, ("a", 1))
    guard.wire.allow(flow.client_conn, ("b", 2))
    assert dial(guard, flow, ("a", 1), ("a", 1)) is None
    assert dial(guard, flow, ("c", 3), ("c", 3)) == REFUSED


def test_a_connection_is_not_redirected_even_to_where_another_request_may_go(guard: Guard, flow: http.HTTPFlow) -> None:
    guard.wire.allow(flow.client_conn, ("a", 1))
    guard.wire.allow(flow.client_conn, ("b", 2))
    assert dial(guard, flow, ("a", 1), ("b", 2)) == REFUSED


def test_the_upstream_proxy_is_asked_for_the_tunnel_that_was_meant(guard: Guard, flow: http.HTTPFlow) -> None:
    event = HttpConnectUpstreamHook(flow)
    meant = flow.request.authority
    assert guard.before(event) is True
    flow.request.authority = "elsewhere:443"
    guard.after(event)
    assert flow.request.authority == meant


def test_a_request_is_sent_as_judged_though_a_script_put_another_client_on_it(
    guard: Guard, flow: http.HTTPFlow
) -> None:
    client = flow.client_conn
    judged = request_state(flow, read=True)
    guard._held[flow.id] = Held("id", 0.0, flow=flow, client=client, forwarded=True, read=True, seen=judged)
    path = flow.request.path
    flow.client_conn = client.copy()
    flow.request.path = "/smuggled"
    guard.wire.send_as_judged(client)
    assert flow.request.path == path


def test_nothing_is_waited_for_after_the_last_look(flow: http.HTTPFlow) -> None:
    flow.intercept()
    flow.wait_for_resume = lambda: None  # type: ignore[method-assign, assignment, return-value]
    never_held(flow)
    assert not flow.intercepted
    assert "wait_for_resume" not in vars(flow)
