"""What each kind of provider fixes, as one table of data.

A preset gives defaults and says what the rules must add. What it fixes makes its tokens recognisable and its keys
theirs: the rules may narrow it (fewer algorithms, keys pinned in a file), never widen it.

Sources: the providers' own documentation, gathered in the rows; RFC 7519; the SPIFFE JWT-SVID and X.509-SVID
specifications; OpenID Connect Core and Discovery.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headgate.identity.claims import Row
from headgate.identity.sources import SIGNING
from headgate.model import Kind

DEVELOPMENT = "development"
DEVELOPMENT_ISSUER = "headgate-development"

KINDS = tuple(kind.value for kind in Kind if kind is not Kind.ANONYMOUS)
"""The kinds a token can prove; anonymous is who proves nothing."""

BEARER = "authorization"
CERTIFICATE = "certificate"
FORWARDED_CERTIFICATE = "header:x-forwarded-client-cert"
"""Places where a caller shows something: `authorization` (to a forward proxy `Proxy-Authorization`), the certificate of
the connection, `header:NAME` in lower case, `cookie:NAME`."""

TOKEN_TYPES = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt", "jose"))
"""Values of `typ` in lower case; a logout token or a DPoP proof is signed by the same keys (RFC 8725, section 3.11)."""

NamedBy = Literal["issuer", "signer", "trust-domain"]
"""What of a token says whose it is: the claim `iss`, the header member `signer`, or the trust domain in `sub`."""


def _one(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\Z")


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like, and how to say so."""

    pattern: re.Pattern[str]
    example: str


@dataclass(frozen=True, slots=True)
class Preset:
    """`required`, `optional` and `fixed` are keys of a provider in identity.yaml; `claims` are replaceable defaults.

    `keys` is the URL of the key set, with `{issuer}`, `{host}` (of the issuer) or `{region}` (of the signers) filled
    in; with `pem_kid` it is that of one PEM for each key id of this form. `vendor_keys` says that no other URL may be
    named. `in_header` are the members that this provider puts into the header of its tokens, not among the claims.
    `exact`, `forms` and `subject` are what else every one of its tokens has.
    """

    claims: Mapping[str, tuple[str, ...]]
    places: tuple[str, ...] = (BEARER,)
    required: tuple[str, ...] = ("audiences",)
    optional: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    named_by: NamedBy = "issuer"
    issuer: str | None = None
    issuer_form: Form | None = None
    audience_form: Form | None = None
    audience_in: Literal["claims", "client", "signer"] = "claims"
    signer_form: Form | None = None
    in_header: frozenset[str] = frozenset()
    algorithms: tuple[str, ...] = ()
    keys: str | None = None
    pem_kid: re.Pattern[str] | None = None
    vendor_keys: bool = False
    uses: frozenset[str] = SIGNING
    padding: Literal["never", "always", "maybe"] = "never"
    types: frozenset[str] = TOKEN_TYPES
    header_members: frozenset[str] | None = None
    exact: Mapping[str, tuple[str | int | bool, ...]] = MappingProxyType({})
    forms: Mapping[str, Form] = MappingProxyType({})
    subject: tuple[str, tuple[str, ...]] | None = None
    kinds: tuple[Row[Kind], ...] = ()
    max_lifetime: float | None = None

    def pads(self, text: str) -> bool:
        """Whether `text`, as a token of this preset, has to be in base64 with padding."""
        return self.padding == "always" or (self.padding == "maybe" and "=" in text)


def _always(kind: Kind) -> tuple[Row[Kind], ...]:
    return (Row((), kind),)


