"""flows/NAME.db: a recording that tests use, each flow by the name that it has as a test.

flows = FlowDb(Path("flows/checkout.db"))
entry = flows["POST /v1/refunds#3f2a"]
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from headgate.capture.entries import Entry
from headgate.capture.store import Store
from headgate.errors import HeadgateError
from headgate.replay.expectations import item_name


class FlowDb(Mapping[str, Entry]):
    """The flows of one file, the oldest first. The file is only read, a flow whenever it is asked for; what cannot be
    read is a HeadgateError."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise HeadgateError(f"there is no recording at `{path}`; `headgate flows save` makes one")
        self.path = path
        self._store = Store(path.parent, path.name)

    def __getitem__(self, name: str) -> Entry:
        return self._store.entry(self.ids[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """The decision id of each flow by its name, in order."""
        found: dict[str, str] = {}
        for entry in self._store.walk():
            found[item_name(entry, found)] = entry.summary.decision_id
        return found

    def fetch(self, decision_id: str) -> Entry:
        """The flow with this decision id."""
        return self._store.entry(decision_id)

    def walk(self) -> Iterator[Entry]:
        """Every flow, without holding them all."""
        return self._store.walk()
