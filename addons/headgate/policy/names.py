"""Names that people give to rules, targets, limits and bundles."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def _identifier(text: str) -> str:
    if not re.fullmatch(_IDENTIFIER, text):
        accepted = "up to 100 letters, digits, `.`, `_` and `-`, of which the first is a letter or a digit"
        raise ValueError(f"`{text[:80]}` is not a name; accepted: {accepted}")
    return text


Identifier = Annotated[
    str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": f"^{_IDENTIFIER}$"})
]
