"""Durations as rules write them, in seconds."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: Any) -> float:
    """Seconds from `30s`, `15m`, `1h` or `7d`; ValueError says what is accepted."""
    found = re.match(r"([0-9]{1,6})([smhd])\Z", text) if isinstance(text, str) else None
    if not found:
        raise ValueError("not a duration; accepted: a whole number and a unit, such as `30s`, `15m`, `1h` or `7d`")
    return float(int(found[1]) * _UNITS[found[2]])


Duration = Annotated[float, BeforeValidator(duration, json_schema_input_type=str)]
