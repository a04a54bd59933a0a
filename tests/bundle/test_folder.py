"""A load reads each file once, and counts only if nothing was another meanwhile, be it for a moment."""

import builtins
import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.bundle.desk import write
from tests.identity.pki import authority

from headgate.bundle.files import SIGNATURE
from headgate.bundle.folder import Folder, UnsettledError
from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.restore import restore
from headgate.bundle.signing import UnsignedError, check, sign
from headgate.errors import BundleError
from headgate.identity import dsse
from headgate.identity.releaselist import write_list

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
POINT = '"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"'
OIDC = "preset: oidc, audiences: [a], algorithms: [ES256], kind: human"
IDENTITY = f"""
providers:
  - {{name: one, issuer: "https://one.example", {OIDC}, jwks: "file:ONE"}}
  - {{name: two, issuer: "https://two.example", {OIDC}, jwks: "file:TWO"}}
  - {{name: mesh, preset: mtls, ca: "file:ca.pem"}}
releases: {{file: releases.json, keys: [release.pub], pods: pods.json}}
"""
TARGETS = """
targets:
  - {name: api, hosts: [api.internal], openapi: openapi/api.yaml}
  - {name: more, hosts: [more.internal], openapi: ./openapi//api.yaml}
"""
API = b"openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n"


def jwks(kid: str) -> bytes:
    """RFC 7515, appendix A.3.1"""
    return f'{{"keys": [{{"kty": "EC", "crv": "P-256", "kid": "{kid}", {POINT}}}]}}'.encode()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A signed folder whose rules name a file of every sort, the same one in two spellings as well."""
    folder = write(tmp_path / "rules", targets=TARGETS)
    named = {
        "one.json": jwks("one"),
        "two.json": jwks("two"),
        ".keys/hidden.json": jwks("hidden"),
        "ca.pem": authority("corp").pem,
        "release.pub": PEM,
        "releases.json": dsse.sign(write_list({"revision": 1, "releases": []}), KEY),
        "pods.json": b"{}",
        "openapi/api.yaml": API,
    }
    for name, content in named.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / SIGNATURE).write_bytes(sign(naming(folder, "one.json", "./one.json"), KEY))
    return folder


def naming(rules: Path, one: str, two: str) -> Bundle:
    (rules / "identity.yaml").write_text(IDENTITY.replace("ONE", one).replace("TWO", two))
    return load_bundle(rules)


def kids(bundle: Bundle) -> list[str]:
    keys = [provider.keys.static for provider in bundle.identity.providers]
    return [str(key.kid) for found in keys if found for key in found.keys]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each path was opened, by whatever way Python has."""
    counted: Counter[str] = Counter()
    as_file, as_descriptor = builtins.open, os.open

    def open_file(file: Any, *more: Any, opener: Any = None, **named: Any) -> Any:
        counted.update([os.fspath(file)] if opener is None and not isinstance(file, int) else [])
        return as_file(file, *more, opener=opener, **named)

    def open_descriptor(path: Any, *more: Any, **named: Any) -> int:
        counted.update([os.fspath(path)])
        return as_descriptor(path, *more, **named)

    monkeypatch.setattr(builtins, "open", open_file)
    monkeypatch.setattr(io, "open", open_file)
    monkeypatch.setattr(os, "open", open_descriptor)
    return counted


def test_each_file_is_opened_once(rules: Path, opened: Counter[str]) -> None:
    bundle = load_bundle(rules)
    once = {str(rules / name): 1 for name in bundle.contents}
    assert {path: times for path, times in opened.items() if path.startswith(str(rules))} == once
    assert len(once) == len(("bundle", "identity", "targets", "policy", "masking")) + 7
    check(bundle, bundle.contents[SIGNATURE], KEY.public_key())


