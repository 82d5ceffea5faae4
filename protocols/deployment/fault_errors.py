"""How far faults keep the weights of placed kernels from where they belong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray
from imssa_lab.mapping import Mapping, Packing, PlacedKernel, Reach, shortfall
from protocols.deployment.journal import ArrayState

_TRIED = 6
"""Cells of a bit line that must have failed to rise before it is given up."""
_DEAD = 0.8
"""Share of those that were to rise."""
_SLIGHT = 0.005
"""Share of the power of a kernel's products that an arrangement must win."""


def reaches_of(
    mapping: Mapping, states: Sequence[ArrayState], held: Sequence[FloatArray], tolerance: float
) -> list[Reach]:
    """Per array, what its cells can take.

    Packed for area, bit lines on which hardly a cell rises are given up with the cells that were not tried yet: those
    are needed by up to as many kernels as there are rows of tiles, and each would find out for itself. Packed for
    time, few kernels share a bit line, and only cells that were tried count.

    Args:
        held: per array, what cells held at their last re-read, S, (rows, cols), NaN where never read; tolerance: S.
    """
    whole, found = Reach.whole(mapping.shape, mapping.window), []
    for state, read in zip(states, held, strict=True):
        reach = whole.with_stuck(state.stuck, state.standing)
        if mapping.packing == "area":
            given_up = silent_lines(state, read, mapping.window.low + tolerance) & ~state.stuck
            reach = reach.with_stuck(given_up, np.full(mapping.shape, mapping.window.low))
        found.append(reach)
    return found


def silent_lines(state: ArrayState, held: FloatArray, risen: float) -> BoolArray:
    """Cells on bit lines that do not answer pulses, (rows, cols).

    Args:
        held: S, (rows, cols), as last read; risen: S, above which a cell has shown that it can rise.
    """
    failed = (state.stuck & (state.standing <= risen)).sum(axis=0)
    could = (~state.stuck & (held > risen)).sum(axis=0)
    dead = (failed >= _TRIED) & (failed >= _DEAD * (failed + could))
    return np.broadcast_to(dead, held.shape)


def error_by_faults(mapping: Mapping, kernel: PlacedKernel, reaches: Sequence[Reach]) -> FloatArray:
    """How far each weight of a kernel is out of reach, (size, size), in units of the largest weight."""
    low, high = reaches[kernel.array].weights(mapping.window)
    lines = np.ix_(kernel.word_lines, kernel.pairs)
    return shortfall(kernel.weights, low[lines], high[lines])


def worth_arranging(
    packing: Packing, kernels: Sequence[PlacedKernel], harm: FloatArray, costs: FloatArray, worth: float
) -> list[int]:
    """Which kernels to arrange anew, where that leaves less than a share `worth` of the harm.

    Packed for time, all of them or none. Packed for area, each by itself: where hardly a line is spare, most have to
    live with some harm, and their pulses would be spent for nothing.

    Args:
        harm, costs: (kernels,), squared errors of products as they are and as they would be.
    """
    if packing == "time":
        return list(range(len(kernels))) if costs.sum() <= worth * harm.sum() else []
    slight = np.array([_SLIGHT * float((kernel.weights**2).sum()) for kernel in kernels])
    return [int(i) for i in np.flatnonzero((costs <= worth * harm) & (harm - costs > slight))]
