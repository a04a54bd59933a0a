"""mitmdump and mitmweb as `headgate run` and `headgate web` start them: guarded before they open a port."""

import sys
from collections.abc import Sequence
from typing import Any

from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.optmanager import unset
from mitmproxy.tools import cmdline
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.main import run
from mitmproxy.tools.web.master import WebMaster

from headgate.proxy.install import install, start

MODES = ("reverse", "regular", "upstream", "transparent", "socks5", "dns", "wireguard", "local", "tun")


class GuardedDumpMaster(DumpMaster):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        install(self)

    async def run(self) -> None:
        _stay_on_loopback(self)
        start(self)
        await super().run()


class GuardedWebMaster(WebMaster):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        install(self)

    async def run(self) -> None:
        _stay_on_loopback(self)
        start(self)
        await super().run()


def _stay_on_loopback(master: Master) -> None:
    """Listen on loopback when nobody said where: to be reachable from elsewhere is a decision."""
    option = master.options._options["listen_host"]
    if option.value is unset:
        option.value = "127.0.0.1"


def run_dump(arguments: Sequence[str]) -> None:
    """mitmdump, guarded, with mitmdump's own command line."""
    run(GuardedDumpMaster, cmdline.mitmdump, arguments, _filters)


def run_web(arguments: Sequence[str]) -> None:
    """mitmweb, guarded, with mitmweb's own command line."""
    run(GuardedWebMaster, cmdline.mitmweb, arguments)


def _filters(arguments: Any) -> dict[str, str]:
    """mitmdump's trailing filter expression: what is shown and saved."""
    for word in arguments.filter_args:
        if word.startswith("--") or word.partition(":")[0] in MODES:
            meant = f"--mode {word}" if word.partition(":")[0] in MODES else f"{word} before the filter"
            sys.stderr.write(
                f"headgate: `{word[:80]}` would be part of a filter expression; did you mean `{meant[:80]}`?\n"
            )
            raise SystemExit(2)
    expression = " ".join(arguments.filter_args)
    names = ("save_stream_filter", "readfile_filter", "dumper_filter")
    return dict.fromkeys(names, expression) if expression else {}
