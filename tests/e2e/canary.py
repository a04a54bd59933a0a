"""Made-up secrets that are easy to find again, and where to look for them.

Every personal value an upstream answers with and every secret a client sends in these tests holds the word CANARY; the
tokens are kept as they are minted. Whatever a proxy shows or leaves behind must hold none of them.
"""

import base64
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

CANARY = "c4n4ry"
EMAIL = f"{CANARY}.mary@example.org"
CUSTOMER = (
    f'{{"id": 7, "city": "Oslo", "ssn": "{CANARY}-078-05-1120", "contact": {{"email": "{EMAIL}"}},'
    f' "note": "write to {EMAIL} or charge 4111 1111 1111 1111"}}'
).encode()
CARD = "4111 1111 1111 1111"

_minted: set[str] = set()


def remember(token: str) -> str:
    """Keep a token, so that it is looked for like a canary."""
    _minted.add(token)
    return token


def found_in(shown: bytes) -> list[str]:
    """Which secrets can be read in `shown`, each with what stands around it."""
    needles = [CANARY, CARD, base64.b64encode(CANARY.encode()).decode()[:7]]
    for token in _minted:
        needles += token.split(".")[1:]  # the header of a token says which key it is for, no more
    lowered = shown.lower()
    hits = [(needle, lowered.find(needle.lower().encode())) for needle in needles]
    return [f"{needle[:12]}... in {shown[max(0, at - 80) : at + 80]!r}" for needle, at in hits if at >= 0]


def unpacked(database: Path) -> Iterator[bytes]:
    """Every value in a SQLite file, what is compressed in it decompressed too."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        real = "type = 'table' and sql not like 'create virtual%'"  # an index's own tables are among them
        tables = [name for (name,) in connection.execute(f"select name from sqlite_master where {real}")]  # noqa: S608
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):  # noqa: S608 - names of its own tables
                for value in row:
                    yield value if isinstance(value, bytes) else str(value).encode()
                    if isinstance(value, bytes):
                        yield _inflated(value)
    connection.close()


def _inflated(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return b""
