"""What happens in the demo, and how each of it must end: a table, played from top to bottom.

`why` is the rule that decides, or the reason where none does; `arrives` says whether the sample API may see the
request; `masked` names what is hidden in the answer: entities, or `field` for what is hidden for where it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.demo.callers import AGENT, CI_JOB, STAGING_JOB, SUPPORT
from headgate.demo.provider import SampleProvider, Signer

Headers = tuple[tuple[str, str], ...]

CUSTOMER = frozenset({"field", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"})
REPORT = frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"})
RECEIPT = frozenset({"EMAIL_ADDRESS", "IBAN_CODE"})

FORGED = ("x-forwarded-user", "x_forwarded_user")
"""Headers in which callers of the demo claim to be somebody."""

REFUND = b'{"customer": 42, "amount": 84}'
JSON_BODY: Headers = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Scene:
    """One request; `token` names one of `tokens`, or is None; `target` is sent as it is written."""

    who: str
    tries: str
    method: str
    target: str
    token: str | None
    status: int
    why: str
    arrives: bool = False
    masked: frozenset[str] = frozenset()
    headers: Headers = ()
    body: bytes | None = None


def tokens(provider: SampleProvider, stranger: Signer) -> Mapping[str, str]:
    """Every token that is shown in the demo."""
    return {
        "ana": provider.mint(SUPPORT),
        "ci": provider.mint(CI_JOB),
        "copilot": provider.mint(AGENT),
        "staging": provider.mint(STAGING_JOB),
        "yesterday's": provider.mint(SUPPORT, issued=-24 * 3600),
        "another API's": provider.mint({**SUPPORT, "aud": "warehouse"}),
        "forged": stranger.mint(SUPPORT),
    }


ANA, CI, STAGING_CI, COPILOT, STRANGER = (
    "ana (support)",
    "CI job",
    "CI job of staging",
    "copilot (AI, for ana)",
    "stranger",
)

SCENES = (
    Scene(STRANGER, "has no token", "GET", "/v1/customers/42", None, 401, "no-token"),
    Scene(
        STRANGER, "says a name in a header", "GET", "/v1/customers/42", None, 401, "no-token",
        headers=(("X-Forwarded-User", "ana"),),
    ),
    Scene(STRANGER, "signs a token themselves", "GET", "/v1/customers/42", "forged", 401, "signature-invalid"),
    Scene(
        ANA, "reads a customer", "GET", "/v1/customers/42", "ana", 200, "support-reads-customers",
        arrives=True, masked=CUSTOMER,
    ),
    Scene(
        ANA, "lists customers", "GET", "/v1/customers?status=active", "ana", 200, "support-reads-customers",
        arrives=True, masked=CUSTOMER,
    ),
    Scene(
        ANA, "reads a compressed text report", "GET", "/v1/reports/refunds.txt", "ana", 200, "support-reads-customers",
        arrives=True, masked=REPORT,
    ),
    Scene(
        ANA, "books a refund", "POST", "/v1/refunds", "ana", 201, "support-books-refunds",
        arrives=True, masked=RECEIPT, headers=JSON_BODY, body=REFUND,
    ),
    Scene(ANA, "deletes a customer", "DELETE", "/v1/customers/42", "ana", 403, "customers-are-never-deleted"),
    Scene(ANA, "reads API keys", "GET", "/v1/admin/keys", "ana", 403, "no-rule-allows"),
    Scene(
        ANA, "gets half a JSON from the API", "GET", "/v1/exports/damaged", "ana", 502, "invalid-json",
        arrives=True,
    ),
    Scene(
        ANA, "gets an unknown coding from the API", "GET", "/v1/exports/unknown-coding", "ana", 502,
        "content-coding-unknown", arrives=True,
    ),
    Scene(CI, "checks health", "GET", "/health", "ci", 200, "ci-reads-builds", arrives=True),
    Scene(CI, "reads a build", "GET", "/v1/builds/7", "ci", 200, "ci-reads-builds", arrives=True),
    Scene(CI, "reads a customer", "GET", "/v1/customers/42", "ci", 403, "no-rule-allows"),
    Scene(
        CI, "claims to be root, in vain", "GET", "/health", "ci", 200, "ci-reads-builds",
        arrives=True, headers=(("X-Forwarded-User", "root"),),
    ),
    Scene(STAGING_CI, "checks health", "GET", "/health", "staging", 403, "environment-mismatch"),
    Scene(
        COPILOT, "reads a customer", "GET", "/v1/customers/41", "copilot", 200, "support-reads-customers",
        arrives=True, masked=CUSTOMER,
    ),
    Scene(
        COPILOT, "books a refund", "POST", "/v1/refunds", "copilot", 403, "agents-change-nothing",
        headers=JSON_BODY, body=REFUND,
    ),
    Scene(ANA, "shows yesterday's token", "GET", "/v1/customers/42", "yesterday's", 401, "expired"),
    Scene(ANA, "shows a token for another API", "GET", "/v1/customers/42", "another API's", 401, "audience-mismatch"),
    Scene(ANA, "tries a way around", "GET", "/v1/customers/../admin/keys", "ana", 400, "path-dot-segment"),
    Scene(ANA, "tries the same, encoded", "GET", "/v1/customers/%2e%2e/admin/keys", "ana", 400, "path-dot-segment"),
    Scene(ANA, "tries an encoded slash", "GET", "/v1/customers%2f..%2fadmin", "ana", 400, "path-encoded-slash"),
    Scene(
        CI, "disguises a header", "GET", "/health", "ci", 400, "aliased-header",
        headers=(("X_Forwarded_User", "root"),),
    ),
    Scene(
        CI, "names another host", "GET", "/health", "ci", 400, "host-mismatch",
        headers=(("Host", "warehouse.internal"),),
    ),
)  # fmt: skip
"""The first need no keys, so that the proxy has fetched the provider's by the time one is needed."""
