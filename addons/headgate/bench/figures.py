"""The figures and their bars: what architecture.md asks for, what was measured, and whether that is enough."""

from dataclasses import dataclass
from typing import Any, Literal

from headgate.bench.timing import Sample


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach: at least or at most `value`; `text` as people read it."""

    side: Literal["at least", "at most"]
    value: float
    text: str

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.side == "at least" else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result; `unit` follows the number, `reference` says what it was taken against and how."""

    name: str
    sample: Sample
    unit: str
    reference: str
    bar: Bar | None = None

    @property
    def met(self) -> bool | None:
        """By the median; None where no bar is set."""
        return self.bar.met_by(self.sample.median) if self.bar else None

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **{key: round(value, 4) for key, value in self.sample._asdict().items()},
            "unit": self.unit,
            "reference": self.reference,
            "bar": f"{self.bar.side} {self.bar.text}" if self.bar else None,
            "met": self.met,
        }
