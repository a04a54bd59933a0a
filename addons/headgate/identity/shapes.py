"""What a token of each preset looks like, as one table of data, for making tokens that try rules out.

These are examples, and decide nothing: what a token must have is in `presets`. `{name}` is filled in; where a text is
that alone, by the value itself, whatever its type. Sources: the providers' documentation, as for the presets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

TIMES = {"iat": "{now}", "exp": "{exp}"}
ALSO_NBF = {**TIMES, "nbf": "{now}"}
COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Shape:
    """Header and claims; `id` is the caller's where nobody names one, `facts` are other values to fill in, which are
    replaced by claims of the same name that the rules require or whoever mints it gives."""

    claims: Mapping[str, Any]
    id: str = "dev"
    header: Mapping[str, Any] = MappingProxyType({"typ": "JWT"})
    facts: Mapping[str, Any] = MappingProxyType({})


SERVICE_TOKEN = Shape(
    id="e367826f93b8d71185e03fe518aff3b4.access",
    claims={
        "type": "app",
        "aud": ["{audience}"],
        **TIMES,
        "iss": "{issuer}",
        "common_name": "{id}",
        "sub": "",
    },
)
"""Of Cloudflare Access, for a caller that is no person."""

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "oidc": Shape(
            claims={
                "iss": "{issuer}",
                "aud": "{audience}",
                "sub": "{id}",
                "email": "{email}",
                "email_verified": True,
                "groups": "{groups}",
                **TIMES,
            },
        ),
        "google-iap": Shape(
            id="accounts.google.com:118133858486581853996",
            claims={
                "iss": "{issuer}",
                "aud": "{audience}",
                "sub": "{id}",
                "email": "{email}",
                **TIMES,
            },
        ),
        "aws-alb": Shape(
            header={"typ": "JWT", "iss": "{issuer}", "client": "{audience}", "signer": "{signer}", "exp": "{exp}"},
            claims={
                "sub": "{id}",
                "email": "{email}",
                "email_verified": "true",
                "exp": "{exp}",
                "iss": "{issuer}",
            },
        ),
        "aws-verified-access": Shape(
            header={"signer": "{signer}", "iss": "{issuer}", "exp": "{exp}"},
            claims={"sub": "{id}", "email": "{email}", "email_verified": True, "groups": "{groups}"},
        ),
        "cloudflare-access": Shape(
            id="7335d417-61da-459d-899c-0a01c76a2f94",
            claims={
                "aud": ["{audience}"],
                "email": "{email}",
                **ALSO_NBF,
                "iss": "{issuer}",
                "type": "app",
                "identity_nonce": "{token_id}",
                "sub": "{id}",
                "country": "FR",
            },
        ),
        "pomerium": Shape(
            claims={
                "iss": "{issuer}",
                "aud": "{audience}",
                **TIMES,
                "jti": "{token_id}",
                "sub": "{id}",
                "user": "{id}",
                "email": "{email}",
                "groups": "{groups}",
                "name": "{id}",
                "sid": "{token_id}",
            },
        ),
        "teleport": Shape(
            claims={
                "aud": ["{audience}"],
                **ALSO_NBF,
                "iss": "{issuer}",
                "roles": "{groups}",
                "sub": "{id}",
                "traits": {"logins": ["{id}"]},
                "username": "{id}",
            },
        ),
        "kubernetes": Shape(
            id=f"{ACCOUNT}default:dev",
            header={},
            claims={
                "aud": ["{audience}"],
                **ALSO_NBF,
                "iss": "{issuer}",
                "jti": "{token_id}",
                "sub": "{id}",
                "kubernetes.io": {
                    "namespace": "{namespace}",
                    "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
                    "pod": {"name": "{account}-0", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
                    "serviceaccount": {"name": "{account}", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
                },
            },
        ),
        "github-actions": Shape(
            id="repo:{repository}:ref:{ref}",
            facts={"repository": "octo-org/octo-repo", "ref": "refs/heads/main", "sha": COMMIT},
            claims={
                "jti": "{token_id}",
                "sub": "{id}",
                "aud": "{audience}",
                "ref": "{ref}",
                "ref_type": "branch",
                "sha": "{sha}",
                "repository": "{repository}",
                "repository_id": "456789",
                "repository_owner": "{owner}",
                "repository_owner_id": "123456",
                "repository_visibility": "private",
                "actor": "octocat",
                "event_name": "push",
                "workflow": "release",
                "workflow_ref": "{repository}/.github/workflows/release.yml@{ref}",
                "workflow_sha": "{sha}",
                "job_workflow_ref": "{repository}/.github/workflows/release.yml@{ref}",
                "job_workflow_sha": "{sha}",
                "run_id": "1658821493",
                "run_number": "10",
                "run_attempt": "1",
                "runner_environment": "github-hosted",
                "iss": "{issuer}",
                **ALSO_NBF,
            },
        ),
        "gitlab": Shape(
            id="project_path:{project_path}:ref_type:branch:ref:{ref}",
            facts={"project_path": "shop/till", "ref": "main", "sha": COMMIT},
            claims={
                "namespace_id": "72",
                "namespace_path": "{owner}",
                "project_id": "20",
                "project_path": "{project_path}",
                "user_id": "1",
                "user_login": "dev",
                "user_email": "{email}",
                "pipeline_id": "574",
                "pipeline_source": "push",
                "job_id": "302",
                "ref": "{ref}",
                "ref_type": "branch",
                "ref_path": "refs/heads/{ref}",
                "ref_protected": "true",
                "runner_id": 1,
                "runner_environment": "self-hosted",
                "sha": "{sha}",
                "ci_config_ref_uri": "{host}/{project_path}//.gitlab-ci.yml@refs/heads/{ref}",
                "ci_config_sha": "{sha}",
                "jti": "{token_id}",
                "iss": "{issuer}",
                **ALSO_NBF,
                "sub": "{id}",
                "aud": "{audience}",
            },
        ),
        "spiffe-jwt": Shape(
            id="{issuer}/dev",
            claims={"aud": ["{audience}"], **TIMES, "sub": "{id}"},
        ),
    }
)
