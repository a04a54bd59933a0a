"""Where a token is looked for, and what is no token there."""

import base64

import pytest

from headgate.identity.credentials import Presented, presented
from headgate.identity.hygiene import Clean, Mode
from headgate.identity.reasons import Reason, Rejected
from headgate.model import Request

TOKEN = "aaa.bbb.ccc"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def ask(
    mode: Mode, authorization: str | None = None, proxy: str | None = None, bound: Presented | None = None
) -> object:
    encoded = [value.encode() if value is not None else None for value in (authorization, proxy)]
    result = presented(mode, Clean(Request("GET", "http", "a", 80, "/"), (), b"/", b"", *encoded), bound)
    return result.token if isinstance(result, Presented) else result.reason


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer   "])
def test_in_reverse_mode_the_token_is_a_bearer_token(scheme: str) -> None:
    assert ask(Mode.REVERSE, f"{scheme} {TOKEN}") == TOKEN


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Basic dG9rZW46YWFh", Reason.UNSUPPORTED_SCHEME),
        ("Negotiate x", Reason.UNSUPPORTED_SCHEME),
        (TOKEN, Reason.UNSUPPORTED_SCHEME),
        ("", Reason.UNSUPPORTED_SCHEME),
        ("Bearer", Reason.CREDENTIALS_MALFORMED),
        ("Bearer ", Reason.CREDENTIALS_MALFORMED),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", Reason.CREDENTIALS_MALFORMED),
        (f"Bearer {TOKEN} x", Reason.CREDENTIALS_MALFORMED),
        (f"Bearer\t{TOKEN}", Reason.UNSUPPORTED_SCHEME),
        (f'Bearer "{TOKEN}"', Reason.CREDENTIALS_MALFORMED),
        (f"Bearer {TOKEN}é", Reason.CREDENTIALS_MALFORMED),
    ],
)
def test_in_reverse_mode_nothing_else_is_taken_for_a_token(value: str, reason: Reason) -> None:
    assert ask(Mode.REVERSE, value) is reason


def test_in_reverse_mode_what_is_for_another_proxy_is_not_looked_at() -> None:
    assert ask(Mode.REVERSE, None, f"Bearer {TOKEN}") is None
    assert ask(Mode.REVERSE, f"Bearer {TOKEN}", "Bearer other") == TOKEN


@pytest.mark.parametrize("mode", [Mode.FORWARD, Mode.CONNECT])
def test_a_forward_proxy_takes_bearer_and_basic(mode: Mode) -> None:
    assert ask(mode, "Bearer upstream", f"Bearer {TOKEN}") == TOKEN
    assert ask(mode, None, basic(f"token:{TOKEN}")) == TOKEN
    assert ask(mode, None, basic(f"token:{TOKEN}").lower().replace("basic", "BASIC", 1)) is not TOKEN
    assert ask(mode, f"Bearer {TOKEN}") is None


@pytest.mark.parametrize(
    "value",
    [
        basic(f"ana:{TOKEN}"), basic("token:"), basic("token"), basic(f":{TOKEN}"), basic("token:é"),
        "Basic", "Basic ", "Basic !!!", "Basic dG9rZW46YWFh=", "Bearer",
    ],
)  # fmt: skip
def test_a_forward_proxy_takes_no_other_user_or_form(value: str) -> None:
    assert ask(Mode.FORWARD, None, value) is Reason.CREDENTIALS_MALFORMED


def test_a_forward_proxy_takes_no_other_scheme() -> None:
    assert ask(Mode.FORWARD, None, "Digest username=x") is Reason.UNSUPPORTED_SCHEME


def test_a_tunnel_has_the_token_of_its_connect() -> None:
    bound = Presented(TOKEN)
    assert ask(Mode.TUNNEL, "Bearer upstream", None, bound) == TOKEN
    assert ask(Mode.TUNNEL, None, f"Bearer {TOKEN}", bound) == TOKEN
    assert ask(Mode.TUNNEL, None, basic(f"token:{TOKEN}"), bound) == TOKEN
    assert ask(Mode.TUNNEL, None, "Bearer other", bound) is Reason.TWO_TOKENS
    assert ask(Mode.TUNNEL, None, "Digest x", bound) is Reason.UNSUPPORTED_SCHEME


def test_a_tunnel_opened_without_a_token_stays_without() -> None:
    assert ask(Mode.TUNNEL, None, None, Presented(None)) is None
    assert ask(Mode.TUNNEL, None, f"Bearer {TOKEN}", Presented(None)) is Reason.TWO_TOKENS
    assert ask(Mode.TUNNEL, None, f"Bearer {TOKEN}") is Reason.NO_TOKEN


def test_a_token_is_not_in_what_is_printed() -> None:
    assert TOKEN not in repr(Presented(TOKEN))
    assert repr(Rejected(Reason.NO_TOKEN))
