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
    TWO_TOKENS = "two-tokens", "the request carries two different proofs of who calls, so none counts"
    WORKLOAD_ONLY = "workload-only", "the request proves which code calls, but not for whom"
    BINDING_REQUIRED = "binding-required", "the token is not bound to a key, and the rules demand DPoP"
    PROOF_MISSING = "proof-missing", "the token is bound to a key, and the request carries no proof of it (DPoP)"
    OTHER_TOKEN = "other-token", "the request carries another token than the one its connection was opened with"

    TOKEN_TOO_LONG = "token-too-long", "the token is longer than 8 KiB"
    TOKEN_SEGMENTS = "token-segments", "the token is not three segments joined by dots"
    TOKEN_ENCODING = "token-encoding", "a segment is not base64url in its one canonical form"
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

    ISSUER_AMBIGUOUS = "issuer-ambiguous", "two providers claim this token: by its issuer one, by its subject another"
    ISSUER_MISMATCH = "issuer-mismatch", "the issuer is not exactly the provider's"
    SIGNER_MISMATCH = "signer-mismatch", "another load balancer or instance than the ones listed signed the token"
    KEY_BOUND = "key-bound", "the token is bound to a key in a way that cannot be proven here; DPoP can"
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

    CLAIMS_UNLIKE_PRESET = "claims-unlike-preset", "the token lacks what every token of its preset has"
    CLAIM_REFUSED = "claim-refused", "a claim does not have a value that the preset or the rules require"
    ID_MISSING = "id-missing", "the claim that holds the caller's id is missing"
    CLAIM_INVALID = "claim-invalid", "a claim that the provider maps has another type or form than it must have"
    EMAIL_UNVERIFIED = "email-unverified", "the rules name the caller by an address that the provider did not verify"
    ACTOR_INVALID = "actor-invalid", "the `act` claim does not name an actor of the same issuer"
    KIND_UNKNOWN = "kind-unknown", "no row of the provider's `kind` table matches"

    PROOF_TOO_LONG = "proof-too-long", "the proof of the key is longer than 8 KiB"
    PROOF_MALFORMED = "proof-malformed", "the proof is not three segments of base64url, two of them a JSON object"
    PROOF_TYPE_REFUSED = "proof-type-refused", "the type of the proof is not `dpop+jwt`"
    PROOF_HEADER_REFUSED = "proof-header-refused", "its header has critical extensions, compression, or keys elsewhere"
    PROOF_ALGORITHM_REFUSED = "proof-algorithm-refused", "the algorithm of the proof is not one that is accepted"
    PROOF_KEY_REFUSED = "proof-key-refused", "the proof brings no public key along that fits its algorithm"
    PROOF_KEY_MISMATCH = "proof-key-mismatch", "the proof is of another key than the one that the token is bound to"
    PROOF_SIGNATURE_INVALID = "proof-signature-invalid", "the signature of the proof does not verify"
    PROOF_METHOD_MISMATCH = "proof-method-mismatch", "the proof is for another method"
    PROOF_URL_MISMATCH = "proof-url-mismatch", "the proof is for another URL than the public one of this request"
    PROOF_TOKEN_MISMATCH = "proof-token-mismatch", "the proof is for another token"
    PROOF_TIME_INVALID = "proof-time-invalid", "the proof has no time of issue, or one of its times is no number"
    PROOF_STALE = "proof-stale", "the proof was made too long ago"
    PROOF_IN_FUTURE = "proof-in-future", "the proof says that it is made in the future"
    PROOF_BEFORE_START = "proof-before-start", "the proof was made before this proxy started to remember proofs"
    PROOF_ID_INVALID = "proof-id-invalid", "the id of the proof is not text of 8 to 256 characters"
    PROOF_REPLAYED = "proof-replayed", "the proof has been used before"
    REPLAY_STORE_FULL = "replay-store-full", "more proofs are in use than this proxy remembers"
    CERTIFICATE_MALFORMED = "certificate-malformed", "a certificate cannot be read, or more came than make up a chain"
    CERTIFICATE_UNFIT = "certificate-unfit", "the certificate is not for clients, or its key is not a strong one"
    CERTIFICATE_EXPIRED = "certificate-expired", "the certificate has expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid", "the certificate is not valid yet"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted", "no valid chain leads from the certificate to a listed authority"
    CERTIFICATE_NAMES = "certificate-names", "a name is not in its one form, or another URI stands beside the SPIFFE ID"
    FORWARDED_MALFORMED = "forwarded-malformed", "X-Forwarded-Client-Cert is not written as Envoy writes it"
    FORWARDED_SEVERAL = "forwarded-several", "X-Forwarded-Client-Cert tells of several hops; set Envoy to SANITIZE_SET"
    FORWARDED_MISMATCH = "forwarded-mismatch", "X-Forwarded-Client-Cert tells two things of one certificate"
    FORWARDED_UNPROVEN = "forwarded-unproven", "X-Forwarded-Client-Cert lacks the certificate, which `ca` asks for"

    REVOKED = "revoked", "the session, the caller or the token has been revoked"
    REVOCATIONS_UNKNOWN = "revocations-unknown", "what has been revoked could not be read for too long"


class Malformed(_Coded):
    """Why a request is not one that every parser reads the same way."""

    UNSUPPORTED_LISTENER = "unsupported-listener", "the listener is neither a reverse nor a forward HTTP proxy"
    HTTP_VERSION = "http-version", "the HTTP version is not 1.0, 1.1 or 2, or not the one that its connection speaks"
    METHOD = "method", "the method is not a token in upper case, or one that a proxy must not forward"
    SCHEME = "scheme", "the scheme is neither http nor https"
    HEADERS_TOO_LARGE = "headers-too-large", "there are more than 200 header fields, or more than 64 KiB of them"
    HEADER_NAME = "header-name", "a header name is not a token of up to 200 characters"
    HEADER_NOT_UTF8 = "header-not-utf8", "a header value is not UTF-8"
    FORWARDED_FOR = "forwarded-for", "X-Forwarded-For of a trusted proxy holds something else than addresses"
    CONTROL_CHARACTER = "control-character", "a header value holds a control character or a folded line"
    DUPLICATE_HEADER = "duplicate-header", "a header that must stand alone comes twice"
    ALIASED_HEADER = "aliased-header", "a header is spelled so that others read it as another one"
    OVERRIDE_HEADER = "override-header", "a header asks the upstream to act on another method, host or path"
    CONNECTION_HEADER = "connection-header", "the Connection header names a header to be removed on the way"
    UPGRADE_REFUSED = "upgrade-refused", "the protocol may change to a WebSocket only, asked for as RFC 6455 says"
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
    PATH_TRIMMED = "path-trimmed", "a segment ends in a dot or a blank or begins with one, which some servers take off"
    PATH_LOOKALIKE = "path-lookalike", "the path holds a character that some servers read as another one, or not at all"
    PATH_CASE = "path-case", "the path holds a letter outside ASCII whose case cannot be folded as its servers fold it"
    PATH_DELIMITER = "path-delimiter", "the path holds `#`, or `?` written as an escape"
    QUERY_CHARACTER = "query-character", "the query holds a character that must not stand in a query"
    METHOD_OVERRIDE = "method-override", "a field of the query or the body asks the upstream to act on another method"
    FORM_UNREADABLE = "form-unreadable", "the body is a form that is compressed, or in a charset unlike ASCII"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A caller that is not believed."""

    reason: Reason
