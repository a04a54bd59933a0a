"""What tests of streams plant, and how they cut a stream up."""

from collections.abc import Sequence
from random import Random

from headgate.masking.plan import Detect, Fields, Leaf, Plan, Span
from headgate.masking.streams import open_stream

ENTITIES = (
    "CREDIT_CARD",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "PHONE_NUMBER",
    "SECRET",
    "US_SSN",
)

VALUES = {
    "CREDIT_CARD": ["4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444"],
    "EMAIL_ADDRESS": ["ana.lopez@example.com", "x_1@mail.example.co.uk"],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "IP_ADDRESS": ["192.168.10.24", "2001:db8::8a2e:370:7334"],
    "PHONE_NUMBER": ["+1 212 555 0123", "(212) 555-0123", "+49 30 901820"],
    "SECRET": ["AKIA" + "IOSFODNN7EXAMPLQ", "ghp_" + "a1B2" * 9],
    "US_SSN": ["536-90-4399", "536 90 4399"],
}
PLANTED = [value for values in VALUES.values() for value in values]


class Counting:
    """A detector that finds nothing and counts calls and characters."""

    def __init__(self) -> None:
        self.calls = self.characters = 0

    def __call__(self, leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        self.calls += 1
        self.characters += sum(len(leaf.text) for leaf in leaves)
        return [()] * len(leaves)


def typed(name: str) -> Fields:
    return ((b"Content-Type", name.encode()),)


EVENTS = typed("text/event-stream")
LINES = typed("application/x-ndjson")
TEXT = typed("text/plain; charset=utf-8")


def masked(plan: Plan, headers: Fields, detect: Detect, chunks: Sequence[bytes]) -> bytes:
    """What comes out of a stream that arrives in these chunks."""
    stream, _ = open_stream(plan, headers, detect)
    return b"".join([*(stream.feed(chunk) for chunk in chunks), stream.end()])


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def at_random(data: bytes, seed: int) -> list[bytes]:
    chance, chunks, at = Random(seed), list[bytes](), 0  # noqa: S311 - nothing depends on its being hard to guess
    while at < len(data):
        size = chance.choice((1, 1, 2, 3, 5, 8, 13, 40, 200))
        chunks.append(data[at : at + size])
        at += size
    return chunks
