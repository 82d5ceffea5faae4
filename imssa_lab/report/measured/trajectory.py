"""What happened to one cell, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from imssa_lab.contract.errors import LogError
from imssa_lab.log.run import Run
from imssa_lab.log.schema import PULSE_KINDS
from imssa_lab.report.measured.run_columns import columns

_BLOCK = 128


def trajectory(run: Run, array: int, row: int, col: int, records: slice | None = None) -> xarray.Dataset:
    """Every reading and every pulse of one cell, in order.

    Args:
        array, row, col: the cell; records: first and one past the last record to look at, None for the whole run.

    Returns:
        Over `step`: `record`; `kind`, "read" or a kind of pulse; `conductance` in S, NaN at pulses; `voltage` and
        `gate` in V, NaN at reads; `device_time` in s.

    Raises:
        LogError: no such cell, or damaged records.
    """
    rows, cols = run.infos[0].shape
    if not (0 <= array < len(run.infos) and 0 <= row < rows and 0 <= col < cols):
        raise LogError(
            f"{run.path}: no cell array={array}, row={row}, col={col}; "
            f"the run holds {len(run.infos)} arrays of {rows} x {cols}"
        )
    span = records or slice(0, np.iinfo(np.int64).max)
    steps = [*_pulses(run, array, row, col, span), *_reads(run, array, row, col, span)]
    steps.sort(key=lambda step: step[0])
    names = ("record", "kind", "conductance", "voltage", "gate", "device_time")
    units = {"conductance": "S", "voltage": "V", "gate": "V", "device_time": "s"}
    columns = zip(*steps, strict=True) if steps else [()] * len(names)
    data = {
        name: (("step",), np.array(values), {"units": units.get(name, "1")})
        for name, values in zip(names, columns, strict=True)
    }
    return xarray.Dataset(data, attrs={"array": array, "row": row, "col": col, "run": str(run.path)})


def _chosen(run: Run, table: str, array: int, span: slice) -> list[list[int]]:
    """Rows of a table in that span and of that array, in blocks of neighbours."""
    seqs, arrays = columns(run, table, "seq", "array")
    rows = np.flatnonzero((seqs >= span.start) & (seqs < span.stop) & (arrays == array))
    if not rows.size:
        return []
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [part[start : start + _BLOCK].tolist() for part in runs for start in range(0, len(part), _BLOCK)]


def _pulses(run: Run, array: int, row: int, col: int, span: slice) -> list[tuple[Any, ...]]:
    found = []
    for block in _chosen(run, "pulses", array, span):
        rows = slice(block[0], block[-1] + 1)
        seqs, firsts, counts, kinds, times = (
            run.column("pulses", name, rows) for name in ("seq", "first", "count", "kind", "device_time")
        )
        part = slice(int(firsts[0]), int(firsts[-1]) + int(counts[-1]))
        calls, lines, bits, voltages, gates = (
            run.column("pulses", name, part) for name in ("cell_call", "row", "col", "voltage", "gate")
        )
        for cell in np.flatnonzero((lines == row) & (bits == col)):
            at = int(np.searchsorted(seqs, calls[cell]))
            kind = PULSE_KINDS[int(kinds[at])]
            found.append((int(seqs[at]), kind, np.nan, float(voltages[cell]), float(gates[cell]), float(times[at])))
    return found


def _reads(run: Run, array: int, row: int, col: int, span: slice) -> list[tuple[Any, ...]]:
    info = run.infos[array]
    found = []
    for block in _chosen(run, "read_conductances", array, span):
        rows = slice(block[0], block[-1] + 1)
        seqs, firsts, counts, times, masks = (
            run.column("read_conductances", name, rows) for name in ("seq", "first", "count", "device_time", "mask")
        )
        start = int(firsts[0])
        part = slice(start, int(firsts[-1]) + int(counts[-1]))
        codes = run.column("read_conductances", "value", part)[:, row, col].astype(np.float64)
        if info.adc is not None:
            ranges = run.column("read_conductances", "range", part)[:, row, col]
            codes = np.asarray(info.adc.scale)[ranges] * codes + np.asarray(info.adc.offset)[ranges]
        for at in np.flatnonzero(masks[:, row, col]):
            first = int(firsts[at]) - start
            value = float(codes[first : first + int(counts[at])].mean()) / info.read_voltage
            found.append((int(seqs[at]), "read", value, np.nan, np.nan, float(times[at])))
    return found
