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
def draw_levels(stream: Any, which: Any, occupancy: FloatArray, gaussian: int, levels: FloatArray) -> None:
    """Stationary levels of these fluctuators (n,), written.

    Args:
        occupancy: NaN for a Gaussian one, (f,); gaussian: so many from the first on are, and are not looked up.
    """
    two_states = False
    for e in range(len(which)):
        levels[e] = stream.standard_normal()
        two_states = two_states or (which[e] >= gaussian and not np.isnan(occupancy[which[e]]))
    if two_states:
        for e in range(len(which)):
            lot = stream.random()
            if which[e] >= gaussian:
                chance = occupancy[which[e]]
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
    gaussian: int,
    when: FloatArray,
    which: Any,
    value: FloatArray,
) -> None:
    """The next refreshes after `start` (s), as many as `when` has: their times, fluctuators and levels, written.

    Args:
        rates: 1/s, ascending (kinds,); those of all fluctuators up to a kind added up, (kinds,); and for equal parts
            of their sum the kind that the part begins in, (parts,): to look from there on is faster than to halve.
        members: fluctuators, sorted by kind; begins: first of each kind among them, and the end, (kinds + 1,).
        occupancy, gaussian: as for `draw_levels`.
    """
    distinct, up_to, begins_in = rates
    kinds, total = len(distinct), up_to[-1]
    part = len(begins_in) / total
    for e in range(len(when)):
        gap = stream.standard_exponential() / total
        when[e] = gap + (start if e == 0 else when[e - 1])
    for e in range(len(when)):
        lot = stream.random() * total
        kind = begins_in[min(int(lot * part), len(begins_in) - 1)]
        while kind > 0 and up_to[kind - 1] > lot:  # rounded across the edge of a part
            kind -= 1
        while kind < kinds - 1 and up_to[kind] <= lot:
            kind += 1
        which[e] = members[max(begins[kind + 1] - 1 - int((up_to[kind] - lot) / distinct[kind]), begins[kind])]
    draw_levels(stream, which, occupancy, gaussian, value)


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
