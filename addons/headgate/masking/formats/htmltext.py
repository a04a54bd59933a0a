"""Masking of HTML: text, attributes and comments, and data in scripts that are none; scripts and styles are left alone.

Text reads as it is seen: references decoded, white space folded, inline elements and comments passed over, so that a
value which they split is found. Blocks part it. Attributes are values of their own; `srcdoc` is a page in one. A
script whose type is JSON is masked as JSON, one of an unknown type (a template) as HTML. A page has no fields, but
names of attributes and form controls are masked where a mask names them. Nothing is ever written anew: the source is
spliced, and has the same tags as before.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits, refuse_large
from headgate.masking.formats.fields import asked, told
from headgate.masking.formats.htmlnames import (
    BLOCKS,
    JSON_SCRIPTS,
    LABELS,
    LEFT_ALONE,
    NAMED,
    NAMING,
    PREFORMATTED,
    SCRIPTS,
)
from headgate.masking.formats.htmltokens import Attribute, Kind, Token, tokens
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.formats.readings import find
from headgate.masking.formats.references import (
    Decode,
    html_attribute,
    html_preformatted,
    html_text,
    no_references,
    write_attribute,
    write_comment,
    write_text,
)
from headgate.masking.formats.runs import Edit, Part, Run, Write, as_written
from headgate.masking.operators import Cut, cuts
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Span, strongest

NESTING = 3
"""Pages within pages, by `srcdoc` and templates in scripts."""

DIGITS = 5
"""Digits that a name may have; no card, account or telephone number has so few."""

LABEL_LENGTH = 60

_USUAL = re.compile(r"[@:*#(\[]?[a-z_][a-z0-9_:.\-\[\]()|]*", re.ASCII)
_SHAPE = re.compile(r"[Mm][MmZzLlHhVvCcSsQqTtAa0-9eE.,+\s-]*")
"""The path of a drawing, in the attribute `d`."""


def mask_html(text: str, plan: Plan, detect: Detect) -> Masked:
    refuse_large(text.count("<") + text.count("&") + text.count("="))
    return _Page(text, plan, detect, 0).masked()


class _Page:
    """`_removed` are the tags, by where they begin, that are no tags but values; `_odd` those that may be."""

    def __init__(self, source: str, plan: Plan, detect: Detect, depth: int) -> None:
        if depth > NESTING:
            raise CannotMask("nested-too-deeply")
        self.edits, self._removed = Edits(plan, detect), set[int]()
        self._source, self._plan, self._depth = source, plan, depth
        self._fields: Mapping[str, Operator] = asked(plan, plan.form)
        self._flow: list[Part] = []
        self._runs: list[Run] = []
        self._odd: list[tuple[Token, list[Run], list[Edit]]] = []
        self._inside, self._label, self._preformatted = "", "", 0

    def masked(self) -> Masked:
        self._read()
        self._end_text()
        self._mask_odd()
        self.edits.mask_runs(self._runs)
        masked = self.edits.masked(self._source)
        if self.edits.made and _tags(masked.text, set()) != _tags(self._source, self._removed):
            raise CannotMask("markup-changed")
        return masked

    def _read(self) -> None:
        for token in tokens(self._source):
            match token.kind:
                case Kind.OPEN | Kind.CLOSE:
                    self._tag(token)
                case Kind.TEXT | Kind.SECTION:
                    self._flow.append(self._text(token))
                case Kind.RAW:
                    self._raw(token)
                case Kind.COMMENT | Kind.REST:
                    write = write_comment if token.kind is Kind.COMMENT else write_text
                    pieces = html_preformatted(self._source, token.inner, token.stop)
                    self._runs.append(Run([Part(pieces, "", f"html:{token.kind}", write)]))

    # -- text

    def _text(self, token: Token) -> Part:
        seen = html_preformatted if self._preformatted else html_text
        decode = no_references if token.kind is Kind.SECTION else seen
        return Part(decode(self._source, token.inner, token.stop), self._label, self._location, write_text)

    @property
    def _location(self) -> str:
        return f"html:{told(self._inside)}"

    def _end_text(self, label: bool = False) -> None:
        run = Run(self._flow)
        self._flow = []
        if run.text.strip():
            self._runs.append(run)
            self._label = run.text.strip()[:LABEL_LENGTH] if label else ""

    # -- tags

    def _tag(self, token: Token) -> None:
        opens = token.kind is Kind.OPEN
        if token.name in BLOCKS:
            self._end_text(label=not opens and token.name in LABELS)
        if token.name in PREFORMATTED:
            self._preformatted = max(self._preformatted + (1 if opens else -1), 0)
        self._inside = token.name if opens else ""
        before = len(self.edits.made)
        runs = list(self._attributes(token))
        if _is_odd(token):
            made = self.edits.made[before:]
            del self.edits.made[before:]
            self._odd.append((token, runs, made))
        else:
            self._runs += runs

    def _attributes(self, token: Token) -> Iterator[Run]:
        """What is to be read in the attributes of a tag, less what is masked at once."""
        naming = [self._value(found) for name in NAMING for found in token.attributes if found.name == name]
        for attribute in token.attributes:
            name, location = attribute.name, f"html:{told(token.name)}@{told(attribute.name)}"
            if attribute.end == attribute.start or name in LEFT_ALONE:
                continue
            wanted = [name.removeprefix("data-"), name, *(naming if name in NAMED else ())]
            operator = strongest(self._fields[known] for known in wanted if known in self._fields)
            key = naming[0] if naming and name in NAMED else name
            pieces = html_attribute(self._source, attribute.start, attribute.end)
            run = Run([Part(pieces, key, location, write_attribute)], rewrite=None if attribute.quote else _quoted)
            if operator:
                self.edits.change(run, [(0, len(run.text), self.edits.field(run.text, operator, location))])
            elif name == "srcdoc":
                self._nest(run)
            elif not (name == "d" and _SHAPE.fullmatch(run.text)):
                yield run

    def _value(self, attribute: Attribute) -> str:
        return "".join(piece.text for piece in html_attribute(self._source, attribute.start, attribute.end))

    def _nest(self, run: Run) -> None:
        """Mask a run that is a page itself."""
        page = _Page(run.text, self._plan, self.edits.detect, self._depth + 1)
        self.edits.add(page.masked(), "")
        if page.edits.made:
            self.edits.change(run, sorted(page.edits.made))

    def _mask_odd(self) -> None:
        """Take out what only looks like a tag (`<ana@example.com>`), and attributes that are none."""
        if not self._odd or not self._plan.detect:
            return
        whole = [self._run(token, html_preformatted, "", as_written) for token, _, _ in self._odd]
        readings = [(at, reading) for at, run in enumerate(whole) for reading in run.readings()]
        found: dict[int, list[Span]] = {}
        for (at, _), spans in zip(readings, find([reading for _, reading in readings], self.edits.detect), strict=True):
            found.setdefault(at, []).extend(spans)
        for at, (token, runs, made) in enumerate(self._odd):
            if chosen := cuts(found.get(at, ()), self._plan):
                self._take_out(token, chosen)
            else:
                self._runs += runs
                self.edits.made += made

    def _take_out(self, token: Token, chosen: Sequence[Cut]) -> None:
        for cut in chosen:
            self.edits.counts["html:tag", cut.entity, cut.operator.value] += 1
        kept = ""
        if _is_usual(token.name):
            kept = f"<{token.name}>" if token.kind is Kind.OPEN else f"</{token.name}>"
        else:
            self._removed.add(token.start)
        self.edits.made.append((token.start, token.end, kept))

    # -- what has no markup inside

    def _raw(self, token: Token) -> None:
        if token.name == "script":
            self._script(token)
        elif token.name in ("textarea", "title"):
            names = [self._value(found) for found in token.attributes if found.name == "name"]
            run = self._run(token, html_preformatted, names[0] if names else token.name, write_text)
            operator = strongest(self._fields[name] for name in names if name in self._fields)
            if operator and run.text:
                self.edits.change(run, [(0, len(run.text), self.edits.field(run.text, operator, "html:textarea"))])
            else:
                self._runs.append(run)
        elif token.name != "style":
            self._runs.append(self._run(token, no_references, "", _bare))

    def _run(self, token: Token, decode: Decode, key: str, write: Write) -> Run:
        pieces = decode(self._source, token.inner, token.stop)
        return Run([Part(pieces, key, f"html:{told(token.name)}", write)])

    def _script(self, token: Token) -> None:
        kind = next((self._value(found).strip().lower() for found in token.attributes if found.name == "type"), "")
        run = self._run(token, no_references, "", _bare)
        if kind in SCRIPTS or not run.text.strip():
            return
        if kind not in JSON_SCRIPTS and not kind.endswith("json"):
            self._nest(run)
            return
        try:
            masked = mask_json(run.text, self._plan, self.edits.detect)
        except CannotMask as cannot:
            if cannot.reason != "invalid-json" or self._plan.paths:
                raise
            self._runs.append(run)
            return
        self.edits.add(masked, "html:script")
        if masked.counts:
            self.edits.made.append((token.inner, token.stop, masked.text))


def _tags(source: str, removed: set[int]) -> list[tuple[Kind, str]]:
    kept = (token for token in tokens(source) if token.kind not in (Kind.TEXT, Kind.RAW, Kind.REST))
    return [(token.kind, token.name) for token in kept if token.start not in removed]


def _is_odd(token: Token) -> bool:
    return not (_is_usual(token.name) and all(_is_usual(attribute.name) for attribute in token.attributes))


@lru_cache(maxsize=4096)
def _is_usual(name: str) -> bool:
    """Whether a name is one, and not a value that somebody forgot to escape."""
    return bool(_USUAL.fullmatch(name)) and sum(map(str.isdigit, name)) <= DIGITS


def _quoted(text: str) -> str:
    return f'"{write_attribute(text)}"'


def _bare(text: str) -> str:
    """Where no reference is read: what could begin a tag goes."""
    return text.replace("<", " ")
