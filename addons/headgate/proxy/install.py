"""Put the guard around a running mitmproxy for good, and start it: load the rules, open the record, freeze options.

Two ways in, one guard: a script (`-s addons/chain.py`) installs and starts it when mitmproxy has read its options;
`headgate run` and `headgate web` install it as the master is made and start it before a port is opened. Whatever fails
ends the process with every problem named, and exit 1.
"""

import logging
import sys
import time
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from mitmproxy.addonmanager import Loader
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.web.master import WebMaster

from headgate.capture.retention import parse_retention
from headgate.errors import HeadgateError
from headgate.proxy import internals
from headgate.proxy.closing import close_for_good
from headgate.proxy.dispatch import Dispatch
from headgate.proxy.faults import quiet_logs, quiet_pages
from headgate.proxy.frozen import Frozen, freeze, refuse_changes
from headgate.proxy.guard import Guard
from headgate.proxy.handshakes import read_or_refuse
from headgate.proxy.heads import limit_heads
from headgate.proxy.runtime import Runtime, Settings
from headgate.proxy.socketlayer import speak_guarded
from headgate.proxy.streamlayer import stream_guarded
from headgate.proxy.web import install_window

log = logging.getLogger(__name__)

NAME = "headgate"


class Headgate:
    """The addon mitmproxy knows of: it declares the options, holds the frozen ones, and lives as long as the proxy."""

    name = NAME

    def __init__(self, master: Master) -> None:
        self._master = master
        self._frozen: Frozen | None = None
        self._runtime: Runtime | None = None
        self.guard = Guard(time.time)

    def load(self, loader: Loader) -> None:
        """Declare the options (interfaces.md)."""
        loader.add_option("headgate_rules", str, "rules", "Folder with the rules: identity, targets, policy, masking.")
        loader.add_option("headgate_state", str, ".headgate", "Folder for keys and records; made if it is missing.")
        loader.add_option(
            "headgate_capture",
            str,
            "masked",
            "What is recorded of each flow: all of it masked (`sealed`: and the original), metadata only, or nothing.",
            choices=("masked", "sealed", "metadata", "off"),
        )
        loader.add_option(
            "headgate_sealing_key", str, "", "File with the public key that originals are sealed to (`flows keys`)."
        )
        loader.add_option(
            "headgate_on_capture_error",
            str,
            "refuse",
            "What becomes of requests while nothing can be recorded.",
            choices=("refuse", "continue"),
        )
        loader.add_option(
            "headgate_retention",
            str,
            "",
            "How long flows are kept: `30d,50GB`, or one of the two; empty: always.",
        )
        loader.add_option(
            "headgate_audit_strict", bool, False, "A decision is on disk, in the audit log, before its request goes on."
        )
        loader.add_option(
            "headgate_events",
            str,
            "",
            "Who is told of audit entries and checkpoints as they are written: `stdout`, `syslog`, `syslog:HOST:PORT` "
            "(UDP), `https://...` (a webhook); separated by commas.",
        )
        loader.add_option(
            "headgate_events_key", str, "", "Secret that signs what a webhook gets: `env:NAME` or `file:PATH`."
        )
        loader.add_option("headgate_follow", bool, True, "Take up changes in the rules folder while running.")
        loader.add_option(
            "headgate_rules_key", str, "", "File with the Ed25519 public key that must have signed the rules."
        )
        loader.add_option(
            "headgate_admin",
            str,
            "127.0.0.1:8082",
            "Where health and public keys are shown, HOST:PORT; empty for nowhere.",
        )

    def configure(self, _updated: Iterable[str]) -> None:
        if self._frozen:
            refuse_changes(self._frozen, self._master.options, log.warning)

    def start(self) -> None:
        """Freeze, load, open; raises HeadgateError with every problem."""
        options = self._master.options
        if not isinstance(self._master, (DumpMaster, WebMaster)):
            raise HeadgateError("headgate guards mitmdump and mitmweb; mitmproxy's console can change what was judged")
        if differences := list(internals.differences(self._master.addons)):
            raise HeadgateError("\n".join(differences))
        frozen, problems = freeze(options)
        problems += _misspelt(options)
        if problems:
            raise HeadgateError("\n".join(problems))
        settings = Settings(
            rules=Path(options.headgate_rules).expanduser(),
            rules_key=Path(options.headgate_rules_key).expanduser() if options.headgate_rules_key else None,
            state=Path(options.headgate_state).expanduser(),
            capture=options.headgate_capture,
            on_capture_error=options.headgate_on_capture_error,
            follow=options.headgate_follow,
            admin=options.headgate_admin,
            retention=parse_retention(options.headgate_retention),
            audit_strict=options.headgate_audit_strict,
            events=options.headgate_events,
            events_key=options.headgate_events_key,
            sealing_key=Path(options.headgate_sealing_key).expanduser() if options.headgate_sealing_key else None,
        )
        self._runtime = Runtime(settings, self.guard, self._proxyserver(), options, frozen)
        self._frozen = frozen
        if isinstance(self._master, WebMaster):
            install_window(self._master)

    def running(self) -> None:
        if self._runtime:
            self._runtime.running()

    async def done(self) -> None:
        if self._runtime:
            await self._runtime.stop()

    def _proxyserver(self) -> Proxyserver:
        proxyserver = self._master.addons.get("proxyserver")
        if not isinstance(proxyserver, Proxyserver):
            raise HeadgateError("this mitmproxy has no proxy server to guard")
        return proxyserver


def _misspelt(options: Options) -> list[str]:
    """Options that begin like ours and are none: without a word, mitmproxy would go on without them."""
    ours = [name for name in options.keys() if name.startswith("headgate_")]  # noqa: SIM118 - not a mapping
    return [
        f"option `{name[:60]}` is unknown; accepted: {', '.join(get_close_matches(name, ours, 1) or ours)}"
        for name in options.deferred
        if name.startswith("headgate")
    ]


def install(master: Master) -> Headgate:
    """Put the guard around `master`'s dispatch, once; from now on every flow is refused until `start` has run."""
    already = master.addons.get(NAME)
    if isinstance(already, Headgate):
        return already
    headgate = Headgate(master)
    master.addons.register(headgate)
    master.addons.chain.insert(0, headgate)
    Dispatch(master.addons, headgate.guard, headgate).install()
    quiet_logs()
    quiet_pages()
    read_or_refuse()
    limit_heads()
    close_for_good()
    speak_guarded()
    stream_guarded()
    return headgate


def start(master: Master) -> None:
    """Start the installed guard, or end the process with what is wrong, on stderr, and exit 1."""
    try:
        install(master).start()
    except HeadgateError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"headgate: {line}\n")
        raise SystemExit(1) from None


def install_script(master: Master) -> None:
    """What `addons/chain.py` does; when mitmproxy reloads that file, nothing."""
    if not isinstance(master.addons.get(NAME), Headgate):
        start(master)
