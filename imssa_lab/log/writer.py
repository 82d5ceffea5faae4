"""`RunLog`: one HDF5 file a run, written so that a kill loses nothing that was acknowledged.

SWMR from the start, everything created before, every record flushed before the call returns. `seq` is written
last and on its own: a record exists once its number does, so that a kill in the middle of one leaves no half.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from imssa_lab.errors import LogError
from imssa_lab.hal import CrossbarArray
from imssa_lab.log.header import create_tables, write_header
from imssa_lab.log.schema import LIBVER, TABLES, TEXT_BYTES, parts

_log = logging.getLogger(__name__)
_HDF5_ERRORS = (OSError, RuntimeError, ValueError)


class RunLog:
    """The log of one run; a context manager. Make one with `create`, or let `record` do it.

    Several threads may write; a record is whole before the next begins. `path` is the file, `opened_at` the device
    time of each array when the log was made, s.
    """

    def __init__(
        self, path: Path, file: h5py.File, datasets: dict[str, dict[str, h5py.Dataset]], opened_at: list[float]
    ) -> None:
        self.path = path
        self.opened_at = opened_at
        self._file: h5py.File | None = file
        self._datasets = datasets
        self._seq = 0
        # Written to the end, by what a dataset counts. What an interrupt leaves beyond is overwritten.
        self._rows = {table: dict.fromkeys((c.per for c in TABLES[table].values()), 0) for table in TABLES}
        self._unfinished: dict[int, int] = {}  # seq -> row of pulses not yet known to be done
        self._failure = ""
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: str | Path, arrays: Sequence[CrossbarArray], provenance: Mapping[str, str]) -> RunLog:
        """A new log for runs on `arrays`, which must be of one shape.

        Args:
            path: the new file; it must not exist, its folder must.
            arrays: their `info`, present `calibration` and `time` go into the file.
            provenance: what else to keep, as text: command, chip, bundle, git state ...

        Raises:
            LogError: the file exists, its folder does not, or the arrays differ in shape.
        """
        where = Path(path)
        shapes = {array.info.shape for array in arrays}
        if len(shapes) != 1:
            listed = ", ".join(f"{array.info.name} {array.info.rows}x{array.info.cols}" for array in arrays)
            raise LogError(f"one log holds arrays of one shape, given: {listed or 'none'}; use a log for each shape")
        if not where.parent.is_dir():
            raise LogError(f"{where}: the folder {where.parent} does not exist; make it first")
        try:
            file = h5py.File(where, "x", libver=LIBVER)
        except FileExistsError as error:
            raise LogError(f"{where} exists; a log is never overwritten, choose another name") from error
        except OSError as error:
            raise LogError(f"{where} cannot be created: {error}; check rights and space") from error
        opened_at = [array.time for array in arrays]
        try:
            write_header(file, arrays, opened_at, provenance)
            datasets = create_tables(file, shapes.pop(), _code_dtype(arrays))
            file.swmr_mode = True
        except BaseException as error:
            file.close()
            where.unlink()
            if isinstance(error, _HDF5_ERRORS):
                raise LogError(f"{where} cannot be written: {error}; check the disk") from error
            raise
        return cls(where, file, datasets, opened_at)

    @property
    def next_seq(self) -> int:
        """Number that the next record will have."""
        return self._seq

    def check(self) -> None:
        """To be called before anything is sent to hardware.

        Raises:
            LogError: the log is closed, or an earlier record could not be written.
        """
        if self._failure:
            raise LogError(self._failure)
        if self._file is None:
            raise LogError(f"{self.path}: the log is closed, so the array must not be used; open a new log")

    def append(self, table: str, values: Mapping[str, Any]) -> int:
        """Write one record and flush it.

        Args:
            table: one of the tables that have a `seq`.
            values: column name -> value; columns that count vectors or reads take one row each. `seq`,
                `wall_time`, `first`, `count` and the like are filled in here.

        Returns:
            The number of the record.

        Raises:
            LogError: the file cannot take it (disk full, drive gone, log closed), or a value does not fit.
        """
        with self._lock:
            self.check()
            seq, rows, several = self._seq, self._rows[table], parts(table)
            record = {"wall_time": time.time(), **values}
            count = 1
            if several is not None:
                count = len(record["value"])
                record |= {"first": rows[several], "count": count, f"{several}_call": np.full(count, seq)}
            columns = {
                name: self._fit(table, name, record[name] if column.per == several else [record[name]])
                for name, column in TABLES[table].items()
                if name != "seq"
            }
            try:
                for name, data in columns.items():
                    _put(self._datasets[table][name], rows[TABLES[table][name].per], data)
                if self._file is not None:
                    self._file.flush()
                _put(self._datasets[table]["seq"], rows["call"], np.array([seq], dtype=np.uint64))
                self._datasets[table]["seq"].flush()
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error
            if table == "pulses":
                self._unfinished[seq] = rows["call"]
            self._seq += 1
            rows["call"] += 1
            if several is not None:
                rows[several] += count
            return seq

    def mark_done(self, seq: int, device_time: float) -> None:
        """Note that the pulses of record `seq` were sent to the end, and when (device time, s).

        Raises:
            LogError: the file cannot take it.
        """
        with self._lock:
            self.check()
            try:
                datasets = self._datasets["pulses"]
                row = self._unfinished.pop(seq)
                for name, value in (("device_time", device_time), ("done", 1)):
                    datasets[name][row] = value
                    datasets[name].flush()
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error

    def event(self, kind: str, text: str) -> None:
        """Write a text of any length; `kind` says what it is (at most 32 bytes).

        Raises:
            LogError: the kind is too long, the text holds a zero byte, or the file cannot take it.
        """
        if "\0" in kind + text:
            raise LogError(f"{self.path}: an event with a zero byte, which HDF5 would cut there; send JSON or a repr")
        data = text.encode()
        pieces = [data[start : start + TEXT_BYTES] for start in range(0, max(len(data), 1), TEXT_BYTES)]
        with self._lock:
            for number, piece in enumerate(pieces):
                values = {"part": number, "parts": len(pieces), "text": piece}
                self.append("events", {"kind": kind.encode(), **values})

    def note(self, kind: str, text: str) -> None:
        """`event` for a moment when nothing may stand in the way, such as making an array safe: never raises."""
        try:
            self.event(kind, text)
        except LogError as error:
            _log.warning("not in the log: %s %s (%s)", kind, text, error)

    def close(self) -> None:
        """End the run and mark the file as closed cleanly; a second call does nothing.

        Raises:
            LogError: the file cannot be written to the end; what was acknowledged is safe.
        """
        with self._lock:
            if self._file is None:
                return
            file, self._file = self._file, None
            try:
                file.close()
                if not self._failure:
                    with h5py.File(self.path, "r+", libver=LIBVER) as again:
                        self._trim(again)
                        again.attrs["closed_cleanly"] = True
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fit(self, table: str, name: str, value: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """`value` as this dataset stores it; HDF5 itself would cut what is too large, without a word."""
        dataset = self._datasets[table][name]
        given = np.asarray(value)
        if given.dtype == dataset.dtype:
            fits, data = True, given
        elif given.dtype.kind == "S":
            fits, data = given.dtype.itemsize <= dataset.dtype.itemsize, given
        else:
            with np.errstate(invalid="ignore"):
                data = given.astype(dataset.dtype)
            fits = bool(np.array_equal(data, given, equal_nan=given.dtype.kind == "f"))
        if not fits or data.shape[1:] != dataset.shape[1:]:
            text = (
                f"{self.path}: /{table}/{name} holds {dataset.dtype} of shape {dataset.shape[1:]} and cannot keep "
                f"{given.dtype} of shape {given.shape[1:]} unchanged"
            )
            if name in ("value", "range"):  # it was measured and is lost: the record has a hole from here on
                self._failure = text = f"{text}; the array's info is wrong about its ADC, nothing more is sent"
            raise LogError(text)
        return data

    def _trim(self, file: h5py.File) -> None:
        for table, columns in TABLES.items():
            for name, column in columns.items():
                if file[table][name].shape[0] > self._rows[table][column.per]:
                    file[table][name].resize(self._rows[table][column.per], axis=0)

    def _failed(self, error: Exception) -> LogError:
        self._failure = (
            f"{self.path}: the log cannot be written ({error}); nothing more is sent to the array. "
            "Check the disk; what was acknowledged so far is safe"
        )
        return LogError(self._failure)


def _put(dataset: h5py.Dataset, row: int, data: np.ndarray[Any, np.dtype[Any]]) -> None:
    if dataset.shape[0] < row + len(data):
        dataset.resize(row + len(data), axis=0)
    dataset[row : row + len(data)] = data


def _code_dtype(arrays: Sequence[CrossbarArray]) -> str:
    bits = [array.info.adc.bits for array in arrays if array.info.adc is not None]
    if len(bits) < len(arrays):
        return "f8"
    return "i4" if max(bits) > 16 else "i2"
