"""Where a finding stands: its own characters, those around it, and the words that say what it is.

Nothing here reads more of a leaf than a few dozen characters beside the finding, however long the leaf is.
"""

import re
from functools import cached_property

from headgate.masking.detection.profile_words import ELSEWISE, INFIXES, THINGS, hints, key_words
from headgate.masking.plan import Leaf, Span

REACH = 64
"""Characters before a finding in which words are looked for."""

NEAR = 8
"""So many words before a finding, in its sentence, can say what it is."""

CLOSE = 3
"""The same for what any digits could be."""

FRAME = 12
"""Characters that may stand around a finding that is all there is to the leaf."""

_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[.!?]\s|[;|\n]")
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_MASK = re.compile(r"\[[A-Z0-9_]+(?::[a-z]+)?\]")
"""What stands for a value that has been masked says nothing of the next one."""

_MARKS = " \t\"'`()<>[]{},;.:+-#"
_JOINTS = " \t\"'`(<[{:=#_>/-"
"""What may stand between the word that names a value and the value; a comma or a full stop begins something new."""


class Place:
    """One finding in its leaf."""

    def __init__(self, leaf: Leaf, span: Span) -> None:
        self.leaf, self.span = leaf, span
        self.value = leaf.text[span.start : span.end]

    @cached_property
    def digits(self) -> str:
        return "".join(character for character in self.value if character.isdigit())

    @property
    def bare(self) -> bool:
        """Whether the finding is nothing but digits."""
        return self.value.isdigit()

    @cached_property
    def before(self) -> str:
        return _MASK.sub(" ", self.leaf.text[max(self.span.start - REACH, 0) : self.span.start])

    @cached_property
    def after(self) -> str:
        return self.leaf.text[self.span.end : self.span.end + 4]

    @cached_property
    def alone(self) -> bool:
        """Whether the leaf is this value and no sentence: then the key names it."""
        text, span = self.leaf.text, self.span
        if len(text) == len(self.value):
            return True
        return len(text) - len(self.value) <= FRAME and not (text[: span.start] + text[span.end :]).strip(_MARKS)

    @cached_property
    def near(self) -> list[str]:
        """The last words before the finding in its sentence, the nearest last."""
        return [word.lower() for word in _WORD.findall(_SENTENCE.split(self.before)[-1])][-NEAR:]

    @cached_property
    def label(self) -> str:
        """The word that names the value in a text, if any: `order` in `order no. 7731`, `pan` in `pan=4111`."""
        if not self.before:
            return ""
        rest = self.before.rstrip(_JOINTS)
        while word := _LAST_WORD.search(rest.removesuffix(".") if rest.lower().endswith((" no.", " nr.")) else rest):
            if word[0].lower() not in INFIXES:
                return word[0].lower()
            rest = rest[: word.start()].rstrip(_JOINTS)
        return ""

    @cached_property
    def key(self) -> frozenset[str]:
        return key_words(self.leaf.key)

    def is_named(self, entity: str) -> bool:
        """Whether the key says that this is one, and the leaf is nothing else."""
        return self.alone and not hints(entity).isdisjoint(self.key)

    def is_called(self, entity: str, reach: int = NEAR) -> bool:
        """Whether the key says that this is one, or one of the last words: unless the nearest says otherwise."""
        known = hints(entity)
        if not known.isdisjoint(self.key) or self.label in known:
            return True
        if not self.before or self.label in THINGS:
            return False
        return not known.isdisjoint(self.near[-reach:])

    @cached_property
    def is_called_else(self) -> bool:
        """Whether what names the value names something that is no personal datum: the key, or the word before it."""
        return self.label in THINGS or (self.alone and not ELSEWISE.isdisjoint(self.key))
