"""The pictures of a run for viewers of NeXus, calculated from its record: `fill_overview` when a file is finished."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import ArrayInfo, Readout
from imssa_lab.contract.errors import LimitError
from imssa_lab.log.file.file_state import HDF5_ERRORS
from imssa_lab.log.file.nexus import ENTRY, Overview, choose_default, most_points, write_overview

_log = logging.getLogger(__name__)
_LOOK_BACK = 1000
"""Reads of an array that are looked at, from the last one back, for cells that later ones left out."""
_TOGETHER = 1024
"""Rows that are read at once, in blocks of so many: what lies near is in one chunk anyway."""
Rows = Mapping[str, Mapping[str, int]]
"""Of whole records, by table and by what a dataset counts."""


def overview(file: h5py.File, infos: Sequence[ArrayInfo], rows: Rows) -> Overview:
    """The latest conductance of every cell, and currents of products against the arrays' time.

    Both are without column calibration; a conductance is the current at the array's read voltage, over that voltage.

    Raises:
        OSError, RuntimeError, ValueError, KeyError, IndexError, LimitError: what they are made of is damaged.
    """
    arrays, (lines, cols) = len(infos), infos[0].shape
    conductance = np.full((arrays, lines, cols), np.nan)
    for index, cells in enumerate(conductance):
        _latest(file["read_conductances"], infos[index], index, cells, rows["read_conductances"]["call"])
    table, calls = file["read_mvm"], rows["read_mvm"]["call"]
    counts = table["count"][:calls]
    owners, times = (np.repeat(table[name][:calls], counts) for name in ("array", "device_time"))
    found: list[tuple[NDArray[np.float64], NDArray[np.float32]]] = []
    for index, info in enumerate(infos):
        (mine,) = np.nonzero(owners == index)
        chosen = mine[:: max(-(-len(mine) // most_points(arrays, cols)), 1)]
        current = Readout(_picked(table["value"], chosen), _picked(table["range"], chosen)).current(info.adc)
        found.append((times[chosen], np.ascontiguousarray(current.T, dtype=np.float32)))
    return Overview(conductance.astype(np.float32), found)


def _latest(table: h5py.Group, info: ArrayInfo, index: int, cells: NDArray[Any], calls: int) -> None:
    """Fill `cells`, S, (rows, cols), all NaN, with the mean of the averages of the last read that has each."""
    masks, values, ranges = (table[name] for name in ("mask", "value", "range"))
    (mine,) = np.nonzero(table["array"][:calls] == index)
    for call in mine[::-1][:_LOOK_BACK]:
        missing = np.isnan(cells)
        if not missing.any():
            return
        new = missing & (masks[call] != 0)
        if new.any():
            first = int(table["first"][call])
            reads = slice(first, first + int(table["count"][call]))
            current = Readout(values[reads], ranges[reads]).current(info.adc)
            cells[new] = (current.mean(axis=0) / info.read_voltage)[new]


def _picked(dataset: h5py.Dataset, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Rows of a dataset, in rising order, (rows, ...)."""
    if not rows.size:
        return np.zeros((0, *dataset.shape[1:]), dataset.dtype)
    pieces = np.split(rows, np.flatnonzero(np.diff(rows // _TOGETHER)) + 1)
    return np.concatenate([dataset[piece[0] : piece[-1] + 1][piece - piece[0]] for piece in pieces])


def fill_overview(file: h5py.File, infos: Sequence[ArrayInfo], rows: Rows) -> None:
    """Write the pictures of a run into its file, which is open for writing.

    They are an addition: where they cannot be made or written, a warning says so, and the record is as good.
    """
    if ENTRY not in file or not infos:
        return  # an older file, or one whose arrays nobody can say anything of
    try:
        write_overview(file, overview(file, infos, rows))
        if not file.swmr_mode:
            choose_default(file)
        file.flush()
    except (*HDF5_ERRORS, IndexError, LimitError) as error:
        _log.warning("%s: no pictures for other programs under /%s (%s)", file.filename, ENTRY, error)
