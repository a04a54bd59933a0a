"""Where recordings for tests are: `flows/NAME.db`, with what is expected of them beside it."""

from pathlib import Path

RECORDING = ".db"
EXPECTED = ".expected.yaml"


def beside(database: Path) -> Path:
    """The expectations of a recording."""
    return database.with_name(database.name.removesuffix(RECORDING) + EXPECTED)


def recording_of(expectations: Path) -> Path:
    return expectations.with_name(expectations.name.removesuffix(EXPECTED) + RECORDING)
