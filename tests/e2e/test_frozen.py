"""The options that would open a way around the chain: refused at start, and out of reach while the proxy runs."""

import json
from pathlib import Path

import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.proxy import SCRIPTS, Proxy
from tests.e2e.upstream import Upstream

from headgate.proxy.frozen import ASKS, FIXED, KEPT, NOTHING

LISTED = {
    "allow_hosts": "example.org",
    "block_list": "/~u x/404",
    "client_replay": "empty.mitm",
    "ignore_hosts": "example.org",
    "map_local": "|x|empty.mitm",
    "map_remote": "|x|y",
    "modify_body": "/~s/x/y",
    "modify_headers": "/~s/x/y",
    "server_replay": "empty.mitm",
    "tcp_hosts": "example.org",
    "udp_hosts": "example.org",
}
"""For each option that must be an empty list, something it would take."""

OTHERS = {
    "connection_strategy": "eager",
    "intercept": "~q",
    "proxyauth": "any",
    "rfile": "empty.mitm",
    "stickyauth": "~q",
    "stickycookie": "~q",
    "stream_large_bodies": "1m",
    "upstream_auth": "user:word",
    "web_static_viewer": "static",
}
ONLY_MITMWEB = {"web_debug", "web_static_viewer", "intercept", "intercept_active"}
TOGETHER = {"rfile"}  # without which mitmproxy itself does not take web_static_viewer
CONFLICTING = {"allow_hosts"}  # mitmproxy itself takes it or ignore_hosts, not both


def unsafe(name: str) -> str:
    """What must not be asked for, as on the command line."""
    safe = FIXED[name]
    return LISTED.get(name) or OTHERS.get(name) or str(not safe).lower()


def refused(proxy: Proxy) -> list[str]:
    """The problems with which a proxy has ended before it listened."""
    assert proxy.wait() == 1, proxy.output.text
    assert "listening" not in proxy.output.text
    assert "Traceback" not in proxy.output.text
    lines = [line.partition("headgate: ")[2].strip() for line in proxy.output.lines if line.startswith("headgate: ")]
    assert lines, proxy.output.text
    return lines


