"""What the rules are to say of each flow of a recording: text beside it, for people to review.

`flows/checkout.db` holds the flows, `flows/checkout.expected.yaml` what was agreed on: who asked for what, the effect,
the reason and the rules, which masks the answer gets, and how certain that is. It holds no value of any body. A flow
goes by a name made of what was recorded of its request, so that it keeps it whatever else is recorded beside it.
"""

import hashlib
import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from headgate.errors import HeadgateError
from headgate.replay.places import beside

__all__ = ["Expectations", "beside", "digest", "dump", "expectation", "item_name", "load", "printable", "text_of"]

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.masking.plan import Plan
    from headgate.model import LimitUse
    from headgate.replay.judge import Judged

DIGITS = 4
LONGEST_PATH = 100
"""Characters of a path in a name; the hash is of the whole."""

WIDTH = 120

VOLATILE = frozenset(
    ("b3", "connection", "content-length", "date", "traceparent", "tracestate", "user-agent", "x-amzn-trace-id",
    "x-b3-spanid", "x-b3-traceid", "x-correlation-id", "x-forwarded-for", "x-request-id")
)  # fmt: skip
"""Headers that differ each time the same request is sent, and so are no part of a name."""

IMPLIED = frozenset({"denied", "approval-required"})
"""Refusals that the effect itself says."""

HEADER = """\
# What the rules say of each flow of {name}, as somebody has reviewed it; `pytest` fails where they say another thing.
# When a change is meant: `pytest {path} --flows-update` shows it and writes this file; then review its diff.
# What lets more pass, or masks less, is written with `--allow-loosening` only.
"""


def item_name(entry: "Entry", taken: Container[str] = ()) -> str:
    """`POST /v1/refunds#3f2a`: method, path, and the first digits of a hash of what was recorded of the request.

    `taken` are the names of the older flows of the same file: where the same was asked before, a number follows, so
    that a name is unique and what is recorded later changes none.
    """
    summary = entry.summary
    path = printable(summary.path).replace("::", "%3A%3A")  # which pytest would take for the end of a file's name
    if len(path) > LONGEST_PATH:
        path = f"{path[: LONGEST_PATH - 3]}..."
    name = f"{printable(summary.method)} {path}#{digest(entry)[:DIGITS]}"
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def digest(entry: "Entry") -> str:
    """The hash (hex) of who asks for what, as it was recorded: no time, no id, nothing that came of it."""
    summary, sent, who = entry.summary, entry.request, entry.principal
    headers = [[name.lower(), value] for name, value in sent.headers or () if name.lower() not in VOLATILE]
    asked = [summary.method, summary.scheme, summary.host, summary.port, summary.path, summary.query or ""]
    caller = [who["provider"], who["id"], who["kind"]] if who else None
    content = json.dumps([asked, caller, sorted(headers)], separators=(",", ":")).encode("ascii")
    return hashlib.sha256(content + b"\0" + sent.body).hexdigest()


