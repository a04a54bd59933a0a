"""`paths:` of a target: which ambiguities of a path its servers are known to read in one way only."""

from typing import Literal

from pydantic import StrictBool

from headgate.match import Section
from headgate.model import PathRules


class PathsSpec(Section):
    """What is not given stays refused; each switch is a statement about the upstream, and wrong if it reads otherwise.

    `merge_slashes`: `//` is sent on as `/`. `case: insensitive`: paths are sent on in lower case. `encoded_slash:
    keep`: `%2F` stays part of its segment. `parameters: keep`: `;` is an ordinary character that begins no parameter.
    """

    merge_slashes: StrictBool = False
    case: Literal["sensitive", "insensitive"] = "sensitive"
    encoded_slash: Literal["refuse", "keep"] = "refuse"
    parameters: Literal["refuse", "keep"] = "refuse"

    def rules(self) -> PathRules:
        return PathRules(
            merge_slashes=self.merge_slashes,
            fold_case=self.case == "insensitive",
            encoded_slash=self.encoded_slash == "keep",
            parameters=self.parameters == "keep",
        )
