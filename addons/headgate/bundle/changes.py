"""What changed from one bundle to another, entry by entry and in words, as a person would put it in a review.

Made of the files as they are written, so that two versions can be compared whether or not both still load. That a
change lets more pass (`looser`) or less (`stricter`) is said only where it is sure, each change taken by itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headgate.bundle import files, relations
from headgate.bundle.meanings import OPPOSITE, SETS, effect_of, meaning_of
from headgate.bundle.relations import MISSING, Difference, Missing, Relation
from headgate.bundle.written import canonical, documents, is_rules, listed, policy

SHOWN = 80
_SECRET = re.compile(r"secret|password|credential|authorization|cookie|token|api.?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `kind` and `name` say of what (`rule`, its id), `key` which part of it; empty: the whole.

    `what` is added, removed, widened, narrowed or changed; `meaning` looser, stricter, or None where that is not sure.
    """

    kind: str
    name: str
    key: str
    what: str
    before: Any = None
    after: Any = None
    meaning: str | None = None

    def __str__(self) -> str:
        subject = f"{self.kind} {self.name}".strip()
        meant = f" ({self.meaning})" if self.meaning else ""
        if not self.key:
            return f"{subject} {self.what}{meant}"
        return f"{subject}: {self.key}{_values(self.what, self.before, self.after)}{meant}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Change]:
    """From the files of one bundle to those of another, by name; HeadgateError if one cannot be read as YAML."""
    old, new = documents(before), documents(after)
    found = [
        *_top("bundle", old.get(files.BUNDLE), new.get(files.BUNDLE), ()),
        *_entries("rule", "id", policy(old, "rules"), policy(new, "rules")),
        *_entries("limit", "id", policy(old, "limits"), policy(new, "limits")),
        *_entries("test", "name", policy(old, "tests"), policy(new, "tests")),
        *_entries("target", "name", listed(old, files.TARGETS, "targets"), listed(new, files.TARGETS, "targets")),
        *_top("targets", old.get(files.TARGETS), new.get(files.TARGETS), ("targets",)),
        *_entries(
            "provider", "name", listed(old, files.IDENTITY, "providers"), listed(new, files.IDENTITY, "providers")
        ),
        *_top("identity", old.get(files.IDENTITY), new.get(files.IDENTITY), ("providers",)),
        *_entries("mask", "id", listed(old, files.MASKING, "masks"), listed(new, files.MASKING, "masks")),
        *_top("masking", old.get(files.MASKING), new.get(files.MASKING), ("masks",)),
        *_files(before, after),
    ]
    return [_without_values(change) if _is_private(change) else change for change in found]


def _is_private(change: Change) -> bool:
    """Whether its values stand for what should be in no rule, and in no report at all."""
    return bool(_SECRET.search(change.key)) or _names_secret(change.before) or _names_secret(change.after)


def _names_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_SECRET.search(key) or _names_secret(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_names_secret, value))


def _without_values(change: Change) -> Change:
    return Change(change.kind, change.name, change.key, change.what, meaning=change.meaning)


def _entries(kind: str, by: str, before: Iterator[dict[str, Any]], after: Iterator[dict[str, Any]]) -> Iterator[Change]:
    old = {str(entry.get(by)): entry for entry in before}
    new = {str(entry.get(by)): entry for entry in after}
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield Change(kind, name, "", "removed", None, None, OPPOSITE[effect_of(kind, old[name])])
        elif name not in old:
            yield Change(kind, name, "", "added", None, None, effect_of(kind, new[name]))
        elif canonical(old[name]) != canonical(new[name]):
            yield from _entry(kind, name, old[name], new[name])


def _entry(kind: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Each key that differs. What a match means is not sure where what the entry does has changed as well."""
    effect = effect_of(kind, old) if effect_of(kind, old) == effect_of(kind, new) else None
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key, MISSING), new.get(key, MISSING)
        if key in ("match", "except") and isinstance(before, dict) and isinstance(after, dict):
            for found in relations.differences(before, after):
                at = ".".join(found.key if key == "match" else (key, *found.key))
                meant = effect if key == "match" else OPPOSITE[effect]
                yield _conditional(kind, name, at, found, meant)
        elif key == "when":
            relation = relations.relate((key,), before, after)
            if relation is not Relation.SAME:
                yield _conditional(kind, name, key, Difference((key,), relation, before, after), effect)
        else:
            yield from _plain(kind, name, key, before, after, meaning_of(kind, key, old, new))


def _conditional(kind: str, name: str, key: str, found: Difference, effect: str | None) -> Change:
    """A condition that became wider or narrower, or came or went."""
    meant = {Relation.WIDENED: effect, Relation.NARROWED: OPPOSITE[effect]}.get(found.relation)
    return Change(kind, name, key, str(found.relation), _value(found.before), _value(found.after), meant)


def _top(kind: str, old: Any, new: Any, but: tuple[str, ...]) -> Iterator[Change]:
    """The keys of a file that are not lists of entries."""
    before, after = (value if isinstance(value, dict) else {} for value in (old, new))
    for key in dict.fromkeys((*before, *after)):
        if key not in but:
            meaning = meaning_of(kind, key, before, after)
            yield from _plain(kind, "", key, before.get(key, MISSING), after.get(key, MISSING), meaning)


def _files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if is_rules(name) or name == files.SIGNATURE or before.get(name) == after.get(name):
            continue
        what = "added" if name not in before else "removed" if name not in after else "changed"
        yield Change("file", name, "", what)


def _plain(kind: str, name: str, key: str, before: Any, after: Any, meaning: str | None) -> Iterator[Change]:
    """A key that is no condition."""
    if type(before) is type(after) and before == after:
        return
    what = "added" if isinstance(before, Missing) else "removed" if isinstance(after, Missing) else "changed"
    if (kind, key) in SETS and what == "changed":
        relation = relations.relate((), before, after)
        if relation is Relation.SAME:
            return
        what = str(relation)
    yield Change(kind, name, key, what, _value(before), _value(after), meaning)


def _value(value: Any) -> Any:
    return None if isinstance(value, Missing) else value


def _values(what: str, before: Any, after: Any) -> str:
    if before is None and after is None:
        return f" {what}"
    if before is None:
        return f" added: {_shown(after)}" if what == "added" else f" added, {what} to {_shown(after)}"
    if after is None:
        return f" removed, was {_shown(before)}" if what == "removed" else f" removed, {what} from {_shown(before)}"
    return f" {what} from {_shown(before)} to {_shown(after)}"


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, str | int | float) for item in value):
        texts = [f"`{_cut(_text(item))}`" for item in value]
        fitting = [text for at, text in enumerate(texts) if at == 0 or len(", ".join(texts[: at + 1])) <= SHOWN]
        return ", ".join(fitting) + (f" and {len(texts) - len(fitting)} more" if len(fitting) < len(texts) else "")
    return f"`{_cut(_text(value))}`"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
