"""What is laid down in a run file before the first call: attributes, arrays, empty tables with their scales."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py
import numpy as np

from imssa_lab.hal import CrossbarArray
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION, SCALES, TABLES, Column

# A flush writes the last chunk anew: records of a few bytes share one, a map has its own.
_CHUNK_BYTES = 2048
_MAX_CHUNK = 256
# The netCDF-4 convention for a dimension without coordinate values.
_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable.         0"


def write_header(
    file: h5py.File, arrays: Sequence[CrossbarArray], opened_at: Sequence[float], provenance: Mapping[str, str]
) -> None:
    """Root attributes and /arrays; `opened_at` is the device time of each array, s."""
    try:
        own = version("imssa-lab")
    except PackageNotFoundError:
        own = "not installed"
    texts = {
        "format": FORMAT,
        "uuid": str(uuid.uuid4()),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "imssa_lab": own,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "provenance": json.dumps(dict(provenance)),
    }
    for name, text in texts.items():
        _set_text(file, name, text)
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["closed_cleanly"] = False
    for index, array in enumerate(arrays):
        group = file.create_group(f"arrays/{index}")
        _set_text(group, "info", array.info.model_dump_json())
        group.attrs["device_time"] = opened_at[index]
        if array.calibration is not None:
            _set_text(group, "calibration_date", array.calibration.date)
            for name, unit in (("gain", "1"), ("offset", "A"), ("residual", "A")):
                values = np.asarray(getattr(array.calibration, name), dtype=np.float64)
                _set_text(_fixed_dataset(group, name, values), "units", unit)


def create_tables(file: h5py.File, shape: tuple[int, int], code_dtype: str) -> dict[str, dict[str, h5py.Dataset]]:
    """Every table, empty; table name -> column name -> dataset."""
    sizes = {"row": shape[0], "col": shape[1]}
    return {
        table: _create_table(file.create_group(table), columns, sizes, code_dtype)
        for table, columns in TABLES.items()
    }


def _create_table(
    group: h5py.Group, columns: Mapping[str, Column], sizes: Mapping[str, int], code_dtype: str
) -> dict[str, h5py.Dataset]:
    scales: dict[str, h5py.Dataset] = {}
    for dim in sorted({dim for column in columns.values() for dim in column.dims}):
        scales[dim] = _fixed_dataset(group, dim, np.arange(sizes[dim], dtype=np.uint32))
        scales[dim].make_scale(dim)
    datasets: dict[str, h5py.Dataset] = {}
    for name, column in columns.items():
        dtype = code_dtype if column.dtype == "code" else column.dtype
        datasets[name] = _growing_dataset(group, name, tuple(sizes[dim] for dim in column.dims), dtype)
        _set_text(datasets[name], "units", "A" if (column.dtype, dtype) == ("code", "f8") else column.unit)
        if column.meaning:
            _set_text(datasets[name], "meaning", column.meaning)
    for per, name in SCALES.items():
        if name in datasets:
            scales[per] = datasets[name]
            scales[per].make_scale(name)
    if any(column.per == "byte" for column in columns.values()):
        scales["byte"] = _growing_dataset(group, "byte", (), "u1")
        scales["byte"].make_scale(_BARE_DIMENSION)
    for name, column in columns.items():
        for axis, dim in enumerate((column.per, *column.dims)):
            if name != SCALES.get(dim):
                datasets[name].dims[axis].attach_scale(scales[dim])
    return datasets


def _growing_dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    record_bytes = int(np.dtype(dtype).itemsize * np.prod(shape, dtype=int))
    chunk = min(max(_CHUNK_BYTES // record_bytes, 1), _MAX_CHUNK)
    # Maps are mostly empty and have a chunk of their own, which a flush therefore never writes anew: worth packing.
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if len(shape) == 2 else {}
    return group.create_dataset(
        name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape), fletcher32=True, **packed
    )


def _fixed_dataset(group: h5py.Group, name: str, values: np.ndarray[Any, np.dtype[Any]]) -> h5py.Dataset:
    return group.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)


def _set_text(target: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    # fixed length: strings of variable length live in a heap of their own, which a kill can damage
    data = text.encode()
    dtype = h5py.string_dtype("utf-8", max(len(data), 1))
    target.attrs.create(name, np.array(data, dtype=dtype))
