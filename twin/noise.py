"""Read noise of the cells."""

from __future__ import annotations

import numpy as np

from imssa_lab.hal import FloatArray
from twin.profile import ReadNoise


class WhiteNoise:
    """White noise with a standard deviation of its own for every cell, lognormal over the array.

    The noise of a matrix-vector product is drawn per output from its exact variance, sum_i V_i^2 sd_ij^2: the same
    law as noise drawn cell by cell.
    """

    def __init__(
        self, noise: ReadNoise, shape: tuple[int, int], devices: np.random.Generator, reads: np.random.Generator
    ) -> None:
        self.sd: FloatArray = noise.sd_median * np.exp(noise.sd_spread * devices.standard_normal(shape))
        self._variance = self.sd**2
        self._rng = reads

    def of_mvm(self, voltages: FloatArray) -> FloatArray:
        """Noise current in A, (n, cols), for word-line voltages (n, rows)."""
        sd = np.sqrt(voltages**2 @ self._variance)
        return sd * self._rng.standard_normal(sd.shape)

    def of_cells(self, averages: int) -> FloatArray:
        """Noise conductance in S, (averages, rows, cols)."""
        return self.sd * self._rng.standard_normal((averages, *self.sd.shape))
