"""`RunLog`: one HDF5 file a run, written so that a kill loses nothing that was acknowledged.

SWMR from the start, everything created before, every record flushed before the call returns.
"""

from __future__ import annotations

import json
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from imssa_lab.errors import LogError
from imssa_lab.hal import CrossbarArray
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION, LIBVER, SCALES, TABLES, TEXT_BYTES, Column

_SCALAR_CHUNK = 256
_VECTOR_CHUNK = 64
_BYTE_CHUNK = 65536


class RunLog:
    """The log of one run; a context manager. Make one with `create`, or let `record` do it."""

    def __init__(self, path: Path, file: h5py.File, datasets: dict[str, dict[str, h5py.Dataset]]) -> None:
        self.path = path
        self._file: h5py.File | None = file
        self._datasets = datasets
        self._seq = 0

    @classmethod
    def create(cls, path: str | Path, arrays: Sequence[CrossbarArray], provenance: Mapping[str, str]) -> RunLog:
        """A new log for runs on `arrays`, which must be of one shape.

        Args:
            provenance: what else to keep, as text: command, chip, bundle, git state ...

        Raises:
            LogError: the file exists, its folder does not, or the arrays differ in shape.
        """
        shapes = {array.info.shape for array in arrays}
        if len(shapes) != 1:
            raise LogError(f"one log holds arrays of one shape, given are {sorted(shapes)}; use a log for each")
        where = Path(path)
        try:
            file = h5py.File(where, "x", libver=LIBVER)
        except FileExistsError as error:
            raise LogError(f"{where} exists; a log is never overwritten, choose another name") from error
        except OSError as error:
            raise LogError(f"{where} cannot be created: {error}; check folder, rights and space") from error
        _write_header(file, arrays, provenance)
        codes = all(array.info.adc is not None for array in arrays)
        bits = max((array.info.adc.bits for array in arrays if array.info.adc is not None), default=16)
        code_dtype = "f8" if not codes else "i2" if bits <= 16 else "i4"
        (rows, cols) = shapes.pop()
        datasets = {
            table: _create_table(file.create_group(table), columns, {"row": rows, "col": cols}, code_dtype)
            for table, columns in TABLES.items()
        }
        file.swmr_mode = True
        return cls(where, file, datasets)

    @property
    def next_seq(self) -> int:
        """Number that the next call will have."""
        return self._seq

    def append(self, table: str, values: Mapping[str, Any]) -> int:
        """Write one record and flush it; `values` maps column names to arrays or scalars.

        Columns that count vectors, reads or bytes take several rows, all others one. Returns the call's number.

        Raises:
            LogError: the file cannot take it (disk full, drive gone, log closed).
        """
        seq = self._seq
        record = {"seq": seq, "wall_time": time.time(), **values}
        for name, dataset in self._datasets[table].items():
            several = TABLES[table][name].per != "call"
            data = np.asarray(record[name]) if several else np.asarray(record[name])[None]
            self._extend(dataset, data)
        self._seq += 1
        return seq

    def rows(self, table: str, column: str) -> int:
        """How many rows a dataset holds."""
        return int(self._datasets[table][column].shape[0])

    def mark_done(self, row: int, device_time: float) -> None:
        """Note that the pulses of this row of /pulses were sent to the end, and when (device time, s)."""
        try:
            for name, value in (("device_time", device_time), ("done", 1)):
                self._datasets["pulses"][name][row] = value
                self._datasets["pulses"][name].flush()
        except (OSError, RuntimeError, ValueError) as error:
            raise self._failed(error) from error

    def event(self, kind: str, text: str) -> None:
        """Write a text of any length; `kind` says what it is (at most 32 bytes)."""
        data = text.encode()
        parts = [data[start : start + TEXT_BYTES] for start in range(0, max(len(data), 1), TEXT_BYTES)]
        for number, part in enumerate(parts):
            self.append(
                "events",
                {"kind": np.bytes_(kind), "part": number, "parts": len(parts), "text": np.bytes_(part)},
            )

    def close(self) -> None:
        """End the run and mark the file as closed cleanly; a second call does nothing."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        with h5py.File(self.path, "r+", libver=LIBVER) as file:
            file.attrs["closed_cleanly"] = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _extend(self, dataset: h5py.Dataset, data: np.ndarray[Any, np.dtype[Any]]) -> None:
        try:
            size = dataset.shape[0]
            dataset.resize(size + len(data), axis=0)
            dataset[size:] = data
            dataset.flush()
        except (OSError, RuntimeError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> LogError:
        return LogError(
            f"{self.path}: the log cannot be written ({error}); nothing more is sent to the array. "
            "Check the disk; what was acknowledged so far is safe"
        )


def _write_header(file: h5py.File, arrays: Sequence[CrossbarArray], provenance: Mapping[str, str]) -> None:
    try:
        own = version("imssa-lab")
    except PackageNotFoundError:
        own = "not installed"
    file.attrs.update(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "uuid": str(uuid.uuid4()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": json.dumps(
                {
                    "imssa_lab": own,
                    "python": platform.python_version(),
                    "numpy": np.__version__,
                    "h5py": h5py.__version__,
                }
            ),
            "provenance": json.dumps(dict(provenance)),
            "closed_cleanly": False,
        }
    )
    for index, array in enumerate(arrays):
        group = file.create_group(f"arrays/{index}")
        # bytes of fixed length: a TOML profile inside may exceed what an attribute can hold
        info = np.frombuffer(array.info.model_dump_json().encode(), dtype=np.uint8)
        group.create_dataset("info", data=info)
        group.attrs["device_time"] = array.time
        if array.calibration is not None:
            for name in ("gain", "offset", "residual"):
                group.create_dataset(name, data=getattr(array.calibration, name))
            group.attrs["calibration_date"] = array.calibration.date


def _create_table(
    group: h5py.Group, columns: Mapping[str, Column], sizes: Mapping[str, int], code_dtype: str
) -> dict[str, h5py.Dataset]:
    scales = {}
    for dim in sorted({dim for column in columns.values() for dim in column.dims}):
        scales[dim] = group.create_dataset(dim, data=np.arange(sizes[dim], dtype=np.uint16))
        scales[dim].make_scale(dim)
    datasets = {}
    for name, column in columns.items():
        shape = tuple(sizes[dim] for dim in column.dims)
        chunk = 1 if column.packed else _chunk(column)
        datasets[name] = group.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=code_dtype if column.dtype == "code" else column.dtype,
            chunks=(chunk, *shape),
            fletcher32=True,
            **({"compression": "gzip", "compression_opts": 1, "shuffle": True} if column.packed else {}),
        )
        datasets[name].attrs["units"] = column.unit
    for scale in SCALES.values():
        if scale in datasets:
            datasets[scale].make_scale(scale)
    for name, column in columns.items():
        scale = SCALES.get(column.per)
        if scale is not None and scale != name:
            datasets[name].dims[0].attach_scale(datasets[scale])
        for axis, dim in enumerate(column.dims, start=1):
            datasets[name].dims[axis].attach_scale(scales[dim])
    return datasets


def _chunk(column: Column) -> int:
    if column.per == "byte":
        return _BYTE_CHUNK
    return _VECTOR_CHUNK if column.per in ("vector", "read") else _SCALAR_CHUNK
