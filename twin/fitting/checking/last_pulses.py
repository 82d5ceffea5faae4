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
    seq, array, first, count, when = (
        run.column("pulses", name) for name in ("seq", "array", "first", "count", "device_time")
    )
    ours = np.flatnonzero((array == number) & (seq <= end))
    if not ours.size:
        return found
    # one read of all pulsed cells: one for each pulse took most of the time of a check
    whole = slice(int(first[ours[0]]), int(first[ours[-1]]) + int(count[ours[-1]]))
    rows, cols = (run.column("pulses", name, whole) for name in ("row", "col"))
    for pulse in ours:
        cells = slice(int(first[pulse]) - whole.start, int(first[pulse]) + int(count[pulse]) - whole.start)
        found[rows[cells], cols[cells]] = float(when[pulse])
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
