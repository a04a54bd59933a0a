"""Where the proxy listens, as far as that decides what it may accept."""

import ipaddress

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.options import Options


def loopback_only(proxyserver: Proxyserver) -> bool:
    """Whether there is a listener, and every one is reachable from this machine alone."""
    addresses = proxyserver.listen_addrs()
    return bool(addresses) and all(is_loopback(str(address[0])) for address in addresses)


def ports(proxyserver: Proxyserver, options: Options, admin: int | None) -> frozenset[int]:
    """Every port at which this process listens: for traffic, as mitmweb, for its operators."""
    web = options.web_port if "web_port" in options else None
    listening = {int(address[1]) for address in proxyserver.listen_addrs()}
    return frozenset(listening | {port for port in (web, admin) if port})


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address; a name is not, whatever it resolves to at the moment."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
