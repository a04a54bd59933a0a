"""A rules folder becomes one Bundle, or one report of everything that is wrong with it.

Nothing is half loaded: each file is read, checked against its schema and compiled as far as that makes sense, so that
all problems of all files come together; only without any is there a bundle.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from headgate.bundle import files, wording
from headgate.bundle.document import NOWHERE, Fault, Location, Mapping, Node, Place, place_of, plain
from headgate.bundle.reader import MAX_BYTES, read
from headgate.bundled import Files
from headgate.errors import BundleError, InvalidRules, Problem
from headgate.identity.rules import IdentityRules, compile_identity
from headgate.masking.rules import MaskingRules, compile_masking
from headgate.model import BundleRef
from headgate.policy.rules import (
    PARTS_OF_POLICY,
    Origin,
    Policy,
    PolicyFile,
    Targets,
    compile_policy,
    compile_targets,
)

MAX_RULES = 20_000
"""Rules, limits and tests of one bundle together."""


@dataclass(frozen=True, slots=True)
class Bundle(BundleRef):
    """Everything that a person decided, compiled; `files` are all that it was made from."""

    identity: IdentityRules = field(compare=False, repr=False)
    targets: Targets = field(compare=False, repr=False)
    policy: Policy = field(compare=False, repr=False)
    masking: MaskingRules = field(compare=False, repr=False)
    files: tuple[Path, ...] = field(compare=False, repr=False)
    contents: dict[str, bytes] = field(compare=False, repr=False)
    """The bytes of all its files by their names in the folder: of those above, and of its signature if it has one."""


def label(bundle: BundleRef) -> str:
    """The version as it is shown: with the beginning of the hash, since a folder can change under one number."""
    joint = "." if "+" in bundle.version else "+"
    return f"{bundle.version}{joint}{bundle.sha256[:8]}"


def load_bundle(folder: Path, label: str | None = None) -> Bundle:
    """The bundle in `folder`; BundleError with every problem, each under the folder's own name, or under `label`."""
    return _Loading(folder, label).bundle()


@dataclass(slots=True)
class _File:
    """A file that could be read as YAML, and what its schema made of it.

    Where the schema found something wrong, `model` is made of the sound entries of its list only, whose places in the
    document `kept` tells: it is compiled all the same, for what else there is to report.
    """

    label: str
    node: Node
    model: Any = None
    kept: list[int] | None = None

    def place_of(self, where: Location) -> Place:
        if self.kept is not None and len(where) > 1 and isinstance(where[1], int):
            where = (where[0], self.kept[where[1]], *where[2:])
        return place_of(self.node, where)


def _origin(entry: Any, file: _File, start: Location) -> Origin:
    return Origin(entry, file.label, file.place_of(start).line, lambda where: file.place_of((*start, *where)).line)


