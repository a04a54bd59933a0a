"""Which images run in which pod, from a snapshot that the operator takes: a token names its pod, but no image.

Accepted is what `kubectl get pods -A -o json` prints, or the compact form `{"UID": "sha256:..." | ["sha256:...", ...]}`
(`headgate releases pods` makes it). What counts is what the kubelet reports as running (`status`), of every container
of the pod, init and ephemeral ones too: they share its network and its token. A pod of which one image is not known is
left out as a whole, so that it is nobody's verified caller. Labels and image names are its own word and are not read.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from headgate.errors import InvalidRules
from headgate.identity.strictjson import read_object

Pods = Mapping[str, frozenset[str]]
"""The image digests in each pod, by the pod's uid."""

Problems = list[tuple[tuple[str | int, ...], str]]

NO_PODS: Pods = MappingProxyType({})

_KUBECTL = "accepted: what `kubectl get pods -A -o json` prints"

_UID = re.compile(r"[A-Za-z0-9-]{1,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(r"(?:(?:docker-pullable://)?[^\s@]+@)?(sha256:[0-9a-f]{64})")
_CONTAINERS = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}


def parse_pods(data: bytes) -> Pods:
    """The pods of a snapshot that are known in full; InvalidRules with every problem and its place in the document."""
    document = read_object(data)
    if document is None:
        raise InvalidRules([((), "not a pod snapshot; accepted: one JSON object in UTF-8, no member twice")])
    problems: Problems = []
    read = _listed(document, problems) if "items" in document else _compact(document, problems)
    if problems:
        raise InvalidRules(problems)
    return MappingProxyType(read)


def _compact(document: dict[str, Any], problems: Problems) -> dict[str, frozenset[str]]:
    pods = {}
    for uid, value in document.items():
        digests = value if isinstance(value, list) else [value]
        if not _UID.fullmatch(uid):
            problems.append(((uid[:63],), "not the uid of a pod; accepted: up to 63 letters, digits and dashes"))
        elif not digests or not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests):
            problems.append(((uid,), "not an image digest; accepted: `sha256:` and 64 lower-case hex digits, or some"))
        else:
            pods[uid] = frozenset(digests)
    return pods


def _listed(document: dict[str, Any], problems: Problems) -> dict[str, frozenset[str]]:
    items = document["items"]
    if not isinstance(items, list):
        problems.append((("items",), f"not a list; {_KUBECTL}"))
        return {}
    seen: set[str] = set()
    pods = {}
    for place, item in enumerate(items):
        uid = _member(_member(item, "metadata"), "uid")
        if _member(item, "kind") not in (None, "Pod"):
            problems.append((("items", place), f"not a pod; {_KUBECTL}"))
        elif not isinstance(uid, str) or not _UID.fullmatch(uid):
            problems.append((("items", place), "`metadata.uid` is not the uid of a pod"))
        elif uid in seen:
            problems.append((("items", place), f"two pods have the uid `{uid}`"))
        else:
            seen.add(uid)
            if digests := _digests(item):
                pods[uid] = digests
    return pods


def _digests(pod: Any) -> frozenset[str]:
    """The digests of all containers of a pod; none at all where one is missing."""
    found = [_digest(status) for status in _statuses(pod)]
    if None in found or not _all_reported(pod):
        return frozenset()
    return frozenset(digest for digest in found if digest)


def _statuses(pod: Any) -> Iterator[Any]:
    for reported in _CONTAINERS.values():
        statuses = _member(_member(pod, "status"), reported)
        yield from statuses if isinstance(statuses, list) else () if statuses is None else (statuses,)


def _all_reported(pod: Any) -> bool:
    """Whether each container that the pod's `spec` names has a status; the spec may have been cut away."""
    spec, status = _member(pod, "spec"), _member(pod, "status")
    return all(
        name in _names(_member(status, told))
        for asked, told in _CONTAINERS.items()
        for name in _names(_member(spec, asked))
    )


def _names(containers: Any) -> list[Any]:
    return [_member(container, "name") for container in containers] if isinstance(containers, list) else []


def _digest(status: Any) -> str | None:
    image = _member(status, "imageID")
    found = _IMAGE.fullmatch(image) if isinstance(image, str) else None
    return found[1] if found else None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
