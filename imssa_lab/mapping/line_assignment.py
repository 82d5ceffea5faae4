"""Which line of a place holds which row and column of a block, and with which sign, so that faults do least harm.

Any word line of a place may hold any row and any pair of bit lines any column; the digital side may turn the sign
of each. With the rows fixed, the best columns are a linear assignment, solved exactly, and the other way round; the
two take turns until nothing improves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.reach import shortfall

_TURNS = 8
_GOOD = 1e-9


@dataclass(frozen=True, eq=False)
class Arrangement(FrozenArrays):
    """Where the rows and columns of a block go within a place.

    Attributes:
        rows, columns: (r,), (c,), index of the word line and of the pair of bit lines among those of the place.
        row_signs, column_signs: (r,), (c,), 1 or -1.
        cost: sum over the weights of importance times squared error.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    row_signs: FloatArray
    column_signs: FloatArray
    cost: float


def arrange(weights: FloatArray, importance: FloatArray, low: FloatArray, high: FloatArray) -> Arrangement:
    """The best arrangement of a block on a place whose pairs reach the weights [low, high].

    Args:
        weights, importance: (r, c), both by row and column of the block.
        low, high: (word lines, pairs) of the place, at least r and c of them.
    """
    r, c = weights.shape
    best = Arrangement(np.arange(r), np.arange(c), np.ones(r), np.ones(c), np.inf)
    plain = float((importance * shortfall(weights, low[:r, :c], high[:r, :c]) ** 2).sum())
    if plain <= _GOOD:
        return Arrangement(best.rows, best.columns, best.row_signs, best.column_signs, plain)
    for start in range(2):  # once from the rows, once from the columns
        found = best
        for _ in range(_TURNS):
            before = found.cost
            if start == 0:
                found = _columns(weights, importance, low, high, found)
                found = _rows(weights, importance, low, high, found)
            else:
                found = _rows(weights, importance, low, high, found)
                found = _columns(weights, importance, low, high, found)
            if found.cost >= before - _GOOD:
                break
        if found.cost < best.cost - _GOOD:
            best = found
        if best.cost <= _GOOD:
            break
    return best


def _columns(
    weights: FloatArray, importance: FloatArray, low: FloatArray, high: FloatArray, now: Arrangement
) -> Arrangement:
    """The best columns and signs for rows as they are."""
    signed = weights * now.row_signs[:, None]
    columns, signs, cost = _best_lines(signed, importance, low[now.rows], high[now.rows])
    return Arrangement(now.rows, columns, now.row_signs, signs, cost)


def _rows(
    weights: FloatArray, importance: FloatArray, low: FloatArray, high: FloatArray, now: Arrangement
) -> Arrangement:
    """The best rows and signs for columns as they are."""
    signed = (weights * now.column_signs).T
    rows, signs, cost = _best_lines(signed, importance.T, low[:, now.columns].T, high[:, now.columns].T)
    return Arrangement(rows, now.columns, signs, now.column_signs, cost)


def _best_lines(
    weights: FloatArray, importance: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[NDArray[np.intp], FloatArray, float]:
    """Exact assignment of the columns of `weights` (k, size) to lines (k, lines), with the better sign of each."""
    from scipy.optimize import linear_sum_assignment  # a third of a second, which only this needs

    w, weight = weights[:, :, None], importance[:, :, None]
    below, above = low[:, None, :], high[:, None, :]
    kept, turned = ((weight * shortfall(sign * w, below, above) ** 2).sum(axis=0) for sign in (1, -1))
    # in whole steps: what differs by rounding alone is a tie, on this machine and on any other
    whole_kept, whole_turned = np.round(kept / _GOOD), np.round(turned / _GOOD)
    cost = np.minimum(whole_kept, whole_turned)
    # ties go to the line of the same number, so that a block on a good place stays as it is
    order = np.arange(cost.shape[1])[None, :] != np.arange(cost.shape[0])[:, None]
    block, line = linear_sum_assignment(cost + order)
    lines = np.empty(len(block), dtype=np.intp)
    lines[block] = line
    chosen = np.arange(cost.shape[0]), lines
    turn = whole_turned[chosen] < whole_kept[chosen]
    return lines, np.where(turn, -1.0, 1.0), float(np.where(turn, turned[chosen], kept[chosen]).sum())
