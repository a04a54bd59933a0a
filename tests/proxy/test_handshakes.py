"""Which certificates count as those of a connection, tried on handshakes that OpenSSL really does."""

import asyncio
import contextlib
import json
import ssl
from typing import Any

import pytest
from mitmproxy import certs, http
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.hooks import Hook
from mitmproxy.net.tls import Method, Version, create_client_proxy_context
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpConnectHook, HttpRequestHeadersHook
from mitmproxy.proxy.layers.tls import TlsEstablishedClientHook, TlsStartClientHook
from mitmproxy.proxy.server_hooks import ClientDisconnectedHook
from mitmproxy.test import tflow
from mitmproxy.tls import TlsData
from mitmproxy.tools.web.app import cert_to_json
from OpenSSL import SSL, crypto
from tests.e2e.holders import ANA, BITS, LONG, MIDDLE, NOBODY, ODD, ROOT, SHOP, context
from tests.identity import pki

from headgate.model import BundleRef
from headgate.proxy.guard import Guard
from headgate.proxy.handshakes import Handshakes, always_whole, read_or_refuse
from headgate.proxy.stages import Stages

SERVER = pki.issue("proxy", days=LONG)


def server(*, asking: bool = True) -> SSL.Connection:
    """This end of TLS, as mitmproxy makes it."""
    made = create_client_proxy_context(
        method=Method.TLS_SERVER_METHOD,
        min_version=Version.TLS1_2,
        max_version=Version.UNBOUNDED,
        cipher_list=None,
        ecdh_curve=None,
        chain_file=None,
        alpn_select_callback=None,
        request_client_cert=asking,
        extra_chain_certs=(),
        dhparams=None,  # type: ignore[arg-type]
    )
    ended = SSL.Connection(made)
    ended.use_certificate(SERVER.certificate)
    ended.use_privatekey(SERVER.key)
    ended.set_accept_state()
    return ended


