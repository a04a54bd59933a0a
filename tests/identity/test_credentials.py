"""Where a caller shows what proves it, and what counts for nothing there."""

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.identity import pki
from tests.identity.conftest import identity

from headgate.identity.credentials import Presented, Shown, presented
from headgate.identity.hygiene import Clean, Mode, RawRequest, check
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules
from headgate.identity.reasons import Reason, Rejected
from headgate.model import Request

TOKEN, OTHER = "aaa.bbb.ccc", "aaa.bbb.ddd"
HEADER, COOKIE = "header:cf-access-jwt-assertion", "cookie:CF_Authorization"
ACCESS = {
    "name": "access",
    "preset": "cloudflare-access",
    "issuer": "https://team.cloudflareaccess.com",
    "audiences": ["0" * 64],
}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def rules(issuer: Any, tmp_path: Path) -> IdentityRules:
    """A provider whose tokens are in `Authorization`."""
    made: IdentityRules = issuer.rules(tmp_path)
    return made


@pytest.fixture
def access(tmp_path: Path) -> IdentityRules:
    """A provider whose tokens are in a header and a cookie."""
    return identity(tmp_path, ACCESS)


@pytest.fixture
def both(issuer: Any, tmp_path: Path) -> IdentityRules:
    return identity(tmp_path, issuer.written(tmp_path), ACCESS)


def cleaned(rules: IdentityRules, *headers: tuple[str, str]) -> Clean:
    """A request with these headers, as hygiene leaves it."""
    fields = ((b"Host", b"a"), *((name.encode(), value.encode()) for name, value in headers))
    clean = check(RawRequest(Mode.REVERSE, b"GET", "http", "a", 80, b"", b"/", fields), lambda *_: False, rules.taken)
    assert isinstance(clean, Clean), clean
    return clean


def ask(
    rules: IdentityRules,
    mode: Mode,
    authorization: str | None = None,
    proxy: str | None = None,
    bound: Presented | None = None,
) -> object:
    """The one token that is shown, None for none, or why none of it counts."""
    values = {b"authorization": authorization, b"proxy-authorization": proxy}
    given = {name: value.encode() for name, value in values.items() if value is not None}
    clean = Clean(Request("GET", "http", "a", 80, "/"), (), b"/", b"", given)
    result = presented(mode, clean, rules, bound=bound)
    if isinstance(result, Rejected):
        return result.reason
    assert len(result.tokens) <= 1
    return result.tokens[0].text if result.tokens else None


def shown(rules: IdentityRules, *headers: tuple[str, str]) -> list[tuple[str, ...]] | Reason:
    """Each token of a request with the places where it stands."""
    result = presented(Mode.REVERSE, cleaned(rules, *headers), rules)
    if isinstance(result, Rejected):
        return result.reason
    return [(token.text, *token.places) for token in result.tokens]


# -------------------------------------------------------------------------------------------------------- Authorization


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer   "])
def test_in_reverse_mode_the_token_is_a_bearer_token(rules: IdentityRules, scheme: str) -> None:
    assert ask(rules, Mode.REVERSE, f"{scheme} {TOKEN}") == TOKEN


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
        (f"DPoPX {TOKEN}", Reason.UNSUPPORTED_SCHEME),
        ("DPoP", Reason.CREDENTIALS_MALFORMED),
    ],
)
def test_in_reverse_mode_nothing_else_is_taken_for_a_token(rules: IdentityRules, value: str, reason: Reason) -> None:
    assert ask(rules, Mode.REVERSE, value) is reason


def test_in_reverse_mode_what_is_for_another_proxy_is_not_looked_at(rules: IdentityRules) -> None:
    assert ask(rules, Mode.REVERSE, None, f"Bearer {TOKEN}") is None
    assert ask(rules, Mode.REVERSE, f"Bearer {TOKEN}", "Bearer other") == TOKEN


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
def test_the_scheme_says_whether_a_proof_goes_with_the_token(rules: IdentityRules, scheme: str) -> None:
    clean = cleaned(rules, ("Authorization", f"{scheme} {TOKEN}"), ("DPoP", "a-proof"))
    assert presented(Mode.REVERSE, clean, rules) == Presented((Shown(TOKEN, (BEARER,), bound=True),), proof=b"a-proof")
    plain = presented(Mode.REVERSE, cleaned(rules, ("Authorization", f"Bearer {TOKEN}")), rules)
    assert plain == Presented((Shown(TOKEN, (BEARER,), bound=False),))


