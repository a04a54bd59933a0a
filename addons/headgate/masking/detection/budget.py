"""How much work one call of the detector may do, in units that do not depend on the machine."""

from headgate.errors import HeadgateError


class OverBudget(HeadgateError):
    """The work is not for here: a worker has to do it. No `CannotMask`, so that nobody takes it for an answer."""

    def __init__(self) -> None:
        self.reason = "detection-too-slow"
        super().__init__(self.reason)


class Budget:
    """Units left to spend: about one for each character that a pattern is run over."""

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise OverBudget
