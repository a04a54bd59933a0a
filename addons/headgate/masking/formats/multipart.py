"""Masking of multipart bodies (RFC 2046, RFC 7578): each part by its own type, the framing byte for byte.

The framing has to be one that no two readers see differently: CRLF line ends, the boundary nowhere but in lines of its
own, one that closes at the end. A part that cannot be read is not passed over: the whole body is withheld. A part of
form-data has a name, by which it is masked whatever it holds. What stands before the first part and after the last is
read as text.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from headgate.masking.formats import Counts
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.partheaders import PartHeaders
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.transfer import decoded, encoded
from headgate.masking.operators import replacement, splice
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, strongest
from headgate.masking.tokens import FIELD
from headgate.model import Finding

MULTIPARTS = frozenset(f"multipart/{name}" for name in ("alternative", "form-data", "mixed", "parallel", "related"))
FORM_DATA = "multipart/form-data"

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
CRLF = b"\r\n"


class MaskedBytes(NamedTuple):
    """`body` is None when nothing was masked and the original may go on as it is."""

    body: bytes | None
    counts: Counts
    findings: tuple[Finding, ...]


class Placed(NamedTuple):
    """data[start:end] is what stands after a boundary, whose line begins at `boundary`."""

    boundary: int
    start: int
    end: int


MaskPart = Callable[[PartHeaders, bytes], MaskedBytes]
"""Masks what a part holds, without its transfer encoding."""


def mask_multipart(
    data: bytes, name: str, boundary: str, plan: Plan, detect: Detect, mask_part: MaskPart
) -> MaskedBytes:
    """Mask a body of the type `name`; CannotMask where any of it cannot be read with certainty."""
    if not _BOUNDARY.fullmatch(boundary):
        raise CannotMask("multipart-unreadable")
    mark = b"--" + boundary.encode("ascii")
    *parts, epilogue = _parts(data, mark)
    masker = _Parts(plan, detect, asked(plan, plan.form) if name == FORM_DATA else {}, mask_part)
    pieces = [masker.around(data[: parts[0].boundary if parts else epilogue.boundary])]
    for part in parts:
        masked = masker.mask(data[part.start : part.end])
        if masked is not None:
            pieces += [data[part.boundary : part.start], masked]
    pieces += [data[epilogue.boundary : epilogue.start], masker.around(data[epilogue.start :])]
    if not masker.counts:
        return MaskedBytes(None, masker.counts, tuple(masker.findings))
    body = b"".join(pieces)
    if not data.startswith(CRLF) and masker.dropped:
        body = body.removeprefix(CRLF)
    if len(_parts(body, mark)) != len(parts) + 1 - masker.dropped:
        raise CannotMask("boundary-in-part")
    return MaskedBytes(body, masker.counts, tuple(masker.findings))


def _parts(data: bytes, mark: bytes) -> list[Placed]:
    """The parts, and last what stands after them."""
    lines = list(re.finditer(rb"(?:\A|\r\n)" + re.escape(mark) + rb"(--)?[ \t]*(?=(\r\n)|\Z)", data))
    refuse_large(len(lines))
    if not lines or data.count(mark) != len(lines):
        raise CannotMask("multipart-unreadable")
    if lines[-1][1] is None or any(line[1] or not line[2] for line in lines[:-1]):
        raise CannotMask("multipart-unreadable")
    ends = [*(line.start() for line in lines[1:]), len(data)]
    closing = lines[-1].end()
    placed = [Placed(line.start(), line.end() + len(CRLF), end) for line, end in zip(lines, ends, strict=True)]
    if any(part.end < part.start for part in placed[:-1]):
        raise CannotMask("multipart-unreadable")
    return [*placed[:-1], Placed(lines[-1].start(), closing, len(data))]


class _Parts:
    """What becomes of the parts of one body. `dropped` tells how many have gone."""

    def __init__(self, plan: Plan, detect: Detect, fields: Mapping[str, Operator], mask_part: MaskPart) -> None:
        self._plan, self._detect, self._fields, self._mask_part = plan, detect, fields, mask_part
        self.counts: Counts = Counter()
        self.findings: list[Finding] = []
        self.dropped = 0

    def around(self, data: bytes) -> bytes:
        """What stands before or after all parts: a note to readers that know no multipart."""
        text = _text(data)
        masked = mask_text(text, self._plan, self._detect)
        self.counts += masked.counts
        self.findings += masked.findings
        return data if masked.text is text else masked.text.encode("utf-8")

    def mask(self, data: bytes) -> bytes | None:
        """A part after masking, None when it goes."""
        block, body = _split(data)
        headers = PartHeaders(_text(block))
        transfer = headers.one("content-transfer-encoding")
        operator = strongest(self._fields[name] for name in headers.names() if name in self._fields)
        if self._fields and headers.name is None:
            raise CannotMask("part-without-name")
        edits = Edits(self._plan, self._detect)
        edits.mask_runs(headers.runs(keys=self._plan.keys))
        new = self._field(headers, body, operator, transfer) if operator else self._content(headers, body, transfer)
        if operator is Operator.DROP:
            self.dropped += 1
            return None
        if new is not None:
            edits.made += headers.lengths(len(new))
        self.counts += edits.counts
        self.findings += edits.findings
        block = splice(headers.text, sorted(edits.made)).encode("utf-8") if edits.made else block
        return block + CRLF + (body if new is None else new)

    def _field(self, headers: PartHeaders, body: bytes, operator: Operator, transfer: str) -> bytes:
        value = decoded(body, transfer).decode("utf-8", "replace")
        self.counts[f"form:{told(headers.name or '')}", FIELD, operator.value] += 1
        return encoded(replacement(value, FIELD, operator, self._plan.key).encode("utf-8"), transfer)

    def _content(self, headers: PartHeaders, body: bytes, transfer: str) -> bytes | None:
        if headers.one("content-encoding").strip().lower() not in ("", "identity"):
            raise CannotMask("part-coded")
        masked = self._mask_part(headers, decoded(body, transfer))
        self.counts += masked.counts
        self.findings += masked.findings
        return None if masked.body is None else encoded(masked.body, transfer)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CannotMask("part-header-unreadable") from None


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The fields of a part, each with its line end, and its content after the empty line."""
    if data.startswith(CRLF):
        return b"", data[len(CRLF) :]
    end = data.find(CRLF + CRLF)
    if end < 0:
        raise CannotMask("multipart-unreadable")
    return data[: end + len(CRLF)], data[end + 2 * len(CRLF) :]
