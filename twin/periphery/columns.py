"""Between cells and converters: column gain and offset, and readings that sag with their rate."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from imssa_lab.contract.hal import FloatArray
from twin.periphery.inputs import Inputs
from twin.profile_section import Section

__all__ = ["ColumnAmplifiers", "Columns", "Inputs", "ReadRate", "Sag"]


class Columns(Section):
    """Per-column gain and offset of `read_mvm` before calibration; cell reads do not have them."""

    gain: float = Field(gt=0, description="mean")
    gain_spread: float = Field(ge=0, description="sd")
    offset_spread: float = Field(ge=0, description="sd, A")


class ReadRate(Section):
    """Readings sag if reads follow each other too fast, as if a reference is discharged and recovers.

    Every read takes the share `drain` of what is left; between reads the loss heals as exp(-t/recovery).
    """

    drain: float = Field(ge=0, lt=1, description="share of a reading that one read takes from the next")
    recovery: float = Field(gt=0, description="s")


class ColumnAmplifiers:
    """Gain and offset of every bit line as they are on this chip."""

    KEPT = ()
    DEVICES = ("gain", "offset")

    def __init__(self, columns: Columns, cols: int, rng: np.random.Generator) -> None:
        self.gain: FloatArray = columns.gain + columns.gain_spread * rng.standard_normal(cols)
        self.offset: FloatArray = columns.offset_spread * rng.standard_normal(cols)

    def apply(self, current: FloatArray) -> FloatArray:
        """Output of the amplifiers for currents (..., cols), A."""
        return self.gain * current + self.offset


class Sag:
    """The remaining fraction of every reading, on one chip.

    Args:
        rate: None where the rate does not matter.
    """

    KEPT = ("_lost", "_until")

    def __init__(self, rate: ReadRate | None) -> None:
        self._rate = rate
        self._lost = 0.0
        self._until = 0.0

    def left(self, start: float, reads: int, period: float, end: float) -> FloatArray:
        """Factors of so many readings, (reads,), `period` long each, from device time `start` to `end`, s."""
        factors = np.ones(reads)
        if self._rate is None:
            return factors
        lost, healed = self.lost_at(start), self.healed(period)
        for i in range(reads):
            factors[i] = 1.0 - lost
            lost, before = (lost + self._rate.drain * (1.0 - lost)) * healed, lost
            if lost == before:
                factors[i:] = factors[i]
                break
        self.keep(lost, end)
        return factors

    def lost_at(self, time: float) -> float:
        """Share that a reading at a device time (s) loses."""
        if self._rate is None or self._lost == 0.0:
            return 0.0
        return self._lost * math.exp(-(time - self._until) / self._rate.recovery)

    def healed(self, seconds: float) -> float:
        """The remaining loss after this number of seconds."""
        return 1.0 if self._rate is None else math.exp(-seconds / self._rate.recovery)

    def keep(self, lost: float, time: float) -> None:
        """Set the lost share at a device time (s)."""
        self._lost, self._until = lost, time
