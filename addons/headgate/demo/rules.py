"""The demo's bundle: who is believed, what they may do, and what they may see, in five short files."""

from pathlib import Path
from string import Template

from headgate.demo.provider import ALGORITHM, AUDIENCE, ISSUER

BUNDLE = """\
name: sample-shop
version: 1.0.0
"""

IDENTITY = Template("""\
providers:
  - name: shop-login
    preset: oidc
    issuer: $issuer
    audiences: [$audience]
    jwks: $jwks
    algorithms: [$algorithm]
    kind:                               # a token with an `act` claim is an agent's, whatever stands here
      - {claims: {/azp: ci}, is: ci}
      - {claims: {/azp: desk}, is: human}
    claims: {environment: /env}
    max_lifetime: 1h
""")

TARGETS = Template("""\
targets:
  - name: shop-api
    hosts: ["127.0.0.1:$port"]
    environment: shop
    tags: [personal-data]
unknown: refuse
isolate_environments: true
""")

POLICY = """\
rules:
  - id: support-reads-customers
    effect: allow
    match:
      principal: {groups: [support]}
      target: shop-api
      method: [GET, HEAD]
      path: [/v1/customers, "/v1/customers/{id}", "/v1/reports/{name}", "/v1/exports/{name}"]
  - id: support-books-refunds
    effect: allow
    match: {principal: {groups: [support]}, target: shop-api, method: POST, path: /v1/refunds}
  - id: ci-reads-builds
    effect: allow
    match: {principal: {kind: ci}, target: shop-api, method: GET, path: [/health, "/v1/builds/{id}"]}
  - id: agents-change-nothing
    effect: deny
    match: {principal: {kind: agent}, method: write}
    message: An agent may read for a person, not act for them. Ask the person to do it.
  - id: customers-are-never-deleted
    effect: deny
    match: {method: DELETE, path: "/v1/customers/{rest...}"}
    message: Customers are closed, not deleted. Set `status` to `closed` instead.
"""

MASKING = """\
masks:
  - id: personal-data
    match: {target: {tags: [personal-data]}}
    detect: [EMAIL_ADDRESS, CREDIT_CARD, IBAN_CODE, US_SSN, PHONE_NUMBER]
    as: {default: redact, CREDIT_CARD: last4}
  - id: customer-names
    match: {target: shop-api, path: [/v1/customers, "/v1/customers/{id}"]}
    fields: ["$..name", "$..ssn"]
"""


def write_bundle(folder: Path, api_port: int, jwks_url: str) -> Path:
    """Write the five files into `folder`, which is made."""
    folder.mkdir(parents=True)
    login = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": ALGORITHM, "jwks": jwks_url}
    files = {
        "bundle": BUNDLE,
        "identity": IDENTITY.substitute(login),
        "targets": TARGETS.substitute(port=api_port),
        "policy": POLICY,
        "masking": MASKING,
    }
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder
