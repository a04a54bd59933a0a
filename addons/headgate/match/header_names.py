"""Header names in the form in which they may be the same to somebody.

CGI and WSGI read `X_User` and `X.User` as `X-User`, some servers even `X!User`: names that differ in such characters
only are one name to them.
"""

_PLAINLY = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)  # lighttpd makes `_` of them all


def plain_name(name: bytes) -> bytes:
    """The normal form of a header name."""
    return name.lower().translate(_PLAINLY)
