"""What a run of pytest knows of its project: where flows and rules are, and each bundle once it has been loaded."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headgate.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle


@dataclass(slots=True)
class Project:
    """`asked` is the folder given by `--flows-rules`, `usual` the one for files that name no other."""

    root: Path
    flows: Path
    usual: Path
    asked: Path | None = None
    _bundles: "dict[Path, Bundle | HeadgateError]" = field(default_factory=dict)

    def rules(self, named: str | None = None) -> Path:
        """The folder of rules for a recording whose expectations name `named`."""
        if self.asked is not None:
            return self.asked
        return self.usual if named is None else self.root / named

    def bundle(self, folder: Path) -> "Bundle":
        """The bundle in this folder, loaded once; HeadgateError says everything that is wrong with it, each time."""
        found = self._bundles.get(folder)
        if found is None:
            found = self._bundles[folder] = self._load(folder)
        if isinstance(found, HeadgateError):
            raise found
        return found

    def shown(self, path: Path) -> str:
        """A path as people of this project write it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def _load(self, folder: Path) -> "Bundle | HeadgateError":
        from headgate.bundle.load import load_bundle

        try:
            return load_bundle(folder, self.shown(folder))
        except HeadgateError as error:
            return HeadgateError(f"the rules in `{self.shown(folder)}` cannot be used:\n{error}")


PROJECT: "pytest.StashKey[Project]" = pytest.StashKey()


def project_of(config: pytest.Config) -> Project:
    if PROJECT not in config.stash:
        root, asked = config.rootpath, config.option.flows_rules
        config.stash[PROJECT] = Project(
            root,
            root / config.getini("flows_dir"),
            root / config.getini("flows_rules"),
            None if asked is None else config.invocation_params.dir / asked,
        )
    return config.stash[PROJECT]


@contextmanager
def quietly() -> Generator[None]:
    """While what other people wrote is imported and used: their warnings are no errors of the tests here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
