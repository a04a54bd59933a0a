"""Presidio's four patterns for URLs, found by their dots.

All four share one part (`UrlRecognizer.BASE_URL_REGEX`): perhaps `www` and a dot, 1 to 253 characters of host names, a
dot, a top-level domain, perhaps a path. It takes as many characters of host names as it can, so that of the dots with a
top-level domain behind them, within 253 characters, the last one is the match's. Tried from each place, as an engine
does, that costs 253 steps for each character, and a list of 1,400 domains for each dot in them; here each dot is tried
once. The list, the host names and the path are Presidio's own, cut out of its patterns.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from headgate.masking.detection.limits import limited

Spans = Callable[[str], Iterator[tuple[int, int]]]

HOST = r"[a-z0-9.\-]"
LONGEST = 253
WWW = r"www\d{0,3}[.]"
LONGEST_WWW = 7

_BEFORE = rf"((www\d{{0,3}}[.])?{HOST}{{1,{LONGEST}}}[.](?:"
_AFTER = r""")(?:/[^\s()<>\"']*)?)"""
_NAMED = re.compile(r"\(\?:[a-z]{2,}\)")
_QUOTE = r"""["\']"""
_SCHEME, _QUOTED_SCHEME = "(?:https?://)", "https?://"


def urls(pattern: str, flags: int) -> Spans | None:
    """A finder for one of the four patterns, or None if it is none of them."""
    rest = pattern.removeprefix("(?i)")
    quoted = rest.startswith(f"{_QUOTE}(") and rest.endswith(f"){_QUOTE}")
    if quoted:
        rest = rest.removeprefix(f"{_QUOTE}(").removesuffix(f"){_QUOTE}")
    scheme = _QUOTED_SCHEME if quoted else _SCHEME
    base = rest.removeprefix(scheme)
    if rest == pattern or not (base.startswith(_BEFORE) and base.endswith(_AFTER)):
        return None
    listed = base.removeprefix(_BEFORE).removesuffix(_AFTER).split("|")
    if not all(_NAMED.fullmatch(each) for each in listed):
        return None
    parts = _parts(pattern, tuple(each[3:-1] for each in listed), flags, scheme if rest != base else None)
    if quoted:
        return parts.quoted
    return parts.bare if rest == base else parts.with_scheme


def _parts(pattern: str, names: tuple[str, ...], flags: int, scheme: str | None) -> "_Urls":
    import regex

    return _Urls(
        whole=partial(regex.compile, pattern, flags),  # it takes a while, and is hardly ever needed
        run=regex.compile(f"(?i){HOST}++", flags),
        back=regex.compile(f"(?ri){HOST}++", flags),
        dot=_domain("[.]", names, flags),
        domain=_domain("", names, flags),
        www=regex.compile(f"(?i){WWW}", flags),
        strange_www=regex.compile(r"(?i)www\d{0,2}[^\x00-\x7f]", flags),
        path=regex.compile(r"""(?:/[^\s()<>\"']*)?""", flags),
        quote=regex.compile(_QUOTE, flags),
        scheme=regex.compile(f"(?i){scheme}", flags) if scheme else None,
    )


@lru_cache(maxsize=8)
def _domain(before: str, names: tuple[str, ...], flags: int) -> Any:
    import regex

    return regex.compile(f"(?i){before}{_grouped(names, 2)}", flags)


def _grouped(names: Sequence[str], depth: int) -> str:
    """The names as one choice, tried by their first letters.

    The first name of the list that fits is still the one that counts: names that begin with another letter do not fit.
    """
    if not depth or not all(names):
        return f"(?:{'|'.join(names)})"
    by_letter: dict[str, list[str]] = {}
    for name in names:
        by_letter.setdefault(name[0], []).append(name[1:])
    return f"(?:{'|'.join(first + _grouped(rest, depth - 1) for first, rest in by_letter.items())})"


class _Dots(NamedTuple):
    """Dots of one run with a top-level domain behind them: where they stand, and where the domains end."""

    at: list[int]
    ends: list[int]

    def last(self, start: int) -> int | None:
        """Where the domain ends whose dot is the last one that a host name from `start` on can reach."""
        found = bisect_right(self.at, start + LONGEST) - 1
        return self.ends[found] if found >= 0 and self.at[found] > start else None


class _Urls(NamedTuple):
    whole: Callable[[], Any]
    run: Any
    back: Any
    dot: Any
    domain: Any
    www: Any
    strange_www: Any
    path: Any
    quote: Any
    scheme: Any

    def bare(self, text: str) -> Iterator[tuple[int, int]]:
        """Anywhere in a run of a host name's characters; a match may end far behind the run, with its path."""
        if self._is_strange(text):
            yield from self._as_it_is(text)
            return
        dots = self._dots(text, 0, len(text))
        end, first = 0, 0
        while first < len(dots.at):
            dot = dots.at[first]
            before = self.back.match(text, 0, dot)
            after = bisect_left(dots.at, self.run.match(text, dot).end(), first)
            of_run = _Dots(dots.at[first:after], dots.ends[first:after])
            at = max(before.start() if before else dot, end)
            while (found := self._next(text, at, of_run)) is not None:
                yield found
                at = end = found[1]
            first = after

    def with_scheme(self, text: str) -> Iterator[tuple[int, int]]:
        """What begins with a scheme; its `//` is no part of a host name, so that a run begins after it."""
        if self._is_strange(text):
            yield from self._as_it_is(text)
            return
        scheme = self.scheme.search(text)
        while scheme:
            at = scheme.end()
            if (run := self.run.match(text, at)) and (found := self._end(text, at, self._dots(text, *run.span()))):
                yield scheme.start(), found
                at = found
            scheme = self.scheme.search(text, at)

    def quoted(self, text: str) -> Iterator[tuple[int, int]]:
        """Between quotation marks, which are no part of host names and paths.

        So what is in between ends where a run does, or with the path behind it: the domain is what follows the run's
        last dot, and no other dot will do.
        """
        if self._is_strange(text):
            yield from self._as_it_is(text)
            return
        quote = self.quote.search(text)
        while quote:
            at = quote.end()
            if (end := self._quoted_end(text, at)) is not None:
                yield quote.start(), end
                at = end
            quote = self.quote.search(text, at)

    def _quoted_end(self, text: str, at: int) -> int | None:
        if self.scheme and not (scheme := self.scheme.match(text, at)):
            return None
        start = scheme.end() if self.scheme else at
        run = self.run.match(text, start)
        dot = text.rfind(".", start, run.end()) if run else -1
        if dot < 0 or not self.domain.fullmatch(text, dot + 1, run.end()):
            return None
        www = self.www.match(text, start)
        if not any(begin < dot <= begin + LONGEST for begin in (start, www.end() if www else start)):
            return None
        end = self.path.match(text, run.end()).end()
        return end + 1 if self.quote.match(text, end) else None

    def _is_strange(self, text: str) -> bool:
        """Whether there may be a digit that is one behind `www`, and none of a host name, and so breaks a run."""
        return not text.isascii() and self.strange_www.search(text) is not None

    def _as_it_is(self, text: str) -> Iterator[tuple[int, int]]:
        return limited(self.whole(), text)

    def _dots(self, text: str, start: int, end: int) -> _Dots:
        """No domain has a dot in it, so that none hides the next one's; all are of a host name's characters."""
        spans = [match.span() for match in self.dot.finditer(text, start, end)]
        return _Dots([at for at, _ in spans], [end for _, end in spans])

    def _next(self, text: str, at: int, dots: _Dots) -> tuple[int, int] | None:
        """The first match from `at` on: from where the next dot can be reached, or just before, from a `www`."""
        first = bisect_left(dots.at, at + 1)
        if first == len(dots.at):
            return None
        reached = max(at, dots.at[first] - LONGEST)
        for begin in range(max(at, reached - LONGEST_WWW), reached + 1):
            if (begin == reached or text[begin] in "wW") and (end := self._end(text, begin, dots)) is not None:
                return begin, end
        return None

    def _end(self, text: str, begin: int, dots: _Dots) -> int | None:
        www = self.www.match(text, begin)
        end = (dots.last(www.end()) if www else None) or dots.last(begin)
        return None if end is None else int(self.path.match(text, end).end())
