"""What a value says once its escapes are undone: percent-encoding, once and twice, the escapes of JSON, and references.

A value can be encoded for another reader than the one it is sent to: a URL or HTML in a JSON string, JSON in a log
line. So it can be set: with spaces and hyphens at which no line breaks, or in characters as wide as those of Chinese.
Only detection looks at these forms; what is sent is never decoded.
"""

import json
import re
from html import unescape
from urllib.parse import unquote

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]|\\([@.+-])"
)
_REFERENCE = re.compile(r"&(?:#[0-9]{2,9};|#[xX][0-9a-fA-F]{2,8};|(?:commat|dash|hyphen|nbsp|period|plus|shy);)")

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that are not shown, for a class of a pattern: a value that is split by them looks whole to a person
(Unicode's Default_Ignorable_Code_Point, and the marks of interlinear annotations)."""

PLAIN = {
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\ufe6b\uff20", "@"),
    **{chr(ord(each) + 0xFEE0): each for each in "+.0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"},
}
"""Characters that are but a way of setting others: what stands between the groups of a number, and wide letters and
digits. A form has them plain, so that patterns for ASCII see what a person reads."""

UNSEEN = f"{INVISIBLE}{''.join(PLAIN)}"
"""All of them, for a class of a pattern: only a text that has one looks different once it is made `visible`."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_UNSEEN = re.compile(f"[{UNSEEN}]")


def disguises(text: str) -> list[str]:
    """The forms that a text has without escapes; none when it has no escapes."""
    unescaped = _unescaped(text)
    forms = [unescaped]
    for form in (text, unescaped):
        once = _unquoted(form)
        forms += [once, _unquoted(once)]
    forms += [seen[0] for form in forms if (seen := visible(form))]
    return [form for form in dict.fromkeys(forms) if form != text]


def visible(text: str) -> tuple[str, list[int]] | None:
    """What a person sees of a text, and where each character of that stands in it; None where all of it is seen."""
    if text.isascii() or not _UNSEEN.search(text):
        return None
    kept = [at for at, character in enumerate(text) if not _INVISIBLE.match(character)]
    return "".join(PLAIN.get(text[at], text[at]) for at in kept), kept


def may_be_disguised(text: str) -> bool:
    """Whether a text can have escapes: a quick look at what they begin with."""
    return "%" in text or "\\" in text or "&" in text


def _unescaped(text: str) -> str:
    if "&" in text and _REFERENCE.search(text):
        text = _REFERENCE.sub(lambda reference: unescape(reference[0]), text)
    return _ESCAPE.sub(_said, text) if "\\" in text else text


def _said(escape: re.Match[str]) -> str:
    return escape[1] or str(json.loads(f'"{escape[0]}"'))


def _unquoted(text: str) -> str:
    return unquote(text) if _PERCENT.search(text) else text
