"""`ProgressReported`: an array that reports how many cells are inside their windows while it is programmed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Readout
from imssa_lab.contract.wrapper import Wrapper
from protocols.programmers import recipe_inside


class ProgressReported(Wrapper):
    """The contract of `array`; after every reading of cells `report` gets (cells inside, cells).

    That is the programming loop's view, by single readings: progress, and no verdict.

    Args:
        target: S, (rows, cols), NaN where nothing is programmed.
    """

    def __init__(self, array: CrossbarArray, target: FloatArray, report: Callable[[int, int], None]) -> None:
        super().__init__(array)
        recipe = recipe_inside(self._default_programmer())
        self._tolerance = np.inf if recipe is None else recipe.tolerance_out
        self._target, self._report = target, report
        self._inside: BoolArray = np.zeros(target.shape, dtype=np.bool_)

    def _after_cells(self, mask: BoolArray, averages: int, readout: Readout) -> None:
        read = readout.current(self._info.adc).mean(axis=0) / self._info.read_voltage
        self._inside = np.where(mask, np.abs(read - self._target) <= self._tolerance, self._inside)
        self._report(int(np.count_nonzero(self._inside)), int(np.count_nonzero(np.isfinite(self._target))))
