"""A budget of pulses and of device time, and the account of the part that was spent (see `metered`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from imssa_lab.contract.errors import DeploymentError

_LEAP = 86400.0


@dataclass(frozen=True)
class Budget:
    """Limits of a deployment: `pulses` over all cells, `seconds` of device time over all arrays; None for no limit.

    Reads are not limited: a deployment that ran out is still measured and reported.
    """

    pulses: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("pulses", self.pulses), ("seconds", self.seconds)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise DeploymentError(f"budget: {name}={value!r}; give a number of 0 or more, or leave it out")

    @property
    def endless(self) -> bool:
        """Whether nothing is limited."""
        return self.pulses is None and self.seconds is None


@dataclass
class Account:
    """The part of a budget that was spent.

    Attributes:
        pulses: sent so far, over all cells; seconds: device time gone by, all arrays.
        leaps: times that a device clock went back or a day ahead between two pulses; such times count as none.
        refused: a batch was not sent, because the budget did not cover it.
    """

    budget: Budget
    pulses: int = 0
    seconds: float = 0.0
    leaps: int = 0
    refused: bool = field(default=False)

    def passed(self, seconds: float) -> None:
        """Device time went by on one of the arrays."""
        if not 0 <= seconds < _LEAP:
            self.leaps += 1
        else:
            self.seconds += seconds

    def ask(self, pulses: int) -> None:
        """Raise DeploymentError unless so many more pulses are covered."""
        limit, most = self.budget.pulses, self.budget.seconds
        if limit is not None and self.pulses + pulses > limit:
            self.refused = True
            raise DeploymentError(f"the budget of {limit} pulses is spent ({self.pulses} sent, {pulses} more asked)")
        if most is not None and self.seconds >= most:
            self.refused = True
            raise DeploymentError(f"the budget of {most:g} s device time is spent ({self.seconds:g} s gone by)")
        self.pulses += pulses