def options(names: set[str]) -> list[str]:
    return [word for name in sorted(names) for word in ("--set", f"{name}={unsafe(name)}")]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder to start in, with the file that some options name."""
    (tmp_path / "empty.mitm").touch()
    return tmp_path


def test_every_list_that_must_be_empty_has_an_example_here() -> None:
    assert set(LISTED) == set(NOTHING)


@pytest.mark.parametrize(
    ("door", "names"),
    [
        ("mitmdump", set(FIXED) - ONLY_MITMWEB - CONFLICTING),
        ("headgate run", set(FIXED) - ONLY_MITMWEB - CONFLICTING),
        ("mitmweb", ONLY_MITMWEB | CONFLICTING | TOGETHER),
    ],
    ids=["mitmdump", "headgate run", "mitmweb"],
)
@pytest.mark.usefixtures("empty")
def test_every_option_that_bypasses_the_guard_is_named_in_one_report(
    attempt: Start, door: str, names: set[str]
) -> None:
    proxy = attempt(*options(names), door=door)
    reported = refused(proxy)
    for name in names:
        assert any(f"`{name}`" in line and "must stay" in line for line in reported), f"{name}: {proxy.output.text}"
    assert len(reported) == len(names)


def test_a_body_limit_may_not_be_raised(attempt: Start) -> None:
    (problem,) = refused(attempt("--set", "body_size_limit=17m"))
    assert problem == "option `body_size_limit` may be lowered from 16m, not raised or switched off"


@pytest.mark.parametrize("door", ["mitmdump", "headgate run", "headgate web"])
def test_a_misspelt_option_of_ours_is_not_passed_over(attempt: Start, door: str) -> None:
    """mitmproxy would start without a word, here under other rules than the ones that were meant."""
    (problem,) = refused(attempt("--set", "headgate_rule=elsewhere", door=door))
    assert problem == "option `headgate_rule` is unknown; accepted: headgate_rules"


@pytest.mark.parametrize("words", [("reverse:http://127.0.0.1:9",), ("~d example.org", "--listen-port")])
def test_what_was_meant_as_an_option_is_no_filter(attempt: Start, words: tuple[str, ...]) -> None:
    proxy = attempt(*words, door="headgate run")
    assert proxy.wait() == 2, proxy.output.text
    assert "would be part of a filter expression" in proxy.output.text
    assert "listening" not in proxy.output.text


def test_a_client_s_signature_stays_worth_something(attempt: Start) -> None:
    asked = ("ciphers_client=@SECLEVEL=0:ALL", "request_client_cert=true")
    assert refused(attempt(*(word for option in asked for word in ("--set", option)))) == [
        "option `ciphers_client` names ciphers only; leave out `@SECLEVEL`",
        "option `request_client_cert` follows the rules (a provider of preset `mtls`); leave it out",
    ]


BAD_MODES = (
    *("transparent", "socks5", "dns", "reverse:tcp://127.0.0.1:9", "reverse:tls://127.0.0.1:9"),
    *("reverse:dns://127.0.0.1:9", "reverse:udp://127.0.0.1:9", "reverse:dtls://127.0.0.1:9"),
    *("reverse:quic://127.0.0.1:9", "reverse:http3://127.0.0.1:9"),
)


def test_every_kind_of_listener_that_is_not_http_is_refused_in_one_report(attempt: Start) -> None:
    modes = [word for number, mode in enumerate(BAD_MODES) for word in ("--mode", f"{mode}@{20001 + number}")]
    reported = refused(attempt(*modes))
    assert len(reported) == len(BAD_MODES)
    assert all("`regular`, `upstream:URL` and `reverse:http(s)://HOST[:PORT]`" in line for line in reported)
    for mode in BAD_MODES:
        assert any(f"`{mode.partition(':')[0]}" in line for line in reported), mode


@pytest.mark.parametrize("mode", ["local", "local:curl", "wireguard", "tun"])
def test_listeners_that_take_over_the_machine_are_refused(attempt: Start, mode: str) -> None:
    (problem,) = refused(attempt(mode=mode))
    assert "option `mode` accepts" in problem


def test_a_script_loaded_before_the_guard_cannot_set_one_either(attempt: Start, empty: Path) -> None:
    script = empty / "early.py"
    script.write_text(
        "from mitmproxy import ctx\ndef load(loader):\n    ctx.options.update(rawtcp=False, anticache=True)"
    )
    (problem,) = refused(attempt(scripts_before=[script]))
    assert problem == "option `anticache` bypasses the guard and must stay `false`"


# -- while it runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(door="mitmweb", mode=f"reverse:{upstream.url}", scripts_after=[SCRIPTS / "tamper.py"]).warm()


def shown(proxy: Proxy) -> dict[str, object]:
    return {name: option["value"] for name, option in proxy.window.get("/options").json().items()}


def tamper(proxy: Proxy, **wish: object) -> str:
    """Have another script do what `wish` says; what it reports."""
    before = len(proxy.output.lines)
    proxy.get("/tamper", token=None, headers={"X-Tamper": json.dumps(wish)})
    return proxy.output.wait_for(r"tamper: (.*)\n", after=before)[0]


def assert_still_judged(proxy: Proxy, upstream: Upstream) -> None:
    upstream.forget()
    assert proxy.get("/customers/7", token=None).status_code == 401
    assert upstream.connections == 0
    allowed = proxy.get("/customers/7")
    assert allowed.status_code == 200
    assert CANARY not in allowed.text


WISHES = {
    **{name: json.loads(unsafe(name)) if isinstance(safe, bool) else unsafe(name) for name, safe in FIXED.items()},
    **{name: [value] for name, value in LISTED.items()},
    "mode": ["regular"],
    "scripts": [],
    "server": False,
    "listen_host": "",
    "listen_port": 1,
    "body_size_limit": "1g",
    "headgate_rules": "elsewhere",
    "headgate_state": "elsewhere",
    "headgate_capture": "off",
    "headgate_on_capture_error": "continue",
    "headgate_follow": False,
    "headgate_rules_key": "elsewhere",
    "headgate_admin": "",
    "server_replay_extra": "kill",
    "server_replay_kill_extra": True,
    "onboarding_host": "api",
    "client_replay_concurrency": -1,
    "certs": ["empty.mitm"],
    "cert_passphrase": "word",
    "confdir": "elsewhere",
    "client_certs": "elsewhere",
    "add_upstream_certs_to_client_chain": True,
    "ciphers_client": "ALL:@SECLEVEL=0",
    "tls_version_client_min": "TLS1",
    "tls_version_client_max": "TLS1_2",
    "tls_ecdh_curve_client": "secp256r1",
    "request_client_cert": True,
}


def test_every_frozen_option_is_tried_here() -> None:
    assert set(FIXED) | set(KEPT) | {ASKS} <= set(WISHES)


@pytest.mark.parametrize("how", ["update", "command", "reset", "defaults", "direct", "add"])
def test_no_other_script_changes_a_frozen_option(proxy: Proxy, upstream: Upstream, how: str) -> None:
    before = shown(proxy)
    for name, value in WISHES.items():
        if name in before:
            tamper(proxy, how=how, name=name, value=value)
    changed = {name: value for name, value in shown(proxy).items() if value != before[name] and name in WISHES}
    assert changed == {}
    assert_still_judged(proxy, upstream)


def test_whoever_tries_is_told(proxy: Proxy) -> None:
    assert "frozen while headgate guards: `rawtcp`" in tamper(proxy, how="update", name="rawtcp", value=True)


def test_the_body_limit_may_be_lowered(proxy: Proxy) -> None:
    tamper(proxy, how="update", name="body_size_limit", value="15m")
    assert shown(proxy)["body_size_limit"] == "15m"


@pytest.mark.parametrize("path", ["/options", "/options.json"])
def test_mitmwebs_user_changes_no_option(proxy: Proxy, upstream: Upstream, path: str) -> None:
    before = shown(proxy)
    for name, value in {**WISHES, "termlog_verbosity": "error", "web_password": ""}.items():
        assert proxy.window.call("PUT", path, json={name: value}).status_code == 403
    assert shown(proxy) == before
    assert_still_judged(proxy, upstream)


def test_mitmwebs_user_is_not_shown_the_password(proxy: Proxy) -> None:
    assert shown(proxy)["web_password"] == ""
