"""What is read of an array before it is programmed, of cells before a pulse, and after a run that was cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import (
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    ProgrammingReport,
    PulseKind,
    Pulses,
)

VERIFY = 8
"""Readings of a cell that a decision is taken on."""
_IDLE = 0.4
_LOOK = 2
_TRIES = 3
"""RESET pulses after which a cell that has not moved counts as stuck."""
_SHARE = 0.7
"""Their voltage, of what the limits of the array allow: 2.1 V of 3 V, where the recipes of the board end."""
_WIDTH = 1e-3
"""Their width, s, as far as the limits allow it."""
_MOVED = 0.5
"""Share of the way to the bottom of the window that a cell which works takes by then, at least."""


def in_place(
    array: CrossbarArray, wanted: FloatArray, mask: BoolArray, tolerance: float
) -> tuple[BoolArray, FloatArray]:
    """Cells of `mask` that are at their targets already, and the read (S) that shows it.

    A pulse could only move them away.

    Args:
        wanted: S, (rows, cols); tolerance: S.
    """
    read = array.read_conductances(mask, VERIFY)
    return mask & (np.abs(read - wanted) <= _IDLE * tolerance), read


def unfinished_report(
    array: CrossbarArray,
    wanted: FloatArray,
    mask: BoolArray,
    pulses: NDArray[np.int64],
    started: float,
    tolerance: float,
) -> ProgrammingReport:
    """What a programming run came to that the budget ended, by re-read.

    Args:
        wanted: S, (rows, cols); mask: its cells; pulses: that they got, (rows, cols).
        started: device time, s; tolerance: S.
    """
    achieved = array.read_conductances(mask, VERIFY)
    inside = np.abs(achieved - wanted) <= tolerance
    ends = np.where(inside, CellOutcome.REACHED, CellOutcome.BUDGET)
    return ProgrammingReport(
        target=np.where(mask, wanted, np.nan),
        achieved=achieved,
        pulses=pulses.astype(np.int32),
        outcome=np.where(mask, ends, CellOutcome.NOT_SELECTED).astype(np.uint8),
        tolerance=tolerance,
        seconds=array.time - started,
        reads=VERIFY,
    )


@dataclass(frozen=True)
class Survey(FrozenArrays):
    """Maps (rows, cols): what the cells hold, S; which do not come down; pulses that were spent to know it."""

    held: FloatArray
    stuck: BoolArray
    pulses: int


def survey(array: CrossbarArray, tolerance: float) -> Survey:
    """Read the whole array, and lower the cells that are high: those that do not move are stuck.

    On a fresh chip all cells are at the bottom of the window but those that are stuck high or on a dead word line.
    They are known then before anything is placed, for three pulses each instead of a whole ladder. The pulses follow
    from the limits of the array alone, so that a replay asks for the same.

    Args:
        tolerance: S, how far above the bottom of the window a cell may be read to count as being there.
    """
    everything = np.ones(array.info.shape, dtype=np.bool_)
    before = array.read_conductances(everything, _LOOK)
    low, limits = array.info.window.low, array.info.limits.reset
    high = before > low + tolerance
    if limits is None or not high.any():
        return Survey(before, np.zeros_like(high), 0)
    width = min(max(_WIDTH, limits.width_min), limits.width_max)
    for _ in range(_TRIES):
        array.apply_pulses(Pulses.on(high, PulseKind.RESET, _SHARE * limits.voltage_max, limits.gate_max, width))
    after = array.read_conductances(high, VERIFY)
    stuck = high & (after > low + tolerance) & (after - low > _MOVED * (before - low))
    return Survey(np.where(high, after, before), stuck, _TRIES * int(np.count_nonzero(high)))
