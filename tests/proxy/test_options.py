"""What a proxy does when nobody has set an option."""

from typing import Any, cast

from mitmproxy.addonmanager import Loader
from mitmproxy.master import Master

from headgate.admin.address import Address
from headgate.proxy.install import Headgate
from headgate.proxy.listeners import is_loopback


class Declared:
    """Stands for mitmproxy's loader, and keeps what is declared to it."""

    def __init__(self) -> None:
        self.defaults: dict[str, Any] = {}

    def add_option(self, name: str, _type: Any, default: Any, _help: str, choices: Any = None) -> None:
        assert choices is None or default in choices
        self.defaults[name] = default


def test_the_admin_listener_is_for_this_machine_unless_somebody_says_otherwise() -> None:
    declared = Declared()
    Headgate(cast(Master, None)).load(cast(Loader, declared))
    assert is_loopback(Address.parse(declared.defaults["headgate_admin"]).host)
