"""What becomes of one source that is no JSON: its fields and findings masked, each where it is spelled.

Every such format takes the same steps: it finds its runs, these are read and masked here, and the source is spliced.
A value that is an object or an array of JSON is masked as one, so that escapes in it are read and its fields found.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from headgate.masking.formats import Counts, Masked
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.formats.readings import find
from headgate.masking.formats.runs import Edit, Run
from headgate.masking.operators import Cut, cuts, replacement, splice, whole
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Span
from headgate.masking.tokens import FIELD
from headgate.model import Finding

STRUCTURE = 1_000_000
"""Documents with more tags, cells or pairs are not masked: it bounds time and memory."""

_SPACE = " \t\r\n"


def refuse_large(count: int) -> None:
    """CannotMask for a document with so many tags, cells or pairs."""
    if count > STRUCTURE:
        raise CannotMask("document-too-large")


class Edits:
    """`dropped` are members that go as a whole, each format takes them out in its own way."""

    def __init__(self, plan: Plan, detect: Detect) -> None:
        self.plan, self.detect = plan, detect
        self.made: list[Edit] = []
        self.dropped: set[tuple[int, int]] = set()
        self.counts: Counts = Counter()
        self.findings: list[Finding] = []

    def masked(self, source: str) -> Masked:
        """The source with every edit made, the same object when there is none."""
        text = splice(source, sorted(self.made)) if self.made else source
        return Masked(text, self.counts, tuple(self.findings))

    def field(self, value: str, operator: Operator, location: str) -> str:
        """What stands for a value that is asked for by its name; it counts as masked."""
        self.counts[location, FIELD, operator.value] += 1
        return replacement(value, FIELD, operator, self.plan.key)

    def mask_runs(self, runs: Iterable[Run]) -> None:
        """Mask what is in runs that do not overlap."""
        texts = [run for run in runs if run.text and not run.text.isspace() and not self._mask_document(run)]
        if not self.plan.detect:
            return
        owners, readings = [], []
        for at, run in enumerate(texts):
            for reading in run.readings():
                owners.append(at)
                readings.append(reading)
        found: dict[int, set[Span]] = {}
        for at, spans in zip(owners, find(readings, self.detect), strict=True):
            if spans:
                found.setdefault(at, set()).update(spans)
        for at, unordered in found.items():
            self._mask_run(texts[at], sorted(unordered))

    def add(self, masked: Masked, location: str) -> None:
        """Count what was masked in a document inside this one, at `location`."""
        for (inner, entity, operator), count in masked.counts.items():
            self.counts[location + inner, entity, operator] += count
        self.findings += [Finding(location + f.location, f.entity, f.start, f.end, f.score) for f in masked.findings]

    def change(self, run: Run, changes: Sequence[Edit]) -> None:
        """Replace spans of a run's text."""
        if run.rewrite:
            self.made.append((*run.span, run.rewrite(splice(run.text, changes))))
        else:
            self.made += (edit for change in changes for edit in run.edits(*change))

    def _mask_document(self, run: Run) -> bool:
        """Whether the run is an object or an array of JSON, and then masked as one."""
        text = run.text.strip(_SPACE)
        if len(run.parts) > 1 or text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
            return False
        try:
            masked = mask_json(run.text, self.plan, self.detect)
        except CannotMask as cannot:
            if cannot.reason == "invalid-json":
                return False
            raise
        self.add(masked, run.parts[0].location)
        if masked.counts:
            self.change(run, [difference(run.text, masked.text)])
        return True

    def _mask_run(self, run: Run, spans: list[Span]) -> None:
        self.findings += [Finding(run.part_at(span.start).location, *span[:4]) for span in spans]
        chosen = cuts(spans, self.plan)
        if not chosen:
            return
        decisive = whole(chosen)
        if run.single and decisive.operator in (Operator.DROP, Operator.NULL):
            self._count(run, [decisive])
            if decisive.operator is Operator.DROP and run.member:
                self.dropped.add(run.member)
            else:
                self.change(run, [(0, len(run.text), "")])
        else:
            self._count(run, chosen)
            self.change(run, list(self._replaced(run.text, chosen)))

    def _count(self, run: Run, chosen: Sequence[Cut]) -> None:
        for cut in chosen:
            self.counts[run.part_at(cut.start).location, cut.entity, cut.operator.value] += 1

    def _replaced(self, text: str, chosen: Sequence[Cut]) -> Iterator[Edit]:
        for start, end, entity, operator in chosen:
            yield start, end, replacement(text[start:end], entity, operator, self.plan.key)


def difference(old: str, new: str) -> Edit:
    """The one span of `old`, never empty, whose replacement makes it `new`."""
    shortest = min(len(old), len(new))
    start = 0
    while start < shortest and old[start] == new[start]:
        start += 1
    start = min(start, len(old) - 1)
    kept = 0
    while kept < min(len(old), len(new)) - start - 1 and old[-1 - kept] == new[-1 - kept]:
        kept += 1
    if len(old) - kept <= start:
        kept = len(old) - start - 1
    return start, len(old) - kept, new[start : len(new) - kept]
