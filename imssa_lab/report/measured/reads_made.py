"""What the reads of a run took: counts, and the sum of V^2 G with the conductances that the run itself read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.log.run import Run
from imssa_lab.report.measured.run_columns import columns
from protocols.cost.read_counts import ReadCounts, cells_counted, products_counted

_VECTORS = 1 << 14
"""Vectors that are held at once."""
_TABLES = ("read_mvm", "read_conductances", "pulses")


def reads_made(run: Run, progress: Callable[[int, int], None] = lambda done, total: None) -> list[ReadCounts]:
    """Counts of every product and every reading of a cell in a run, by array.

    A cell counts with the conductance that it was last read to have, single readings with their own; of a cell that
    was not read since its last pulse, or never, nothing is known.

    Args:
        progress: called with records looked at, and how many there are.

    Raises:
        LogError: damaged records.
    """
    steps: list[tuple[int, int, str, int]] = []
    for table in _TABLES:
        seqs, arrays = (values.tolist() for values in columns(run, table, "seq", "array"))
        steps += [(seq, array, table, row) for row, (seq, array) in enumerate(zip(seqs, arrays, strict=True))]
    found = [ReadCounts() for _ in run.infos]
    held = [np.full(info.shape, np.nan) for info in run.infos]
    for done, (_, index, table, row) in enumerate(sorted(steps)):
        progress(done, len(steps))
        if table == "read_mvm":
            found[index] += _products(run, row, index, held[index])
        elif table == "read_conductances":
            mask, read = run.column(table, "mask", row) != 0, _readings(run, row, index)
            found[index] += cells_counted(run.infos[index], mask, read)
            held[index] = np.where(mask, read.mean(axis=0), held[index])
        else:
            held[index] = np.where(run.pulses(row).mask, np.nan, held[index])
    progress(len(steps), len(steps))
    return found


def _products(run: Run, row: int, index: int, conductance: FloatArray) -> ReadCounts:
    first, count = (int(run.column("read_mvm", name, row)) for name in ("first", "count"))
    counts = ReadCounts()
    for start in range(first, first + count, _VECTORS):
        voltages = run.column("read_mvm", "voltage", slice(start, min(start + _VECTORS, first + count)))
        counts += products_counted(run.infos[index], voltages, conductance)
    return counts


def _readings(run: Run, row: int, index: int) -> FloatArray:
    """S, (averages, rows, cols)."""
    info = run.infos[index]
    current = run.readout("read_conductances", row, info.adc is not None).current(info.adc)
    return np.asarray(current / info.read_voltage)
