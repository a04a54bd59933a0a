"""Documents of every format that Headgate reads, with personal values in them, and the same documents masked.

A `Document` is written once, as a function of what stands for each value: with the values it is what an upstream
answers, with their masks what the caller must get, byte by byte.
"""

import json
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote_plus

from tests.e2e.planted import (
    CARD,
    DETECTED,
    EMAIL,
    KEY,
    MASKED,
    NAME,
    PHONE,
    RAW,
    Planted,
    Spell,
    decimal,
    escaped,
    hexadecimal,
    in_lines,
    percent,
    quoted,
)

LABELS = {name: f"{name.lower()}_of" for name in DETECTED} | {KEY: "x"}
"""Names of members; those of credentials say so in no record."""


class Document(NamedTuple):
    kind: str
    write: Callable[[Planted], str]
    charset: str = "utf-8"

    @property
    def raw(self) -> bytes:
        return self.write(RAW).encode(self.charset)

    @property
    def masked(self) -> bytes:
        return self.write(MASKED).encode(self.charset)


def person(of: Planted, spell: Spell = str) -> str:
    """An object of JSON that readers and writers of JSON would not give back as it is."""
    found = ", ".join(f'"{LABELS[name]}": "{of(name, spell)}"' for name in DETECTED)
    return (
        f'{{"id": 9007199254740993, "id":7,  "price": 1.50, "rate": 1e3, "caf\\u00e9": "\\u2028 \\/ é",\t{found},'
        f' "{NAME}": "{of(NAME, spell)}", "note": "write to {of(EMAIL, spell)} or call {of(PHONE, spell)}",'
        f' "list": ["{of(CARD, spell)}", true, null, {{"{NAME}": "{of(NAME, spell)}"}}]}}'
    )


def numbers(of: Planted) -> str:
    card = "null" if of.is_masked else of(CARD).replace(" ", "")
    return f'{{"card": {card}, "amount": 5500, "epoch": 1700000000}}'


def nested(of: Planted) -> str:
    """JSON in a string of JSON, twice."""
    inner = f'{{"event": "paid", "payload": {json.dumps(person(of))}}}'
    return f'{{"message": {json.dumps(inner)}, "level": "info"}}'


def graphql(of: Planted) -> str:
    return f'{{"data": {{"customer": {person(of)}, "empty": []}}, "errors": [{{"message": "no mail to {of(EMAIL)}"}}]}}'


def records(of: Planted) -> str:
    return f'{person(of)}\r\n\n{{"ok": true}}\n{person(of, escaped)}\n'


def sequence(of: Planted) -> str:
    return f'\x1e{person(of)}\n\x1e{{"ok": true}}\n\x1e{person(of, escaped)}\n'


def prose(of: Planted) -> str:
    found = "\n".join(f"{name}\tis {of(name)}, they say" for name in DETECTED)
    return f"Dear all,\r\n{found}\n<{of(EMAIL)}>\n- {of(EMAIL)}, {of(EMAIL)};\n\n  1700000000 é 1.50\n"


def form(spell: Spell) -> Callable[[Planted], str]:
    def write(of: Planted) -> str:
        found = "&".join(f"{LABELS[name]}={of(name, spell, quote_plus)}" for name in DETECTED)
        name = of(NAME, spell, quote_plus)
        return f"a=1&a=%7e~&{found}&empty=&{NAME}={name}&user%5B{NAME}%5D={name}"

    return write


def multipart(of: Planted) -> str:
    parts = [
        f'Content-Disposition: form-data; name="{NAME}"\r\n\r\n{of(NAME)}',
        f'Content-Disposition: form-data; name="mail"\r\n\r\n{of(EMAIL)}',
        'Content-Disposition: form-data; name="f"; filename="a.json"\r\nContent-Type: application/json\r\n'
        f"\r\n{person(of)}",
    ]
    return _parts(parts)


def mixed(of: Planted) -> str:
    letter = f"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{in_lines(prose(of))}"
    note = f"write to {of(EMAIL, quoted)} =C3=A9 or pay by {of(CARD, quoted)}"
    printed = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{note}"
    return _parts([letter, printed, f"Content-Type: application/json\r\n\r\n{person(of, escaped)}"])


def _parts(parts: list[str]) -> str:
    return "preamble\r\n" + "".join(f"--frontier\r\n{part}\r\n" for part in parts) + "--frontier--\r\n"


def table(separator: str, quote: str = "") -> Callable[[Planted], str]:
    """A cell that is masked for its column needs no quotes any more."""

    def write(of: Planted) -> str:
        names = separator.join(("id", NAME, *(f"{LABELS[name]}" for name in DETECTED)))
        cells = [of(NAME, lambda value: f"{quote}{value}{quote}"), *(f"{quote}{of(name)}{quote}" for name in DETECTED)]
        return "\r\n".join([names, *(separator.join([number, *cells]) for number in "12"), ""])

    return write