def _one_line(message: str) -> str:
    """What a file says is shown, but moves no cursor and begins no line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in message)


def _is_sound(model: type[BaseModel], content: Any) -> bool:
    try:
        model.model_validate(content)
    except ValidationError:
        return False
    return True


class _AnyName(frozenset[str]):
    """Stands for the names of a targets.yaml that cannot be read: a reference to one is then no further problem."""

    def __contains__(self, name: object) -> bool:
        return True


class _Loading:
    """One attempt; gathers problems as it goes."""

    def __init__(self, folder: Path, label: str | None) -> None:
        self._folder, self._source = folder, Files(folder)
        self._label = label or folder.name or folder.resolve().name
        self._problems: list[Problem] = []
        self._paths: dict[str, Path] = {}
        self._files: dict[str, _File] = {}
        self._contents: dict[str, bytes] = {}
        self._read = 0  # bytes of YAML so far

    def bundle(self) -> Bundle:
        self._read_folder()
        identity = self._compile(files.IDENTITY, lambda file: compile_identity(file, self._source))
        targets = self._compile(files.TARGETS, lambda file: compile_targets(file, self._source))
        names = targets.known_names() if targets and not self._problems else self._named_targets()
        policy = self._policy(names)
        masking = self._masking(names)
        self._read_signature()
        if self._problems or not (identity and targets and policy and masking):
            raise BundleError(self._problems)
        about = self._files[files.BUNDLE].model
        named = self._source.named
        used = tuple(dict.fromkeys((*self._paths.values(), *(self._folder / name for name in named))))
        contents = self._contents | named
        return Bundle(about.name, about.version, self._sha256(), identity, targets, policy, masking, used, contents)

    def _read_folder(self) -> None:
        try:
            paths = files.rules_files(self._folder)
        except OSError as error:
            what = f"the folder cannot be read: {files.reason(error)}; accepted: a folder with {files.BUNDLE} and more"
            raise BundleError([Problem(str(self._folder), 0, 0, what)]) from error
        self._paths = {path.relative_to(self._folder).as_posix(): path for path in paths}
        for name, what in files.missing(set(self._paths)):
            self._add(f"{self._label}/{name}", Fault(NOWHERE, what))
        others = {name: wrong for name in self._paths if (wrong := files.misplaced(name))}
        for name in self._paths:
            if name not in others:
                self._read_file(name)
        for name in others.keys() - {self._named_recognizers()}:
            self._add(f"{self._label}/{name}", Fault(NOWHERE, others[name]))

    def _named_recognizers(self) -> str | None:
        """The file that masking.yaml names: it is read with the masks."""
        file = self._files.get(files.MASKING)
        content = plain(file.node) if file and isinstance(file.node, Mapping) else {}
        named = content.get("recognizers")
        return named if isinstance(named, str) else None

    def _read_file(self, name: str) -> None:
        file = f"{self._label}/{name}"
        data = files.contents(lambda: self._source.read(name))
        if isinstance(data, str):
            self._add(file, Fault(NOWHERE, data))
            return
        self._read += len(data)
        if self._read > MAX_BYTES:
            most = f"{MAX_BYTES >> 20} MB"
            raise BundleError(
                [Problem(file, 0, 0, f"the rules are larger than {most} up to here; accepted: up to {most}")]
            )
        self._contents[name] = data
        node, faults = read(data)
        self._add(file, *faults)
        if node is None:
            return
        self._files[name] = _File(file, node)
        model, content = files.model_of(name), plain(node)
        try:
            self._files[name].model = model.model_validate(content)
        except ValidationError as error:
            self._add(file, *wording.faults(error, node, model))
            self._keep_sound(self._files[name], model, content)

    def _keep_sound(self, file: _File, model: type[BaseModel], content: Any) -> None:
        part = files.PARTS.get(model)
        entries = content.get(part.key) if part and isinstance(content, dict) else None
        if part and isinstance(entries, list):
            file.kept = [at for at, entry in enumerate(entries) if _is_sound(model, {part.key: [entry]})]
            file.model = model.model_validate({part.key: [entries[at] for at in file.kept], **part.rest})

    def _compile[Rules](self, name: str, compiling: Callable[[Any], Rules]) -> Rules | None:
        """What a guardrail makes of its file; None when the file or that has a problem."""
        file = self._files.get(name)
        if file is None or file.model is None:
            return None
        try:
            return compiling(file.model)
        except InvalidRules as error:
            self._add(file.label, *(Fault(file.place_of(where), what) for where, what in error.problems))
            return None

    def _policy(self, names: frozenset[str]) -> Policy | None:
        """All policy files together; a problem goes back to the file and the place its rule came from."""
        parts: dict[str, list[Origin]] = {}
        sources: dict[tuple[str, int], tuple[_File, Location]] = {}
        for file in self._files.values():
            for part in PARTS_OF_POLICY if isinstance(file.model, PolicyFile) else ():
                origins = parts.setdefault(part, [])
                for at, entry in enumerate(getattr(file.model, part)):
                    sources[part, len(origins)] = (file, (part, at))
                    origins.append(_origin(entry, file, (part, at)))
        if sum(map(len, parts.values())) > MAX_RULES:
            what = f"there are more than {MAX_RULES:,} rules, limits and tests; accepted: up to {MAX_RULES:,}"
            self._add(self._label, Fault(NOWHERE, what))
            return None
        try:
            return compile_policy(parts.pop("rules", []), names, **parts)
        except InvalidRules as error:
            for where, what in error.problems:
                file, start = sources[str(where[0]), int(where[1])]
                self._add(file.label, Fault(file.place_of((*start, *where[2:])), what))
            return None

    def _masking(self, names: frozenset[str]) -> MaskingRules | None:
        return self._compile(files.MASKING, lambda file: compile_masking(file, self._source, names))

    def _named_targets(self) -> frozenset[str]:
        """The names in a targets.yaml that has problems, so that references are judged by what it seems to mean."""
        file = self._files.get(files.TARGETS)
        content = plain(file.node) if file and isinstance(file.node, Mapping) else {}
        listed = content.get("targets")
        if not isinstance(listed, list):
            return _AnyName()
        names = frozenset(str(target["name"]) for target in listed if isinstance(target, dict) and "name" in target)
        return names | {"unknown"} if content.get("unknown") == "allow" else names

    def _read_signature(self) -> None:
        """The signature belongs to the bundle but not to what is signed: it does not count to the hash."""
        if os.path.lexists(self._folder / files.SIGNATURE):
            data = files.contents(lambda: self._source.read(files.SIGNATURE))
            if isinstance(data, str):
                self._add(f"{self._label}/{files.SIGNATURE}", Fault(NOWHERE, data))
            else:
                self._contents[files.SIGNATURE] = data[: files.MAX_SIGNATURE + 1]

    def _sha256(self) -> str:
        """Of the files' content as canonical JSON, so that comments and layout do not count, and of the bytes of each
        file named, under its name: two of them that change places make other rules."""
        documents = {name: plain(file.node) for name, file in self._files.items()}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in self._source.named.items()}
        content = json.dumps([documents, digests], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def _add(self, file: str, *faults: Fault) -> None:
        self._problems += [Problem(file, *fault.place, _one_line(fault.message)) for fault in faults]
