"""`flows save`: from a capture to flows/NAME.db and flows/NAME.expected.yaml.

Every flow is masked again under the rules that are given, whatever masked it when it was recorded, so that nothing is
committed that these rules hide. Then everything is looked at once more, for what the rules ask for anywhere and for
what nobody wants in a file that others read; what that finds is reported by place, never by value. Both files appear
together, or neither does.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from headgate.capture.connection import Connection
from headgate.capture.entries import Entry, MessageEntry
from headgate.capture.record import Kind, Line
from headgate.capture.store import Store
from headgate.errors import HeadgateError
from headgate.replay.foreign import Foreign, Part, Said
from headgate.replay.imported.plans import budgeted, due_of, key_of, second_look
from headgate.replay.imported.scrubbing import Masked, mask_flow
from headgate.replay.places import beside
from headgate.replay.pointers import masked_pointers
from headgate.replay.saved.rows import Chosen, rows_of
from headgate.replay.saved.store import Copies
from headgate.replay.saved.writer import database

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.masking.plan import Plan

Advance = Callable[[int], None]


@dataclass(slots=True)
class Saved:
    """What was written, and what to look at: places where something is still detected, with how often."""

    database: Path
    expected: Path
    flows: int = 0
    changed: int = 0
    """Flows in which masking under these rules changed something that the capture shows."""
    lost: int = 0
    """Flows of which something could not be masked, and was left out."""
    unsure: int = 0
    """Flows of which the rules' answer is not certain, for want of what is recorded."""
    found: dict[str, int] = field(default_factory=dict)
    callers: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def save(
    source: Store,
    wanted: Iterable[Entry],
    bundle: "Bundle",
    folder: Path,
    name: str,
    *,
    rules: str | None = None,
    advance: Advance = lambda _: None,
) -> Saved:
    """Write the `wanted` flows of `source`; what was there under that name is replaced."""
    saved = Saved(folder / f"{name}.db", beside(folder / f"{name}.db"))
    chosen = list(_chosen(source, wanted, bundle, saved, advance))
    if not chosen:
        raise HeadgateError("no recorded flow matches, so that nothing was written")
    content = database(*rows_of(chosen))
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{name}.", dir=folder) as draft:
        made = Path(draft) / saved.database.name
        made.write_bytes(content)
        expected = Path(draft) / saved.expected.name
        expected.write_text(_expected(Store(made.parent, made.name), bundle, saved, rules), encoding="utf-8")
        _put(made, saved.database)
        _put(expected, saved.expected)
    return saved


def _put(draft: Path, path: Path) -> None:
    with suppress(OSError):
        draft.chmod(0o644)
    os.replace(draft, path)


def _chosen(
    source: Store, wanted: Iterable[Entry], bundle: "Bundle", saved: Saved, advance: Advance
) -> Iterator[Chosen]:
    copies, key, look = Copies(source.path.parent, source.path.name), key_of(bundle.masking), second_look(bundle)
    for entry in wanted:
        decision = entry.summary.decision_id
        said = () if entry.kind == Kind.HTTP else tuple(source.messages(decision))
        found = foreign_of(entry, said)
        plan, detectors = due_of(bundle, entry, key), budgeted()
        masked = mask_flow(found, decision, plan, detectors)
        saved.flows += 1
        saved.lost += masked.lost
        saved.changed += _differs(found, masked)
        _look(found, masked, look, saved.found)
        _note(entry, saved)
        places = masked_pointers([one["location"] for one in entry.masks], plan, detectors)
        masks = tuple(
            (place, one["entity"], one["operator"], one["count"])
            for place, one in zip(places, entry.masks, strict=True)
        )
        yield Chosen(copies.copy(decision), masked, masks)
        advance(1)


def foreign_of(entry: Entry, messages: Iterable[MessageEntry]) -> Foreign:
    """A record as a flow that is to be masked once more."""
    summary, response = entry.summary, entry.response
    query = summary.query if summary.query is not None else "&".join(map(quote, entry.query_names))
    target = (summary.path or "") + (f"?{query}" if query else "")
    line = Line(_bytes(summary.method), summary.scheme, summary.host, summary.port, _bytes(target), b"")
    said = tuple(Said(one.time, one.from_client, one.kind == "text", one.body) for one in messages)
    part = None if response is None else Part(_fields(response.headers), response.body, response.size)
    sent = Part(_fields(entry.request.headers), entry.request.body, entry.request.size)
    return Foreign(
        summary.flow_id, Kind(entry.kind), summary.time, None, line, sent, summary.status, part, said,
        connection=Connection(),
    )  # fmt: skip


def _fields(headers: tuple[tuple[str, str], ...] | None) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((_bytes(name), _bytes(value)) for name, value in headers or ())


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _differs(found: Foreign, masked: Masked) -> bool:
    return bool(_changed(found, masked))


def _changed(found: Foreign, masked: Masked) -> list[str]:
    """The parts of a flow that masking has changed."""
    sent, got = masked.request, masked.response
    was, answered = found.request, found.response
    parts = {
        "path or query": masked.target != found.line.target,
        "request headers": sent.headers != was.fields,
        "request body": sent.body != (was.body or b""),
        "response headers": answered is not None and got is not None and got.headers != answered.fields,
        "response body": answered is not None and got is not None and got.body != (answered.body or b""),
        "messages": [said.body for said in masked.spoken] != [said.content for said in found.messages],
    }
    return [name for name, changed in parts.items() if changed]


def _look(found: Foreign, masked: Masked, plan: "Plan", places: dict[str, int]) -> None:
    """Look once more at what is to be written, for what masking under the rules has left."""
    sent, got = masked.request, masked.response
    rest = replace(
        found,
        line=replace(found.line, target=masked.target),
        request=Part(sent.headers, sent.body, sent.size),
        response=Part(got.headers, got.body, got.size) if got else None,
        messages=tuple(Said(one.time, one.from_client, one.kind == "text", one.body or b"") for one in masked.spoken),
    )
    again = mask_flow(rest, "", plan, budgeted())
    for mask in again.masks:
        where = f"response, {mask.location}: {mask.entity}"
        places[where] = places.get(where, 0) + mask.count
    parts = _changed(rest, again)
    for part in parts:
        if not part.startswith("response"):
            places[part] = places.get(part, 0) + 1
        elif part == "response body" and not again.masks:
            places["response body, which cannot be read"] = places.get("response body, which cannot be read", 0) + 1


def _note(entry: Entry, saved: Saved) -> None:
    who = f"{entry.principal['id']} ({entry.principal['kind']})" if entry.principal else "unknown"
    for seen, one in ((saved.callers, who), (saved.sources, entry.source)):
        if one and one not in seen:
            seen.append(one)


def _expected(store: Store, bundle: "Bundle", saved: Saved, rules: str | None) -> str:
    from headgate.replay.expectations import dump, expectation, item_name
    from headgate.replay.judge import decide_and_mask

    named: dict[str, dict[str, object]] = {}
    for entry in store.walk():
        judged = decide_and_mask(bundle, entry)
        saved.unsure += not (judged.certain and judged.masks_certain)
        named[item_name(entry, named)] = expectation(judged, entry)
    path = (
        saved.database if not saved.database.is_absolute() else Path(saved.database.parent.name) / saved.database.name
    )
    return dump(named, name=path.as_posix(), rules=rules)
