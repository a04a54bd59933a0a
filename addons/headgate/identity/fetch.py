"""One fetch of one JWK Set: strict about whom it talks to, how much it reads and how long it takes.

Redirects are refused (an open redirect at the provider must not choose whose keys are believed), and so are proxies
from the environment (this proxy must not fetch through itself). Nothing of what was received gets into a message.
"""

import asyncio
import logging
import ssl

import httpx

from headgate.errors import HeadgateError
from headgate.identity.jwks import KeysError, KeySet, parse_jwks

MAX_BYTES = 256 * 1024
SECONDS = 5.0

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and those may hold an API key


class FetchError(HeadgateError):
    """Why a key set was not fetched, in words that quote nothing."""


def key_client() -> httpx.AsyncClient:
    """A client that trusts this machine's certificate store and certifi's list, and takes nothing else from outside."""
    trust = httpx.create_ssl_context(trust_env=False)  # certifi's list
    trust.load_default_certs()
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    return httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=SECONDS, headers=headers)


async def fetch(client: httpx.AsyncClient, url: str, seconds: float = SECONDS) -> KeySet:
    """The key set at `url`; FetchError when it cannot be had within `seconds`, or cannot be used."""
    try:
        async with asyncio.timeout(seconds):
            return parse_jwks(await _body(client, url))
    except (TimeoutError, httpx.TimeoutException):
        raise FetchError("it took too long") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise FetchError(_why(error)) from None
    except KeysError as error:
        raise FetchError(str(error)) from None


def _why(error: BaseException) -> str:
    """The type of what failed; a certificate that is not trusted hides below httpx's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate is not trusted, or TLS failed otherwise"
        cause = cause.__cause__ or cause.__context__
    return f"no answer ({type(error).__name__})"


async def _body(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise FetchError(f"status {response.status_code}; accepted: 200, redirects are not followed")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FetchError("the answer is compressed, which was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise FetchError(f"more than {MAX_BYTES // 1024} KiB")
        return bytes(body)
