"""One fetch of a provider's keys: strict about whom it talks to, how much it reads and how long it takes.

Redirects are refused (an open redirect at the provider must not choose whose keys are believed), and so are proxies
from the environment (this proxy must not fetch through itself). A discovery document (OpenID Connect Discovery 1.0,
sections 3 and 4) may name a key set on another host, but must itself say that it is the issuer's. A key id becomes the
last segment of a path and can become nothing else. Nothing of what was received gets into a message.
"""

import asyncio
import logging
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote

import httpx

from headgate.errors import HeadgateError
from headgate.identity.jwks import Key, KeysError, KeySet, parse_jwks, parse_pem_key
from headgate.identity.sources import KeySource, is_loopback
from headgate.identity.strictjson import read_object

MAX_BYTES = 256 * 1024
SECONDS = 5.0
WELL_KNOWN = "/.well-known/openid-configuration"

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and those may hold an API key


class FetchError(HeadgateError):
    """Why keys were not fetched, in words that quote nothing; `status` is that of the answer, if there was one."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def key_client() -> httpx.AsyncClient:
    """A client that trusts this machine's certificate store and certifi's list, and takes nothing else from outside."""
    trust = httpx.create_ssl_context(trust_env=False)  # certifi's list
    trust.load_default_certs()
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(
        verify=trust, trust_env=False, follow_redirects=False, timeout=SECONDS, headers=headers, cookies=no_cookies
    )


async def fetch(client: httpx.AsyncClient, source: KeySource, kid: str | None, seconds: float = SECONDS) -> KeySet:
    """The keys that a token naming `kid` may be verified with, for who asks once and keeps nothing."""
    if source.pem:
        return KeySet([await fetch_key(client, source, kid, seconds)])
    return await fetch_set(client, source, seconds)


async def fetch_set(client: httpx.AsyncClient, source: KeySource, seconds: float = SECONDS) -> KeySet:
    """The key set of a `jwks` or `discovery` source; FetchError when it cannot be had, or cannot be used.

    Each of the two requests of a discovery may take `seconds`.
    """
    url = _address(source.jwks) if source.jwks else await _discovered(client, source.discovery or "", seconds)
    body = await _get(client, url, seconds)
    try:
        return parse_jwks(body, source.uses)
    except KeysError as error:
        raise FetchError(str(error), httpx.codes.OK) from None


async def fetch_key(client: httpx.AsyncClient, source: KeySource, kid: str | None, seconds: float = SECONDS) -> Key:
    """The key of this id from a `pem` source; FetchError when it cannot be had, or cannot be used."""
    if kid is None or not source.accepts(kid):
        raise FetchError("the key id has not the form that this provider's key ids have")
    folder = _address(source.pem or "")
    if folder.query or not folder.path.endswith("/"):
        raise FetchError("the URL of its keys does not end in a slash")
    url = folder.copy_with(raw_path=folder.raw_path + quote(kid, safe="").encode())
    body = await _get(client, url, seconds, accept="application/x-pem-file, */*")
    try:
        return parse_pem_key(kid, body)
    except KeysError as error:
        raise FetchError(str(error), httpx.codes.OK) from None


async def _discovered(client: httpx.AsyncClient, issuer: str, seconds: float) -> httpx.URL:
    """Where the issuer's discovery document says its key set is."""
    home = _address(issuer)
    if "?" in issuer or "#" in issuer:
        raise FetchError("the issuer's URL has a query or a fragment")
    document = read_object(await _get(client, _address(issuer.removesuffix("/") + WELL_KNOWN), seconds))
    if document is None:
        raise FetchError("its discovery document is not one JSON object with each member once", httpx.codes.OK)
    if document.get("issuer") != issuer:
        raise FetchError("its discovery document is of another issuer", httpx.codes.OK)
    named = document.get("jwks_uri")
    try:
        return _address(named if isinstance(named, str) else "", plain=is_loopback(_host(home)))
    except FetchError as error:
        raise FetchError(f"its discovery document's `jwks_uri`: {error}", httpx.codes.OK) from None


def _address(text: str, *, plain: bool = True) -> httpx.URL:
    """The URL as it will be asked for: https, or where `plain` http to this machine; nothing but an address in it."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise FetchError("not a URL") from None
    host = _host(url)
    if url.scheme != "https" and not (plain and url.scheme == "http" and is_loopback(host)):
        raise FetchError("not an `https://` URL" + (", nor an `http://` one of a loopback host" if plain else ""))
    if not host or url.userinfo or "#" in text or (url.port or 0) > 65535:
        raise FetchError("a URL without a host, or with a user, a fragment or an impossible port")
    return url


def _host(url: httpx.URL) -> str:
    """As it will be looked up; `url.host` raises where it cannot show an international name."""
    return url.raw_host.decode("ascii")


async def _get(client: httpx.AsyncClient, url: httpx.URL, seconds: float, accept: str | None = None) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await _body(client, url, {"Accept": accept} if accept else {})
    except (TimeoutError, httpx.TimeoutException):
        raise FetchError("it took too long") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
        raise FetchError(_why(error)) from None


def _why(error: BaseException) -> str:
    """The type of what failed; a certificate that is not trusted hides below httpx's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate is not trusted, or TLS failed otherwise"
        cause = cause.__cause__ or cause.__context__
    return f"no answer ({type(error).__name__})"


async def _body(client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str]) -> bytes:
    async with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status != httpx.codes.OK:
            raise FetchError(f"status {status}; accepted: 200, redirects are not followed", status)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FetchError("the answer is compressed, which was not asked for", status)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise FetchError(f"more than {MAX_BYTES // 1024} KiB", status)
        return bytes(body)
