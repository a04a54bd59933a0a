"""Where the keys of a provider are: at the address that its preset names, at one that the rules name, or in a file.

A file is read here, once, so that a bundle with a missing or unusable one is never activated. Keys of a vendor come
from that vendor's address and no other over the network; rules may pin them in a file, or name a mirror right here.
"""

import re
from typing import Protocol
from urllib.parse import urlsplit

from headgate.bundled import Files, Unusable
from headgate.identity.certificates import Authorities, authorities
from headgate.identity.jwks import KeysError, parse_jwks
from headgate.identity.presets import GOV_CLOUD_KEYS, REGION_OF, Preset
from headgate.identity.sources import KeySource, is_loopback

_SOURCES = "an `https://` URL, an `http://` URL of a loopback host, or `file:PATH` inside the bundle's folder"
_OWN_SOURCES = "`file:PATH` inside the bundle's folder, or a URL of a loopback host"


class Named(Protocol):
    """What of a provider, as written, says where its keys are."""

    @property
    def preset(self) -> str: ...
    @property
    def jwks(self) -> str | None: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def signers(self) -> tuple[str, ...] | None: ...


def keys_of(spec: Named, preset: Preset, issuer: str, files: Files) -> KeySource:
    """Where the keys come from; a file is read and checked now."""
    if "jwks" in preset.fixed:
        return KeySource(uses=preset.uses)
    if spec.jwks is None:
        return _usual_keys(spec, preset, issuer)
    if spec.jwks.startswith("file:"):
        name = spec.jwks.removeprefix("file:")
        try:
            return KeySource(static=parse_jwks(files.contents(name), preset.uses), uses=preset.uses)
        except KeysError as error:
            raise Unusable(f"key file `{name}` cannot be used: {error}") from None
    if not is_key_url(spec.jwks, own=preset.vendor_keys):
        raise Unusable(f"not a source of keys; accepted: {_OWN_SOURCES if preset.vendor_keys else _SOURCES}")
    if preset.pem_kid:
        return KeySource(pem=spec.jwks.rstrip("/") + "/", kid=preset.pem_kid, uses=preset.uses)
    return KeySource(jwks=spec.jwks, uses=preset.uses)


def _usual_keys(spec: Named, preset: Preset, issuer: str) -> KeySource:
    """The endpoint that the preset names, or the one that the issuer's discovery document will."""
    if preset.keys is None:
        if not is_key_url(issuer):
            raise Unusable("`jwks` is missing, and the issuer is no `https://` URL at which it could be discovered")
        return KeySource(discovery=issuer, uses=preset.uses)
    if any(signer.startswith("arn:aws-cn:") for signer in spec.signers or ()):
        raise Unusable("the key endpoint of AWS in China is not known here; accepted: `jwks: file:PATH`")
    region = region_of((spec.signers or ("",))[0])
    template = GOV_CLOUD_KEYS if spec.preset == "aws-alb" and region.startswith("us-gov-") else preset.keys
    host = urlsplit(issuer).hostname or issuer
    url = template.format(issuer=issuer.rstrip("/"), host=host, region=region)
    if preset.pem_kid:
        return KeySource(pem=url, kid=preset.pem_kid, uses=preset.uses)
    return KeySource(jwks=url, uses=preset.uses)


def region_of(arn: str) -> str:
    found = REGION_OF.match(arn)
    return found[2] if found else ""


def is_key_url(text: str, *, own: bool = False) -> bool:
    """https, or http to a loopback host, with `own` only that; no user, password, fragment, blanks or controls."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    if not host or "@" in url.netloc or url.fragment or not re.match(r"[!-~]+\Z", text):
        return False
    return (url.scheme == "https" and not own) or (url.scheme in ("http", "https") and is_loopback(host))


def authorities_of(spec: Named, files: Files) -> Authorities | None:
    if spec.ca is None:
        return None
    if not spec.ca.startswith("file:"):
        raise Unusable("not a bundle of authorities; accepted: `file:PATH` inside the bundle's folder, with PEM")
    name = spec.ca.removeprefix("file:")
    try:
        return authorities(files.contents(name))
    except Unusable:
        raise
    except ValueError as error:
        raise Unusable(f"file `{name}` cannot be used: {error}") from None
