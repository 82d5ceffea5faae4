"""Differential pairs: a signed weight as the difference of two conductances on neighbouring bit lines.

Bit line 2j holds G+ and bit line 2j + 1 holds G- of logical column j; w = (G+ - G-) / (G_max - G_min).
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import BoolArray, FloatArray, Window


def to_pairs(weights: FloatArray, window: Window) -> FloatArray:
    """One-sided pairs: the partner of the larger device stays at the bottom of the window.

    Args:
        weights: (rows, cols), each in [-1, 1].

    Returns:
        Target conductances in S, (rows, 2 cols).

    Raises:
        LimitError: a weight is not finite or outside [-1, 1].
    """
    if not (np.isfinite(weights).all() and np.abs(weights).max(initial=0.0) <= 1.0):
        raise LimitError("weights of differential pairs must be finite and within [-1, 1]; scale the column first")
    target = np.empty((weights.shape[0], 2 * weights.shape[1]))
    target[:, 0::2] = window.low + np.maximum(weights, 0.0) * window.span
    target[:, 1::2] = window.low + np.maximum(-weights, 0.0) * window.span
    return target


def from_pairs(conductance: FloatArray, window: Window) -> FloatArray:
    """The weights (rows, cols) that conductances (rows, 2 cols), S, implement."""
    return (conductance[:, 0::2] - conductance[:, 1::2]) / window.span


def compensate(target: FloatArray, stuck: BoolArray, measured: FloatArray, window: Window) -> FloatArray:
    """Move the healthy partner of a stuck cell so that the pair keeps its difference, as far as the window allows.

    Args:
        target: S, (rows, cols) of physical bit lines, NaN where nothing is programmed.
        stuck: cells that do not move; measured: their conductances, S.

    Returns:
        New targets, S. Where both partners are stuck nothing changes; where the difference cannot be reached the
        partner goes to the nearer end of the window.
    """
    mended = target.copy()
    partner = np.arange(target.shape[1]) ^ 1
    lone = stuck & ~stuck[:, partner] & np.isfinite(target)
    rows, cols = np.nonzero(lone)
    difference = target[rows, partner[cols]] - target[rows, cols]
    mended[rows, partner[cols]] = np.clip(measured[rows, cols] + difference, window.low, window.high)
    return mended