def test_the_scheme_of_one_token_is_not_that_of_another(both: IdentityRules) -> None:
    clean = cleaned(both, ("Authorization", f"DPoP {TOKEN}"), ("Cf-Access-Jwt-Assertion", OTHER))
    assert presented(Mode.REVERSE, clean, both) == Presented((Shown(OTHER, (HEADER,)), Shown(TOKEN, (BEARER,), True)))


def test_an_authorization_that_no_provider_reads_is_none_of_ours(access: IdentityRules) -> None:
    assert shown(access, ("Authorization", f"Bearer {TOKEN}")) == []
    assert shown(access, ("Authorization", "Basic eDp5")) == []
    assert shown(access, ("Authorization", f"Bearer {OTHER}"), ("Cf-Access-Jwt-Assertion", TOKEN)) == [(TOKEN, HEADER)]


# -------------------------------------------------------------------------------------------------- headers and cookies


def test_a_header_or_a_cookie_of_a_provider_holds_the_bare_token(access: IdentityRules) -> None:
    assert shown(access, ("Cf-Access-Jwt-Assertion", TOKEN)) == [(TOKEN, HEADER)]
    assert shown(access, ("Cookie", f"CF_Authorization={TOKEN}")) == [(TOKEN, COOKIE)]
    assert shown(access) == []


def test_headers_and_cookies_that_no_provider_reads_show_nothing(rules: IdentityRules) -> None:
    assert shown(rules, ("Cf-Access-Jwt-Assertion", TOKEN), ("Cookie", f"CF_Authorization={TOKEN}")) == []
    assert shown(rules, ("X-Goog-Iap-Jwt-Assertion", TOKEN), ("X-Amzn-Oidc-Data", TOKEN)) == []


def test_the_same_token_in_several_places_counts_once(access: IdentityRules, both: IdentityRules) -> None:
    header, cookie = ("Cf-Access-Jwt-Assertion", TOKEN), ("Cookie", f"CF_Authorization={TOKEN}")
    assert shown(access, header, cookie) == [(TOKEN, HEADER, COOKIE)]
    bearer = ("Authorization", f"Bearer {TOKEN}")
    assert shown(both, bearer, header, cookie) == [(TOKEN, HEADER, COOKIE, BEARER)]


def test_different_tokens_are_all_shown(access: IdentityRules, both: IdentityRules) -> None:
    header, cookie = ("Cf-Access-Jwt-Assertion", TOKEN), ("Cookie", f"CF_Authorization={OTHER}")
    assert shown(access, header, cookie) == [(TOKEN, HEADER), (OTHER, COOKIE)]
    bearer = ("Authorization", f"Bearer {OTHER}")
    assert shown(both, bearer, header, cookie) == [(TOKEN, HEADER), (OTHER, COOKIE, BEARER)]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cf-Access-Jwt-Assertion", ""),
        ("Cf-Access-Jwt-Assertion", f"Bearer {TOKEN}"),
        ("Cf-Access-Jwt-Assertion", f"{TOKEN}, {TOKEN}"),
        ("Cf-Access-Jwt-Assertion", f'"{TOKEN}"'),
        ("Cf-Access-Jwt-Assertion", f"{TOKEN}é"),
        ("Cookie", "CF_Authorization="),
        ("Cookie", f'CF_Authorization="{TOKEN}"'),
        ("Cookie", f"CF_Authorization={TOKEN},{TOKEN}"),
        ("Cookie", f"CF_Authorization={TOKEN} x"),
        ("Cookie", f"CF_Authorization=%22{TOKEN}%22"),
        ("Cookie", f"CF_Authorization={TOKEN}é"),
    ],
)
def test_what_has_not_the_letters_of_a_token_spoils_the_request(access: IdentityRules, header: str, value: str) -> None:
    """A quoted value too: applications differ on whether the quotes belong to it (RFC 6265, section 4.1.1)."""
    assert shown(access, (header, value)) is Reason.CREDENTIALS_MALFORMED
    good = ("Cookie", f"CF_Authorization={TOKEN}") if header != "Cookie" else ("Cf-Access-Jwt-Assertion", TOKEN)
    assert shown(access, (header, value), good) is Reason.CREDENTIALS_MALFORMED


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ([f"a=1; CF_Authorization={TOKEN}; b=2"], [TOKEN]),
        ([f"a=1;CF_Authorization={TOKEN};b=2"], [TOKEN]),
        ([f"\ta=1 ;  CF_Authorization = {TOKEN} "], [TOKEN]),
        (["a=1", f"CF_Authorization={TOKEN}", "b=2"], [TOKEN]),
        ([f"CF_Authorization={TOKEN}; CF_Authorization={TOKEN}"], [TOKEN]),
        ([f"CF_Authorization={TOKEN}; CF_Authorization={OTHER}"], [TOKEN, OTHER]),
        ([f"CF_Authorization={TOKEN}", f"CF_Authorization={OTHER}"], [TOKEN, OTHER]),
        ([f"CF_AUTHORIZATION={TOKEN}; cf_authorization={TOKEN}"], []),
        ([f"XCF_Authorization={TOKEN}; CF_Authorization2={TOKEN}; CF-Authorization={TOKEN}"], []),
        ([f"__Host-CF_Authorization={TOKEN}; $CF_Authorization={TOKEN}; CF_Authorization"], []),
        ([f"a=CF_Authorization={TOKEN}"], []),
        ([f'a="; CF_Authorization={TOKEN}; b="'], [TOKEN]),
        (["", ";", "; ;", "=", "=a"], []),
    ],
)
def test_a_cookie_is_found_by_its_very_name(access: IdentityRules, fields: list[str], tokens: list[str]) -> None:
    """Quotes bundle nothing: to a server, `a="; b=c"` is two cookies (RFC 6265, section 5.4)."""
    found = shown(access, *(("Cookie", field) for field in fields))
    assert isinstance(found, list)
    assert [token for token, *_ in found] == tokens


