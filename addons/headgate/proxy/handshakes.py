"""Which certificate a client connection has shown: that of its first TLS handshake, or none.

mitmproxy's own list (`certificate_list`) proves nothing. It leaves out what it cannot read, so that the certificate of
somebody else can come to stand first, and TLS inside a tunnel puts other certificates in its place. Here the chain is
taken from OpenSSL as the handshake ends, the certificate first whose key has signed it; nothing has been verified yet.

The first of handshake and request fixes the chain of a connection. A handshake after a request is one inside a tunnel,
and what is shown in it was meant for the upstream.
"""

import json

from mitmproxy import certs, connection, tls
from mitmproxy.tools.web.app import cert_to_json
from OpenSSL import SSL, crypto

from headgate.identity.subjects import UNREADABLE, read_certificate

Chain = tuple[bytes, ...]
"""Certificates in DER, the client's own first."""


class Handshakes:
    """The chain of each client connection that is open, by its id."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}

    def __len__(self) -> int:
        return len(self._chains)

    def of(self, client_id: str) -> Chain:
        return self._chains.get(client_id, ())

    def established(self, data: tls.TlsData) -> bool:
        """TLS with a client stands, be it the connection's own or one inside a tunnel."""
        data.conn.certificate_list = []
        chain = _chain(data.ssl_conn) if data.ssl_conn else ()
        self._chains.setdefault(data.conn.id, chain)
        data.conn.certificate_list = _presentable(chain)
        return True

    def begun(self, client: connection.Client) -> None:
        """A request has come; what is shown from now on does not count."""
        if client.connected:
            self._chains.setdefault(client.id, ())

    def ended(self, client: connection.Client) -> None:
        self._chains.pop(client.id, None)


def always_whole(data: tls.TlsData) -> None:
    """Where certificates are asked for, have each handshake done in full: OpenSSL refuses to resume such sessions."""
    if data.ssl_conn is not None and data.ssl_conn.get_verify_mode() & SSL.VERIFY_PEER:
        data.ssl_conn.set_options(SSL.OP_NO_TICKET)


def _chain(ended: SSL.Connection) -> Chain:
    own = ended.get_peer_certificate()
    if own is None:
        return ()
    shown = (own, *(ended.get_peer_cert_chain() or ()))  # on this side of TLS, the chain is without the first
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in shown)


def _presentable(chain: Chain) -> list[certs.Cert]:
    """What of a chain mitmproxy may show and keep; nothing without the client's own certificate, lest another be taken
    for it."""
    own, *others = [certs.Cert(each) if each else None for each in map(read_certificate, chain)] or [None]
    return [own, *filter(None, others)] if own and _fits_into_json(own) else []


def _fits_into_json(certificate: certs.Cert) -> bool:
    """Whether mitmweb can show it; with one that it cannot, it would fail to list all flows."""
    try:
        return bool(json.dumps(cert_to_json([certificate])))
    except UNREADABLE:
        return False


def read_or_refuse() -> None:
    """Have mitmproxy pass over every certificate that it cannot read: for some it stops, and the client waits."""
    certs.Cert.from_pyopenssl = classmethod(_read)  # type: ignore[assignment, method-assign]


def _read(kind: type[certs.Cert], certificate: crypto.X509) -> certs.Cert:
    try:
        return kind(certificate.to_cryptography())
    except UNREADABLE:
        raise ValueError("it is not one that can be read") from None
