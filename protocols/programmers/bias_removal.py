"""Bias removal: where inside the window to stop pulsing a cell, learned from how far cells jump past the edge.

With steps smaller than the window cells enter at the edge they come from and stay there: a bias towards the side of
approach, not a smaller error. Letting go later, by what the jumps leave over, puts the mean in the middle.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import FloatArray

_KEPT = 4096
_LEAST = 32
_GRID = 41


class Aim:
    """Learns from crossings in one direction how far inside the window to stop pulsing.

    Attributes:
        shift: S, how far inside the window's near edge a cell must be before it is let go.
    """

    def __init__(self) -> None:
        self.shift = 0.0
        self._jumps = np.zeros(0)

    def learn(self, jumps: FloatArray, window: float) -> None:
        """Take in how far cells went past the letting-go point, S, (n,); half width of the window in S.

        The shift is the one for which cells that land inside the window have the mean error zero.
        """
        self._jumps = np.concatenate([self._jumps, jumps])[-_KEPT:]
        if self._jumps.size < _LEAST:
            return
        shifts = np.linspace(0.0, window, _GRID)
        landing = self._jumps - window + shifts[:, None]
        inside = landing <= window
        mean = np.where(inside, landing, 0.0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        self.shift = float(shifts[np.abs(mean).argmin()])