HTTPS_HOST = r"https://[a-z0-9.-]+(:[0-9]{1,5})?"
HTTPS = HTTPS_HOST + r"(/[A-Za-z0-9._~/-]*)?"
HTTPS_ISSUER = Form(_one(HTTPS), "https://sso.example.com")
HOST_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
ARN = r"arn:(?:aws|aws-us-gov|aws-cn):"
REGION = r"[a-z]{2}(?:-[a-z]+)+-[0-9]"
REGION_OF = re.compile(rf"arn:(aws|aws-us-gov|aws-cn):[a-z0-9-]+:({REGION}):")
UUID = _one(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAMESPACED = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"

WITH_EMAIL = {"id": ("sub",), "email": ("email",)}
OIDC_CLAIMS = {**WITH_EMAIL, "groups": ("groups",), "session.id": ("sid",), "session.scopes": ("scope",)}
SPIFFE_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
CERTIFICATE_CLAIMS = {"id": ("id",), "workload.name": ("id",)}
NO_TOKEN = ("issuer", "jwks", "algorithms", "audiences", "max_lifetime", "signers")
"""What a certificate has not."""

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "oidc": Preset(
            claims=OIDC_CLAIMS,
            required=("issuer", "audiences", "algorithms", "kind"),
        ),
        "google-iap": Preset(
            claims=WITH_EMAIL,
            places=("header:x-goog-iap-jwt-assertion",),
            issuer="https://cloud.google.com/iap",
            audience_form=Form(
                _one(
                    r"/projects/[0-9]+/(?:apps/[A-Za-z0-9.:-]+|(?:global|regions/[a-z0-9-]+)/backendServices/[0-9]+"
                    r"|locations/[a-z0-9-]+/services/[a-z0-9-]+)"
                ),
                "/projects/123/global/backendServices/456",
            ),
            fixed=("issuer",),
            algorithms=("ES256",),
            keys="https://www.gstatic.com/iap/verify/public_key-jwk",
            vendor_keys=True,
            kinds=_always(Kind.HUMAN),
        ),
        "aws-alb": Preset(
            claims=WITH_EMAIL,
            places=("header:x-amzn-oidc-data",),
            required=("issuer", "audiences", "signers"),
            named_by="signer",
            issuer_form=HTTPS_ISSUER,
            audience_in="client",
            signer_form=Form(
                _one(rf"{ARN}elasticloadbalancing:{REGION}:[0-9]{{12}}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-f]+"),
                "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/NAME/0123456789abcdef",
            ),
            in_header=frozenset(("iss", "exp", "client", "signer")),
            algorithms=("ES256",),
            keys="https://public-keys.auth.elb.{region}.amazonaws.com/",
            pem_kid=UUID,
            vendor_keys=True,
            padding="always",
            kinds=_always(Kind.HUMAN),
        ),
        "aws-verified-access": Preset(
            claims={**WITH_EMAIL, "id": ("sub", "/user/user_id"), "groups": ("groups",)},  # of OIDC, of Identity Center
            places=("header:x-amzn-ava-user-context",),
            required=("issuer", "signers"),
            fixed=("audiences", "max_lifetime"),
            named_by="signer",
            issuer_form=Form(
                _one(rf"{HTTPS}|{ARN}ec2:{REGION}:[0-9]{{12}}:verified-access-trust-provider/vatp-[0-9a-f]+"),
                "https://sso.example.com, or the ARN of a trust provider",
            ),
            audience_in="signer",
            signer_form=Form(
                _one(rf"{ARN}ec2:{REGION}:[0-9]{{12}}:verified-access-instance/vai-[0-9a-f]+"),
                "arn:aws:ec2:us-east-1:123456789012:verified-access-instance/vai-0123456789abcdef0",
            ),
            in_header=frozenset(("iss", "exp", "signer")),
            algorithms=("ES384",),
            keys="https://public-keys.prod.verified-access.{region}.amazonaws.com/",
            pem_kid=UUID,
            vendor_keys=True,
            padding="maybe",  # documented for load balancers only, and AWS's own sample reads both
            kinds=_always(Kind.HUMAN),
            max_lifetime=120.0,
        ),
        "cloudflare-access": Preset(
            claims={"id": ("sub", "common_name"), "email": ("email",), "session.id": ("identity_nonce",)},
            places=("header:cf-access-jwt-assertion", "cookie:CF_Authorization"),
            required=("issuer", "audiences"),
            issuer_form=Form(_one(r"https://[a-z0-9-]+\.cloudflareaccess\.com"), "https://TEAM.cloudflareaccess.com"),
            audience_form=Form(_one(r"[0-9a-f]{64}"), "the 64 hexadecimal digits of an application's AUD tag"),
            algorithms=("RS256",),
            keys="{issuer}/cdn-cgi/access/certs",
            vendor_keys=True,
            exact={"type": ("app",)},
            forms={"sub": Form(_one(r"[ -~]*"), "a subject, empty for a service token")},
            kinds=(Row(((("sub",), ("", None)),), Kind.SERVICE), Row((), Kind.HUMAN)),  # a service token has no subject
        ),
        "pomerium": Preset(
            claims={**WITH_EMAIL, "groups": ("groups",), "session.id": ("sid",)},
            places=("header:x-pomerium-jwt-assertion",),
            required=("issuer", "audiences"),
            issuer_form=Form(_one(rf"{HOST_NAME}|https://{HOST_NAME}/"), "app.example.com"),
            audience_form=Form(_one(HOST_NAME), "app.example.com"),
            algorithms=("ES256", "ES384", "ES512", "RS256", "EdDSA"),
            keys="https://{host}/.well-known/pomerium/jwks.json",
            kinds=_always(Kind.HUMAN),
        ),
        "teleport": Preset(
            claims={"id": ("username", "sub"), "groups": ("roles",)},
            places=("header:teleport-jwt-assertion",),
            required=("issuer", "audiences"),
            issuer_form=Form(_one(HOST_NAME), "teleport.example.com, the cluster's name"),
            audience_form=Form(_one(r"[a-z][a-z0-9+.-]*://[!-~]+"), "http://localhost:8080, the application's URI"),
            algorithms=("RS256", "ES256"),
            keys="https://{host}/.well-known/jwks.json",
            kinds=_always(Kind.HUMAN),
        ),
        "kubernetes": Preset(
            claims={"id": ("sub",), "workload.name": ("sub",), "workload.pod": ("/kubernetes.io/pod/uid",)},
            required=("issuer", "audiences"),
            issuer_form=HTTPS_ISSUER,
            algorithms=("RS256", "RS384", "RS512", "ES256", "ES384", "ES512"),
            keys="{issuer}/openid/v1/jwks",
            forms={
                "/kubernetes.io/namespace": Form(_one(NAMESPACED), "a namespace"),
                "/kubernetes.io/serviceaccount/name": Form(_one(NAMESPACED), "the name of a service account"),
                "/kubernetes.io/serviceaccount/uid": Form(_one(r"[0-9a-f-]{36}"), "the uid of a service account"),
            },
            subject=(
                "system:serviceaccount:{}:{}",
                ("/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"),
            ),
            kinds=_always(Kind.SERVICE),
        ),
        "github-actions": Preset(
            claims={
                "id": ("sub",),
                "workload.name": ("repository",),
                "workload.commit": ("sha",),
                "workload.workflow": ("job_workflow_ref",),
            },
            required=("audiences", "require"),
            issuer="https://token.actions.githubusercontent.com",
            issuer_form=Form(
                _one(
                    r"https://token\.actions\.(?:githubusercontent\.com|[a-z0-9-]+\.ghe\.com)(?:/[A-Za-z0-9-]+)?"
                    rf"|{HTTPS_HOST}/_services/token"
                ),
                "https://token.actions.githubusercontent.com, with /ENTERPRISE, or https://HOST/_services/token",
            ),
            algorithms=("RS256",),
            keys="{issuer}/.well-known/jwks",
            vendor_keys=True,
            forms={
                "repository": Form(_one(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"), "OWNER/REPOSITORY"),
                "repository_owner": Form(_one(r"[A-Za-z0-9_.-]+"), "an owner"),
                "job_workflow_ref": Form(_one(r"[^@\s]+@\S+"), "a workflow with its ref"),
                "sha": Form(_one(r"[0-9a-f]{40}|[0-9a-f]{64}"), "a commit"),
            },
            kinds=_always(Kind.CI),
        ),
        "gitlab": Preset(
            claims={
                "id": ("sub",),
                "workload.name": ("project_path",),
                "workload.commit": ("sha",),
                "workload.workflow": ("ci_config_ref_uri",),
            },
            required=("issuer", "audiences", "require"),
            issuer_form=HTTPS_ISSUER,
            algorithms=("RS256",),
            keys="{issuer}/oauth/discovery/keys",
            forms={
                "project_path": Form(_one(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+"), "GROUP/PROJECT"),
                "ref_protected": Form(_one("true|false"), '"true" or "false", as text'),
                "sha": Form(_one(r"[0-9a-f]{40}|[0-9a-f]{64}"), "a commit"),
            },
            kinds=_always(Kind.CI),
        ),
        "spiffe-jwt": Preset(
            claims={"id": ("sub",), "workload.name": ("sub",)},
            required=("issuer", "audiences", "jwks"),
            named_by="trust-domain",
            issuer_form=Form(_one(r"spiffe://[a-z0-9._-]{1,255}"), "spiffe://prod.example, the trust domain"),
            algorithms=SPIFFE_ALGORITHMS,
            uses=frozenset(("jwt-svid", "sig")),
            types=frozenset(("jwt", "jose")),
            header_members=frozenset(("alg", "kid", "typ")),
            kinds=_always(Kind.SERVICE),
        ),
        "mtls": Preset(
            claims=CERTIFICATE_CLAIMS,
            places=(CERTIFICATE,),
            required=("ca",),
            fixed=NO_TOKEN,
            kinds=_always(Kind.SERVICE),
        ),
        "forwarded-client-cert": Preset(
            claims=CERTIFICATE_CLAIMS,
            places=(FORWARDED_CERTIFICATE,),
            required=(),
            optional=("ca",),
            fixed=NO_TOKEN,
            kinds=_always(Kind.SERVICE),
        ),
        DEVELOPMENT: Preset(
            claims={
                **OIDC_CLAIMS,
                "environment": ("env",),
                "person": ("person",),
                "workload.name": ("/workload/name",),
                "workload.version": ("/workload/version",),
                "workload.commit": ("/workload/commit",),
                "workload.digest": ("/workload/digest",),
                "workload.workflow": ("/workload/workflow",),
                "workload.pod": ("/workload/pod",),
            },
            fixed=("issuer", "jwks", "algorithms", "claims"),
            issuer=DEVELOPMENT_ISSUER,
            algorithms=("ES256",),
            kinds=tuple(Row(((("kind",), (kind,)),), Kind(kind)) for kind in KINDS),
            max_lifetime=30 * 86400.0,
        ),
    }
)

GOV_CLOUD_KEYS = "https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/"
"""Where load balancers of AWS GovCloud publish their keys."""

PADDED = {place: preset for preset in PRESETS.values() if preset.padding != "never" for place in preset.places}
"""The presets whose segments may end in `=`, by the place of their tokens."""
