"""Compiled loops for noise that lasts from read to read: levels that change, and conductances with them.

As in `compiled_reads`, the bits are those of the numpy code: sums are of numbers on a grid, their order is free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.exact_products import SIEMENS_GRID

_TO_GRID = 1.5 * 2.0**52 * SIEMENS_GRID


@compiled
def replace(which: Any, after: FloatArray, level: FloatArray, before: FloatArray) -> None:
    """Give levels (f,) their new values one after the other, (changes,); `before` is written."""
    for e in range(len(which)):
        before[e] = level[which[e]]
        level[which[e]] = after[e]


@compiled
def steps(amplitude: FloatArray, which: Any, before: FloatArray, after: FloatArray) -> FloatArray:
    """Changes of conductance in S, on the grid, (changes,), where levels of these amplitudes (S, (f,)) change."""
    made = np.empty(len(which))
    for e in range(len(which)):
        size = amplitude[which[e]]
        made[e] = ((size * after[e] + _TO_GRID) - _TO_GRID) - ((size * before[e] + _TO_GRID) - _TO_GRID)
    return made


@compiled
def move(slow: FloatArray, cells: Any, made: FloatArray) -> None:
    """Add steps (changes,) to the conductances (cells,) of these cells, S."""
    for e in range(len(cells)):
        slow[cells[e]] += made[e]
