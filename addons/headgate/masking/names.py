"""What a name says of the value under it: its words are context for detection, and some mean a credential."""

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

CREDENTIALS = frozenset(
    {"apikey", "assertion", "authorization", "cookie", "cookies", "credential", "credentials", "csrf", "dpop", "jwt"}
    | {"otp", "passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets", "session", "sessionid"}
    | {"sid", "sig", "signature", "token", "tokens", "xsrf", "jsessionid", "phpsessid"}
)
"""Words of which one in a name is enough."""

WHOLE = frozenset(
    {"auth", "code", "pass", "pin", "sas", "ticket", "x-amzn-oidc-data", "x-ms-client-principal"}
    | {"sec-websocket-protocol"}  # where browsers, which can set no other header, put tokens
)
"""Names that mean a credential only when they stand alone."""

CROSS_ORIGIN = "access-control-"
"""Headers that speak of credentials and hold none."""

KEYS_THAT_ARE_NONE = frozenset({"cache-key", "idempotency-key", "sec-websocket-key", "sort_key", "surrogate-key"})


def words(key: str) -> list[str]:
    """The words of a name in snake, kebab or camel case: `customerSSN_last` is customer, SSN and last."""
    return _WORD.findall(_HUMP.sub(" ", key[:200]))


@lru_cache(maxsize=4096)
def is_credential(name: str) -> bool:
    """Whether a header, query parameter, form field or JSON member of this name holds what lets its bearer in."""
    lower, parts = name.lower(), [word.lower() for word in words(name)]
    if lower.startswith(CROSS_ORIGIN):
        return False
    if lower in WHOLE or not CREDENTIALS.isdisjoint(parts):
        return True
    return parts[-1:] == ["key"] and lower not in KEYS_THAT_ARE_NONE
