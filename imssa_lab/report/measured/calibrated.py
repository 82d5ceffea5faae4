"""The column calibrations of a run."""

from __future__ import annotations

import numpy as np
import xarray

from imssa_lab.contract.array_types import ColumnCalibration
from imssa_lab.log.run import Run
from imssa_lab.report.measured.run_columns import columns


def calibrated(run: Run) -> xarray.Dataset:
    """The newest column calibration of every array that has one.

    Returns:
        `gain` (1), `offset` and `residual` (A), each (array, col); `record` (array): the record that set it, -1 where
        the array came with it.

    Raises:
        LogError: damaged records.
    """
    last = int(run.column("calibrations", "seq")[-1]) + 1 if run.records("calibrations") else 0
    found = {index: calibration_at(run, index, last) for index in range(len(run.infos))}
    kept = {index: pair for index, pair in found.items() if pair is not None}
    columns = {
        name: np.array([getattr(pair[0], name) for pair in kept.values()]).reshape(len(kept), run.infos[0].cols)
        for name in ("gain", "offset", "residual")
    }
    units = {"gain": "1", "offset": "A", "residual": "A"}
    data = {name: (("array", "col"), values, {"units": units[name]}) for name, values in columns.items()}
    records = np.array([pair[1] for pair in kept.values()], dtype=np.int64)
    return xarray.Dataset({**data, "record": (("array",), records)}, coords={"array": list(kept)})


def calibration_at(run: Run, index: int, before: int) -> tuple[ColumnCalibration, int] | None:
    """What an array's products were corrected with before record `before`, and the record that set it (-1: none)."""
    seqs, arrays = columns(run, "calibrations", "seq", "array")
    rows = np.flatnonzero((seqs < before) & (arrays == index))
    if not rows.size:
        carried = run.calibration(index)
        return None if carried is None else (carried, -1)
    row = int(rows[-1])
    if run.column("calibrations", "cleared", row):
        return None
    gain, offset, residual = (run.column("calibrations", name, row) for name in ("gain", "offset", "residual"))
    return ColumnCalibration(gain, offset, residual), int(seqs[row])
