"""A bundle that is kept in the state becomes one in use, by the same way as any folder: written out, loaded, compared.

What is loaded must have the hash under which it was stored and activated. The folder it is written to is private and
gone when this returns; problems and rules show a name that stays, such as `rules@1.4.0+01234567`.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from headgate.bundle.load import Bundle, label, load_bundle
from headgate.bundled import Unusable, located
from headgate.errors import HeadgateError
from headgate.model import BundleRef


def restore(contents: Mapping[str, bytes], ref: BundleRef, scratch: Path) -> Bundle:
    """The bundle `ref` made of these files; HeadgateError if it cannot be used, or is another. Writes to `scratch`."""
    name = f"rules@{label(ref)}"
    try:
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=scratch) as folder:
            _write(contents, Path(folder))
            bundle = load_bundle(Path(folder), name)
    except (OSError, Unusable) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise HeadgateError(f"`{name}` cannot be written out to be loaded: {why}") from None
    if bundle.sha256 != ref.sha256:
        raise HeadgateError(f"`{name}` is not what was stored: its content has the hash {bundle.sha256[:8]}")
    return replace(bundle, files=())


def _write(contents: Mapping[str, bytes], folder: Path) -> None:
    for name, data in contents.items():
        path = located(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
