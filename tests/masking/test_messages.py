"""One message of a WebSocket: masked as a body would be, and shown without credentials."""

import pytest

from headgate.masking.job import run
from headgate.masking.messages import LONGEST, job_of, masked_of, showable
from headgate.masking.plan import CannotMask, Operator, Plan, detect_nothing

SSN = Plan(paths=(("$..ssn", Operator.REDACT),))


def masked(content: bytes, plan: Plan = SSN) -> bytes:
    return masked_of(run(job_of(plan, content), lambda _: detect_nothing), content)[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"ssn": "1", "city": "Oslo"}', b'{"ssn": "[REDACTED]", "city": "Oslo"}'),
        (b'[{"ssn": 1}]', b'[{"ssn": null}]'),
        (b'{"city": "Oslo"}', b'{"city": "Oslo"}'),
        (b"", b""),
        *((scalar, scalar) for scalar in (b'"hello"', b"42", b" -1.5", b"true", b"null")),
    ],
)
def test_what_is_json_is_masked_as_json(content: bytes, expected: bytes) -> None:
    assert masked(content) == expected


@pytest.mark.parametrize("content", [b"hello", b'42["a", {"ssn": 1}]', b"ssn=1", b"nullify", b'"open', b'{"ssn": '])
def test_fields_cannot_be_found_in_other_text(content: bytes) -> None:
    with pytest.raises(CannotMask, match="fields-in-text"):
        masked(content)


def test_a_text_that_is_none_is_not_masked() -> None:
    with pytest.raises(CannotMask, match="charset-wrong"):
        masked(b'{"ssn": "\xff"}')


def test_recorders_see_no_credential_and_no_long_or_unmasked_message() -> None:
    assert showable(b'{"token": "abc", "n": 1}', readable=True) == b'{"token": "[redacted]", "n": 1}'
    assert showable(b"x" * LONGEST, readable=True) == b"x" * LONGEST
    assert showable(b"x" * (LONGEST + 1), readable=True) == b"[65537 bytes]"
    assert showable(b"hello", readable=False) == b"[5 bytes]"
