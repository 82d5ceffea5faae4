"""What was programmed, and what the cells hold by the last reading of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.cell_classes import (
    CellMap,
    CellShares,
    cell_shares,
    in_tolerance,
    level_ranges,
    target_levels,
)
from imssa_lab.log.run import Run
from imssa_lab.report.measured.deployment_result import outcome_of
from imssa_lab.report.measured.run_columns import columns

_LOOK_BACK = 64
"""Reads that are looked through for cells that the newest of them did not touch."""


def programmed(run: Run) -> xarray.Dataset:
    """Targets and what came of them, for every array of the run that was programmed.

    Returns:
        `target` and `achieved` in S, `outcome` (`CellOutcome`), `pulses`, each (array, row, col), NaN or 0 where
        nothing was programmed; `tolerance` in S and `record`, the number of the newest record that `achieved` comes
        from, each (array). `level` is the place in `imssa_lab.contract.cell_classes.level_ranges` of a cell that had
        to move, -1 of others, (array, row, col), and `ranges` these, in S, (array, level, end); `bottom` of the
        window is in S, (array). `kernel` are cells of kernels (all where the log does not say), `made_up` stuck cells
        whose partner takes over the difference, each (array, row, col). `achieved` is the last reading of a cell
        outside any programming loop. After a deployment `target` is what the deployment says it wanted, otherwise
        what the last programming asked for.

    Raises:
        LogError: damaged records.
    """
    shape = (len(run.infos), *run.infos[0].shape)
    target, achieved = np.full(shape, np.nan), np.full(shape, np.nan)
    outcome, pulses = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
    tolerance, record = np.full(shape[0], np.nan), np.zeros(shape[0], np.int64)
    for row in range(run.records("program")):
        one = {name: run.column("program", name, row) for name in _COLUMNS}
        index, chosen = int(one["array"]), one["mask"] != 0
        for into, name in ((target, "target"), (achieved, "achieved"), (outcome, "outcome")):
            into[index][chosen] = one[name][chosen]
        pulses[index][chosen] += one["pulses"][chosen]
        tolerance[index], record[index] = float(one["tolerance"]), int(one["seq"])
    kernel, made_up = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
    found = outcome_of(run)
    if found is not None:
        for flags, maps in ((kernel, found.kernels), (made_up, found.made_up)):
            for index, marks in enumerate(maps):
                flags[index] = marks
        for index, wanted in enumerate(found.targets):
            target[index] = wanted
            achieved[index] = np.where(np.isfinite(wanted), achieved[index], np.nan)
            tolerance[index] = found.tolerance
    for index in range(shape[0]):
        newer = _newest_reads(run, index, np.isfinite(target[index]), int(record[index]))
        if newer is not None:
            values, record[index] = newer
            achieved[index] = np.where(np.isfinite(values), values, achieved[index])
    kept = np.flatnonzero(np.isfinite(target).any(axis=(1, 2)))
    dims = ("array", "row", "col")
    windows = [(run.infos[index].window, float(tolerance[index])) for index in kept.tolist()]
    level = [target_levels(target[index], *window) for index, window in zip(kept.tolist(), windows, strict=True)]
    more = {
        "kernel": (dims, kernel[kept]),
        "made_up": (dims, made_up[kept]),
        "level": (dims, np.array(level, np.int64).reshape(len(kept), *shape[1:])),
        "ranges": (
            ("array", "level_of", "end"),
            np.reshape([level_ranges(*window) for window in windows], (-1, 3, 2)),
        ),
        "bottom": (("array",), np.array([window.low for window, _ in windows])),
    }
    return (
        _dataset(kept, target, achieved, outcome, pulses, tolerance, record)
        .assign(more)
        .assign_attrs(run=str(run.path))
    )


_COLUMNS = ("seq", "array", "mask", "target", "achieved", "outcome", "pulses", "tolerance")


def of_arrays(
    targets: list[FloatArray], achieved: list[FloatArray], tolerance: float, pulses: list[Any] | None = None
) -> xarray.Dataset:
    """The same Dataset from given maps, S, (rows, cols) each, NaN where nothing was programmed; all had to move."""
    target = np.array(targets)
    none = np.zeros(target.shape, np.int64)
    kept = np.arange(len(target))
    tolerances = np.full(len(target), tolerance)
    counted = none if pulses is None else np.array(pulses)
    made = _dataset(kept, target, np.array(achieved), none, counted, tolerances, np.zeros(len(target), np.int64))
    ends = np.broadcast_to([np.nanmin(target), np.nanmax(target)], (len(target), 1, 2))
    return made.assign(
        level=(("array", "row", "col"), np.where(np.isfinite(target), 0, -1)),
        ranges=(("array", "level_of", "end"), ends),
        bottom=(("array",), np.zeros(len(target))),
    )


def inside(data: xarray.Dataset) -> BoolArray:
    """Cells in the tolerance of their array, (array, row, col); False where nothing was programmed."""
    return np.stack(
        [
            in_tolerance(one["target"].values, one["achieved"].values, float(one["tolerance"]))
            for one in (data.isel(array=place) for place in range(data.sizes["array"]))
        ]
    )


def shares(run: Run, data: xarray.Dataset) -> CellShares | None:
    """The programmed cells of all arrays by class; None where nothing was programmed.

    Args:
        data: what `programmed` made of the run.
    """
    found = []
    for place, index in enumerate(data["array"].values.tolist()):
        one = data.isel(array=place)
        cells = CellMap(*(one[name].values for name in ("target", "achieved", "kernel", "made_up")))
        found.append(cell_shares([cells], run.infos[index].window, float(one["tolerance"])))
    return CellShares.merged(found) if found else None


def cell_figures(run: Run) -> dict[str, float]:
    """Programmed cells by class in numbers, by name: how many, and how many the last reading found in tolerance."""
    found = shares(run, programmed(run))
    figures: dict[str, float] = {}
    for part in [] if found is None else found.all_parts():
        figures[f"programmed cells, {part.name}"] = float(part.cells)
        figures[f"in tolerance by the last reading, {part.name}"] = float(part.inside)
        if part.made_up:
            figures[f"made up for by their partner, {part.name}"] = float(part.made_up)
    return figures


def _dataset(
    kept: Any, target: Any, achieved: Any, outcome: Any, pulses: Any, tolerance: Any, record: Any
) -> xarray.Dataset:
    dims = ("array", "row", "col")
    return xarray.Dataset(
        {
            "target": (dims, target[kept], {"units": "S"}),
            "achieved": (dims, achieved[kept], {"units": "S"}),
            "outcome": (dims, outcome[kept], {"units": "1", "meaning": "imssa_lab.contract.hal.CellOutcome"}),
            "pulses": (dims, pulses[kept], {"units": "1"}),
            "tolerance": (("array",), tolerance[kept], {"units": "S"}),
            "record": (("array",), record[kept], {"units": "1"}),
        },
        coords={"array": kept},
    )


def _newest_reads(run: Run, index: int, wanted: BoolArray, after: int) -> tuple[FloatArray, int] | None:
    """What reads after record `after` found in the wanted cells, S, NaN where none did; and the newest record."""
    seqs, arrays = columns(run, "read_conductances", "seq", "array")
    rows = np.flatnonzero((seqs > after) & (arrays == index))[::-1][:_LOOK_BACK]
    found, newest = np.full(wanted.shape, np.nan), -1
    for row in rows:
        missing = wanted & np.isnan(found)
        if not missing.any():
            break
        here = missing & (run.column("read_conductances", "mask", int(row)) != 0)
        if here.any():
            found[here] = conductances(run, int(row))[here]
            newest = max(newest, int(seqs[row]))
    return (found, newest) if newest >= 0 else None


def last_readings(run: Run, index: int) -> FloatArray:
    """The last reading of every cell of array `index`, S, (rows, cols), NaN where the newest reads have none.

    Raises:
        LogError: damaged records.
    """
    everywhere = np.ones(run.infos[index].shape, np.bool_)
    found = _newest_reads(run, index, everywhere, -1)
    return np.full(everywhere.shape, np.nan) if found is None else found[0]


def conductances(run: Run, row: int) -> FloatArray:
    """The mean of one record of read_conductances, S, (rows, cols); outside its mask the values mean nothing."""
    info = run.infos[int(run.column("read_conductances", "array", row))]
    current = run.readout("read_conductances", row, info.adc is not None).current(info.adc).mean(axis=0)
    return np.asarray(current / info.read_voltage)
