"""Personal values that are found by detection or by name, every spelling of them, and where they can be read again.

What a proxy shows is searched as it is and as anybody could decode it: escapes, references, percent-encoding, quoted
pairs of hex, base64 at any offset, wide characters, over and over; so no spelling has to be guessed. Compressed bytes
that were sent are looked for as they are.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

EMAIL, CARD, IBAN, SSN, PHONE = "EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER"
KEY, NAME = "SECRET", "legal_name"
VALUES = {
    EMAIL: "quilla.ostrava@example.org",
    CARD: "5500 0055 5555 5559",
    IBAN: "DE89370400440532013000",
    SSN: "536-22-8745",
    PHONE: "+44 20 7946 0958",
    KEY: "AKIAIOSFODNN7EXAMPLE",
    NAME: "Quillon Ostravander",
}
"""By their entity, or by the name of the field that is masked."""

DETECTED = tuple(name for name in VALUES if name != NAME)
REDACTED = {name: f"[{name}]" for name in DETECTED} | {NAME: "[REDACTED]"}
LAYERS = 3
STRETCH = 24
"""Bytes of something compressed that are enough to know it again."""

_compressed: list[bytes] = []
_NUMBERS = tuple("".join(filter(str.isdigit, VALUES[name])) for name in (CARD, SSN, PHONE))
_NEEDLES = tuple(value.lower() for value in (*VALUES.values(), *_NUMBERS))
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"\\/]))")
_PAIR = re.compile(r"=([0-9A-F]{2})")
_FOLD = re.compile(r"=?\r?\n[ \t]?|\\r|\\n|\0")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}")

Spell = Callable[[str], str]


def compressed(data: bytes) -> bytes:
    """Keep what was sent in a content coding, so that it is looked for."""
    _compressed.append(stretch_of(data))
    return data


def stretch_of(data: bytes) -> bytes:
    return data[len(data) // 2 - STRETCH // 2 :][:STRETCH]


def found_in(shown: bytes) -> list[str]:
    """Which values can be read in `shown`, each with what stands around it."""
    hits = [f"compressed bytes at {shown.find(stretch)}" for stretch in _compressed if stretch in shown]
    for reading in _readings(shown.decode("latin-1")):
        lowered = reading.lower()
        places = ((needle, lowered.find(needle)) for needle in _NEEDLES)
        hits += [f"{needle} in {reading[max(0, at - 80) : at + 80]!r}" for needle, at in places if at >= 0]
    return hits


def _readings(text: str) -> Iterator[str]:
    for _ in range(LAYERS):
        yield text
        yield text.replace("+", " ")
        yield "\n".join(_from_base64(text))
        text = _plainer(text)


def _plainer(text: str) -> str:
    text = _FOLD.sub("", text)
    text = _ESCAPE.sub(lambda found: found[3] or chr(int(found[1] or found[2], 16)), text)
    text = _PAIR.sub(lambda found: chr(int(found[1], 16)), text)
    return html.unescape(unquote(text, "latin-1"))


def _from_base64(text: str) -> Iterator[str]:
    for run in _BASE64.findall(text):
        run = run.replace("-", "+").replace("_", "/")
        for offset in range(4):
            cut = run[offset:]
            yield base64.b64decode(cut[: len(cut) // 4 * 4]).decode("latin-1").replace("\0", "")


@dataclass(frozen=True)
class Planted:
    """Says what stands for a name: the value itself in some spelling, or what is expected in its place."""

    stands: dict[str, str]
    is_masked: bool = False

    def __call__(self, name: str, spell: Spell = str, write: Spell = str) -> str:
        """`spell` is how a value is written before it is masked, `write` how what was masked is written."""
        return write(self.stands[name]) if self.is_masked else spell(self.stands[name])


RAW, MASKED = Planted(VALUES), Planted(REDACTED, is_masked=True)

# ----------------------------------------------------------------------------------------------------------- spellings


def escaped(value: str) -> str:
    """As JSON may write any character."""
    return "".join(f"\\u{ord(character):04x}" for character in value)


def decimal(value: str) -> str:
    """Character references, of which XML and HTML have two kinds."""
    return "".join(f"&#{ord(character)};" for character in value)


def hexadecimal(value: str) -> str:
    return "".join(f"&#x{ord(character):X};" for character in value)


def percent(value: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in value)


def quoted(value: str) -> str:
    """As quoted-printable may write any character, with a line broken in the middle."""
    pairs = [f"={ord(character):02X}" for character in value]
    half = len(pairs) // 2
    return "".join([*pairs[:half], "=\r\n", *pairs[half:]])


def in_lines(text: str) -> str:
    """As base64 is written in mails."""
    return base64.encodebytes(text.encode()).decode().strip().replace("\n", "\r\n")
