"""Every reason for which identity turns a request away, in one table.

A reason is a stable kebab-case code: callers see it, records keep it, tests assert it. Its meaning is for operators
(`headgate token inspect`). A code says which check failed, never what value would have passed.
"""

from dataclasses import dataclass
from enum import StrEnum


class _Coded(StrEnum):
    meaning: str

    def __new__(cls, code: str, meaning: str) -> "_Coded":
        member = str.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member


class Reason(_Coded):
    """Why a caller is not believed."""

    NO_TOKEN = "no-token", "the request carries no token"
    UNSUPPORTED_SCHEME = "unsupported-scheme", "the credentials are of another scheme than the ones accepted here"
    CREDENTIALS_MALFORMED = "credentials-malformed", "the credentials do not have the form of their scheme"
    TWO_TOKENS = "two-tokens", "the request carries another token than the one its connection was opened with"

    TOKEN_TOO_LONG = "token-too-long", "the token is longer than 8 KiB"
    TOKEN_SEGMENTS = "token-segments", "the token is not three segments joined by dots"
    TOKEN_ENCODING = "token-encoding", "a segment is not base64url in its one canonical form, without padding"
    TOKEN_JSON = "token-json", "header or claims are not one JSON object in UTF-8 with each member once"
    HEADER_REFUSED = "header-refused", "the header brings its own key, critical extensions, compression or nesting"
    TYPE_REFUSED = "type-refused", "the header says that this is another type of token than a JWT or an access token"
    KID_REFUSED = "kid-refused", "the key id is not text of up to 200 safe characters"
    ISSUER_UNKNOWN = "issuer-unknown", "no provider has this issuer"
    ISSUER_INVALID = "issuer-invalid", "the issuer is missing or not text"

    ALGORITHM_REFUSED = "algorithm-refused", "the algorithm is not one that is pinned for this provider"
    KEYS_UNAVAILABLE = "keys-unavailable", "the provider's keys have not been fetched yet"
    KEYS_STALE = "keys-stale", "the provider's keys could not be refreshed for too long"
    KID_MISSING = "kid-missing", "the token does not say which of several keys signed it"
    UNKNOWN_KEY = "unknown-key", "the provider has no such key; its keys are fetched again"
    KEY_UNFIT = "key-unfit", "the key named is of a type, curve or declared use that does not fit the algorithm"
    SIGNATURE_INVALID = "signature-invalid", "the signature does not verify"
    DEVELOPMENT_OFF_LOOPBACK = "development-off-loopback", "development tokens count on loopback listeners only"

    ISSUER_MISMATCH = "issuer-mismatch", "the issuer is not exactly the provider's"
    KEY_BOUND = "key-bound", "the token is bound to a key by `cnf`, and proof of that key is not accepted yet"
    EVENT_TOKEN = "event-token", "the token reports `events`, such as a logout; it is none to call with"
    AUDIENCE_MISSING = "audience-missing", "the token names no audience"
    AUDIENCE_INVALID = "audience-invalid", "the audience is neither text nor a list of texts"
    AUDIENCE_MISMATCH = "audience-mismatch", "the token is for another audience"
    EXPIRY_MISSING = "expiry-missing", "the token never expires"
    EXPIRY_INVALID = "expiry-invalid", "the expiry is not a plausible number"
    EXPIRED = "expired", "the token has expired"
    NOT_BEFORE_INVALID = "not-before-invalid", "the start of validity is not a plausible number"
    NOT_YET_VALID = "not-yet-valid", "the token is not valid yet"
    ISSUED_AT_INVALID = "issued-at-invalid", "the time of issue is not a plausible number"
    ISSUED_AT_MISSING = "issued-at-missing", "the token has no time of issue, which a limited lifetime needs"
    ISSUED_IN_FUTURE = "issued-in-future", "the token says it was issued in the future"
    LIFETIME_TOO_LONG = "lifetime-too-long", "the token was issued for longer than this provider may"

    ID_MISSING = "id-missing", "the claim that holds the caller's id is missing"
    CLAIM_INVALID = "claim-invalid", "a claim that the provider maps has another type or form than it must have"
    ACTOR_INVALID = "actor-invalid", "the `act` claim does not name an actor of the same issuer"
    KIND_UNKNOWN = "kind-unknown", "no row of the provider's `kind` table matches"


