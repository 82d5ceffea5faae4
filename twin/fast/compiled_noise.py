"""Compiled loops for noise that lasts from read to read: levels that change, and what outputs see of it.

As in `compiled_reads`, the bits are those of the numpy code: sums are of numbers on a grid, their order is free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.exact_products import SIEMENS_GRID

_EVENTS_AT_ONCE = 64
"""A change costs as many steps as vectors are left in its piece, a piece costs a product."""
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


@compiled
def currents(voltages: FloatArray, slow: FloatArray, cells: Any, made: FloatArray, at: Any) -> FloatArray:
    """Currents in A, (n, cols), of conductances `slow` (rows, cols) in S that make steps on the way, changed.

    Args:
        voltages: V, (n, rows), on a grid. cells: flat, made: S, at: before which vector, all (changes,), in order.
    """
    n, cols = len(voltages), slow.shape[1]
    current = np.empty((n, cols))
    start, event = 0, 0
    while start < n:
        stop = n
        if len(at) > event + _EVENTS_AT_ONCE:
            stop = min(max(at[event + _EVENTS_AT_ONCE], start + 1), n)
        current[start:stop] = np.dot(voltages[start:stop], slow)
        while event < len(at) and at[event] < stop:
            row, col = cells[event] // cols, cells[event] % cols
            for k in range(at[event], stop):
                current[k, col] += voltages[k, row] * made[event]
            slow[row, col] += made[event]
            event += 1
        start = stop
    return current
