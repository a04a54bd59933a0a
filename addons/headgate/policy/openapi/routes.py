"""Which path of a description a request's path is.

A concrete segment wins over a parameter, from the left (OpenAPI 3.1.1, "Path Templating Matching"). Both sides are
compared in the spelling that requests are forwarded in, where each decoded path has exactly one. A parameter is one
whole segment, and not an empty one.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from headgate.policy.openapi.document import At
from headgate.policy.openapi.faults import shown

MAX_SEGMENTS = 64

_PLAIN = "-._~!$&'()+,=:@"
"""What stands unescaped in a canonical path, besides letters and digits."""

_PARAMETER = re.compile(r"\{([^{}/?#]{1,100})\}\Z")
_NEVER = re.compile(r"[/\\;*#?\x00-\x1f\x7f]")
_SERVER = re.compile(r"(?:https?://[^/?#]+)?(/[^?#]*)?\Z", re.IGNORECASE)


@dataclass(slots=True)
class Route[Owner]:
    """One segment of the tree of paths; `owner` is whose path ends here, `key` how that path is written."""

    below: "dict[str, Route[Owner]]" = field(default_factory=dict)
    parameter: "Route[Owner] | None" = None
    owner: Owner | None = None
    key: str = ""

    def find(self, path: str) -> tuple[Owner, tuple[str, ...]] | None:
        """Whose path this is, and the segments that stand for its parameters. No route is visited twice."""
        return self._find(path.split("/")[1:], 0, ())

    def _find(self, segments: list[str], at: int, taken: tuple[str, ...]) -> tuple[Owner, tuple[str, ...]] | None:
        if at == len(segments):
            return None if self.owner is None else (self.owner, taken)
        concrete = self.below.get(segments[at])
        found = concrete._find(segments, at + 1, taken) if concrete else None
        if found is None and self.parameter is not None and segments[at]:
            found = self.parameter._find(segments, at + 1, (*taken, segments[at]))
        return found


def segments_of(at: At, path: str) -> list[tuple[bool, str]]:
    """The segments of a path template: whether each is a parameter, and its name or its canonical spelling."""
    if not path.startswith("/"):
        raise at.fault("a path that does not begin with `/`; accepted: `/payments/{id}` and the like")
    parts = path[1:].split("/")
    if len(parts) > MAX_SEGMENTS:
        raise at.fault(f"a path of over {MAX_SEGMENTS} segments; accepted: fewer")
    return [_segment(at, part, last=place == len(parts) - 1) for place, part in enumerate(parts)]


def _segment(at: At, part: str, *, last: bool) -> tuple[bool, str]:
    parameter = _PARAMETER.match(part)
    if parameter:
        return True, parameter[1]
    if "{" in part or "}" in part:
        raise at.fault(f"`{shown(part)}` is not supported in a path; accepted: `{{name}}` as a whole segment")
    decoded = unquote_to_bytes(part)
    if (not part and not last) or decoded in (b".", b"..") or _NEVER.search(decoded.decode("latin-1")):
        raise at.fault(f"`{shown(part)}` never stands in a path that is forwarded; accepted: plain segments")
    return False, quote(decoded, safe=_PLAIN)


def base_path(servers: At | None) -> str:
    """The path of the first server, which all paths begin with; without a slash at its end."""
    entries = servers.elements() if servers else []
    if not entries:
        return ""
    url = entries[0].need("url")
    found = _SERVER.match(url.text())
    path = (found[1] or "") if found else None
    if path is None or "{" in path:
        raise url.fault("not a URL with a plain path; accepted: `https://host/v1`, or a path such as `/v1`")
    return path.rstrip("/")


def insert[Owner](root: Route[Owner], segments: list[tuple[bool, str]], owner: Owner, at: At, key: str) -> Owner:
    """Give the path an owner, or return the one it has from the same entry; two entries may not be one path."""
    route = root
    for is_parameter, text in segments:
        if is_parameter:
            route.parameter = route.parameter or Route()
            route = route.parameter
        else:
            route = route.below.setdefault(text, Route())
    if route.owner is None:
        route.owner, route.key = owner, key
    elif route.key != key:
        raise at.fault(
            f"the same path as `{shown(route.key)}`; accepted: each path once, whatever its parameters are named"
        )
    return route.owner
