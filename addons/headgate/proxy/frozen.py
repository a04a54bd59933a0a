"""The mitmproxy options that would open a way around the chain: what each must be, held there while the proxy runs.

Some options act after the guard has judged (map_remote, modify_body), some keep traffic from it (ignore_hosts,
rawtcp), some put unread bytes on the wire (stream_large_bodies). At start each is set to its safe value, or, when
somebody asked for another one, the proxy ends with a message that says so. Afterwards a change is undone whoever makes
it: values are compared, not the names mitmproxy says have changed, since its own rollback and `options.reset` change
values without a word.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import exceptions
from mitmproxy.optmanager import OptManager, unset
from mitmproxy.proxy import mode_specs
from mitmproxy.utils import human

BODY_SIZE_LIMIT = "16m"

NOTHING: tuple[str, ...] = (
    "allow_hosts",
    "block_list",
    "client_replay",
    "ignore_hosts",
    "map_local",
    "map_remote",
    "modify_body",
    "modify_headers",
    "server_replay",
    "tcp_hosts",
    "udp_hosts",
)
"""Options that must be an empty list."""

FIXED: Mapping[str, Any] = {
    "anticache": False,
    "anticomp": False,
    "connection_strategy": "lazy",
    "intercept": None,
    "intercept_active": False,
    "keep_alt_svc_header": False,
    "keep_host_header": True,
    "normalize_outbound_headers": True,
    "onboarding": False,
    "proxy_debug": False,
    "proxyauth": None,
    "rawtcp": False,
    "rfile": None,
    "show_ignored_hosts": False,
    "ssl_insecure": False,
    "stickyauth": None,
    "stickycookie": None,
    "store_streamed_bodies": False,
    "stream_large_bodies": None,
    "upstream_auth": None,
    "validate_inbound_headers": True,
    "web_debug": False,
    "web_static_viewer": "",
    **{name: [] for name in NOTHING},
}
"""Options with one safe value."""

KEPT = (
    *("mode", "scripts", "client_replay_concurrency", "onboarding_host", "server", "listen_host", "listen_port"),
    *("certs", "cert_passphrase", "confdir", "client_certs", "add_upstream_certs_to_client_chain", "ciphers_client"),
    *("tls_version_client_min", "tls_version_client_max", "tls_ecdh_curve_client"),
)
"""Options that keep the value they had at start, with all of `headgate_*` and `server_replay_*`."""

ASKS = "request_client_cert"
"""Whether callers are asked for a certificate: as the rules in force say, and nobody else."""

MODERN = ("TLS1_2", "TLS1_3")
"""Versions of TLS whose signatures count: older ones, like a lower `@SECLEVEL`, let clients sign with SHA-1."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The values that hold, by option name: from start to end, but for those that the guard itself decides."""

    values: dict[str, Any] = field(repr=False)

    def decide(self, options: OptManager, name: str, value: object) -> None:
        """Have an option follow the rules. mitmproxy reads it when it needs it, so that nobody has to be told."""
        self.values[name] = options._options[name].value = value

    def violations(self, options: OptManager) -> list[str]:
        """Put back every value that has changed, and name the options concerned."""
        changed = [name for name, value in self.values.items() if name in options and _raw(options, name) != value]
        for name in changed:
            if not (name == "body_size_limit" and _within_limit(_raw(options, name))):
                options._options[name].value = self.values[name]
        return [name for name in changed if _raw(options, name) == self.values[name]]


def freeze(options: OptManager) -> tuple[Frozen, list[str]]:
    """Set every guarded option to its safe value; return what holds from now on, and what was asked for in vain.

    Each problem is one line that names the option, and what is accepted. With any problem, nothing must be served.
    """
    problems = _listener_problems(options)
    values: dict[str, Any] = {}
    for name, safe in FIXED.items():
        if name not in options:
            continue
        if _asked(options, name) and _raw(options, name) != safe:
            problems.append(f"option `{name}` bypasses the guard and must stay {_show(safe)}")
        options._options[name].value = safe
        values[name] = safe
    problems += [*_limit_body(options), *_weak_handshakes(options)]
    if _asked(options, ASKS):
        problems.append(f"option `{ASKS}` follows the rules (a provider of preset `mtls`); leave it out")
    for name in options.keys():  # noqa: SIM118 - OptManager is not a mapping
        if name in KEPT or name == "body_size_limit" or name.startswith(("headgate_", "server_replay_")):
            values[name] = options._options[name].current()
    return Frozen(values), problems


def _limit_body(options: OptManager) -> list[str]:
    asked = options._options["body_size_limit"].current()
    if asked is not None and _within_limit(asked):
        return []
    options._options["body_size_limit"].value = BODY_SIZE_LIMIT
    if asked is None:
        return []
    return [f"option `body_size_limit` may be lowered from {BODY_SIZE_LIMIT}, not raised or switched off"]


def _weak_handshakes(options: OptManager) -> Iterator[str]:
    if (oldest := options._options["tls_version_client_min"].current()) not in MODERN:
        yield f"option `tls_version_client_min` accepts `TLS1_2` and `TLS1_3`, not `{oldest}`"
    if "@SECLEVEL" in (options._options["ciphers_client"].current() or "").upper():
        yield "option `ciphers_client` names ciphers only; leave out `@SECLEVEL`"


def _within_limit(size: object) -> bool:
    try:
        parsed = human.parse_size(size if isinstance(size, str) else None)
    except ValueError:
        return False
    limit = human.parse_size(BODY_SIZE_LIMIT)
    return parsed is not None and limit is not None and 0 < parsed <= limit


def _listener_problems(options: OptManager) -> list[str]:
    return [
        "option `mode` accepts `regular`, `upstream:URL` and `reverse:http(s)://HOST[:PORT]`; "
        f"the guard has no stage for `{spec.split(':')[0]}{':...' if ':' in spec else ''}`"
        for spec in options._options["mode"].current()
        if not serves_http(spec)
    ]


def serves_http(spec: str) -> bool:
    """Whether a listener of this mode is for HTTP (`reverse:https` opens a UDP port too: see `layers.only_tcp`)."""
    try:
        mode = mode_specs.ProxyMode.parse(spec)
    except ValueError:
        return False
    if isinstance(mode, mode_specs.ReverseMode):
        return mode.scheme in ("http", "https")
    return isinstance(mode, (mode_specs.RegularMode, mode_specs.UpstreamMode))


def refuse_changes(frozen: Frozen, options: OptManager, warn: Callable[[str], None]) -> None:
    """Undo what has changed; raises OptionsError, so that whoever tried is told and mitmproxy rolls back the rest."""
    if names := frozen.violations(options):
        message = f"frozen while headgate guards: {', '.join(f'`{name}`' for name in sorted(names))}"
        warn(message)
        raise exceptions.OptionsError(message)


def _asked(options: OptManager, name: str) -> bool:
    return options._options[name].value is not unset


def _raw(options: OptManager, name: str) -> Any:
    """The value without mitmproxy's defensive deep copy."""
    option = options._options[name]
    return option._default if option.value is unset else option.value


def _show(value: object) -> str:
    if value is None:
        return "unset"
    return f"`{str(value).lower()}`" if value else "`false`" if value is False else "empty"
