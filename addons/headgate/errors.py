"""The exceptions that somebody catches.

Everything Headgate raises on purpose is a `HeadgateError`; its text is one line, safe to show, and never holds a
secret. Anything else that reaches the guard is a defect, and ends in a refusal.
"""

from dataclasses import dataclass


class HeadgateError(Exception):
    """The root of all errors raised on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the rules: where it stands and what would be accepted.

    `line` and `column` count from 1; 0 means that the whole file is meant.
    """

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.message}"


class BundleError(HeadgateError):
    """The rules cannot be used; carries every problem found in every file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InvalidRules(HeadgateError):
    """Raised while one parsed file is compiled; the bundle loader turns each location into a line and a column.

    `problems` pairs a path into the YAML document, such as ("providers", 0, "jwks"), with a message.
    """

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))