def test_a_proof_is_shown_as_it_came(rules: IdentityRules) -> None:
    result = presented(Mode.REVERSE, cleaned(rules, ("DPoP", "x y é")), rules)
    assert isinstance(result, Presented)
    assert (result.proof, result.nothing) == ("x y é".encode(), True)


# ------------------------------------------------------------------------------------------------------- certificates


@pytest.fixture
def mesh(tmp_path: Path) -> IdentityRules:
    (tmp_path / "ca.pem").write_bytes(pki.authority("corp").pem)
    xfcc = {"name": "envoy", "preset": "forwarded-client-cert"}
    mtls = {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"}
    return identity(tmp_path, mtls, xfcc, trusted_proxies=["10.0.0.0/8"])


XFCC = ("X-Forwarded-Client-Cert", "URI=spiffe://prod.example/web")


def test_the_certificates_of_the_connection_count_where_a_provider_reads_them(
    mesh: IdentityRules, rules: IdentityRules
) -> None:
    for mode in (Mode.REVERSE, Mode.FORWARD, Mode.CONNECT):
        assert presented(mode, cleaned(mesh), mesh, certificates=(b"der",)) == Presented(certificates=(b"der",))
        assert presented(mode, cleaned(rules), rules, certificates=(b"der",)) == Presented()


def test_what_a_trusted_peer_saw_counts_in_reverse_mode_only(mesh: IdentityRules, rules: IdentityRules) -> None:
    clean, value = cleaned(mesh, XFCC), XFCC[1].encode()
    assert presented(Mode.REVERSE, clean, mesh, peer_trusted=True) == Presented(forwarded=value)
    assert presented(Mode.REVERSE, clean, mesh) == Presented()
    assert presented(Mode.FORWARD, clean, mesh, peer_trusted=True) == Presented()
    assert presented(Mode.CONNECT, clean, mesh, peer_trusted=True) == Presented()
    assert presented(Mode.REVERSE, cleaned(rules, XFCC), rules, peer_trusted=True) == Presented()


# ---------------------------------------------------------------------------------------------------- forward proxies


@pytest.mark.parametrize("mode", [Mode.FORWARD, Mode.CONNECT])
def test_a_forward_proxy_takes_bearer_and_basic(rules: IdentityRules, mode: Mode) -> None:
    assert ask(rules, mode, "Bearer upstream", f"Bearer {TOKEN}") == TOKEN
    assert ask(rules, mode, None, basic(f"token:{TOKEN}")) == TOKEN
    assert ask(rules, mode, None, basic(f"token:{TOKEN}").lower().replace("basic", "BASIC", 1)) is not TOKEN
    assert ask(rules, mode, f"Bearer {TOKEN}") is None


@pytest.mark.parametrize(
    "value",
    [
        basic(f"ana:{TOKEN}"), basic("token:"), basic("token"), basic(f":{TOKEN}"), basic("token:é"),
        basic(f"token:{TOKEN}:x"), basic(f"token:{TOKEN} "), basic(f"token:{TOKEN}\n"), basic(f"TOKEN:{TOKEN}"),
        "Basic", "Basic ", "Basic !!!", "Basic dG9rZW46YWFh=", "Bearer",
    ],
)  # fmt: skip
def test_a_forward_proxy_takes_no_other_user_or_form(rules: IdentityRules, value: str) -> None:
    assert ask(rules, Mode.FORWARD, None, value) is Reason.CREDENTIALS_MALFORMED


def test_a_forward_proxy_takes_no_other_scheme(rules: IdentityRules) -> None:
    assert ask(rules, Mode.FORWARD, None, "Digest username=x") is Reason.UNSUPPORTED_SCHEME
    assert ask(rules, Mode.FORWARD, None, f"DPoP {TOKEN}") is Reason.UNSUPPORTED_SCHEME


def test_a_forward_proxy_looks_into_no_other_header_or_cookie(both: IdentityRules) -> None:
    """Those of a request that goes through belong to the upstream."""
    clean = cleaned(both, ("Cf-Access-Jwt-Assertion", TOKEN), ("Cookie", f"CF_Authorization={TOKEN}"), ("DPoP", "x"))
    for mode in (Mode.FORWARD, Mode.CONNECT):
        assert presented(mode, clean, both) == Presented()


def token_shown(text: str) -> Presented:
    return Presented((Shown(text, (BEARER,)),))


def test_a_tunnel_has_the_token_of_its_connect(rules: IdentityRules) -> None:
    bound = token_shown(TOKEN)
    assert ask(rules, Mode.TUNNEL, "Bearer upstream", None, bound) == TOKEN
    assert ask(rules, Mode.TUNNEL, None, f"Bearer {TOKEN}", bound) == TOKEN
    assert ask(rules, Mode.TUNNEL, None, basic(f"token:{TOKEN}"), bound) == TOKEN
    assert ask(rules, Mode.TUNNEL, None, f"Bearer {OTHER}", bound) is Reason.OTHER_TOKEN
    assert ask(rules, Mode.TUNNEL, None, "Digest x", bound) is Reason.UNSUPPORTED_SCHEME
    assert ask(rules, Mode.TUNNEL, None, "Bearer", bound) is Reason.CREDENTIALS_MALFORMED


def test_a_tunnel_opened_without_a_token_stays_without(rules: IdentityRules) -> None:
    assert ask(rules, Mode.TUNNEL, None, None, Presented()) is None
    assert ask(rules, Mode.TUNNEL, None, f"Bearer {TOKEN}", Presented()) is Reason.OTHER_TOKEN
    assert ask(rules, Mode.TUNNEL, None, f"Bearer {TOKEN}") is Reason.NO_TOKEN


def test_a_tunnel_has_the_certificates_that_its_connect_was_sent_with(mesh: IdentityRules) -> None:
    """Whatever TLS inside the tunnel shows is not what opened it."""
    bound = Presented(certificates=(b"outer",))
    assert presented(Mode.TUNNEL, cleaned(mesh), mesh, certificates=(b"inner",), bound=bound) == bound
    assert presented(Mode.TUNNEL, cleaned(mesh, XFCC), mesh, peer_trusted=True, bound=bound) == bound


def test_nothing_that_is_shown_is_in_what_is_printed(access: IdentityRules) -> None:
    assert TOKEN not in repr(token_shown(TOKEN))
    secret = Presented((Shown(TOKEN, (BEARER,)),), (b"s3cret",), b"s3cret", b"s3cret")
    assert "s3cret" not in repr(secret)
    assert repr(Rejected(Reason.NO_TOKEN))
    clean = cleaned(access, ("Cookie", "CF_Authorization=s3cret"), ("Cf-Access-Jwt-Assertion", "s3cret"))
    assert "s3cret" not in repr(clean)
