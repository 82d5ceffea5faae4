"""Matrix-vector products whose bits do not depend on how many vectors go through at once.

A BLAS sums in another order for one vector than for many, and the last bit differs. Numbers on a grid have no last
bit to lose: operands are cut into slices of so few bits that every product of slices and every sum is exact in
float64, whatever the order (Ozaki et al., Numer. Algorithms 59:95, 2012).
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import FloatArray

_BITS = 18
"""Of a slice: 36 bits a product leave 17 for the sum over word lines."""
SQUARE_GRID = 2.0**-25
"""V^2: of squared voltages, which weigh the variances of cells."""
VOLT_GRID = 2.0**-18
"""4 uV, of voltages, which weigh fluctuations that last: fine beside any noise."""
MAGNITUDE_GRID = 2.0**-20
"""V, of magnitudes of voltages, which weigh shot noise."""
SIEMENS_GRID = 2.0**-44
"""0.06 pS, of fluctuations that last: fine beside any noise, and exact in sums over 1,024 word lines."""


class ExactProduct:
    """I = V G for many vectors, to within 1e-16 of full scale times the number of word lines.

    Args:
        conductance: S, (rows, cols).
        voltage_max: V, no voltage is larger in magnitude.
    """

    def __init__(self, conductance: FloatArray, voltage_max: float) -> None:
        self._conductance = conductance.copy()
        self._volts = grid_below(voltage_max, _BITS)
        high, middle, low = _slices(conductance, grid_below(float(np.abs(conductance).max()) or 1.0, _BITS))
        self._all, self._upper, self._high = np.hstack([high, middle, low]), np.hstack([high, middle]), high

    def is_of(self, conductance: FloatArray) -> bool:
        """Whether this is the product with that matrix."""
        return np.array_equal(self._conductance, conductance)

    def of(self, voltages: FloatArray) -> FloatArray:
        """Currents in A, (n, cols), for voltages (n, rows) in V."""
        cols = self._conductance.shape[1]
        high, middle, low = _slices(voltages, self._volts)
        by_high, by_middle = high @ self._all, middle @ self._upper
        # Rounded here, in an order that is always the same: the small ones first. What is left out is smaller still.
        total: FloatArray = low @ self._high
        total += by_middle[:, cols:]
        total += by_high[:, 2 * cols :]
        total += by_middle[:, :cols]
        total += by_high[:, cols : 2 * cols]
        total += by_high[:, :cols]
        return total


class SteppedProduct:
    """The same for voltages that are a few multiples of one step: two slices of the conductances are enough.

    Args:
        conductance: S, (rows, cols).
        step: V; no voltage is 2^9 of them or more.
        single: no voltage is more than one step; one slice is enough then.

    Attributes:
        slices: of the conductances, side by side, the large parts first, S, (rows, 2 cols) or (rows, cols).
    """

    def __init__(self, conductance: FloatArray, step: float, *, single: bool = False) -> None:
        self._conductance, self.step = conductance.copy(), step
        # what the bits of a voltage and the sum leave
        bits = 53 - (1 if single else 9) - int(np.ceil(np.log2(len(conductance))))
        grid = grid_below(float(np.abs(conductance).max()) or 1.0, bits)
        high = on_grid(conductance, grid)
        self.slices = high if single else np.hstack([high, on_grid(conductance - high, grid * 2.0**-bits)])

    @staticmethod
    def suits(voltage_max: float, step: float | None) -> bool:
        """Whether such voltages, V, are few enough multiples of the step."""
        return step is not None and voltage_max < 2**9 * step

    def is_of(self, conductance: FloatArray) -> bool:
        """Whether this is the product with that matrix."""
        return np.array_equal(self._conductance, conductance)

    def of(self, voltages: FloatArray) -> FloatArray:
        """Currents in A, (n, cols), for voltages (n, rows) in V."""
        cols = self._conductance.shape[1]
        sums = np.rint(voltages / self.step) @ self.slices
        return np.asarray(self.step * (sums[:, :cols] + sums[:, cols:] if sums.shape[1] > cols else sums))


def on_grid(values: FloatArray, grid: float) -> FloatArray:
    """The multiples of `grid`, a power of two, nearest to `values` (any shape), below 2^51 of them in magnitude."""
    shift = 1.5 * 2.0**52 * grid  # in this binade neighbouring floats are one grid step apart
    return np.asarray((values + shift) - shift)


def grid_below(largest: float, bits: int) -> float:
    """The power of two of which `largest`, above zero, is less than 2^bits multiples."""
    return float(2.0 ** (np.frexp(largest)[1] - bits))


def _slices(values: FloatArray, grid: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Three parts of `values`, each on a grid 2^-18 as wide as the one before, and their sum all but exact."""
    high = on_grid(values, grid)
    rest = values - high
    middle = on_grid(rest, grid * 2.0**-_BITS)
    return high, middle, on_grid(rest - middle, grid * 2.0 ** (-2 * _BITS))
