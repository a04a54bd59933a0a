"""The files that `headgate releases` reads and writes; HeadgateError says what is wrong with one, and where."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.cli.screen import visible
from headgate.errors import BundleError, HeadgateError, InvalidRules, Problem

if TYPE_CHECKING:
    from headgate.bundle.document import Node
    from headgate.identity.dsse import PublicKey
    from headgate.identity.releaselist import ReleaseList
    from headgate.identity.releases import ReleasesSpec


def prepared_list(file: Path) -> tuple[bytes, "ReleaseList"]:
    """The payload and what it holds; BundleError names every problem with its line."""
    from headgate.bundle.document import plain
    from headgate.identity.releaselist import parse_list, write_list

    node = _document(file, str(file))
    payload = write_list(plain(node))
    try:
        return payload, parse_list(payload)
    except InvalidRules as error:
        raise _located(error, node, str(file)) from None


def _document(file: Path, label: str) -> "Node":
    from headgate.bundle.reader import read

    node, faults = read(contents_of(file))
    if node is None or faults:
        raise BundleError([Problem(label, *fault.place, visible(fault.message)) for fault in faults])
    return node


def _located(error: InvalidRules, node: "Node", label: str) -> BundleError:
    from headgate.bundle.document import place_of

    found = [(place_of(node, where), message) for where, message in error.problems]
    return BundleError([Problem(label, *place, visible(message)) for place, message in found])


def pinned_by(rules: Path, *, whole: bool) -> tuple["ReleasesSpec", tuple["PublicKey", ...]]:
    """What `releases:` says and the keys it pins; with `whole`, all else that it names has been checked as well."""
    from pydantic import ValidationError

    from headgate.bundle.document import Mapping, plain
    from headgate.bundle.wording import faults
    from headgate.bundled import Files
    from headgate.identity.releases import ReleasesSpec, compile_releases, pinned_keys

    label = str(rules / "identity.yaml")
    node = _document(rules / "identity.yaml", label)
    block = node.items.get("releases") if isinstance(node, Mapping) else None
    if block is None:
        raise BundleError([Problem(label, 0, 0, "there is no `releases`; accepted: `{file: ..., keys: [...]}`")])
    named = Files(rules)
    try:
        spec = ReleasesSpec.model_validate(plain(block))
        if whole:
            compile_releases(spec, named)
        return spec, pinned_keys(spec, named)
    except ValidationError as error:
        found = faults(error, block, ReleasesSpec)
        raise BundleError([Problem(label, *fault.place, visible(fault.message)) for fault in found]) from None
    except InvalidRules as error:
        raise _located(error, block, label) from None


def public_keys(files: tuple[Path, ...]) -> tuple["PublicKey", ...]:
    from headgate.identity.dsse import DsseError, public_key

    keys = []
    for file in files:
        try:
            keys.append(public_key(contents_of(file)))
        except DsseError as error:
            raise HeadgateError(f"key file `{file}` cannot be used: {error}") from None
    return tuple(keys)


def opened_list(file: Path, data: bytes, keys: "Sequence[PublicKey] | None") -> "ReleaseList":
    """The list in an envelope, signed by one of `keys`; with None, by whomever."""
    from headgate.identity import dsse
    from headgate.identity.releaselist import parse_list
    from headgate.identity.releases import told

    try:
        return parse_list(dsse.read(data).payload if keys is None else dsse.verify(data, keys))
    except dsse.DsseError as error:
        raise BundleError([Problem(str(file), 0, 0, str(error))]) from None
    except InvalidRules as error:
        raise BundleError([Problem(str(file), 0, 0, visible(line)) for line in told(error.problems)]) from None


def contents_of(file: Path) -> bytes:
    """The bytes of a file no longer than the proxy would read it."""
    from headgate.bundled import Unusable, contents

    try:
        return contents(file.parent, file.name)
    except Unusable as error:
        raise HeadgateError(str(error)) from None


def write_whole(out: Path, data: bytes) -> None:
    """Whole or not at all: a proxy may follow the folder."""
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        try:
            draft.write_bytes(data)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise HeadgateError(f"`{out}` cannot be written: {(error.strerror or 'error').lower()}") from None