def test_a_file_that_cannot_be_used_is_opened_once_too(rules: Path, opened: Counter[str]) -> None:
    (rules / "one.json").write_bytes(b"garbage")
    opened.clear()
    with pytest.raises(BundleError, match=r"one\.json"):
        load_bundle(rules)
    assert opened[str(rules / "one.json")] == 1


def test_a_hash_says_which_file_is_which(rules: Path) -> None:
    before = naming(rules, "one.json", "two.json")
    (rules / "one.json").rename(rules / "between")
    (rules / "two.json").rename(rules / "one.json")
    (rules / "between").rename(rules / "two.json")
    after = load_bundle(rules)
    assert (kids(before), kids(after)) == (["one", "two"], ["two", "one"])
    assert before.sha256 != after.sha256


def test_what_is_stored_is_what_was_compiled(rules: Path, tmp_path: Path) -> None:
    bundle = naming(rules, "./one.json", ".keys//hidden.json")
    assert (bundle.contents["one.json"], bundle.contents[".keys/hidden.json"]) == (jwks("one"), jwks("hidden"))
    again = restore(bundle.contents, bundle, tmp_path)
    assert (again.sha256, again.contents, kids(again)) == (bundle.sha256, bundle.contents, ["one", "hidden"])


def test_another_file_is_not_what_was_signed(rules: Path) -> None:
    (rules / "one.json").write_bytes(jwks("evil"))
    bundle = load_bundle(rules)
    with pytest.raises(UnsignedError):
        check(bundle, bundle.contents[SIGNATURE], KEY.public_key())


def by_link(rules: Path) -> None:
    """Another link to the same file: what it leads to is as it was."""
    (rules / "next").symlink_to(rules.parent / "kept.json")
    os.replace(rules / "next", rules / "one.json")


def by_name(rules: Path) -> None:
    (rules / "one.json").rename(rules / "away")
    (rules / "away").rename(rules / "one.json")


def by_root(rules: Path) -> None:
    rules.rename(rules.with_name("away"))
    rules.with_name("away").rename(rules)


def by_mount(rules: Path) -> None:
    """As what mounts a folder swaps it: below a hidden link."""
    (rules / ".next").symlink_to(".keys")
    os.replace(rules / ".next", rules / "..data")


def by_hidden(rules: Path) -> None:
    (rules / ".keys" / "hidden.json").rename(rules / ".keys" / "away")
    (rules / ".keys" / "away").rename(rules / ".keys" / "hidden.json")


@pytest.mark.parametrize("swap", [by_link, by_name, by_root, by_mount, by_hidden], ids=lambda swap: swap.__name__)
def test_a_file_that_is_another_for_a_moment_unsettles_what_is_read(rules: Path, swap: Callable[[Path], None]) -> None:
    (rules / "one.json").rename(rules.parent / "kept.json")
    (rules / "one.json").symlink_to(rules.parent / "kept.json")
    naming(rules, "one.json", ".keys/hidden.json")
    swapping = False

    def load(path: Path) -> Bundle:
        bundle = load_bundle(path)
        if swapping:
            swap(rules)
        return bundle

    folder = Folder(rules, load)
    folder.read()
    folder.read()
    swapping = True
    with pytest.raises(UnsettledError):
        folder.read()


def test_a_link_that_leads_elsewhere_is_a_change(rules: Path) -> None:
    (rules / "one.json").rename(rules.parent / "kept.json")
    (rules / "one.json").symlink_to(rules.parent / "kept.json")
    folder = Folder(rules)
    folder.read()
    assert not folder.look()[0]
    by_link(rules)
    assert folder.look()[0]


def test_a_hidden_file_is_a_change_only_where_the_rules_name_it(rules: Path) -> None:
    folder = Folder(rules)
    naming(rules, "one.json", ".keys/hidden.json")
    folder.read()
    folder.read()
    (rules / ".editor").touch()
    assert not folder.look()[0]
    (rules / ".keys" / "hidden.json").write_bytes(jwks("other"))
    assert folder.look()[0]
