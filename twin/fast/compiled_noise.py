"""Compiled loops for noise: normal numbers, refreshes to come, levels that change and conductances with them.

They give the bits of the numpy code of `twin.fluctuators` and `twin.noise`: a generator is asked for the same numbers
in the same order, and sums are of numbers on a grid, whose order is free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import compiled
from twin.fast.exact_products import SIEMENS_GRID

_TO_GRID = 1.5 * 2.0**52 * SIEMENS_GRID


@compiled
def draw(stream: Any, drawn: FloatArray) -> None:
    """Standard normal numbers, written to `drawn` (n,), as the generator itself would give them."""
    for e in range(len(drawn)):
        drawn[e] = stream.standard_normal()


@compiled
def draw_levels(stream: Any, which: Any, occupancy: FloatArray, levels: FloatArray) -> None:
    """Stationary levels of these fluctuators (n,), written; `occupancy` (f,) is NaN for a Gaussian one."""
    two_states = False
    for e in range(len(which)):
        levels[e] = stream.standard_normal()
        two_states |= not np.isnan(occupancy[which[e]])
    if two_states:
        for e in range(len(which)):
            lot, chance = stream.random(), occupancy[which[e]]
            if not np.isnan(chance):
                levels[e] = (1.0 if lot < chance else 0.0) - chance


@compiled
def plan(
    stream: Any,
    start: float,
    rates: Any,
    members: Any,
    begins: Any,
    occupancy: FloatArray,
    when: FloatArray,
    which: Any,
    value: FloatArray,
) -> None:
    """The next refreshes after `start` (s), as many as `when` has: their times, fluctuators and levels, written.

    Args:
        rates: 1/s, ascending (kinds,), and those of all fluctuators up to a kind added up, (kinds,).
        members: fluctuators, sorted by kind; begins: first of each kind among them, and the end, (kinds + 1,).
    """
    distinct, up_to = rates
    kinds, total = len(distinct), up_to[-1]
    for e in range(len(when)):
        gap = stream.standard_exponential() / total
        when[e] = gap + (start if e == 0 else when[e - 1])
    for e in range(len(when)):
        lot = stream.random() * total
        low, high = 0, kinds
        while low < high:
            middle = (low + high) // 2
            if up_to[middle] <= lot:
                low = middle + 1
            else:
                high = middle
        kind = min(low, kinds - 1)
        which[e] = members[max(begins[kind + 1] - 1 - int((up_to[kind] - lot) / distinct[kind]), begins[kind])]
    draw_levels(stream, which, occupancy, value)


@compiled
def jump(stream: Any, kinds: Any, chances: FloatArray, which: Any) -> int:
    """Fluctuators (f,) refreshed, each by the chance of its kind, to the first places of `which`; how many."""
    count = 0
    for e in range(len(kinds)):
        which[count] = e
        count += stream.random() < chances[kinds[e]]
    return count


@compiled
def replace(which: Any, after: FloatArray, level: FloatArray, before: FloatArray) -> None:
    """Give levels (f,) their new values one after the other, (changes,); `before` is written."""
    for e in range(len(which)):
        before[e] = level[which[e]]
        level[which[e]] = after[e]


@compiled
def move(
    slow: FloatArray, cell: Any, amplitude: FloatArray, which: Any, before: FloatArray, after: FloatArray
) -> None:
    """Bring conductances (cells,) in S to new levels of fluctuators, (changes,).

    Args:
        cell, amplitude: of every fluctuator, (f,), S.
    """
    for e in range(len(which)):
        size = amplitude[which[e]]
        step = ((size * after[e] + _TO_GRID) - _TO_GRID) - ((size * before[e] + _TO_GRID) - _TO_GRID)
        slow[cell[which[e]]] += step
