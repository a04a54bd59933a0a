"""Whether the code that calls is a release: named, for each of the caller's environments, by a list that is signed.

A signature by a pinned key makes the list; what a caller runs is taken from its signed claims, or from the operator's
snapshot of pods. A list that cannot be verified, or a snapshot that cannot be read, is a problem of the rules: the last
good bundle stays. A caller is verified when it states the commit or the image of a current release, and states nothing
else (commit, image, workflow) that differs from that release. Of a pod, every container's image must be listed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from headgate.bundled import Files, Unusable
from headgate.errors import InvalidRules
from headgate.identity import dsse
from headgate.identity.dsse import DsseError, PublicKey
from headgate.identity.pods import NO_PODS, Pods, parse_pods
from headgate.identity.releaselist import Release, ReleaseList, Where, parse_list, superseded
from headgate.match import Names, Section, Text
from headgate.model import Principal, Workload

MAX_KEYS = 16
MAX_PROBLEMS = 20  # of one file; beyond, they are counted

Problems = list[tuple[Where, str]]

_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Principal, Workload)}


class ReleasesSpec(Section):
    """`releases:` of identity.yaml; all are paths relative to the bundle's folder."""

    file: Text
    keys: Names
    pods: Text | None = None


@dataclass(frozen=True, slots=True)
class _Listed:
    """The releases of one workload in one environment."""

    by_digest: Mapping[str, tuple[Release, ...]]
    by_commit: Mapping[str, tuple[Release, ...]]


@dataclass(frozen=True, slots=True)
class _Code:
    """What a caller is known to run. `digests` are of its pod, if it states one, else the one it claims."""

    workload: str
    pod: bool
    digests: frozenset[str]
    digest: str | None
    commit: str | None
    workflow: str | None

    def agrees_with(self, release: Release) -> bool:
        """Whether nothing that both state differs."""
        images = self.digests if self.digest is None else (self.digest,)
        return (
            (release.commit is None or self.commit is None or release.commit == self.commit)
            and (release.image_digest is None or not images or release.image_digest in images)
            and (release.workflow is None or self.workflow is None or release.workflow == self.workflow)
        )


@dataclass(frozen=True, slots=True)
class Releases:
    """A verified list, ready to judge callers; `digest` is the SHA-256 of what was signed, in hex."""

    revision: int
    digest: str
    listed: Mapping[tuple[str, str], _Listed] = field(repr=False, compare=False)
    pods: Pods = field(default=NO_PODS, repr=False, compare=False)

    def accepts(self, previous: tuple[int, str] | None) -> str | None:
        """Why this list must not follow the last accepted one (revision, digest); None when it may."""
        return superseded(self.revision, self.digest, previous)

    def judged(self, principal: Principal, now: float) -> Principal:
        """The caller with `workload.verified` as this list has it at `now` (seconds since the epoch).

        `principal` is what the token gave, not what was judged before: the digest of a pod that runs a single image is
        filled in, and a later snapshot may know better. It comes back as it is when nothing changes.
        """
        stated = principal.workload
        code = self._code(stated)
        where = principal.environments
        verified = code is not None and bool(where) and all(self._is_listed(name, code, now) for name in where)
        digest = stated.digest
        if code is not None and digest is None and len(code.digests) == 1:
            (digest,) = code.digests
        if (verified, digest) == (stated.verified, stated.digest):
            return principal
        return _changed(principal, workload=_changed(stated, verified=verified, digest=digest))

    def _code(self, stated: Workload) -> _Code | None:
        """What the caller runs; None if it does not say which workload it is, or its pod is unknown or another's."""
        claimed = frozenset(() if stated.digest is None else (stated.digest,))
        digests = claimed if stated.pod is None else self.pods.get(stated.pod)
        if stated.name is None or digests is None or not claimed <= digests:
            return None
        commit = None if stated.commit is None else stated.commit.lower()
        return _Code(stated.name, stated.pod is not None, digests, stated.digest, commit, stated.workflow)

    def _is_listed(self, environment: str, code: _Code, now: float) -> bool:
        listed = self.listed.get((environment, code.workload))
        if listed is None:
            return False
        images = [listed.by_digest.get(digest, ()) for digest in code.digests]
        if code.pod and not all(any(release.is_current(now) for release in image) for image in images):
            return False
        same = [release for image in images for release in image]
        if code.commit is not None:
            same += listed.by_commit.get(code.commit, ())
        return any(release.is_current(now) and code.agrees_with(release) for release in same)