def xml(spell: Spell) -> Callable[[Planted], str]:
    def write(of: Planted) -> str:
        found = "".join(f"<v kind='{LABELS[name]}'>{of(name, spell)}</v>" for name in DETECTED)
        return (
            f'<?xml version="1.0"?>\n<customers  xmlns:a="urn:x"><!-- kept --><a:c id="7" {NAME}="{of(NAME, spell)}">'
            f'{found}<{NAME}>{of(NAME, spell)}</{NAME}><e/><![CDATA[to {of(EMAIL)}]]><m to="{of(EMAIL, spell)}"/>&amp;'
            "</a:c></customers>\n"
        )

    return write


def page(spell: Spell) -> Callable[[Planted], str]:
    def write(of: Planted) -> str:
        found = "".join(f"<li>{of(name, spell)}</li>" for name in DETECTED)
        return (
            f"<!DOCTYPE html>\n<title>Of {of(EMAIL, spell)}</title><style>a{{b:c}}</style><ul class=x>{found}</ul>"
            f"<p data-mail=\"{of(EMAIL, spell)}\" title='card {of(CARD, spell)}'>1 < 2 &amp; x</p><!-- {of(EMAIL)} -->"
            f'<script>let a = "<b>";</script><script type="application/json">{person(of)}</script><br/>\n'
        )

    return write


def deltas(of: Planted) -> str:
    """What a language model says, a few characters at a time."""
    said = f"Write to {of(EMAIL)} or pay with {of(CARD)} today."
    pieces = [said] if of.is_masked else [said[at : at + 3] for at in range(0, len(said), 3)]
    events = [json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in pieces]
    return "".join(f"data: {event}\n\n" for event in events) + "data: [DONE]\n\n"


def events(of: Planted) -> str:
    return f": hello\n\nid: 1\nevent: customer\ndata: {person(of)}\n\ndata: write to\ndata: {of(EMAIL)}\n\nretry: 5\n\n"


JSON = "application/json"
DOCUMENTS = {
    "json": Document(JSON, person),
    "json in escapes": Document(JSON, lambda of: person(of, escaped)),
    "json with a charset": Document(f'{JSON}; charset="UTF-8"', person),
    "numbers of json": Document(JSON, numbers),
    "json in json": Document("application/vnd.api+json", nested),
    "a problem": Document("application/problem+json", person),
    "graphql": Document("application/graphql-response+json", graphql),
    "text": Document("text/plain", prose),
    "json that is called text": Document("text/plain; charset=utf-8", person),
    "a form": Document("application/x-www-form-urlencoded", form(quote_plus)),
    "a form, all encoded": Document("application/x-www-form-urlencoded", form(percent)),
    "a multipart form": Document("multipart/form-data; boundary=frontier", multipart),
    "parts in base64 and quoted-printable": Document('multipart/mixed; boundary="frontier"', mixed),
    "csv": Document("text/csv", table(",")),
    "csv in quotes": Document("text/csv; header=present", table(",", '"')),
    "csv of semicolons": Document("text/csv", table(";")),
    "tsv": Document("text/tab-separated-values", table("\t")),
    "xml": Document("application/xml", xml(str)),
    "xml, decimal": Document("application/soap+xml", xml(decimal)),
    "xml, hexadecimal": Document("text/xml", xml(hexadecimal)),
    "html": Document("text/html; charset=utf-8", page(str)),
    "html, decimal": Document("text/html", page(decimal)),
    "html, hexadecimal": Document("text/html", page(hexadecimal)),
    "text in latin-1": Document("text/plain; charset=iso-8859-1", prose, "latin-1"),
    "text in utf-16": Document("text/plain; charset=utf-16le", prose, "utf-16-le"),
    "text in utf-16 with a mark": Document("text/plain; charset=utf-16", prose, "utf-16"),
    "text in shift-jis": Document("text/plain; charset=shift_jis", lambda of: prose(of).replace("é", "日本"), "cp932"),
    "csv in cp1252": Document("text/csv; charset=windows-1252", table(";"), "cp1252"),
    "xml in utf-16": Document(
        "application/xml; charset=utf-16le", lambda of: xml(decimal)(of).partition("\n")[2], "utf-16-le"
    ),
}
"""Each is answered whole, with its length."""

FLOWING = {
    "lines of json": Document("application/x-ndjson", records),
    "a sequence of json": Document("application/json-seq", sequence),
    "events": Document("text/event-stream", events),
    "text in chunks": Document("text/plain; charset=utf-8", prose),
}
"""Each is passed on as it comes."""
