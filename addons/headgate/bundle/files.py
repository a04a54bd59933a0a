"""The files of a rules folder: which there may be, which there must be, and how their bytes are read."""

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, WithJsonSchema

from headgate.bundled import NotAFileError
from headgate.identity.rules import IdentityFile
from headgate.masking.rules import MaskingFile
from headgate.match import Section
from headgate.policy.rules import Identifier, PolicyFile, TargetsFile

BUNDLE = "bundle.yaml"
IDENTITY = "identity.yaml"
TARGETS = "targets.yaml"
POLICY = "policy.yaml"
MASKING = "masking.yaml"
POLICY_FOLDER = "policy"
SIGNATURE = "bundle.sig"
"""Who stands for these rules; not one of them."""
MAX_SIGNATURE = 64 << 10
REQUIRED = (BUNDLE, IDENTITY, TARGETS, MASKING)


_VERSION = r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"  # semver.org


def _version(text: str) -> str:
    if len(text) > 100 or not re.fullmatch(_VERSION, text):
        raise ValueError(f"`{text[:20]}` is not a version; accepted: three numbers such as `1.4.0`, or `1.4.0-rc.1`")
    return text


class BundleFile(Section):
    """bundle.yaml: what these rules are called."""

    name: Identifier
    version: Annotated[str, AfterValidator(_version), WithJsonSchema({"type": "string", "pattern": f"^{_VERSION}$"})]


MODELS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        BUNDLE: BundleFile,
        IDENTITY: IdentityFile,
        TARGETS: TargetsFile,
        POLICY: PolicyFile,
        MASKING: MaskingFile,
    }
)
"""The schema of each file; every file in policy/ has that of policy.yaml."""


class Part(NamedTuple):
    """The list that a file mainly is, and what else makes a file of any such list."""

    key: str
    rest: Mapping[str, str] = MappingProxyType({})


PARTS: Mapping[type[BaseModel], Part] = MappingProxyType(
    {
        IdentityFile: Part("providers", MappingProxyType({"anonymous": "allow"})),
        TargetsFile: Part("targets"),
        PolicyFile: Part("rules"),
        MaskingFile: Part("masks"),
    }
)


def model_of(name: str) -> type[BaseModel]:
    """The schema of a file, named relative to the folder."""
    return MODELS[POLICY if name.startswith(f"{POLICY_FOLDER}/") else name]


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each file, for editors."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {name: {"$schema": dialect} | model.model_json_schema() for name, model in MODELS.items()}


def rules_files(folder: Path) -> list[Path]:
    """Every file that is meant as rules, accepted or not; OSError when the folder cannot be listed.

    Names that begin with a dot are left to editors and to what mounts the folder.
    """
    inside = folder / POLICY_FOLDER
    candidates = [*folder.iterdir(), *(inside.iterdir() if inside.is_dir() else ())]
    found = (path for path in candidates if not path.name.startswith(".") and _is_rules(path, folder))
    return sorted(found, key=lambda path: (path.parent != folder, path))


def _is_rules(path: Path, folder: Path) -> bool:
    return path.suffix.lower() in {".yaml", ".yml"} or (path.parent != folder and path.is_dir())


def misplaced(name: str) -> str | None:
    """Why a file of this name has no place in the folder; None when it has."""
    if name in MODELS or (name.startswith(f"{POLICY_FOLDER}/") and name.endswith(".yaml")):
        return None
    if name.startswith(f"{POLICY_FOLDER}/"):
        return "this is not read as rules; accepted in `policy/`: files that end in `.yaml`"
    listed = ", ".join(f"`{known}`" for known in MODELS)
    return f"this is not a file of a bundle; accepted: {listed}, and `policy/` with files that end in `.yaml`"


def missing(names: set[str]) -> Iterator[tuple[str, str]]:
    """The files that must be there and are not, each with what to say."""
    for name in REQUIRED:
        if name not in names:
            empty = ", with `masks: []` where nothing is to be masked" if name == MASKING else ""
            yield name, f"the file is missing; a bundle needs it{empty}"
    if POLICY not in names and not any(name.startswith(f"{POLICY_FOLDER}/") for name in names):
        yield POLICY, "the file is missing; a bundle needs it, or `policy/` with files that end in `.yaml`"


def contents(reading: Callable[[], bytes]) -> bytes | str:
    """The bytes of a file, or why it cannot be read."""
    try:
        return reading()
    except NotAFileError:
        return "this is not a file; accepted: a file, or a link to one"
    except OSError as error:
        return f"the file cannot be read: {reason(error)}"


def reason(error: OSError) -> str:
    """The system's own word for it, in lower case and without the path."""
    known = {errno.ENOENT: "no such file or folder", errno.ENOTDIR: "not a folder", errno.EACCES: "permission denied"}
    return known.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
