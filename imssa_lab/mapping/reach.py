"""What the cells of a damaged array can still reach, and how far a weight stays from there.

A cell that can take conductances from `low` to `high` (both ends the same for a stuck one) makes of its pair an
interval of differences: [low+ - high-, high+ - low-]. A weight outside of it is wrong by its distance to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray, Window


@dataclass(frozen=True, eq=False)
class Reach(FrozenArrays):
    """The conductances that every cell of an array can take: `low` and `high`, S, (rows, cols)."""

    low: FloatArray
    high: FloatArray

    @classmethod
    def whole(cls, shape: tuple[int, int], window: Window) -> Reach:
        """Every cell takes the whole window."""
        return cls(np.full(shape, window.low), np.full(shape, window.high))

    def with_stuck(self, stuck: BoolArray, standing: FloatArray) -> Reach:
        """The same with the cells of `stuck` fixed where they are `standing`, S."""
        return Reach(np.where(stuck, standing, self.low), np.where(stuck, standing, self.high))

    def weights(self, window: Window) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest weight of every pair, (rows, cols // 2) each, in units of the window."""
        low = (self.low[:, 0::2] - self.high[:, 1::2]) / window.span
        high = (self.high[:, 0::2] - self.low[:, 1::2]) / window.span
        return low, high


def shortfall(weights: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Distance of weights to the intervals [low, high]; shapes broadcast."""
    return np.maximum(np.maximum(low - weights, weights - high), 0.0)
