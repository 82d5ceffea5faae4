"""`Watched`: an array that tells how many cells stand inside their windows, while a programmer works on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Readout
from imssa_lab.contract.wrapper import Decorated
from protocols.programmers import recipe_inside


class Watched(Decorated):
    """The contract of `array`; every reading of cells is also told to `tell` as (cells inside, cells).

    What is told is the programming loop's view, by single readings: progress, and no verdict.

    Args:
        target: S, (rows, cols), NaN where nothing is programmed.
    """

    def __init__(self, array: CrossbarArray, target: FloatArray, tell: Callable[[int, int], None]) -> None:
        super().__init__(array)
        recipe = recipe_inside(self._default_programmer())
        self._tolerance = np.inf if recipe is None else recipe.tolerance_out
        self._target, self._tell = target, tell
        self._inside: BoolArray = np.zeros(target.shape, dtype=np.bool_)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        readout = super()._read_conductances(mask, averages)
        read = readout.current(self._info.adc).mean(axis=0) / self._info.read_voltage
        self._inside = np.where(mask, np.abs(read - self._target) <= self._tolerance, self._inside)
        self._tell(int(np.count_nonzero(self._inside)), int(np.count_nonzero(np.isfinite(self._target))))
        return readout
