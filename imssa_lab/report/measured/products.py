"""Matrix-vector products of a run beside what the cells, as last read, should have given."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.log.run import Run
from imssa_lab.report.measured.calibrated import calibration_at
from imssa_lab.report.measured.programmed import conductances
from imssa_lab.report.measured.run_columns import columns

_CALLS, _VECTORS, _LOOK_BACK = 48, 32, 256


def products(run: Run, calls: int = _CALLS, vectors: int = _VECTORS) -> xarray.Dataset:
    """An even sample of the products of a run, with the sum of voltage times conductance that each should be.

    Of an array whose columns were calibrated, only what came after the last calibration.
    A current whose driven cells were not all read since their last pulse has nothing to be compared with: NaN.

    Args:
        calls, vectors: at most so many calls, spread over the run, and so many vectors of each.

    Returns:
        `measured` and `expected` in A, (vector, col), column-calibrated as the caller saw them; `array` and
        `record` (vector).

    Raises:
        LogError: damaged records.
    """
    seqs, owners = columns(run, "read_mvm", "seq", "array")
    cols = run.infos[0].cols
    since = np.full(len(run.infos), -1)
    set_at, set_on = columns(run, "calibrations", "seq", "array")
    np.maximum.at(since, set_on, set_at.astype(np.int64))
    later = np.flatnonzero(seqs.astype(np.int64) > since[owners])
    rows = later[np.unique(np.linspace(0, len(later) - 1, min(calls, len(later))).round().astype(int))]
    measured, expected, arrays, records = [], [], [], []
    walk = _Walk(run)
    for row in rows:
        seq, index = (int(run.column("read_mvm", name, int(row))) for name in ("seq", "array"))
        first, many = (int(run.column("read_mvm", name, int(row))) for name in ("first", "count"))
        voltage = run.column("read_mvm", "voltage", slice(first, first + min(many, vectors)))
        info = run.infos[index]
        current = run.readout("read_mvm", int(row), info.adc is not None).current(info.adc)[: len(voltage)]
        correction = calibration_at(run, index, seq)
        measured.append(current if correction is None else correction[0].apply(current))
        expected.append(_sums(voltage, walk.known(index, seq)))
        arrays += [index] * len(voltage)
        records += [seq] * len(voltage)
    dims = ("vector", "col")
    return xarray.Dataset(
        {
            "measured": (dims, np.concatenate(measured) if measured else np.zeros((0, cols)), {"units": "A"}),
            "expected": (dims, np.concatenate(expected) if expected else np.zeros((0, cols)), {"units": "A"}),
            "array": (("vector",), np.array(arrays, dtype=np.int64)),
            "record": (("vector",), np.array(records, dtype=np.int64)),
        },
        attrs={"run": str(run.path)},
    )


def _sums(voltage: FloatArray, conductance: FloatArray) -> FloatArray:
    unknown = np.isnan(conductance)
    current = voltage @ np.where(unknown, 0.0, conductance)
    return np.asarray(np.where((voltage != 0).astype(float) @ unknown > 0, np.nan, current))


class _Walk:
    """What is known of the cells of each array at a record, by going back from it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        steps: list[tuple[int, int, str, int]] = []
        for table in ("read_conductances", "pulses"):
            seqs, arrays = (values.tolist() for values in columns(run, table, "seq", "array"))
            steps += [(seq, array, table, row) for row, (seq, array) in enumerate(zip(seqs, arrays, strict=True))]
        self._steps = sorted(steps)
        self._seqs = np.array([step[0] for step in self._steps], dtype=np.int64)
        self._held: dict[tuple[int, int], FloatArray] = {}

    def known(self, index: int, seq: int) -> FloatArray:
        """Conductances, S, (rows, cols), NaN where a cell was never read or pulsed since."""
        end = int(np.searchsorted(self._seqs, seq))
        if (index, end) not in self._held:
            self._held = {(index, end): self._look_back(index, end)}
        return self._held[index, end]

    def _look_back(self, index: int, end: int) -> FloatArray:
        found = np.full(self._run.infos[index].shape, np.nan)
        open_cells: Any = np.ones(found.shape, np.bool_)
        looked = 0
        for _, array, table, row in reversed(self._steps[:end]):
            if array != index:
                continue
            if not open_cells.any() or looked == _LOOK_BACK:
                break
            looked += 1
            if table == "pulses":
                open_cells = open_cells & ~self._run.pulses(row).mask
                continue
            here = open_cells & (self._run.column("read_conductances", "mask", row) != 0)
            if here.any():
                found[here] = conductances(self._run, row)[here]
                open_cells = open_cells & ~here
        return found
