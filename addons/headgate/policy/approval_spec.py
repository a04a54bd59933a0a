"""What an `approve` rule asks for: who must say yes, how many of them, and for how long that holds."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from headgate.match import Duration, Section
from headgate.match.spec import PrincipalSpec


class ApprovalSpec(Section):
    """`wait` is how long the request is held, `expires` how long the approval may be decided; a `grant` of `once` lets
    one request through, a duration all like it for so long."""

    by: PrincipalSpec
    quorum: Annotated[StrictInt, Field(ge=1, le=10)] = 1
    wait: Duration = 45.0
    expires: Duration = 900.0
    grant: Literal["once"] | Duration = "once"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= self.wait <= 300:
            raise ValueError("`wait` is how long a connection is held open; accepted: up to `5m`")
        if not max(1.0, self.wait) <= self.expires <= 7 * 86400:
            raise ValueError("`expires` is how long there is to decide; accepted: at least `wait`, up to `7d`")
        if self.grant != "once" and not 0 < self.grant <= 86400:
            raise ValueError("`grant` is how long the approval holds; accepted: `once`, or a duration up to `1d`")
        return self
