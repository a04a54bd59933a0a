"""Where the keys of a provider come from, as its rules say; nothing here fetches or reads anything."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from headgate.identity.jwks import SIGNING as SIGNING
from headgate.identity.jwks import KeySet, safe_kid


@dataclass(frozen=True, slots=True)
class KeySource:
    """At most one of `static`, `jwks`, `discovery` and `pem` is set; with none, the key is this machine's own.

    `static` was read from a file of the bundle. `jwks` is the URL of a JWK Set. `discovery` is the issuer whose OpenID
    Connect discovery document names one. `pem` is a URL to which a key id is appended, as long as `kid` matches it
    whole: each key is a PEM of its own there. `uses` are the values of a JWK's `use` that may verify tokens.
    """

    static: KeySet | None = None
    jwks: str | None = None
    discovery: str | None = None
    pem: str | None = None
    kid: re.Pattern[str] | None = None
    uses: frozenset[str] = SIGNING

    @property
    def fetched(self) -> bool:
        return bool(self.jwks or self.discovery or self.pem)

    @property
    def url(self) -> str:
        """Where fetching begins; for what is not fetched, nothing."""
        return self.jwks or self.discovery or self.pem or ""

    def accepts(self, kid: str | None) -> bool:
        """Whether a key of this id may be asked for by itself; never of another form, whatever a token says."""
        return bool(self.pem and self.kid and kid and safe_kid(kid) and self.kid.fullmatch(kid))


def is_loopback(host: str) -> bool:
    """Whether this host is this machine, by its name alone: no lookup could say so any safer."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
