"""Kernels to places by predicted error: which kernel goes where, so that the faults of the arrays do least harm.

The cost of a kernel in a place is that of its best arrangement there; which kernel takes which place is then a
linear assignment, solved exactly. A kernel that no whole place suits is split over two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.blocks import KernelBlock
from imssa_lab.mapping.line_assignment import Arrangement, arrange
from imssa_lab.mapping.placement import Mapping, PlacedKernel, place
from imssa_lab.mapping.reach import Reach

_STAY = 1e-6
"""What a move must gain at least, in squared NRMSE: below it a kernel stays where it is."""


def reassign(
    mapping: Mapping,
    damaged: Sequence[PlacedKernel],
    importance: Sequence[FloatArray],
    reaches: Sequence[Reach],
    *,
    move: bool = True,
) -> tuple[Mapping, FloatArray]:
    """New places and arrangements for damaged kernels, at the least predicted error.

    Args:
        damaged: those to rearrange; the others keep their places as they are.
        importance: per damaged kernel, (size, size): squared NRMSE for a unit error of each weight.
        reaches: what the cells of each array can take; all of these arrays may be used.
        move: may kernels leave their places, for free ones and for one another's? False: arrange within.

    Returns:
        The mapping, and the predicted squared NRMSE that its faults cost each damaged kernel, (damaged,).
    """
    from scipy.optimize import linear_sum_assignment  # a third of a second, which only this needs

    own = [(kernel.array, kernel.slot) for kernel in damaged]
    places = own + (mapping.free_places(len(reaches)) if move else [])
    layout = mapping.layout
    lines = [layout.lines(slot) for _, slot in places]
    limits = [
        tuple(limit[np.ix_(*line)] for limit in reaches[array].weights(mapping.window))
        for (array, _), line in zip(places, lines, strict=True)
    ]
    found: dict[tuple[int, int], Arrangement] = {}
    cost = np.full((len(damaged), len(places)), np.inf)
    for number, kernel in enumerate(damaged):
        for index in range(len(places)) if move else [number]:
            arrangement = arrange(kernel.block.weights, importance[number], *limits[index])
            found[number, index] = arrangement
            cost[number, index] = arrangement.cost + _STAY * (index != number)
    if move:
        kernels, chosen = linear_sum_assignment(cost)
    else:
        kernels = chosen = np.arange(len(damaged))
    place_of = dict(zip(kernels.tolist(), chosen.tolist(), strict=True))
    moved = {k: _placed(mapping, damaged[k], places[p], lines[p], found[k, p]) for k, p in place_of.items()}
    costs = np.array([found[k, place_of[k]].cost for k in range(len(damaged))])
    new = mapping.replaced([(damaged[k], [moved[k]]) for k in moved])
    for k in np.argsort(-costs):
        if costs[k] > _STAY:
            spared = _with_spare_lines(new, moved[int(k)], importance[k], reaches)
            if spared is not None and spared[1] < costs[k]:
                new = new.replaced([(moved[int(k)], [spared[0]])])
                costs[k] = spared[1]
    return new, costs


def _with_spare_lines(
    mapping: Mapping, kernel: PlacedKernel, importance: FloatArray, reaches: Sequence[Reach]
) -> tuple[PlacedKernel, float] | None:
    """A kernel arranged on its place and on unused lines, and what that costs; None without such."""
    at = kernel.array, kernel.slot
    own = mapping.layout.lines(kernel.slot)
    spare_rows, spare_pairs = _spare_lines(mapping, kernel, own)
    if not (len(spare_rows) or len(spare_pairs)):
        return None
    lines = np.concatenate([own[0], spare_rows]), np.concatenate([own[1], spare_pairs])
    low, high = (limit[np.ix_(*lines)] for limit in reaches[kernel.array].weights(mapping.window))
    found = arrange(kernel.block.weights, importance, low, high)
    return _placed(mapping, kernel, at, lines, found), found.cost


def _spare_lines(
    mapping: Mapping, kernel: PlacedKernel, own: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Word lines and pairs that no place has and that a kernel on its `own` lines may use, whichever it takes.

    Kernels that are read together must not meet on a line. Packed for area no two are, but some share word lines:
    there they must not meet in a cell. So several may use one spare word line, if their pairs differ, and a spare
    pair is lost to all whose word lines it serves already.
    """
    rows, pairs = mapping.layout.spare
    others = [other for other in mapping.on(kernel.array) if other is not kernel]
    if mapping.packing == "time":
        beside = others
        meeting = [other for other in others if other.bank == kernel.bank]
    else:
        beside = [other for other in others if np.isin(other.pairs, own[1]).any()]
        reached = np.concatenate([own[0], rows])
        meeting = [other for other in others if np.isin(other.word_lines, reached).any()]
    rows = rows[~np.isin(rows, [line for other in beside for line in other.word_lines])]
    return rows, pairs[~np.isin(pairs, [pair for other in meeting for pair in other.pairs])]


def split(
    mapping: Mapping, kernel: PlacedKernel, parts: Sequence[KernelBlock], reaches: Sequence[Reach]
) -> Mapping | None:
    """The mapping with a kernel in two parts on free places, each where it loses least; None without two places."""
    from scipy.optimize import linear_sum_assignment

    places = mapping.free_places(len(reaches))
    if len(places) < len(parts):
        return None
    lines = [mapping.layout.lines(slot) for _, slot in places]
    arrangements = []
    for block in parts:
        even = np.ones(block.weights.shape)
        row = []
        for (array, _), line in zip(places, lines, strict=True):
            low, high = reaches[array].weights(mapping.window)
            row.append(arrange(block.weights, even, low[np.ix_(*line)], high[np.ix_(*line)]))
        arrangements.append(row)
    which, chosen = linear_sum_assignment(np.array([[a.cost for a in row] for row in arrangements]))
    new = [
        _placed(mapping, replace(kernel, block=parts[k]), places[p], lines[p], arrangements[k][p])
        for k, p in zip(which.tolist(), chosen.tolist(), strict=True)
    ]
    return mapping.replaced([(kernel, new)])


def _placed(
    mapping: Mapping,
    kernel: PlacedKernel,
    at: tuple[int, int],
    lines: tuple[NDArray[np.intp], NDArray[np.intp]],
    found: Arrangement,
) -> PlacedKernel:
    standard = place(kernel.layer, kernel.channel, kernel.block, *at, mapping.layout)
    return replace(
        standard,
        word_lines=lines[0][found.rows],
        pairs=lines[1][found.columns],
        row_signs=found.row_signs,
        column_signs=found.column_signs,
    )
