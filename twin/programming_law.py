"""Programming by statistics: what a loop of pulses leaves, for chips of which only that is published."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport
from twin.profile_section import Section


class ProgrammingError(Section):
    """How far from its target a cell is left, in place of pulses that would bring it there.

    sd(G) = sum over k of sd[k] (G / g_max)^k of the target G, valid in the profile's window. The published
    polynomials describe cells that end their programming, so the error is there before any relaxation. No cell goes
    below 0 S: what the law would put there stays at 0.
    """

    law: Literal["exact", "normal", "uniform"] = Field(
        description="exact: no error; uniform: the residue of an acceptance window, of half width sqrt(3) sd"
    )
    g_max: float | None = Field(default=None, gt=0, description="S, the unit of G in the polynomial")
    sd: tuple[float, ...] = Field(default=(), description="S, coefficients of rising powers")

    @model_validator(mode="after")
    def _complete(self) -> ProgrammingError:
        if self.law == "exact" and (self.sd or self.g_max is not None):
            raise ValueError("programming: an exact law has no sd and no g_max")
        if self.law != "exact" and (not self.sd or self.g_max is None):
            raise ValueError(f"programming: a {self.law} law needs sd and g_max")
        return self

    def sd_at(self, target: FloatArray) -> FloatArray:
        """Standard deviation of the error in S, same shape as the targets (S), before anything stops at 0 S."""
        if self.g_max is None:
            return np.zeros_like(target)
        return np.asarray(np.polynomial.polynomial.polyval(target / self.g_max, self.sd))

    def draw(self, target: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Conductances in S that cells end with, same shape as the targets (S)."""
        if self.law == "exact":
            return target.copy()
        if self.law == "normal":
            score = rng.standard_normal(target.shape)
        else:
            score = np.sqrt(3) * rng.uniform(-1.0, 1.0, target.shape)
        return np.maximum(target + self.sd_at(target) * score, 0.0)


def programming_report(
    array: CrossbarArray, target: FloatArray, mask: BoolArray, tolerance: float, started: float
) -> ProgrammingReport:
    """The report of a programming without pulses, by an independent re-read.

    Args:
        tolerance: half width of the window that counts as success, S. started: device time, s.
    """
    achieved = array.read_conductances(mask)
    return ProgrammingReport(
        target=target,
        achieved=achieved,
        pulses=np.zeros(mask.shape, dtype=np.int32),
        outcome=np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8),
        tolerance=tolerance,
        seconds=array.time - started,
        reads=1,
    )
