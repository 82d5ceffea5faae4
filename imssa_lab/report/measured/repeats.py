"""Repeated readings of the same cells with no pulse between them, for noise and drift."""

from __future__ import annotations

import numpy as np
import xarray

from imssa_lab.log.run import Run
from imssa_lab.log.schema import requests
from imssa_lab.report.measured.run_columns import columns

_MOST = 512
"""Readings that are returned at most; if there are more, an even sample of them."""


def repeats(run: Run, array: int = 0) -> xarray.Dataset:
    """The longest series of readings of one array that no pulse interrupts.

    Returns:
        `conductance` in S, (read, cell), of the cells that are in every one of these readings; over `read`:
        `device_time` in s (the readings of one call are spread evenly over its time) and `record`; over `cell`: `row`
        and `col`. More than 512 readings are sampled evenly. Empty if no cell was read twice.

    Raises:
        LogError: damaged records.
    """
    rows = _longest_stretch(run, array)
    masks = [run.column("read_conductances", "mask", row) != 0 for row in rows]
    # A run often reads all cells and then some of them: the readings that share most cells times readings count.
    best, common = 0, np.zeros(run.infos[array].shape, np.bool_)
    for mask in {mask.tobytes(): mask for mask in masks}.values():
        size = int(mask.sum()) * sum(_count(run, row) for row, m in zip(rows, masks, strict=True) if m[mask].all())
        if size > best:
            best, common = size, mask
    kept = [row for row, mask in zip(rows, masks, strict=True) if mask[common].all()] if best else []
    return _readings(run, array, kept, common)


def _readings(run: Run, array: int, kept: list[int], common: np.ndarray) -> xarray.Dataset:
    info = run.infos[array]
    every = max(1, -(-sum(_count(run, row) for row in kept) // _MOST))
    values, times, records = [], [], []
    place = 0
    for row in kept:
        current = run.readout("read_conductances", row, info.adc is not None).current(info.adc)
        seq = int(run.column("read_conductances", "seq", row))
        end, start = float(run.column("read_conductances", "device_time", row)), _time_before(run, array, seq)
        for number, one in enumerate(current):
            if place % every == 0:
                values.append(one[common] / info.read_voltage)
                times.append(start + (end - start) * (number + 1) / len(current))
                records.append(seq)
            place += 1
    where = np.argwhere(common) if kept else np.zeros((0, 2), dtype=np.int64)
    held = np.array(values) if values else np.zeros((0, len(where)))
    return xarray.Dataset(
        {
            "conductance": (("read", "cell"), held, {"units": "S"}),
            "device_time": (("read",), np.array(times), {"units": "s"}),
            "record": (("read",), np.array(records, dtype=np.int64)),
        },
        coords={"row": (("cell",), where[:, 0]), "col": (("cell",), where[:, 1])},
        attrs={"array": array, "run": str(run.path)},
    )


def _count(run: Run, row: int) -> int:
    return int(run.column("read_conductances", "count", row))


def _longest_stretch(run: Run, array: int) -> list[int]:
    seqs, arrays, counts = columns(run, "read_conductances", "seq", "array", "count")
    pulses, owners = columns(run, "pulses", "seq", "array")
    pulsed = pulses[owners == array]
    rows = np.flatnonzero(arrays == array)
    if not rows.size:
        return []
    stretch = np.searchsorted(pulsed, seqs[rows])
    sums = np.bincount(stretch, counts[rows])
    return [int(row) for row in rows[stretch == int(np.argmax(sums))]]


def _time_before(run: Run, array: int, seq: int) -> float:
    """Device time of an array when the call with that number began, s."""
    found = run.opened_at(array)
    for table in requests():
        seqs, arrays = columns(run, table, "seq", "array")
        before = np.flatnonzero((seqs < seq) & (arrays == array))
        if before.size:
            found = float(np.fmax(found, run.column(table, "device_time", int(before[-1]))))
    return found
