"""Where kernels can stand on an array, and which of them a read serves: packed to save time, or to save area.

Both cut an array into the same tiles, as large as the largest kernel. Packed for time, kernels lie on a diagonal of
tiles, each with word lines of its own, so that one read serves all of them that have no bit line in common. The tiles
beside a kernel stay empty. Packed for area, there is a kernel in every tile. Those of one row of tiles share word
lines, and those of one column share bit lines, so each is read by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Packing = Literal["time", "area"]
"""What the places of kernels save: products a time step, or arrays."""


@dataclass(frozen=True)
class Layout:
    """The places of one array, numbered from 0.

    Attributes:
        size: rows of the largest kernel, so word lines and pairs of bit lines of every place.
        shape: word lines and bit lines of the array.
    """

    packing: Packing
    size: int
    shape: tuple[int, int]

    @property
    def across(self) -> int:
        """Tiles beside one another."""
        return self.shape[1] // (2 * self.size)

    @property
    def places(self) -> int:
        """How many kernels an array takes."""
        down = self.shape[0] // self.size
        return down * (self.across if self.packing == "area" else min(self.across, 1))

    def bank(self, slot: int) -> int:
        """The bank of a place: a read serves the kernels of one."""
        return slot if self.packing == "area" else slot // self.across

    def lines(self, slot: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Word lines and pairs of bit lines of a place, (size,) each."""
        within = np.arange(self.size)
        down, beside = slot // self.across if self.packing == "area" else slot, slot % self.across
        return down * self.size + within, beside * self.size + within

    @property
    def spare(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Word lines and pairs of bit lines that no tile has."""
        rows, pairs = self.shape[0], self.shape[1] // 2
        return np.arange(rows // self.size * self.size, rows), np.arange(self.across * self.size, pairs)
