"""JSON that every parser reads the same way, or a reason why it is none.

RFC 8259 leaves open what a repeated member, a lone surrogate or a number beyond a double means; an upstream may read
such a body otherwise than the schema did. Numbers with a fraction or an exponent are read as doubles (section 6).
Depth is bounded because what walks the value recurses, the validator's native code included.
"""

import json
import math
from typing import Any, NoReturn

from headgate.policy.openapi.faults import shown

MAX_DEPTH = 64


class NotStrict(ValueError):
    """Why the text is not strict JSON; quotes nothing of it but the name of a member."""


def read_json(data: bytes) -> Any:
    """The one value that `data` holds in UTF-8; NotStrict says what is wrong."""
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except UnicodeError:
        raise NotStrict("is not text in UTF-8") from None
    except NotStrict:
        raise
    except RecursionError:
        raise NotStrict(_TOO_DEEP) from None
    except ValueError:
        raise NotStrict("is not JSON") from None
    if not _depth_fits(text, value):
        raise NotStrict(_TOO_DEEP)
    return value


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # `add` gives None
        raise NotStrict(f"holds the member `{shown(twice)}` twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotStrict("holds a number beyond what a double can hold")
    return number


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"holds `{name}`, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members_once, parse_constant=_no_constant, parse_float=_finite)


def _depth_fits(text: str, value: Any) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    level, depth = [value], 0
    while level and depth < MAX_DEPTH:
        depth += 1
        level = [item for parent in level for item in _items(parent) if isinstance(item, dict | list)]
    return not level


def _items(parent: Any) -> Any:
    if isinstance(parent, dict):
        return parent.values()
    return parent if isinstance(parent, list) else ()
