"""Read noise of the cells."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from imssa_lab.hal import FloatArray
from twin.section import Section


class ReadNoise(Section):
    """White noise of a cell from read to read; its sd is lognormal over the cells and grows with conductance."""

    sd_median: float = Field(ge=0, description="S, of a cell at the reference conductance")
    sd_spread: float = Field(ge=0, description="sd of ln sd from cell to cell")
    reference: float = Field(gt=0, description="S")
    exponent: float = Field(ge=0, description="sd grows as (G / reference) to this power")


class WhiteNoise:
    """White noise with a standard deviation of its own for every cell, growing with its conductance.

    sd_ij(G) = a_ij (G / G_ref)^exponent, a lognormal over the array. The noise of a matrix-vector product is drawn
    per output from its exact variance, sum_i V_i^2 sd_ij^2: the same law as noise drawn cell by cell.
    """

    def __init__(
        self, noise: ReadNoise, shape: tuple[int, int], devices: np.random.Generator, reads: np.random.Generator
    ) -> None:
        self._noise = noise
        self._at_reference = noise.sd_median * np.exp(noise.sd_spread * devices.standard_normal(shape))
        self._rng = reads

    def sd(self, conductance: FloatArray) -> FloatArray:
        """Standard deviation of a cell read in S, (rows, cols), at these conductances."""
        growth = (conductance / self._noise.reference) ** self._noise.exponent
        return np.asarray(self._at_reference * growth)

    def of_mvm(self, voltages: FloatArray, conductance: FloatArray) -> FloatArray:
        """Noise current in A, (n, cols), for word-line voltages (n, rows)."""
        sd = np.sqrt(voltages**2 @ self.sd(conductance) ** 2)
        return np.asarray(sd * self._rng.standard_normal(sd.shape))

    def of_cells(self, averages: int, conductance: FloatArray) -> FloatArray:
        """Noise conductance in S, (averages, rows, cols)."""
        return np.asarray(self.sd(conductance) * self._rng.standard_normal((averages, *conductance.shape)))
