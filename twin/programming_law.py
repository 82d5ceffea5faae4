"""Programming by statistics, for chips of which only the result of a programming loop is published."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport
from twin.profile_section import Section
from twin.relaxation import tailed

_TAILS = ("down", "down_share", "up", "up_share")
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
Row = tuple[float, ...]


class ProgrammingError(Section):
    """Errors of cells after programming, used instead of pulses.

    `normal` and `uniform` have sd(G) = sum over k of sd[k] (G / g_max)^k of the target G, valid in the profile's
    window, and no mean error but for the tilt of a window. `by-level` is the quantile law `twin.relaxation.tailed`:
    mean, core and tails by level, each parameter linear in the target between `levels` and held outside. The
    published statistics describe cells that end their programming, so the error is there before any relaxation. No
    cell goes below 0 S: what the law would put there stays at 0.
    """

    law: Literal["exact", "normal", "uniform", "by-level"] = Field(
        description="exact: no error; uniform: the residue of an acceptance window, of half width sqrt(3) sd"
    )
    g_max: float | None = Field(default=None, gt=0, description="S, the unit of G in the polynomial")
    sd: Row = Field(default=(), description="S, coefficients of rising powers")
    tilt: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="of a uniform law: its density times (1 + tilt error/half width)",
    )
    levels: Row = Field(default=(), description="S, targets at which the parameters of `by-level` are given, rising")
    shift: Row = Field(default=(), description="S, shift common to all cells of a level")
    core: Row = Field(default=(), description="S, sd of the Gaussian core")
    down: Row = Field(default=(), description="S, mean of the tail to low conductance; empty: no tails")
    down_share: Row = Field(default=(), description="share of the cells that this tail holds, about")
    up: Row = Field(default=(), description="S, mean of the tail to high conductance")
    up_share: Row = Field(default=(), description="share of the cells that this tail holds, about")

    @model_validator(mode="after")
    def _complete(self) -> ProgrammingError:
        polynomial = bool(self.sd) or self.g_max is not None
        tables = {name: getattr(self, name) for name in ("levels", "shift", "core", *_TAILS)}
        if self.law == "exact" and polynomial:
            raise ValueError("programming: an exact law has no sd and no g_max")
        if self.law in ("normal", "uniform") and (not self.sd or self.g_max is None):
            raise ValueError(f"programming: a {self.law} law needs sd and g_max")
        if self.law != "uniform" and self.tilt:
            raise ValueError(f"programming: a law that is {self.law} has no tilt; uniform has")
        if self.law != "by-level":
            given = [name for name, row in tables.items() if row]
            if given:
                raise ValueError(f"programming: a law that is {self.law} has no {given[0]}; by-level has")
            return self
        if polynomial:
            raise ValueError("programming: a law by-level has no sd and no g_max; core takes their place")
        size = len(self.levels)
        if not size or any(b <= a for a, b in pairwise(self.levels)):
            raise ValueError("programming: a law by-level needs levels that rise")
        for name in ("shift", "core"):
            if len(tables[name]) != size:
                raise ValueError(f"programming: {name} needs {size} values, one for each level")
        if len({len(tables[name]) for name in _TAILS} - {0}) > 1 or len(self.down) not in (0, size):
            raise ValueError(f"programming: {', '.join(_TAILS)} belong together, {size} values each")
        if any(not tables[name] for name in _TAILS) and any(tables[name] for name in _TAILS):
            raise ValueError(f"programming: {', '.join(_TAILS)} belong together; one of them is missing")
        for name in ("core", *_TAILS):
            if min(tables[name], default=0.0) < 0:
                raise ValueError(f"programming: {name} cannot be negative")
        return self

    def sd_at(self, target: FloatArray) -> FloatArray:
        """Standard deviation of the error in S, same shape as the targets (S), before anything stops at 0 S."""
        if self.law == "by-level":
            z = _NODES.reshape(-1, *(1 for _ in target.shape))
            errors, weights = self._errors(target, z), _WEIGHTS / _WEIGHTS.sum()
            mean: FloatArray = np.tensordot(weights, errors, axes=1)
            variance: FloatArray = np.tensordot(weights, (errors - mean) ** 2, axes=1)
            return np.asarray(np.sqrt(variance))
        if self.g_max is None:
            return np.zeros_like(target)
        return np.asarray(np.polynomial.polynomial.polyval(target / self.g_max, self.sd))

    def mean_at(self, target: FloatArray) -> FloatArray:
        """Mean of the error in S, same shape as the targets (S), before anything stops at 0 S."""
        if self.law != "by-level":
            return np.asarray(self.sd_at(target) * (self.tilt / np.sqrt(3)))
        z = _NODES.reshape(-1, *(1 for _ in target.shape))
        mean: FloatArray = np.tensordot(_WEIGHTS / _WEIGHTS.sum(), self._errors(target, z), axes=1)
        return mean

    def draw(self, target: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Conductances in S that cells end with, same shape as the targets (S)."""
        if self.law == "exact":
            return target.copy()
        if self.law == "uniform":
            error = self.sd_at(target) * np.sqrt(3) * _tilted(rng.uniform(-1.0, 1.0, target.shape), self.tilt)
        elif self.law == "normal":
            error = self.sd_at(target) * rng.standard_normal(target.shape)
        else:
            error = self._errors(target, rng.standard_normal(target.shape))
        return np.asarray(np.maximum(target + error, 0.0))

    def quantiles(self, target: FloatArray, z: FloatArray) -> FloatArray:
        """Conductances in S that cells at normal scores z end with, for targets in S, broadcast together."""
        from scipy.special import ndtr

        if self.law == "exact":
            error: FloatArray = np.zeros(np.broadcast_shapes(target.shape, z.shape))
        elif self.law == "uniform":
            error = self.sd_at(target) * np.sqrt(3) * _tilted(2 * ndtr(z) - 1, self.tilt)
        elif self.law == "normal":
            error = self.sd_at(target) * z
        else:
            error = self._errors(target, z)
        return np.asarray(np.maximum(target + error, 0.0))

    def _errors(self, target: FloatArray, z: FloatArray) -> FloatArray:
        """Errors in S of cells with these targets (S) at normal scores z, broadcast together."""
        shift, core = (np.interp(target, self.levels, row) for row in (self.shift, self.core))
        if not self.down:
            return np.asarray(shift + core * z)
        tails = tuple(np.interp(target, self.levels, getattr(self, name)) for name in _TAILS)
        return tailed(z, shift, core, tails)


def _tilted(flat: FloatArray, tilt: float) -> FloatArray:
    """Values uniform in -1 to 1 taken to the density (1 + tilt x)/2, same shape."""
    if tilt == 0.0:
        return flat
    return np.asarray((np.sqrt((1 - tilt) ** 2 + 2 * tilt * (flat + 1)) - 1) / tilt)


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