def shake(ours: SSL.Connection, theirs: ssl.SSLContext) -> SSL.Connection:
    """`ours`, after the handshake with a client of that context."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(incoming, outgoing)
    for _ in range(4):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        if sent := outgoing.read():
            ours.bio_write(sent)
        with contextlib.suppress(SSL.WantReadError):
            ours.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            incoming.write(ours.bio_read(65536))
    return ours


def shown(client: Client, theirs: ssl.SSLContext) -> TlsData:
    """What mitmproxy tells of a handshake on that connection, or inside a tunnel on it."""
    return TlsData(client, Context(client, Options()), shake(server(), theirs))


@pytest.fixture
def client() -> Client:
    return tflow.tclient_conn()


def test_the_certificate_comes_first_whose_key_has_signed(client: Client) -> None:
    handshakes = Handshakes()
    assert handshakes.of(client.id) == ()
    assert handshakes.established(shown(client, context(ANA))) is True
    assert handshakes.of(client.id) == (ANA.der, MIDDLE.der)


@pytest.mark.parametrize("case", ODD)
def test_what_nobody_can_read_stands_where_it_stood(client: Client, case: str) -> None:
    handshakes = Handshakes()
    client.certificate_list = [certs.Cert(ANA.certificate)]
    handshakes.established(shown(client, context(NOBODY, instead=ODD[case], chain=ANA.chain)))
    assert handshakes.of(client.id) == (ODD[case], ANA.der, MIDDLE.der)
    assert list(client.certificate_list) == []


def test_who_shows_none_has_none(client: Client) -> None:
    handshakes = Handshakes()
    for data in (shown(client, context()), TlsData(client, Context(client, Options()), None)):
        handshakes.established(data)
        assert (handshakes.of(client.id), client.certificate_list) == ((), [])


def test_the_first_handshake_of_a_connection_counts_and_no_other(client: Client) -> None:
    handshakes = Handshakes()
    handshakes.established(shown(client, context(ANA)))
    handshakes.established(shown(client, context(SHOP)))
    handshakes.begun(client)
    assert handshakes.of(client.id)[0] == ANA.der
    assert client.certificate_list[0].cn == "shop", "mitmproxy shows the last one"


def test_after_a_request_nothing_counts_any_more(client: Client) -> None:
    handshakes = Handshakes()
    handshakes.begun(client)
    handshakes.established(shown(client, context(ANA)))
    assert handshakes.of(client.id) == ()


def test_with_the_connection_it_is_forgotten(client: Client) -> None:
    handshakes = Handshakes()
    handshakes.established(shown(client, context(ANA)))
    handshakes.ended(client)
    assert (handshakes.of(client.id), len(handshakes)) == ((), 0)
    client.state = ConnectionState.CLOSED
    handshakes.begun(client)
    assert len(handshakes) == 0, "a request that is still worked on"


def test_mitmproxy_keeps_what_it_can_show(client: Client) -> None:
    bits = pki.issue(pki.x509.Name([BITS]), ROOT, days=LONG)
    odd_issuer = pki.issue("ana", pki.Holder(bits.certificate, bits.key), days=LONG)
    for holder, chain, kept in (
        (ANA, [*ODD.values(), MIDDLE.der], 3),  # of the odd ones, one has merely a name that is no text
        (bits, [ANA.der], 0),
        (odd_issuer, [ANA.der], 0),
    ):
        Handshakes().established(shown(client, context(holder, chain=chain)))
        assert len(client.certificate_list) == kept
        json.dumps(cert_to_json(client.certificate_list))


@pytest.mark.parametrize("case", list(ODD)[:2])
def test_mitmproxy_passes_over_what_it_cannot_read(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(certs.Cert, "from_pyopenssl", certs.Cert.from_pyopenssl)
    read_or_refuse()
    with pytest.raises(ValueError, match=r"^it is not one that can be read$"):
        certs.Cert.from_pyopenssl(crypto.load_certificate(crypto.FILETYPE_ASN1, ODD[case]))
    good = certs.Cert.from_pyopenssl(crypto.load_certificate(crypto.FILETYPE_ASN1, ANA.der))
    assert good.to_cryptography() == ANA.certificate


@pytest.mark.parametrize("asking", [True, False])
def test_where_certificates_are_asked_for_no_session_is_resumed(client: Client, asking: bool) -> None:
    data = TlsData(client, Context(client, Options()), server(asking=asking))
    always_whole(data)
    assert data.ssl_conn is not None
    assert bool(data.ssl_conn.set_options(0) & SSL.OP_NO_TICKET) is asking
    always_whole(TlsData(client, Context(client, Options()), None))


# -------------------------------------------------------------------------------------------------- as the guard does


@pytest.fixture
def guard() -> Guard:
    """One without rules: it refuses everything, and listens all the same."""
    return Guard(lambda: 0.0)


def hear(guard: Guard, event: Hook) -> None:
    """Have the guard hear of an event from before to after, with nobody between."""

    async def heard() -> None:
        verdict = guard.before(event)
        if not isinstance(verdict, bool):
            await verdict
        guard.after(event)

    asyncio.run(heard())


def live_flow(client: Client) -> http.HTTPFlow:
    flow = tflow.tflow()
    flow.client_conn, flow.live = client, True
    return flow


def test_the_guard_listens_from_handshake_to_farewell(guard: Guard, client: Client) -> None:
    hear(guard, TlsEstablishedClientHook(shown(client, context(ANA))))
    hear(guard, HttpRequestHeadersHook(live_flow(client)))
    assert guard.handshakes.of(client.id)[0] == ANA.der
    hear(guard, ClientDisconnectedHook(client))
    assert len(guard.handshakes) == 0


@pytest.mark.parametrize("hook", [HttpConnectHook, HttpRequestHeadersHook])
def test_whatever_becomes_of_the_first_request_it_was_the_first(guard: Guard, client: Client, hook: Any) -> None:
    hear(guard, hook(live_flow(client)))
    hear(guard, TlsEstablishedClientHook(shown(client, context(ANA))))
    assert guard.handshakes.of(client.id) == ()


def test_a_flow_that_is_played_again_has_no_connection(guard: Guard, client: Client) -> None:
    """It bears the id of the one that it once came by."""
    stages = Stages((), (("identity", lambda _: pytest.fail("it was judged")),), (), (), (), lambda _: None)
    guard.begin(stages, lambda: BundleRef("n", "1", "0"))
    again = live_flow(client).copy()
    again.is_replay, again.client_conn.state = "request", ConnectionState.OPEN  # as mitmproxy makes it
    assert again.client_conn.id == client.id
    for alive in (False, True):
        again.live = alive
        hear(guard, HttpRequestHeadersHook(again))
        refusal = guard.exchanges[again.id].refusal
        assert refusal is not None
        assert refusal.reason == "replayed-flow"
    assert len(guard.handshakes) == 0
    hear(guard, TlsEstablishedClientHook(shown(client, context(ANA))))
    assert guard.handshakes.of(client.id)[0] == ANA.der


def test_what_cannot_be_read_off_openssl_is_no_certificate(
    guard: Guard, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crypto, "dump_certificate", lambda *_: 1 / 0)
    client.certificate_list = [certs.Cert(ANA.certificate)]
    hear(guard, TlsEstablishedClientHook(shown(client, context(ANA))))
    assert (guard.handshakes.of(client.id), client.certificate_list) == ((), [])


def test_the_guard_has_every_handshake_done_in_full(guard: Guard, client: Client) -> None:
    data = TlsData(client, Context(client, Options()), server())
    hear(guard, TlsStartClientHook(data))
    assert data.ssl_conn is not None
    assert data.ssl_conn.set_options(0) & SSL.OP_NO_TICKET
