"""Estimates of all conductances from matrix-vector products: a recursive least-squares filter.

The gradient of the squared output error, X^T (Y - X G), preconditioned by what is known of each cell: a Kalman
filter, one per bit line, whose state is the conductances of its cells and the offset of its output.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray
from protocols.probes import probe_voltages
from protocols.recurrence import read_signed


class ProductReader:
    """Estimate of the conductances of an array, improved by every batch of products.

    Memory is rows^2 x cols numbers, a batch costs about cols x rows^3 operations.

    Args:
        guess: S, (rows, cols), where cells are believed to be; sd: S, how well that is known.
        vectors: in a batch; drift: S, the change that a cell may make without a pulse between two batches.
        batches: how many there will be at most.
    """

    def __init__(
        self,
        array: CrossbarArray,
        guess: FloatArray,
        sd: FloatArray,
        *,
        vectors: int,
        drift: float,
        batches: int,
    ) -> None:
        info = array.info
        self._array, self._drift, self._vectors = array, drift, vectors
        limit = info.limits.read_voltage
        # with all word lines driven a column must stay within its converter: beyond it nothing can be learnt
        self._unit = min(limit, _full_scale(array) / (info.rows * info.window.high))
        # full voltage either way: converters put it on the line exactly, and no vector says more about a cell
        probes = probe_voltages(vectors * batches, info.rows, limit)
        self._drive = np.where(probes < 0, -self._unit, self._unit)
        self._used = 0
        self._mean = np.vstack([guess, np.zeros((1, info.cols))])
        variance = np.vstack([sd**2, np.full((1, info.cols), (info.window.span) ** 2)])
        self._covariance = np.einsum("ij,ki->jik", variance, np.eye(info.rows + 1))
        self._noise: FloatArray | None = None
        self.reads = 0

    @property
    def conductance(self) -> FloatArray:
        """S, (rows, cols), as believed."""
        return np.asarray(self._mean[:-1])

    @property
    def doubt(self) -> FloatArray:
        """sd of that, S, (rows, cols)."""
        return np.asarray(np.sqrt(np.einsum("jii->ij", self._covariance)[:-1]))

    def forget(self, cells: BoolArray, sd: float) -> None:
        """Cells that were pulsed may be anywhere within `sd` (S) of where they were."""
        for col in np.flatnonzero(cells.any(axis=0)):
            rows = np.flatnonzero(cells[:, col])
            own = self._covariance[col]
            known = own[rows, rows]
            own[rows, :] = 0.0
            own[:, rows] = 0.0
            own[rows, rows] = known + sd**2

    def read(self) -> None:
        """Read one batch and learn from it."""
        drive = self._drive[self._used : self._used + self._vectors]
        self._used += self._vectors
        current = self._read(drive)
        if self._noise is None:
            again = self._read(drive)
            self._noise = np.maximum(np.mean((again - current) ** 2, axis=0) / 2, (1e-12 + 1e-6 * current.std()) ** 2)
            current = (current + again) / 2
        inputs = np.hstack([drive, np.full((len(drive), 1), self._unit)])
        covariance = self._covariance
        covariance[:, np.arange(len(self._mean) - 1), np.arange(len(self._mean) - 1)] += self._drift**2
        crossed = covariance @ inputs.T
        spread = inputs @ crossed
        spread[:, np.arange(len(drive)), np.arange(len(drive))] += self._noise[:, None]
        gain = np.linalg.solve(spread, crossed.transpose(0, 2, 1)).transpose(0, 2, 1)
        surprise = current - inputs @ self._mean
        self._mean += np.einsum("jin,nj->ij", gain, surprise)
        reduced = covariance - gain @ crossed.transpose(0, 2, 1)
        self._covariance = (reduced + reduced.transpose(0, 2, 1)) / 2

    def _read(self, drive: FloatArray) -> FloatArray:
        passes = 1 if self._array.info.input_signed else 2
        self.reads += -(-passes * len(drive) // self._array.info.rows)
        return read_signed(self._array, drive)


def _full_scale(array: CrossbarArray) -> float:
    adc = array.info.adc
    if adc is None:
        return np.inf
    return max(abs(scale) * 2.0**adc.bits + offset for scale, offset in zip(adc.scale, adc.offset, strict=True))
