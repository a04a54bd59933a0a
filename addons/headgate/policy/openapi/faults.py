"""What is wrong with a description, said to whoever wrote the rules: which file, which place, what is accepted."""

from collections.abc import Sequence

SHOWN = 80


def shown(name: object) -> str:
    """A name from outside as it may be shown: it moves no cursor, begins no line and ends a quotation nowhere."""
    text = "".join(letter if letter.isprintable() and letter != "`" else "\ufffd" for letter in str(name)[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def step(name: object) -> str:
    """A name as one reference token of a JSON Pointer (RFC 6901, section 3), with its slash."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


class DescriptionFault(Exception):
    """The description cannot be used because of what stands at `where`, a JSON Pointer; "" is the whole file."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where, self.what = where, what


class InvalidDescription(ValueError):
    """The description cannot be used; `problems` names each place, one line for each."""

    def __init__(self, name: str, faults: Sequence[DescriptionFault]) -> None:
        self.problems = tuple(dict.fromkeys(_told(name, fault) for fault in faults))
        super().__init__("; ".join(self.problems))


def _told(name: str, fault: DescriptionFault) -> str:
    place = f" at `{_cut(fault.where)}`" if fault.where else ""
    return f"file `{shown(name)}`{place}: {fault.what}"


def _cut(where: str) -> str:
    """A pointer is of use only whole: it may be longer than other names."""
    return "".join(letter if letter.isprintable() and letter != "`" else "\ufffd" for letter in where[:400])
