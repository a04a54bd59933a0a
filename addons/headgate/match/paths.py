"""Path templates, split once into segments and compared piece by piece: no regex, so nothing can run away."""

import re
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import unquote

_PLAIN = r"A-Za-z0-9._~!$&'()+,=:@\-"  # what stands plain in a canonical path; all else is an upper-case escape
_LITERAL = re.compile(rf"([{_PLAIN}]|%[0-9A-F]{{2}})*\Z")
_NEVER = re.compile(rf"[{_PLAIN}/\\;*#?\x00-\x1f\x7f]")  # what no canonical path holds as an escape
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)(\.\.\.)?\}\Z")


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with `{name}` for one segment and at most one `{rest...}` for any number of them.

    `head` and `tail` are the segments before and after the rest, None for a variable; without a rest all is `head`.
    `names` are those of the variables, in their order.
    """

    head: tuple[str | None, ...]
    rest: bool
    tail: tuple[str | None, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError says what is wrong with it and what is accepted."""
        if not text.startswith("/"):
            raise ValueError(f"`{text[:80]}` is not a path template; accepted: a path that begins with `/`")
        segments = text[1:].split("/")
        names = [_segment_name(segment, last=at == len(segments) - 1) for at, segment in enumerate(segments)]
        given = [name for name in names if name]
        rests = [at for at, segment in enumerate(segments) if segment.endswith("...}")]
        if len(given) != len(set(given)) or len(rests) > 1:
            raise ValueError(f"`{text[:80]}`: each variable needs a name of its own, and at most one may be a rest")
        pieces = tuple(None if name else segment for name, segment in zip(names, segments, strict=True))
        cut = rests[0] if rests else len(pieces)
        return cls(pieces[:cut], bool(rests), pieces[cut + 1 :], tuple(given))

    def folded(self) -> Self:
        """The same for paths in lower case."""
        return replace(self, head=tuple(map(_lower, self.head)), tail=tuple(map(_lower, self.tail)))

    def matches(self, segments: list[str]) -> bool:
        spare = len(segments) - len(self.head) - len(self.tail)
        if spare < 0 or (spare and not self.rest):
            return False
        return _same(self.head, segments) and _same(self.tail, segments[len(segments) - len(self.tail) :])

    def params(self, segments: list[str]) -> dict[str, str]:
        """What the variables stand for in a path that matches, decoded; a rest has its slashes."""
        cut = len(segments) - len(self.tail)
        values = [segment for piece, segment in zip(self.head, segments, strict=False) if piece is None]
        if self.rest:
            values.append("/".join(segments[len(self.head) : cut]))
        values += [segment for piece, segment in zip(self.tail, segments[cut:], strict=True) if piece is None]
        return {name: unquote(value) for name, value in zip(self.names, values, strict=True)}


def _lower(piece: str | None) -> str | None:
    return None if piece is None else piece.lower()


def _segment_name(segment: str, *, last: bool) -> str | None:
    """The name of the variable that a segment is, None for a literal."""
    if variable := _VARIABLE.match(segment):
        return variable[1]
    if "{" in segment or "}" in segment:
        accepted = "`{name}` or `{rest...}` as a whole segment, names in lower case"
        raise ValueError(f"`{segment[:40]}` is not a path variable; accepted: {accepted}")
    if not _LITERAL.match(segment) or segment in {".", ".."} or (not segment and not last) or _never(segment):
        accepted = "a canonical one (not empty, `.` or `..`; `%XX` only where needed), or `{name}`, or `{rest...}`"
        raise ValueError(f"`{segment[:40]}` is not a path segment; accepted: {accepted}")
    return None


def _never(segment: str) -> bool:
    """Whether it escapes what a canonical path has plain or not at all, so that it could match nothing."""
    return any(_NEVER.match(chr(int(octet, 16))) for octet in re.findall("%(..)", segment))


def _same(pieces: tuple[str | None, ...], segments: list[str]) -> bool:
    """Compare as far as there are pieces; a variable stands for one segment that is not empty."""
    for piece, segment in zip(pieces, segments, strict=False):
        if piece != segment and (piece is not None or not segment):
            return False
    return True
