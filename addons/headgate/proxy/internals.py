"""What Headgate relies on inside mitmproxy, checked at start: another mitmproxy may pass traffic where this one asks.

The version is pinned, and so is what it must look like. On any difference the proxy ends with a message instead of
serving.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mitmproxy import addonmanager, hooks, version
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons import tlsconfig
from mitmproxy.master import Master
from mitmproxy.net.tls import create_client_proxy_context
from mitmproxy.proxy import layer, mode_servers, server
from mitmproxy.proxy.layers import http, tls
from mitmproxy.proxy.layers.http import _http1, _http2, _http_h2

from headgate.proxy.flowing import OpeningHook
from headgate.proxy.passing import PassingHook

VERSION = "12.2.3"

HOOKS = frozenset(
    {
        *("add_log", "client_connected", "client_disconnected", "configure", "dns_error", "dns_request"),
        *("dns_response", "done", "error", "http_connect", "http_connect_error", "http_connect_upstream"),
        *("http_connected", "load", "next_layer", "quic_start_client", "quic_start_server", "request"),
        *("requestheaders", "response", "responseheaders", "running", "server_connect", "server_connect_error"),
        *("server_connected", "server_disconnected", "socks5_auth", "tcp_end", "tcp_error", "tcp_message"),
        *("tcp_start", "tls_clienthello", "tls_established_client", "tls_established_server"),
        *("tls_failed_client", "tls_failed_server", "tls_start_client", "tls_start_server", "udp_end"),
        *("udp_error", "udp_message", "udp_start", "update", "websocket_end", "websocket_message"),
        "websocket_start",
        *(OpeningHook.name, PassingHook.name),  # the guard's own
    }
)
"""Every event that this mitmproxy can trigger; the guard knows what each of them may carry."""

CHAIN = (
    *("core", "browser", "block", "stripdnshttpsrecords", "blocklist", "anticache", "anticomp", "clientplayback"),
    *("commandhistory", "comment", "cut", "disableh2c", "export", "onboarding", "proxyauth", "proxyserver"),
    *("scriptloader", "dnsresolver", "nextlayer", "serverplayback", "mapremote", "maplocal", "modifybody"),
    *("modifyheaders", "stickyauth", "stickycookie", "save", "savehar", "tlsconfig", "upstreamauth"),
    "updatealtsvc",
)
"""mitmproxy's own addons, in order."""

SOURCES: Mapping[str, Callable[..., Any]] = {
    "AddonManager.trigger_event": AddonManager.trigger_event,
    "AddonManager.handle_lifecycle": AddonManager.handle_lifecycle,
    "AddonManager.register": AddonManager.register,
    "AddonManager.remove": AddonManager.remove,
    "ProxyConnectionHandler.handle_hook": mode_servers.ProxyConnectionHandler.handle_hook,
    "ConnectionHandler.hook_task": server.ConnectionHandler.hook_task,
    "ConnectionHandler.open_connection": server.ConnectionHandler.open_connection,
    "ConnectionHandler.server_event": server.ConnectionHandler.server_event,
    "ConnectionHandler.handle_connection": server.ConnectionHandler.handle_connection,
    "ConnectionHandler.close_connection": server.ConnectionHandler.close_connection,
    "Layer": layer.Layer,
    "HttpLayer": http.HttpLayer,
    "HttpStream": http.HttpStream,
    "Http1Connection": _http1.Http1Connection,
    "Http1Server": _http1.Http1Server,
    "Http1Client": _http1.Http1Client,
    "Http2Connection": _http2.Http2Connection,
    "BufferedH2Connection": _http_h2.BufferedH2Connection,
    "Master.run": Master.run,
    "TLSLayer.start_tls": tls.TLSLayer.start_tls,
    "TLSLayer.receive_handshake_data": tls.TLSLayer.receive_handshake_data,
    "ClientTLSLayer": tls.ClientTLSLayer,
    "TlsConfig.tls_start_client": tlsconfig.TlsConfig.tls_start_client,
    "create_client_proxy_context": create_client_proxy_context,
}
"""The code whose order of steps the guard relies on."""

DIGEST = "d977525ad193af5defbc738722be85605a6fd1cb7098ec41f3f31849bd67e5f7"
"""SHA-256 over the sources above, of mitmproxy 12.2.3."""


def differences(addons: AddonManager) -> Iterator[str]:
    """What is not as it must be in the running mitmproxy, a line each."""
    if version.VERSION != VERSION:
        yield f"mitmproxy {version.VERSION} is installed; this guard is made for {VERSION}"
    if unknown := set(hooks.all_hooks) ^ HOOKS:
        yield f"mitmproxy's hooks differ: {', '.join(f'`{name}`' for name in sorted(unknown))}"
    names = tuple(addonmanager._get_name(addon) for addon in addons.chain)
    first = names.index(CHAIN[0]) if CHAIN[0] in names else 0
    if names[first : first + len(CHAIN)] != CHAIN:
        yield "mitmproxy's own addons are others, or in another order"
    if digest() != DIGEST:
        yield f"mitmproxy's code has been changed in one of {', '.join(f'`{name}`' for name in SOURCES)}"


def digest() -> str:
    source = "\0".join(inspect.getsource(code) for code in SOURCES.values())
    return hashlib.sha256(source.encode()).hexdigest()
