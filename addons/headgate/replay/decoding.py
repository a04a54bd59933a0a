"""A recorded body without its content codings, for whoever reads what was recorded."""

from collections.abc import Sequence

from headgate.capture.record import MAX_BODY
from headgate.masking.codings import decode
from headgate.masking.plan import CannotMask


def decoded(body: bytes, codings: Sequence[str]) -> bytes | None:
    """None when it cannot be read, as of one that was cut."""
    try:
        return decode(body, codings, MAX_BODY)
    except CannotMask:
        return None
