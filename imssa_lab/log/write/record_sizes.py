"""How many bytes the records of a session take in its log, before there is one; and whether the disk has the room."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import ArrayInfo, FloatArray
from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.header import dtypes_of
from imssa_lab.log.file.held_file import RESERVE
from imssa_lab.log.schema import TABLES
from imssa_lab.log.write.voltage_codes import VoltageCodes

EMPTY = 80_000
"""Bytes of a log with a record or two: descriptions, and one chunk of every column that many records share."""
# What maps take, found on logs of twins: igzip's account of a map of few cells, a packed value of it in units of its
# size, a packed map of ranges in units of its size, and HDF5's place for a chunk.
_PACKED, _PACKED_SHARE, _VALUE, _RANGES, _CHUNK = 125, 1 / 90, 1.3, 1 / 16, 20
# Of products from so many in a call on, which are packed: what a word line at 0 V takes of one that is driven, and
# the shares of codes, by their bytes, and of their ranges.
_TOGETHER, _ZEROS, _CODES_SHARE, _RANGES_SHARE = 32, 0.03, {2: 0.65, 4: 0.43, 8: 1.0}, 0.13


class RecordSizes:
    """Bytes that each kind of record takes in the log of an array like `info`; events and the wire come on top."""

    def __init__(self, info: ArrayInfo) -> None:
        self._sizes = {"row": info.rows, "col": info.cols}
        self._cells = info.rows * info.cols
        held = dtypes_of([info])
        self._code = np.dtype(held["code"]).itemsize
        self._ranges = info.adc is not None and len(info.adc.scale) > 1
        self._codes = VoltageCodes([info.input_step], np.dtype(held["steps"]))

    def products(self, voltages: FloatArray) -> int:
        """Of the products of one call, for voltages (vectors, rows) in V."""
        vectors, rows = voltages.shape
        held = next(column for column in self._codes.columns(0, voltages).values() if column is not None)
        numbers, volts = 16.0, float(held.itemsize * rows)  # of the call and the step; of the voltages
        values, ranges = self._code * self._sizes["col"], self._sizes["col"] if self._ranges else 0
        if vectors >= _TOGETHER:
            driven = np.count_nonzero(voltages) / max(voltages.size, 1)
            numbers, volts, ranges = 0.5, volts * (_ZEROS + (1 - _ZEROS) * driven), int(_RANGES_SHARE * ranges)
            values = int(values * _CODES_SHARE[self._code])
        return self._per("read_mvm", "call") + int(vectors * (numbers + volts + values + ranges))

    def least_of_products(self, vectors: int) -> int:
        """Of so many products at least: all in one call, hardly a word line driven."""
        return round(vectors / _TOGETHER * self.products(np.zeros((_TOGETHER, self._sizes["row"]))))

    def cell_reads(self, cells: int, reads: int) -> int:
        """Of `reads` reads of so many cells each, in one call."""
        mask = 0 if cells == self._cells else self._map(1, cells)
        ranges = _CHUNK + int(_RANGES * cells) if self._ranges else 0
        each = self._map(self._code, cells) + ranges + self._per("read_conductances", "read")
        return self._per("read_conductances", "call") + mask + reads * each

    def pulses(self, cells: int) -> int:
        """Of a call that pulses so many cells."""
        return self._per("pulses", "call") + cells * self._per("pulses", "cell")

    def programming(self, cells: int) -> int:
        """Of the report of a programming run on so many cells; the calls inside it are counted for themselves."""
        maps = [np.dtype(column.dtype).itemsize for column in TABLES["program"].values() if len(column.dims) == 2]
        return self._per("program", "call") + sum(self._map(size, cells) for size in maps)

    def _per(self, table: str, what: str) -> int:
        """Bytes of a row of all columns of a table that count `what`, maps left out."""
        columns = [each for name, each in TABLES[table].items() if each.per == what and len(each.dims) < 2]
        return sum(
            (self._code if each.dtype == "code" else np.dtype(each.dtype).itemsize)
            * int(np.prod([self._sizes[dim] for dim in each.dims], dtype=int))
            for each in columns
        )

    def _map(self, size: int, cells: int) -> int:
        """Bytes of a map with values of `size` bytes on so many cells; one of few cells is packed."""
        whole = size * self._cells
        return _CHUNK + min(whole, int(_PACKED + _PACKED_SHARE * whole + _VALUE * size * cells))


def check_room(folder: Path, needed: float) -> None:
    """The disk of `folder` takes a log of so many bytes and what is kept free beside it.

    Raises:
        LogError: it does not.
    """
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise LogError(
            f"the log will take about {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free; "
            "make room, or choose another place for it; nothing was sent to the array"
        )
