"""Options that would open a way around the chain are set safely, refused when asked for, and held."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from headgate.proxy.frozen import FIXED, freeze, refuse_changes, serves_http


@pytest.fixture
def options() -> Options:
    async def make() -> Options:
        return DumpMaster(Options(), with_termlog=False, with_dumper=False).options

    return asyncio.run(make())


UNSAFE: dict[str, Any] = {
    **{name: ["something"] for name, safe in FIXED.items() if safe == []},
    **{name: not safe for name, safe in FIXED.items() if isinstance(safe, bool)},
    **dict.fromkeys((name for name, safe in FIXED.items() if safe is None), "something"),
    "connection_strategy": "eager",
    "stream_large_bodies": "1k",
}


@pytest.mark.parametrize(
    "name", sorted(set(UNSAFE) - {"web_debug", "web_static_viewer", "intercept_active", "intercept"})
)
def test_an_unsafe_option_asked_for_at_start_is_a_problem_and_is_not_set(options: Options, name: str) -> None:
    options._options[name].value = UNSAFE[name]
    frozen, problems = freeze(options)
    assert [problem for problem in problems if f"`{name}`" in problem]
    assert getattr(options, name) == FIXED[name] == frozen.values[name]


def test_defaults_that_would_bypass_are_set_without_a_problem(options: Options) -> None:
    assert options.connection_strategy == "eager"
    assert options.rawtcp
    _, problems = freeze(options)
    assert problems == []
    assert options.connection_strategy == "lazy"
    assert not options.rawtcp


@pytest.mark.parametrize(
    ("asked", "kept", "accepted"),
    [(None, "16m", True), ("1m", "1m", True), ("17m", "16m", False), ("0", "16m", False), ("lots", "16m", False)],
)
def test_the_body_limit_may_be_lowered_only(options: Options, asked: str | None, kept: str, accepted: bool) -> None:
    options._options["body_size_limit"].value = asked
    _, problems = freeze(options)
    assert options.body_size_limit == kept
    assert (problems == []) is accepted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tls_version_client_min", old) for old in ("UNBOUNDED", "SSL3", "TLS1", "TLS1_1")),
        *(("ciphers_client", text) for text in ("@SECLEVEL=0", "AES128-SHA:@SecLevel=0", "@SECLEVEL=0:ALL")),
        *(("request_client_cert", asked) for asked in (True, False)),
    ],
)
def test_signatures_of_clients_stay_worth_something(options: Options, name: str, value: Any) -> None:
    options._options[name].value = value
    (problem,) = freeze(options)[1]
    assert f"`{name}`" in problem


def test_stricter_tls_may_be_asked_for(options: Options) -> None:
    options.update(tls_version_client_min="TLS1_3", ciphers_client="ECDHE-RSA-AES128-GCM-SHA256")
    frozen, problems = freeze(options)
    assert (problems, frozen.values["tls_version_client_min"]) == ([], "TLS1_3")


def test_what_the_rules_decide_is_changed_by_nobody_else(options: Options) -> None:
    frozen, _ = freeze(options)
    told: list[str] = []
    veto = lambda updated: refuse_changes(frozen, options, told.append)  # noqa: E731, ARG005 - kept alive by its name
    options.changed.connect(veto)
    for asked in (True, False, True):
        frozen.decide(options, "request_client_cert", asked)
        options.update(websocket=asked)
        assert options.request_client_cert is asked
        for change in ({"request_client_cert": not asked}, {"request_client_cert": not asked, "http2": False}):
            with pytest.raises(exceptions.OptionsError, match="frozen while headgate guards: `request_client_cert`"):
                options.update(**change)
        assert (options.request_client_cert, options.http2) == (asked, True)
    with pytest.raises(exceptions.OptionsError):
        options.reset()
    assert options.request_client_cert
    assert len(told) == 7


def test_what_holds_is_not_written_anywhere(options: Options) -> None:
    options._options["cert_passphrase"].value = "word"
    assert "word" not in repr(freeze(options)[0])


def _by_update(options: Options) -> None:
    options.update(map_remote=["|a|b"])


def _by_set_command(options: Options) -> None:
    options.set("map_remote=|a|b")


def _by_reset(options: Options) -> None:
    options.reset()


def _by_declaring_it_anew(options: Options) -> None:
    options.add_option("connection_strategy", str, "eager", "mine now")


@pytest.mark.parametrize("change", [_by_update, _by_set_command, _by_reset, _by_declaring_it_anew])
def test_a_change_while_running_is_undone_and_told(options: Options, change: Callable[[Options], None]) -> None:
    frozen, _ = freeze(options)
    told: list[str] = []
    veto = lambda updated: refuse_changes(frozen, options, told.append)  # noqa: E731, ARG005 - kept alive by its name
    options.changed.connect(veto)
    with pytest.raises(exceptions.OptionsError, match="frozen while headgate guards"):
        change(options)
    assert told
    assert {name: getattr(options, name) for name in frozen.values} == dict(frozen.values)


@pytest.mark.parametrize(
    "spec", ["regular", "regular@8080", "upstream:http://proxy:3128", "reverse:http://api:80", "reverse:https://api"]
)
def test_listeners_for_http_over_tcp_may_start(spec: str) -> None:
    assert serves_http(spec)


@pytest.mark.parametrize(
    "spec",
    [
        *("socks5", "transparent", "dns", "wireguard", "local", "nonsense"),
        *("reverse:tcp://a:1", "reverse:tls://a:1", "reverse:dns://a", "reverse:udp://a:1", "reverse:dtls://a:1"),
        *("reverse:quic://a:1", "reverse:http3://a:1"),
    ],
)
def test_any_other_listener_may_not(spec: str) -> None:
    assert not serves_http(spec)
