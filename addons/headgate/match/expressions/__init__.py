"""`when:`, one expression in CEL for what `match:` cannot say.

An expression is read, checked and compiled once, and must give a boolean. Evaluated, it is true, false or unknown:
unknown where a value cannot be read alike by everybody (`unclear` says why), and where the evaluation fails (`error`
says how, in a short text that holds no values). As in CEL, `true || error` is true and `false && error` is false, on
either side.

What CEL has and this has not, so that no request can crash, stop or mislead it:

- values of different types are never compared: `request.body.amount == 1000` is unknown of `"1000"` (see pieces.py)
- a header with a comma in it is one value to some and a list to others (RFC 9110, section 5.3): where that makes a
  difference, it is unknown
- `matches` takes a written regex from `^` to `$`, in the syntax of RE2
- one macro at a time; `filter` and `map` take lists of up to 100 items, all else up to 500
- the times of `getHours()` and the like are in UTC, without a zone; a `time:` condition knows zones
- int and double do not mix in arithmetic: `double(request.body.price) * 1.2`

What may be named stands in types.py. `size()` of a text counts its bytes in UTF-8. `has()` is an error where what
should hold the member is not there itself, or is no map.
"""

from headgate.match.expressions.expression import Expression, Outcome, parse_expression

__all__ = ["Expression", "Outcome", "parse_expression"]