def printable(text: str) -> str:
    """`text` with whatever does not print as an escape: names are shown in terminals and reports."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# -- one flow ---------------------------------------------------------------------------------------------------------


def expectation(judged: "Judged", entry: "Entry | None" = None) -> dict[str, Any]:
    """What is agreed on about one flow; with `entry`, who asked for what comes first, for those who read it."""
    return {**(_about(entry) if entry else {}), **_decided(judged), **_masked(judged), **_certainty(judged)}


def _about(entry: "Entry") -> dict[str, Any]:
    summary, who = entry.summary, entry.principal
    caller = f"{printable(who['id'])} ({who['kind']}, by {printable(who['provider'])})" if who else "unknown"
    usual = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(summary.scheme) == summary.port
    place = summary.host if usual else f"{summary.host}:{summary.port}"
    query = f"?{'&'.join(entry.query_names)}" if entry.query_names else ""  # no values: rules may yet mask them
    what = f"{summary.method} {summary.scheme}://{place}{summary.path}{query}"
    return {"who": caller, "what": printable(what)[: 2 * LONGEST_PATH]}


def _decided(judged: "Judged") -> dict[str, Any]:
    said: dict[str, Any] = {"effect": str(judged.effect), "reason": judged.reason}
    said["rules"] = [rule.id for rule in judged.rules]
    if judged.refusal is not None and judged.refusal not in IMPLIED:
        said["refused"] = judged.refusal
    more = {
        "mode": "observe" if judged.observed else None,
        "judged": None if judged.judged else False,
        "shadow": [rule.id for rule in judged.shadow],
        "shadow_effect": str(judged.shadow_effect) if judged.shadow_effect else None,
        "errors": list(judged.errors),
        "limits": [_limit(use) for use in judged.limits],
        "uncounted": [limit.partition(" ")[0] for limit in judged.uncounted],
        "violations": [printable(violation) for violation in judged.violations],
        "set_headers": sorted({name for name, _ in judged.shaping.set_headers}),
        "remove_headers": sorted(judged.shaping.remove_headers),
        "remove_query": sorted(map(printable, judged.shaping.remove_query)),
        "approval": hashlib.sha256(judged.approval.encode()).hexdigest()[:8] if judged.approval else None,
    }
    return said | {name: value for name, value in more.items() if value not in (None, [])}


def _limit(use: "LimitUse") -> str:
    """Of a limit only whether it has run out: how much is left is of the day, not of the rules."""
    return f"{use.id}{' (exhausted)' if use.exhausted else ''}{'' if use.enforced else ' (shadow)'}"


def _masked(judged: "Judged") -> dict[str, Any]:
    counted: dict[tuple[str, str, str], int] = {}
    for mask in judged.masks:
        key = (printable(mask.location), mask.entity, str(mask.operator))
        counted[key] = counted.get(key, 0) + mask.count
    masks = [
        {"location": location, "entity": entity, "operator": operator, "count": count}
        for (location, entity, operator), count in sorted(counted.items())
    ]
    more = {
        "withheld": judged.withheld,
        "request_masks": _asked(judged.beyond.request),
        "record_masks": _asked(judged.beyond.record) if judged.beyond.excepted else None,
    }
    return {"masks": masks} | {name: value for name, value in more.items() if value}


def _asked(plan: "Plan | None") -> list[str]:
    """What a plan hides of what no record counts, by name."""
    if plan is None:
        return []
    named = (*plan.paths, *plan.headers, *plan.query, *plan.columns, *plan.form)
    fields = {f"{name} {operator}" for name, operator in named} | {f"{path} base64" for path in plan.encoded}
    return sorted(map(printable, fields | {f"{each.entity} {each.operator} {each.profile}" for each in plan.detect}))


def _certainty(judged: "Judged") -> dict[str, Any]:
    """Whether all this is certain, and if not, what may become of the request: it passes, waits, or is refused."""
    open_ended = not judged.certain or len(judged.outcomes) > 1
    if not open_ended and judged.masks_certain:
        return {"certain": True}
    found: dict[str, Any] = {"certain": not open_ended}
    if open_ended:
        found["could_be"] = sorted(judged.outcomes)
    if not judged.masks_certain:
        found["masks_certain"] = False
    return found | {"unknown": [printable(note) for note in judged.unknown]}


# -- the file ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expectations:
    """An expectations file: `flows` by name, in its order, and the line of each; `rules` is the folder of rules that
    the file itself names, if it does."""

    flows: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    rules: str | None = None


def load(path: Path) -> Expectations:
    """What the file says; one that is not there says nothing. HeadgateError names what is wrong, and the line."""
    from headgate.bundle.document import Mapping as Node
    from headgate.bundle.document import plain
    from headgate.bundle.reader import read

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Expectations()
    except OSError as error:
        raise HeadgateError(f"`{path}` cannot be read: {(error.strerror or 'unknown').lower()}") from None
    node, faults = read(data)
    if faults:
        raise HeadgateError(f"{path}:{faults[0].place.line}: {printable(faults[0].message)}")
    content = plain(node) if node else None
    flows = content.get("flows") if isinstance(content, dict) else None
    if not (isinstance(node, Node) and isinstance(content, dict) and isinstance(flows, dict)):
        raise HeadgateError(f"{path}:1: no expectations; accepted: a mapping with `flows:`, and `rules:` if need be")
    listed = node.items["flows"]
    lines = {name: place.line for name, place in listed.keys.items()} if isinstance(listed, Node) else {}
    _check(path, content, lines)
    return Expectations(flows, lines, content.get("rules"))


def _check(path: Path, content: dict[str, Any], lines: Mapping[str, int]) -> None:
    if unknown := sorted(content.keys() - {"flows", "rules"}):
        raise HeadgateError(f"{path}:1: `{printable(unknown[0])[:80]}` is unknown; accepted: `flows`, `rules`")
    if not isinstance(content.get("rules", ""), str):
        raise HeadgateError(f"{path}:1: `rules` is no text; accepted: a folder, relative to the root of the project")
    for name, said in content["flows"].items():
        if not isinstance(said, dict) or not isinstance(said.get("effect"), str):
            where = f"{path}:{lines.get(name, 1)}"
            shown = printable(name)[:80]
            raise HeadgateError(f"{where}: no expectation of `{shown}`; accepted: a mapping with `effect`")


def dump(named: Mapping[str, Mapping[str, Any]], *, name: str = "this recording", rules: str | None = None) -> str:
    """The text of an expectations file, the same for the same content; `name` is the database's, as `pytest` is to be
    given it (`flows/checkout.db`)."""
    header = HEADER.format(name=printable(name).rpartition("/")[2], path=printable(name))
    return header + text_of(({} if rules is None else {"rules": rules}) | {"flows": dict(named)})


def text_of(content: Mapping[str, Any]) -> str:
    """As it stands in the file: a list of names, and each mask, is a line of its own."""
    return yaml.dump(
        dict(content), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=WIDTH
    )


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: what is read back takes none."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
