"""Tokens as each kind of provider makes them, put together from cases/presets/*.yaml, and what can be wrong with one.

Nothing here is taken from the table of presets or from what mints tokens: where they are wrong, these do not follow.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.identity.conftest import ALGORITHMS, NOW, base64url, identity

from headgate.identity.jwks import KeySet, parse_jwks, parse_pem_key
from headgate.identity.pemkeys import PemKeys
from headgate.identity.provider import IdentityRules, Provider

CASES = Path(__file__).parents[1] / "cases"
FITTING = {
    "ec": ["ES256"],
    "ec384": ["ES384"],
    "ec521": ["ES512"],
    "rsa": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "ed": ["EdDSA"],
}
IN_PEM = ("ec", "ec384", "rsa")
NAMES = [path.stem for path in sorted((CASES / "presets").glob("*.yaml"))]
ABSENT = "absent"

_TIME = re.compile(r"now([+-][0-9.]+)?\Z")


@functools.cache
def private(kind: str, owner: str = "provider") -> Any:  # noqa: ARG001 - each owner has a key of its own
    """The one key of this type and owner, made when it is first asked for."""
    if kind.startswith("ec"):
        curve: ec.EllipticCurve = {"ec": ec.SECP256R1, "ec384": ec.SECP384R1, "ec521": ec.SECP521R1}[kind]()
        return ec.generate_private_key(curve)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed" else rsa.generate_private_key(65537, 2048)


def jwk(kind: str, kid: str, owner: str = "provider", **members: Any) -> dict[str, Any]:
    to_jwk = ALGORITHMS[FITTING[kind][0]].to_jwk
    public = to_jwk(private(kind, owner).public_key(), as_dict=True)
    public.pop("key_ops", None)
    return {**public, "kid": kid, **members}


@functools.cache
def loaded(name: str) -> Any:
    return yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """One way in which the token of a preset may differ."""

    preset: str
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.preset}: {self.changes['note']}"


def rows() -> Iterator[Row]:
    for name in NAMES:
        sample = loaded(f"presets/{name}")
        yield Row(name, {"note": "as it should be", "expect": sample["expect"]})
        for group in sample["also"]:
            yield from (Row(name, row) for row in loaded("presets")[group])
        yield from (Row(name, row) for row in sample["rows"])
        yield from _reads(name, sample["reads"])


def _reads(name: str, reads: Mapping[str, list[str]]) -> Iterator[Row]:
    """Each claim that is read: not there, and as something else than it should be."""
    for claim, (missing, mistyped, *alone) in reads.items():
        values = {"not there": ABSENT, "null": None, "a number": 42, "true": True, "a mapping": {"a": "b"}, "[7]": [7]}
        for what, value in values.items():
            reason = missing if value in (ABSENT, None) else mistyped
            outcome = {"accepted": True} if reason == "accepted" else {"reason": reason}
            outcome |= {"alone": alone[0]} if alone else {}
            yield Row(name, {"note": f"`{claim}` is {what}", "claims": {claim: value}, **outcome})


@dataclass(frozen=True)
class Sample:
    """A preset's provider, its published keys and its good token."""

    name: str

    @property
    def case(self) -> dict[str, Any]:
        found: dict[str, Any] = loaded(f"presets/{self.name}")
        return found

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(self.case["places"])

    @property
    def kid(self) -> str:
        return str(self.case["header"]["kid"])

    def written(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As identity.yaml has the provider; None takes a key out."""
        given = {"name": self.name, **self.case["provider"], **(changes or {})}
        return {name: value for name, value in given.items() if value is not None}

    def rules(self, folder: Path, changes: Mapping[str, Any] | None = None) -> IdentityRules:
        return identity(folder, self.written(changes))

    def provider(self, folder: Path, changes: Mapping[str, Any] | None = None) -> Provider:
        return self.rules(folder, changes).providers[0]

    # -- keys ---------------------------------------------------------------------------------------------------------

    @property
    def pem(self) -> bool:
        return "pem" in self.case["keys"]

    def published(self) -> dict[str, tuple[str, str]]:
        """Type and owner of the key under each id: two of the type that signs, and one of each other type."""
        kind = self.case["key"]
        others = [other for other in (IN_PEM if self.pem else FITTING) if other != kind]
        ids = {other: f"00000000-0000-4000-8000-00000000000{place}" for place, other in enumerate(others)}
        return {self.kid: (kind, "provider"), self.older: (kind, "older")} | {
            kid: (other, "provider") for other, kid in ids.items()
        }

    older = "99999999-9999-4999-8999-999999999999"

    def kid_of(self, kind: str) -> str:
        return next(kid for kid, held in self.published().items() if held == (kind, "provider"))

    def keys(self, provider: Provider, owner: str = "provider") -> KeySet:
        """What `provider` publishes; with another `owner`, other keys under the same ids."""
        held = {kid: (kind, whose if owner == "provider" else owner) for kid, (kind, whose) in self.published().items()}
        if self.pem:
            pems = [parse_pem_key(kid, public_pem(*key)) for kid, key in held.items()]
            return PemKeys(pems, frozenset(), lambda _: None)
        use = self.case.get("use", "sig")
        listed = [jwk(kind, kid, whose, use=use) for kid, (kind, whose) in held.items()]
        return parse_jwks(json.dumps({"keys": listed}).encode(), provider.keys.uses)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def token(self, changes: Mapping[str, Any] | None = None, owner: str | None = None) -> str:
        """The good token, changed as a row says, and signed by the key that its algorithm needs."""
        changes = changes or {}
        header, claims = self._parts(changes)
        kind = changes.get("signer", self.case["key"])
        private_key = private(kind, owner or changes.get("key", "provider"))
        declared = header.get("alg")
        algorithm = declared if declared in FITTING[kind] else FITTING[kind][0]
        padded = changes.get("padded", self.case.get("padded", False))
        signed = ".".join(base64url(json.dumps(part).encode(), padded=padded) for part in (header, claims))
        return f"{signed}.{base64url(ALGORITHMS[algorithm].sign(signed.encode(), private_key), padded=padded)}"

    def _parts(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        parts = {"header": deepcopy(self.case["header"]), "claims": deepcopy(self.case["claims"])}
        parts["claims"] |= {name: str(parts["claims"][name]) for name in self.case.get("texts", ())}
        for part in parts.values():
            part.update(timed(part))
        known = self._known(parts)
        for name in ("iss", "aud", "exp"):
            if name in changes:
                part, member = self._where(name)
                put(parts[part], member, filled(changes[name], known))
        for part, found in parts.items():
            for path, value in changes.get(part, {}).items():
                put(found, path, filled(value, known))
        return parts["header"], parts["claims"]

    def _where(self, name: str) -> tuple[str, str]:
        if name == "aud":
            named = self.case.get("audience")
            return ("header", named) if named else ("claims", "aud")
        return ("header" if name in self.case.get("in_header", ()) else "claims"), name

    def _known(self, parts: Mapping[str, dict[str, Any]]) -> dict[str, str]:
        found = {
            name: parts[part].get(member) for name in ("iss", "aud", "exp") for part, member in [self._where(name)]
        }
        audience = found["aud"][0] if isinstance(found["aud"], list) else found["aud"]
        issuer, unfit = (
            str(found["iss"]),
            next(k for k, (kind, _) in self.published().items() if kind != self.case["key"]),
        )
        known = {"iss": issuer, "aud": str(audience), "exp": str(found["exp"]), "kid": self.kid}
        short = {f"{name}-1": text[:-1] for name, text in known.items()}
        other_case = {name.upper(): text.swapcase() for name, text in known.items()}
        host = issuer.removeprefix("https://")
        return {**known, **short, **other_case, "older": self.older, "unfit": unfit, "issuer-host": host}


def public_pem(kind: str, owner: str) -> bytes:
    pem: bytes = private(kind, owner).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def put(part: dict[str, Any], path: str, value: Any) -> None:
    """Set a member, or with a leading slash the one at a pointer whose names have no escapes; ABSENT takes it out."""
    *way, last = path[1:].split("/") if path.startswith("/") else [path]
    for name in way:
        part = part[name]
    if isinstance(value, str) and value == ABSENT:
        part.pop(last, None)
    else:
        part[last] = value


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """`value` with `{name}` filled in and times as numbers, at every depth."""
    if isinstance(value, dict):
        return {filled(name, known): filled(item, known) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"\{([A-Za-z-]+1?)\}", lambda found: known.get(found[1], found[0]), value)
    return time_of(text)


def timed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timed(item) for name, item in value.items()}
    return [timed(item) for item in value] if isinstance(value, list) else time_of(value)


def time_of(value: Any) -> Any:
    """`now`, `now+5`, `now+0.5`, `now*1000` and `huge` as numbers; anything else as it is."""
    if value == "huge":
        return 10**399
    if value == "now*1000":
        return NOW * 1000
    found = _TIME.match(value) if isinstance(value, str) else None
    if not found:
        return value
    after = found[1] or "0"
    return NOW + (float(after) if "." in after else int(after))