class Malformed(_Coded):
    """Why a request is not one that every parser reads the same way."""

    UNSUPPORTED_LISTENER = "unsupported-listener", "the listener is neither a reverse nor a forward HTTP proxy"
    HTTP_VERSION = "http-version", "the HTTP version is not 1.0, 1.1 or 2, or not the one that its connection speaks"
    METHOD = "method", "the method is not a token in upper case, or one that a proxy must not forward"
    SCHEME = "scheme", "the scheme is neither http nor https"
    HEADERS_TOO_LARGE = "headers-too-large", "there are more than 200 header fields, or more than 64 KiB of them"
    HEADER_NAME = "header-name", "a header name is not a token of up to 200 characters"
    HEADER_NOT_UTF8 = "header-not-utf8", "a header value is not UTF-8"
    CONTROL_CHARACTER = "control-character", "a header value holds a control character or a folded line"
    DUPLICATE_HEADER = "duplicate-header", "a header that must stand alone comes twice"
    ALIASED_HEADER = "aliased-header", "a header is spelled so that others read it as another one"
    OVERRIDE_HEADER = "override-header", "a header asks the upstream to act on another method, host or path"
    CONNECTION_HEADER = "connection-header", "the Connection header names a header to be removed on the way"
    UPGRADE_REFUSED = "upgrade-refused", "changing the protocol is not supported"
    EXPECT_REFUSED = "expect-refused", "an expectation other than 100-continue"
    TRANSFER_ENCODING = "transfer-encoding", "a transfer coding other than chunked, or one where none may be"
    LENGTH_AMBIGUOUS = "length-ambiguous", "the length of the body is given twice, or not as a number"
    LENGTH_MISMATCH = "length-mismatch", "the body is not as long as the Content-Length header says"
    HOST_MISSING = "host-missing", "the request does not say which host it is for"
    HOST_MALFORMED = "host-malformed", "a host is not written in its one form"
    HOST_MISMATCH = "host-mismatch", "the Host header names neither this proxy nor the target"
    AUTHORITY_MISMATCH = "authority-mismatch", "the request names two different hosts"
    SNI_MISMATCH = "sni-mismatch", "the TLS server name is not the host that the request is for"
    PROXY_LOOP = "proxy-loop", "the request is for this proxy itself"

    PATH_TOO_LONG = "path-too-long", "the path is longer than 8 KiB"
    PATH_FORM = "path-form", "the path does not begin with a slash"
    PATH_CHARACTER = "path-character", "the path holds a character that must not stand in a path, plain or encoded"
    PATH_ESCAPE = "path-escape", "a percent sign is not followed by two hexadecimal digits"
    PATH_NOT_UTF8 = "path-not-utf8", "the decoded path is not UTF-8"
    PATH_DOUBLE_ENCODED = "path-double-encoded", "the path would decode to something else a second time"
    PATH_DOT_SEGMENT = "path-dot-segment", "a segment of the path is `.` or `..`"
    PATH_EMPTY_SEGMENT = "path-empty-segment", "two slashes follow each other"
    PATH_ENCODED_SLASH = "path-encoded-slash", "a slash is written as an escape"
    PATH_BACKSLASH = "path-backslash", "the path holds a backslash, plain or encoded"
    PATH_PARAMETER = "path-parameter", "the path holds a semicolon, plain or encoded"
    PATH_WILDCARD = "path-wildcard", "the path holds an asterisk, plain or encoded"
    PATH_DELIMITER = "path-delimiter", "the path holds `#`, or `?` written as an escape"
    QUERY_CHARACTER = "query-character", "the query holds a character that must not stand in a query"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A caller that is not believed."""

    reason: Reason
