"""Originals: what seals them, and what takes the credentials off them first.

They are kept as they came, but for what no record ever needs: tokens, cookies, keys and passwords go by their names
and shapes, as they do from everything that recorders see.
"""

from dataclasses import replace
from pathlib import Path

from headgate.capture.record import Mode
from headgate.capture.sealing import Original, Part, Sealer, read_public
from headgate.errors import HeadgateError
from headgate.masking.credentials import without_credentials
from headgate.masking.plan import detect_nothing
from headgate.masking.record import recordable
from headgate.masking.scrub import Sent, scrub


def sealer(capture: str, key: Path | None) -> Sealer | None:
    """What seals originals, where they are to be kept; HeadgateError when it cannot, or when nobody asked for it."""
    if capture != Mode.SEALED:
        if key is not None:
            raise HeadgateError(
                f"option `headgate_sealing_key` is for `headgate_capture=sealed`, and `{capture}` keeps no original"
            )
        return None
    if key is None:
        raise HeadgateError(
            "option `headgate_capture=sealed` needs `headgate_sealing_key`; accepted: the file of a public key, "
            "such as `headgate flows keys` makes"
        )
    return Sealer(read_public(key), without_secrets)


def without_secrets(original: Original) -> Original:
    """The same without credentials."""
    line, request, response = original.line, original.request, original.response
    sent = scrub(Sent(line.target, request.headers, request.body or b""), None, detect_nothing)
    return Original(
        replace(line, target=sent.path),
        _part(request, sent.headers, sent.body),
        original.status,
        response and _part(response, *recordable(without_credentials(response.headers), response.body or b"")),
    )


def _part(part: Part, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> Part:
    return replace(part, headers=headers, body=None if part.body is None else body)
