"""Measured SET and RESET response: conductances after pulses as quantiles over the cells, without a formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

Row = tuple[float, ...]


class PulseTable(Section):
    """One kind of pulse at several strengths, rising: gate voltages of SETs, voltages of RESETs.

    A cell has a rank, a standard normal z that it keeps; a pulse brings it `share` of the way, in ln G, to
    q(z, strength) exp(s(strength) n), n standard normal and drawn for each pulse. ln q is linear in z between
    `scores`, and in the strength between `strengths`; outside both the outermost hold, but that a pulse weaker than
    the first strength does nothing.
    """

    strengths: Row = Field(min_length=1, description="V, rising")
    scores: Row = Field(min_length=2, description="normal scores of the cells at which quantiles are given, rising")
    quantiles: tuple[Row, ...] = Field(description="S, a row for each strength, a column for each score")
    cycle_spread: Row = Field(description="sd of ln G from pulse to pulse, median of the cells, for each strength")
    share: float = Field(default=1.0, gt=0, le=1, description="of the way in ln G that one pulse brings a cell")
    spread_spread: float = Field(default=0.0, ge=0, description="sd of ln of that sd from cell to cell")

    @model_validator(mode="after")
    def _fits_together(self) -> PulseTable:
        for name in ("strengths", "scores"):
            if any(b <= a for a, b in pairwise(getattr(self, name))):
                raise ValueError(f"measured pulses: {name} must rise")
        if len(self.quantiles) != len(self.strengths) or len(self.cycle_spread) != len(self.strengths):
            raise ValueError("measured pulses: one row of quantiles and one cycle_spread for every strength")
        for row in self.quantiles:
            if len(row) != len(self.scores) or min(row) <= 0 or any(b < a for a, b in pairwise(row)):
                raise ValueError("measured pulses: a row needs a conductance above zero for every score, not falling")
        if min(self.cycle_spread) < 0:
            raise ValueError("measured pulses: cycle_spread cannot be negative")
        return self

    def moved(self, before: FloatArray, towards: FloatArray) -> FloatArray:
        """Conductance of cells after a pulse that would bring them from `before` to `towards` if it did all, S."""
        if self.share == 1.0:
            return towards
        return np.asarray(before * (np.maximum(towards, 1e-12) / np.maximum(before, 1e-12)) ** self.share)

    def leaves(self, strength: FloatArray, rank: FloatArray, spread: FloatArray, drawn: FloatArray) -> FloatArray:
        """Where pulses bring cells, S, (n,); NaN where they are weaker than the first strength.

        Args:
            strength: V; rank: z of the cells; spread: factors of the cycle spread; drawn: n of the pulses; all (n,).
        """
        steps = np.asarray(self.strengths)
        below = np.clip(np.searchsorted(steps, strength, side="right") - 1, 0, max(steps.size - 2, 0))
        above = np.minimum(below + 1, steps.size - 1)
        width = np.where(above > below, steps[above] - steps[below], 1.0)
        part = np.clip((strength - steps[below]) / width, 0.0, 1.0)
        used, places = np.unique(np.concatenate([below, above]), return_inverse=True)
        by_rank = np.stack([np.interp(rank, self.scores, np.log(self.quantiles[row])) for row in used])
        cells = np.arange(strength.size)
        near, far = np.split(places, 2)
        middle = (1.0 - part) * by_rank[near, cells] + part * by_rank[far, cells]
        scatter = np.interp(strength, steps, self.cycle_spread) * spread * drawn
        return np.where(strength >= steps[0], np.exp(middle + scatter), np.nan)


class MeasuredPulses(Section):
    """Tables that replace `set` and `reset`, measured with SETs of one voltage and RESETs of one width.

    SETs only raise, RESETs only lower. A SET of another voltage reaches as much less or more as `set` says of its
    voltage, a RESET of another width acts as one of another voltage, as `reset` says, and its gate must be on.
    """

    set_voltage: float = Field(gt=0, description="V")
    reset_width: float = Field(gt=0, description="s")
    rank_correlation: float = Field(
        default=0.0, ge=-1, le=1, description="of a cell's ranks: low after RESET with high after SET"
    )
    set: PulseTable
    reset: PulseTable


class PulseRanks:
    """Ranks of the cells of one array.

    Attributes:
        set, reset: z of the cells, (rows, cols); set_spread, reset_spread: factors of their cycle spread.
    """

    KEPT = ()
    DEVICES = ("set", "reset", "set_spread", "reset_spread")

    def __init__(self, law: MeasuredPulses, shape: tuple[int, int], devices: np.random.Generator) -> None:
        self.set, own, first, second = devices.standard_normal((4, *shape))
        joint = law.rank_correlation
        self.reset = joint * self.set + np.sqrt(1.0 - joint**2) * own
        self.set_spread = np.exp(law.set.spread_spread * first)
        self.reset_spread = np.exp(law.reset.spread_spread * second)
