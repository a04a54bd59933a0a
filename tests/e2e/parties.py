"""Who takes part in the attacks on identity: honest providers, strangers, and what each of them signs."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.e2e.canary import remember
from tests.e2e.issuer import ALGORITHMS, Key, base64url, jwks
from tests.e2e.proxy import write_rules
from tests.e2e.upstream import Reply, Upstream

ISSUER, PARTNER, LATE = "https://sso.corp.example", "https://sso.partner.example", "https://late.corp.example"
TEAM, TAG = "https://acme.cloudflareaccess.com", "0123456789abcdef" * 4
TARGETS = """
targets:
  - {name: api, hosts: [127.0.0.1, localhost, "*.localhost", 127.0.0.2, "[::1]", 0.0.0.0], environment: dev}
unknown: refuse
"""
POLICY = """
rules:
  - {id: all-may, effect: allow, match: {target: api, method: [GET, POST]}}
"""


class Parties:
    """Everybody's keys, and what each makes with them; all keys go by the id that their provider calls them."""

    def __init__(self) -> None:
        self.sso, self.partner, self.stranger, self.late = Key("k"), Key("k"), Key("k"), Key("late")
        self.access = Key("k", "RS256")
        self.server = Upstream()
        self.server.replies["/late.json"] = Reply(jwks(self.late))
        self.made = {
            "ana": self.token(),
            "eve": self.token(sub="eve"),
            "access": self.access_token(),
            "other": self.access_token(sub="eve"),
            **self._forged(),
        }
        for text in self.made.values():
            remember("." + text.split(".")[1])  # of some the signature is empty, or one that many have

    def token(self, key: Key | None = None, **claims: Any) -> str:
        given = {"iss": ISSUER, "aud": "guard", "sub": "ana", "env": "dev", **claims}
        return (key or self.sso).token(**given)

    def access_token(self, **claims: Any) -> str:
        return self.access.token(**{"iss": TEAM, "aud": [TAG], "sub": "ana", "type": "app", **claims})

    def _signed(self, header: dict[str, Any], key: Key | None = None, **claims: Any) -> str:
        times = {"iat": int(time.time()), "exp": int(time.time()) + 600}
        return (key or self.sso).sign(header, {"iss": ISSUER, "aud": "guard", "sub": "ana", **times, **claims})

    def _forged(self) -> dict[str, str]:
        """What has to be computed, by what it is to be refused for."""
        good = self.token()
        signed, _, encoded = good.rpartition(".")
        raw = base64.urlsafe_b64decode(encoded + "==")
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        segments = good.split(".")
        hs = self._signed({"alg": "HS256"}).rpartition(".")[0]
        bom = f"{segments[0]}.{base64url(json.dumps({'sub': 'ana'}).encode('utf-16'))}"
        return {
            "none": f"{self._signed({'alg': 'nOnE'}).rpartition('.')[0]}.AAAA",
            "unsigned": f"{signed}.",
            "hs": f"{hs}.{base64url(hmac.digest(self.sso.pem, hs.encode(), hashlib.sha256))}",
            "jwk": self._signed({"jwk": self.stranger.jwk}, self.stranger),
            "jku": self._signed({"jku": f"{self.server.url}/stranger.json"}, self.stranger),
            "x5u": self._signed({"x5u": f"{self.server.url}/stranger.pem"}, self.stranger),
            "zip": self._signed({"zip": "DEF"}),
            "nested": self._signed({"cty": "JWT"}),
            "kid": self._signed({"kid": "../../dev/null"}),
            "sql": self._signed({"kid": "k' OR 1=1 --"}),
            "stranger": self.token(self.stranger),
            "partner": self.token(self.partner),
            "partners": self.token(iss=PARTNER),
            "der": f"{signed}.{base64url(der)}",
            "zero": f"{signed}.{base64url(b'\0' * 64)}",
            "short": f"{signed}.{base64url(raw[:-1])}",
            "padded": ".".join(f"{segment}=" for segment in segments),
            "trailing": f"{good}.AAAA",
            "utf-16": f"{bom}.{base64url(ALGORITHMS['ES256'].sign(bom.encode(), self.sso.private))}",
            "long": self.token(filler="x" * 7000),
            "suffix": self.token(iss=f"{ISSUER}.evil.example"),
            "below": self.token(iss="https://evil.sso.corp.example"),
            "part": self.token(aud="guar"),
            "listed": self.token(aud=[["guard"]]),
            "expired": self.token(exp=int(time.time()) - 60),
            "endless": self.token(exp=None),
            "text": self.token(exp="9999999999"),
            "huge": self.token(exp=10**30),
            "early": self.token(nbf=int(time.time()) + 600),
            "logout": self._signed({"typ": "logout+jwt"}),
        }


def rules_in(folder: Path, parties: Parties, **identity: Any) -> Path:
    oidc = {"preset": "oidc", "audiences": ["guard"], "algorithms": ["ES256"], "kind": "human", "clock_skew": "0s"}
    environment = {"claims": {"environment": "/env"}}
    providers = [
        {"name": "sso", **oidc, **environment, "issuer": ISSUER, "jwks": "file:sso.json"},
        {"name": "partner", **oidc, **environment, "issuer": PARTNER, "jwks": "file:partner.json"},
        {"name": "late", **oidc, "environment": "dev", "issuer": LATE, "jwks": f"{parties.server.url}/late.json"},
        {
            "name": "access",
            "preset": "cloudflare-access",
            "issuer": TEAM,
            "audiences": [TAG],
            "jwks": "file:access.json",
            "environment": "dev",
        },
    ]
    document = json.dumps({"providers": providers, **identity})
    write_rules(folder, identity=document, targets=TARGETS, policy=POLICY, masking="masks: []\n")
    for name, key in (("sso", parties.sso), ("partner", parties.partner), ("access", parties.access)):
        (folder / f"{name}.json").write_bytes(jwks(key))
    return folder


def reason_of(body: bytes) -> str:
    """The reason of a refusal; nothing for another answer."""
    try:
        return str(json.loads(body).get("reason", ""))
    except ValueError:
        return ""
