"""Where the proxy listens, as far as that decides what it may accept."""

import ipaddress

from mitmproxy.addons.proxyserver import Proxyserver


def loopback_only(proxyserver: Proxyserver) -> bool:
    """Whether there is a listener, and every one is reachable from this machine alone."""
    addresses = proxyserver.listen_addrs()
    return bool(addresses) and all(is_loopback(str(address[0])) for address in addresses)


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address; a name is not, whatever it resolves to at the moment."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
