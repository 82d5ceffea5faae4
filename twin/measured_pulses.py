"""Measured SET and RESET response: conductances after pulses as quantiles over the cells, without a formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

Row = tuple[float, ...]
_MOST_LEFT = 0.9
"""Of the way, at most, that a pulse leaves of any cell."""
_BEYOND = (-1.0, 2.0)
"""How far a pulse may be felt beyond the strengths beside it, in steps between them."""


class PulseTable(Section):
    """One kind of pulse at several strengths, rising: gate voltages of SETs, voltages of RESETs.

    A cell has a rank, a standard normal z that it keeps; a pulse brings it `share` of the way, in ln G, to
    q(z, strength + jitter m) exp(s(strength) n), m and n standard normal and drawn for each pulse. ln q is linear in
    z between `scores`, and in the strength between `strengths`; outside both the outermost hold, but that a pulse
    weaker than the first strength does nothing, and jitter continues the slope. What is left of the way spreads over
    the cells: (1 - share) exp(share_spread z'), another z' that a cell keeps.
    """

    strengths: Row = Field(min_length=1, description="V, rising")
    scores: Row = Field(min_length=2, description="normal scores of the cells at which quantiles are given, rising")
    quantiles: tuple[Row, ...] = Field(description="S, a row for each strength, a column for each score")
    cycle_spread: Row = Field(description="sd of ln G from pulse to pulse, median of the cells, for each strength")
    share: float = Field(default=1.0, gt=0, le=1, description="of the way in ln G that one pulse brings a cell")
    spread_spread: float = Field(default=0.0, ge=0, description="sd of ln of that sd from cell to cell")
    jitter: float = Field(default=0.0, ge=0, description="V, sd of the strength that a cell feels, pulse to pulse")
    share_spread: float = Field(default=0.0, ge=0, description="sd of ln of what a pulse leaves of the way")

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

    def moved(self, before: FloatArray, towards: FloatArray, slowness: FloatArray | float = 0.0) -> FloatArray:
        """Conductance of cells after a pulse that would bring them from `before` to `towards` if it did all, S.

        Args:
            slowness: z' of the cells; all broadcast together.
        """
        if self.share == 1.0:
            return towards
        rest = np.minimum((1.0 - self.share) * np.exp(self.share_spread * np.asarray(slowness)), _MOST_LEFT)
        return np.asarray(before * (np.maximum(towards, 1e-12) / np.maximum(before, 1e-12)) ** (1.0 - rest))

    def leaves(
        self,
        strength: FloatArray,
        rank: FloatArray,
        spread: FloatArray,
        drawn: FloatArray,
        felt: FloatArray | float = 0.0,
    ) -> FloatArray:
        """Where pulses bring cells, S, (n,); NaN where they are weaker than the first strength.

        Args:
            strength: V; rank: z of the cells; spread: factors of both scatters; drawn: n and felt: m of the pulses;
                all (n,).
        """
        steps = np.asarray(self.strengths)
        at = np.clip(strength, steps[0], steps[-1]) + self.jitter * spread * felt
        below = np.clip(np.searchsorted(steps, at, side="right") - 1, 0, max(steps.size - 2, 0))
        above = np.minimum(below + 1, steps.size - 1)
        width = np.where(above > below, steps[above] - steps[below], 1.0)
        part = np.clip((at - steps[below]) / width, *_BEYOND)
        used, places = np.unique(np.concatenate([below, above]), return_inverse=True)
        by_rank = np.stack([np.interp(rank, self.scores, np.log(self.quantiles[row])) for row in used])
        cells = np.arange(strength.size)
        near, far = np.split(places, 2)
        reached = (1.0 - part) * by_rank[near, cells] + part * by_rank[far, cells]
        scatter = np.interp(strength, steps, self.cycle_spread) * spread * drawn
        return np.where(strength >= steps[0], np.exp(reached + scatter), np.nan)


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
        set, reset: z of the cells, (rows, cols); set_spread, reset_spread: factors of their cycle spread;
            set_slowness, reset_slowness: z' of their shares.
    """

    KEPT = ()
    DEVICES = ("set", "reset", "set_spread", "reset_spread", "set_slowness", "reset_slowness")

    def __init__(self, law: MeasuredPulses, shape: tuple[int, int], devices: np.random.Generator) -> None:
        self.set, own, first, second, self.set_slowness, self.reset_slowness = devices.standard_normal((6, *shape))
        joint = law.rank_correlation
        self.reset = joint * self.set + np.sqrt(1.0 - joint**2) * own
        self.set_spread = np.exp(law.set.spread_spread * first)
        self.reset_spread = np.exp(law.reset.spread_spread * second)
