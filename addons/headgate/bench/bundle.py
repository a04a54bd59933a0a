"""The rules the chain is measured with: as many as asked for, of the kinds a company has, and who calls.

Each service has five rules: who reads, who writes, what jobs may ask, what agents and everybody may not.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from headgate.demo.provider import ALGORITHM, AUDIENCE, ISSUER, Signer

GROUPS = 40
"""Teams that share the services."""

BODY = json.dumps(
    {
        "id": 42,
        "name": "Jonas Berg",
        "email": "jonas.berg@posteo.de",
        "phone": "+1 212-555-0143",
        "address": {"street": "Lindenallee 5", "city": "Potsdam", "zip": "14467"},
        "payment": {"card": "5555 5555 5555 4444", "iban": "DE89370400440532013000"},
        "orders": [{"id": 7731, "total": "84.00", "state": "sent"}, {"id": 7790, "total": "230.15", "state": "open"}],
        "status": "active",
    }
).encode()
"""The small JSON: about 400 bytes, of which four values are masked."""

FIELDS_PATH, DETECT_PATH = "/v1/fields", "/v1/detect"
LARGE_PATH, UNMASKED_PATH, STREAM_PATH = "/v1/large", "/v1/unmasked", "/v1/stream"
"""Answered with 10 kB that are masked by detection, with 10 kB that are not, and with events that are."""

PATHS = (FIELDS_PATH, DETECT_PATH, LARGE_PATH, UNMASKED_PATH, STREAM_PATH)

MASKS = [
    {
        "id": "by-field",
        "match": {"target": "bench", "path": f"{FIELDS_PATH}/{{id}}"},
        "fields": ["$.name", "$.email", "$.payment.card", "$.payment.iban"],
    },
    {
        "id": "by-detection",
        "match": {"target": "bench", "path": [f"{path}/{{id}}" for path in (DETECT_PATH, LARGE_PATH, STREAM_PATH)]},
        "fields": ["$.name"],
        "detect": ["EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER"],
    },
]


def policy_rules(count: int) -> list[dict[str, Any]]:
    """`count` rules, the first of which lets the measured requests through."""
    paths = [f"{path}/{{id}}" for path in PATHS]
    first = _rule("bench-reads", "allow", {"principal": {"groups": ["bench"]}, "method": "GET", "path": paths})
    return [first, *(_service_rule(at) for at in range(count - 1))]


def _service_rule(at: int) -> dict[str, Any]:
    number, kind = divmod(at, 5)
    team, root = f"team-{number % GROUPS}", f"/v1/service-{number}"
    items = f"{root}/items/{{id}}"
    matches: dict[str, dict[str, Any]] = {
        "allow-read": {"principal": {"groups": [team]}, "method": ["GET", "HEAD"], "path": items},
        "allow-write": {"principal": {"groups": [f"{team}-leads"]}, "method": "write", "path": items},
        "allow-jobs": {"principal": {"kind": "ci"}, "method": "GET", "path": f"{root}/health"},
        "deny-agents": {"principal": {"kind": "agent"}, "method": "write", "path": items},
        "deny-delete": {"method": "DELETE", "path": f"{root}/{{rest...}}"},
    }
    name, match = list(matches.items())[kind]
    return _rule(f"service-{number}-{name}", name.partition("-")[0], match)


def _rule(name: str, effect: str, match: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "effect": effect, "match": {"target": "bench", **match}}


def write_bundle(folder: Path, upstream_port: int, signer: Signer, rules: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "keys.jwks.json").write_bytes(signer.jwks())
    provider = {
        "name": "bench",
        "preset": "oidc",
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "jwks": "file:keys.jwks.json",
        "algorithms": [ALGORITHM],
        "kind": "human",
        "claims": {"environment": "/env"},
    }
    target = {"name": "bench", "hosts": [f"127.0.0.1:{upstream_port}"], "environment": "bench"}
    files: dict[str, Any] = {
        "bundle": {"name": "bench", "version": "1.0.0"},
        "identity": {"providers": [provider]},
        "targets": {"targets": [target]},
        "policy": {"rules": policy_rules(rules)},
        "masking": {"masks": MASKS},
    }
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def token(signer: Signer, caller: str) -> str:
    return signer.mint({"sub": caller, "groups": ["bench", "staff"], "env": "bench"})


def requests(signer: Signer, path: str, callers: int, port: int) -> list[str]:
    """One GET for each caller, with a token of its own."""
    return [_request(f"{path}/{at}", port, token(signer, f"caller-{at}")) for at in range(callers)]


def _request(path: str, port: int, bearer: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {bearer}\r\n\r\n"
