"""Connections are kept as JSON that says who was at their ends and when; what did not happen is not there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.capture.connection import TIMES, Close, Connection, Peer, connection_json
from headgate.capture.store import Store

PATIENCE = 20.0
HOST = "customers.internal"
CLIENT = Peer("192.0.2.7", 50123, "TLSv1.3", "TLS_AES_256_GCM_SHA384", b"h2", HOST)
UPSTREAM = Peer("10.0.0.8", 443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", b"http/1.1", HOST, "http://proxy:3128")


def test_both_ends_and_every_moment():
    times = tuple(1_800_000_000.25 + at for at in range(8))
    assert json.loads(connection_json(Connection(CLIENT, UPSTREAM, times), HOST)) == {
        "client": {
            "address": "192.0.2.7",
            "port": 50123,
            "tls": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "alpn": "h2",
            "sni": HOST,
        },
        "upstream": {
            "address": "10.0.0.8",
            "port": 443,
            "tls": "TLSv1.2",
            "cipher": "ECDHE-RSA-AES128-GCM-SHA256",
            "alpn": "http/1.1",
            "sni": HOST,
            "via": "http://proxy:3128",
        },
        "times": {name: 1_800_000_000.25 + at for at, name in enumerate(TIMES)},
    }


def test_what_did_not_happen_is_left_out():
    plain = Connection(Peer("127.0.0.1", 1), None, (1.5, None, None, None, 2.5, None))
    assert json.loads(connection_json(plain, HOST)) == {
        "client": {"address": "127.0.0.1", "port": 1},
        "upstream": None,
        "times": {"client_connected": 1.5, "request_start": 2.5},
    }


def test_a_name_that_the_client_asked_for_in_tls_is_told_only_if_it_is_the_requests_host():
    told = json.loads(connection_json(Connection(CLIENT._replace(sni="akia1234.customers.internal")), HOST))
    assert "sni" not in told["client"]
    assert json.loads(connection_json(Connection(CLIENT._replace(sni=HOST.upper())), HOST))["client"]["sni"]


def test_of_a_websocket_how_it_ended():
    told = json.loads(connection_json(Connection(close=Close(1000, True)), HOST))
    assert told["close"] == {"code": 1000, "by_client": True}


@given(
    peer=st.builds(
        Peer,
        st.none() | st.text(max_size=9),
        st.none() | st.integers(0, 65535),
        alpn=st.none() | st.binary(max_size=9),
        sni=st.none() | st.text(max_size=9),
    ),
    times=st.lists(st.none() | st.floats(0, 4e9), max_size=8).map(tuple),
)
def test_whatever_a_peer_calls_itself_it_is_json(peer, times):
    told = json.loads(connection_json(Connection(peer, peer, times), HOST if peer.sni is None else peer.sni))
    assert told["client"] == told["upstream"]
    assert list(told["times"].values()) == [moment for moment in times if moment is not None]
    assert told["client"].get("sni") == peer.sni


@pytest.mark.parametrize("kept", [True, False])
def test_it_is_read_back(kept, start, record, state):
    writer = start()
    writer.put(record(connection=Connection(CLIENT, UPSTREAM, (1.0,)) if kept else None))
    assert writer.flush(PATIENCE)
    found = Store(state).entry(record().decision_id).connection
    assert (found and found["client"]["sni"], found and found["times"]) == (
        (HOST, {"client_connected": 1.0}) if kept else (None, None)
    )
