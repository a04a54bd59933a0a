"""What stands in a bundle's files, as plain values: to compare two bundles, whether or not both can still be used."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from headgate.bundle import files
from headgate.bundle.document import plain
from headgate.bundle.reader import read
from headgate.errors import HeadgateError


def documents(contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Each rules file by name; HeadgateError for one that cannot be read as YAML."""
    found: dict[str, Any] = {}
    for name, data in contents.items():
        if is_rules(name):
            node, faults = read(data)
            if node is None or faults:
                raise HeadgateError(f"`{name}` cannot be read")
            found[name] = plain(node)
    return found


def is_rules(name: str) -> bool:
    """Whether a file is rules, rather than one that rules name or their signature."""
    return name in files.MODELS or is_policy(name)


def is_policy(name: str) -> bool:
    folder, _, inner = name.partition("/")
    return name == files.POLICY or (folder == files.POLICY_FOLDER and inner.endswith(".yaml") and "/" not in inner)


def listed(found: Mapping[str, Any], name: str, key: str) -> Iterator[dict[str, Any]]:
    """The mappings in a list of one file."""
    document = found.get(name)
    entries = document.get(key) if isinstance(document, dict) else None
    yield from (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()


def policy(found: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The mappings in a list of all policy files together."""
    for name in found:
        if is_policy(name):
            yield from listed(found, name, key)


def pinned(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Each pinned rule by its id, as one text that is the same for the same rule."""
    written = documents({name: data for name, data in contents.items() if is_policy(name) and _may_pin(data)})
    return {str(rule.get("id")): canonical(rule) for rule in policy(written, "rules") if rule.get("pinned") is True}


def _may_pin(data: bytes) -> bool:
    """Whether it is worth reading: most files pin nothing. With a backslash, YAML may spell the word otherwise."""
    return b"pinned" in data or b"\\" in data


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
