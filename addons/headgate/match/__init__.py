"""Which requests a rule is about: the one `match:` grammar that every kind of rule uses, compiled once.

A condition is true, false or unknown (None), joined by Kleene's rules. An absent attribute of the caller or the target
is false, and unknown below `not:`, so that nobody is allowed for not having said something. An empty set of groups,
environments or tags counts as absent: a token without them looks the same. An anonymous caller has no attribute but
its kind. A caller with several environments is in each of them.

A claim is compared in value and type (`true` is not 1); one of a type that the rule does not list is unknown. So is the
age of a session of which nothing says when it began, and one that begins later than any clock may be off.

Rules that forbid or hide are compiled with `widen`: their paths hold with a trailing slash too, their methods in any
case, and of a claim with several values one is enough, where an allow needs all. Below `not:` it is the other way
round, for there the wider condition is the one that lets more through.
"""

from headgate.match.compiled import Matcher, compile_match
from headgate.match.durations import Duration, duration
from headgate.match.facts import WEBSOCKET, Dimension, Facts, Subject, Value, effective_method
from headgate.match.header_names import plain_name
from headgate.match.hosts import canonical_host, host_keys, host_pattern, is_address
from headgate.match.paths import PathTemplate
from headgate.match.sections import Names, Section, Text, listed
from headgate.match.spec import MatchSpec, When

__all__ = [
    "WEBSOCKET",
    "Dimension",
    "Duration",
    "Facts",
    "MatchSpec",
    "Matcher",
    "Names",
    "PathTemplate",
    "Section",
    "Subject",
    "Text",
    "Value",
    "When",
    "canonical_host",
    "compile_match",
    "duration",
    "effective_method",
    "host_keys",
    "host_pattern",
    "is_address",
    "listed",
    "plain_name",
]