def compile_releases(spec: ReleasesSpec, files: Files) -> Releases:
    """The list that `releases:` names, verified; InvalidRules with every problem, located within that block."""
    problems: Problems = []
    keys = _keys(spec, files, problems)
    listed = _list(spec, files, keys, problems)
    pods = _pods(spec, files, problems)
    if listed is None or problems:
        raise InvalidRules(problems)
    return Releases(listed.revision, listed.digest, _index(listed.releases), pods)


def pinned_keys(spec: ReleasesSpec, files: Files) -> tuple[PublicKey, ...]:
    """The keys that `releases:` pins; InvalidRules with every problem, located within that block."""
    problems: Problems = []
    keys = _keys(spec, files, problems)
    if problems:
        raise InvalidRules(problems)
    return keys


def told(problems: Sequence[tuple[Where, str]]) -> list[str]:
    """Problems of a document without lines, each with its place in words: `releases[3].commit: ...`."""
    lines = [": ".join(filter(None, (_place(where), message))) for where, message in problems[:MAX_PROBLEMS]]
    more = len(problems) - len(lines)
    return [*lines, f"{more:,} more problems"] if more else lines


def _keys(spec: ReleasesSpec, files: Files, problems: Problems) -> tuple[PublicKey, ...]:
    if len(spec.keys) > MAX_KEYS:
        problems.append((("keys",), f"more than {MAX_KEYS} keys; accepted: up to {MAX_KEYS}"))
        return ()
    keys = []
    for place, name in enumerate(spec.keys):
        try:
            keys.append(dsse.public_key(files.contents(name)))
        except Unusable as error:
            problems.append((("keys", place), str(error)))
        except DsseError as error:
            problems.append((("keys", place), f"key file `{name[:80]}` cannot be used: {error}"))
    return tuple(keys)


def _list(spec: ReleasesSpec, files: Files, keys: tuple[PublicKey, ...], problems: Problems) -> ReleaseList | None:
    """The list, if it is signed. While a key has a problem its signatures cannot be judged, only its form."""
    at = ("file",)
    try:
        data = files.contents(spec.file)
        return parse_list(dsse.read(data).payload if problems else dsse.verify(data, keys))
    except Unusable as error:
        problems.append((at, str(error)))
    except DsseError as error:
        problems.append((at, f"file `{spec.file[:80]}` cannot be used: {error}"))
    except InvalidRules as error:
        problems += ((at, f"file `{spec.file[:80]}`: {line}") for line in told(error.problems))
    return None


def _pods(spec: ReleasesSpec, files: Files, problems: Problems) -> Pods:
    at = ("pods",)
    try:
        return NO_PODS if spec.pods is None else parse_pods(files.contents(spec.pods))
    except Unusable as error:
        problems.append((at, str(error)))
    except InvalidRules as error:
        problems += ((at, f"file `{(spec.pods or '')[:80]}`: {line}") for line in told(error.problems))
    return NO_PODS


def _changed[Value: (Principal, Workload)](value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` at a third of its cost, which each request would pay twice."""
    kept = {name: getattr(value, name) for name in _FIELDS[type(value)]}
    return type(value)(**kept | changes)


def _place(where: Where) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step[:80]}" for step in where)
    return "".join(steps).removeprefix(".")


def _index(releases: Iterable[Release]) -> Mapping[tuple[str, str], _Listed]:
    grouped: dict[tuple[str, str], list[Release]] = {}
    for release in releases:
        grouped.setdefault((release.environment, release.workload), []).append(release)
    return MappingProxyType({key: _listed(group) for key, group in grouped.items()})


def _listed(releases: list[Release]) -> _Listed:
    return _Listed(
        _grouped((release.image_digest, release) for release in releases),
        _grouped((release.commit, release) for release in releases),
    )


def _grouped(pairs: Iterable[tuple[str | None, Release]]) -> Mapping[str, tuple[Release, ...]]:
    grouped: dict[str, list[Release]] = {}
    for key, release in pairs:
        if key is not None:
            grouped.setdefault(key, []).append(release)
    return MappingProxyType({key: tuple(group) for key, group in grouped.items()})
