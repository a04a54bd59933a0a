"""A text as it is written; a document in it, or on a line of it, is masked as one, as whole bodies of JSON are."""

from headgate.masking.formats.plaintext import LOCATION
from headgate.masking.streams.deltas import Deltas
from headgate.masking.streams.flow import Flow
from headgate.masking.streams.passage import Passage
from headgate.masking.streams.reach import reach_of
from headgate.masking.streams.record import Records


class Plain:
    def __init__(self, records: Records) -> None:
        self._records, self._deltas = records, Deltas(records)
        flow = Flow(records, reach_of(records.plan), "", LOCATION, lines=True)
        self._passage = Passage(flow, self._document, records.refuse_fields, lines=True)

    def feed(self, text: str) -> str:
        return self._passage.feed(text)

    def end(self) -> str:
        return self._passage.release() + "".join(f"\n{extra.text.strip()}" for extra in self._deltas.rest())

    def _document(self, text: str) -> str:
        extras, masked = self._deltas.mask(text)
        return "".join(f"{extra.text.strip()}\n" for extra in extras) + masked
