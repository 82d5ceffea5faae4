"""When each cell had its last pulse, by the record: relaxation begins there, not at the end of a programming."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray
from imssa_lab.log import Run

_GROUPS = 12


def last_pulses(run: Run, number: int, row: int) -> FloatArray:
    """Device time (s) of the last pulse on each cell of array `number` before the end of programming `row`.

    (rows, cols); NaN where no pulse before it is on record.
    """
    found = np.full(run.infos[number].shape, np.nan)
    end = int(run.column("program", "last_seq", row))
    columns = ("seq", "array", "first", "count", "device_time")
    for seq, array, first, count, when in zip(*(run.column("pulses", name) for name in columns), strict=True):
        if int(array) == number and int(seq) <= end:
            cells = slice(int(first), int(first) + int(count))
            found[run.column("pulses", "row", cells), run.column("pulses", "col", cells)] = float(when)
    return found


def in_turn(age: FloatArray, cells: BoolArray) -> list[tuple[float, BoolArray]]:
    """Groups of cells of like age, oldest first, and when each was left, s after the oldest.

    Args:
        age: s, (rows, cols). cells: those that count, at least one.
    """
    oldest = float(np.max(age[cells]))
    order = np.flatnonzero(cells.ravel())[np.argsort(-age.ravel()[cells.ravel()], kind="stable")]
    found = []
    for part in np.array_split(order, min(_GROUPS, order.size)):
        group = np.zeros(age.size, dtype=np.bool_)
        group[part] = True
        found.append((oldest - float(np.mean(age.ravel()[part])), group.reshape(age.shape)))
    return found
