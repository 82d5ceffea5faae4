"""Outcomes of the cells and kernels of a deployment, by name."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.cell_classes import CellMap, in_tolerance
from imssa_lab.contract.hal import CellOutcome, FloatArray
from imssa_lab.mapping import Mapping, PlacedKernel
from protocols.deployment.journal import ArrayState, Standing


class KernelEnd(StrEnum):
    """Outcome of a kernel."""

    GOOD = "good"
    ARRANGED = "good, arranged around faults"
    PART = "in parts"
    OUTSIDE = "outside its bound"
    BUDGET = "outside its bound, the budget was spent"
    UNVERIFIED = "programmed, not verified"
    CUT_OFF = "not finished"


def cell_ends(
    maps: Sequence[CellMap], states: Sequence[ArrayState], tolerance: float, spent: bool
) -> list[NDArray[np.uint8]]:
    """Per array the `CellOutcome` of every cell, (rows, cols), by the last re-read; tolerance in S."""
    ends = []
    for cells, state in zip(maps, states, strict=False):
        end = np.full(cells.target.shape, CellOutcome.NOT_SELECTED, dtype=np.uint8)
        chosen = np.isfinite(cells.target)
        error = np.nan_to_num(cells.achieved - cells.target)
        end[chosen] = CellOutcome.BUDGET if spent else CellOutcome.GAVE_UP
        end[chosen & state.stuck & (error < 0)] = CellOutcome.STUCK_LOW
        end[chosen & state.stuck & (error > 0)] = CellOutcome.STUCK_HIGH
        end[in_tolerance(cells.target, cells.achieved, tolerance)] = CellOutcome.REACHED
        ends.append(end)
    return ends


def kernel_ends(mapping: Mapping, nrmse: FloatArray, bound: float, spent: bool) -> dict[str, KernelEnd]:
    """By kernel in words how it came out.

    Args:
        nrmse: (channels of all layers,), on real input; bound: what a single kernel is held to.
    """
    owners = sorted({(kernel.layer, kernel.channel) for kernel in mapping.kernels})
    error = dict(zip(owners, nrmse, strict=True))
    ends: dict[str, KernelEnd] = {}
    for kernel in mapping.kernels:
        if error[kernel.layer, kernel.channel] > bound:
            end = KernelEnd.BUDGET if spent else KernelEnd.OUTSIDE
        elif sum((k.layer, k.channel) == (kernel.layer, kernel.channel) for k in mapping.kernels) > 1:
            end = KernelEnd.PART
        else:
            end = KernelEnd.ARRANGED if _arranged(mapping, kernel) else KernelEnd.GOOD
        ends[kernel.name] = end
    return ends


def unfinished_ends(standing: Standing) -> dict[str, KernelEnd]:
    """By kernel, and by tile of a dense layer, how far a deployment came that was cut off, from its journal."""
    ends: dict[str, KernelEnd] = {}
    mapping = standing.mapping
    kernels = [(kernel.name, kernel.array, kernel.cells) for kernel in mapping.kernels]
    tiles = [(tile.name, tile.array, tile.cells) for tile in mapping.tiles]
    for name, array, cells in kernels + tiles:
        state = standing.arrays[array]
        whole = bool((state.finished | state.stuck)[cells].all())
        ends[name] = KernelEnd.UNVERIFIED if whole else KernelEnd.CUT_OFF
    return ends


def _arranged(mapping: Mapping, kernel: PlacedKernel) -> bool:
    """Whether it differs from a kernel in its place without faults."""
    lines = mapping.layout.lines(kernel.slot)[0][: kernel.block.size]
    return (kernel.array, kernel.slot) in mapping.abandoned or not (
        np.array_equal(lines, kernel.word_lines) and (kernel.row_signs > 0).all() and (kernel.column_signs > 0).all()
    )
