"""What is laid down in a run file before the first call, attributes, arrays, empty tables; and cut off after it."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py
import numpy as np

from imssa_lab.contract.hal import ArrayInfo, CrossbarArray
from imssa_lab.log.file.attributes import set_text
from imssa_lab.log.file.environment import environment
from imssa_lab.log.schema import (
    CALIBRATION,
    FORMAT,
    FORMAT_VERSION,
    SCALES,
    TABLES,
    Column,
    Table,
    commit_column,
)

_log = logging.getLogger(__name__)

# A flush writes the last chunk again: records of a few bytes share one, a map has its own.
_CHUNK_BYTES = 1 << 15  # a chunk of its own costs HDF5 some 10 us, whatever it holds
_MAX_CHUNK = 256  # rows, but for those of which a record has many:
_CHUNK_ROWS = {"cell": 1024, "byte": 1 << 16}
# of a file that nobody writes any more
_PACKED_BYTES = 1 << 17
_PACKING = 6
REPAIRED_BYTES = 512
_JSON = (str, bool, int, float, type(None))
# The netCDF-4 convention for a dimension without coordinate values.
_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable.         0"


def write_header(
    file: h5py.File, arrays: Sequence[CrossbarArray], opened_at: Sequence[float], provenance: Mapping[str, object]
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
        "provenance": json.dumps({str(name): as_text(value) for name, value in provenance.items()}),
        "environment": json.dumps(environment()),
    }
    texts["provenance_sha256"] = sha256(texts["provenance"])
    for name, text in texts.items():
        set_text(file, name, text)
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["started"] = time.time()
    file.attrs["closed_cleanly"] = False
    file.attrs.create("repaired", np.zeros((), dtype=h5py.string_dtype("utf-8", REPAIRED_BYTES)))
    for index, array in enumerate(arrays):
        group = file.create_group(f"arrays/{index}")
        info = array.info.model_dump_json()
        set_text(group, "info", info)
        set_text(group, "info_sha256", sha256(info))
        group.attrs["device_time"] = opened_at[index]
        if array.calibration is not None:
            set_text(group, "calibration_date", array.calibration.date)
            for name, unit in CALIBRATION.items():
                values = np.asarray(getattr(array.calibration, name), dtype=np.float64)
                set_text(_fixed_dataset(group, name, values), "units", unit)


def as_text(value: object) -> str:
    """A value of the provenance as text: numbers of numpy and torch as plain ones, lists and the like as JSON."""
    plain = _plain(value)
    return json.dumps(plain) if isinstance(plain, (list, dict)) else str(plain)


def _plain(value: Any) -> Any:
    """What JSON knows of a value, inside lists and mappings too: numbers as such, anything else as its text."""
    if hasattr(value, "tolist"):  # of an array, and of a tensor; a number if it has no dimensions
        value = value.tolist()
    elif hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, Mapping):
        keys = [key if isinstance(key, _JSON) else _plain(key) for key in value]
        texts = [key if isinstance(key, _JSON) else str(key) for key in keys]
        return dict(zip(texts, map(_plain, value.values()), strict=True))
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, _JSON) else str(value)


def sha256(text: str) -> str:
    """Checksum of a long attribute, which HDF5 keeps outside its checksummed headers."""
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def create_tables(
    file: h5py.File, shape: tuple[int, int], dtypes: Mapping[str, str], *, packed: bool = False
) -> dict[str, dict[str, h5py.Dataset]]:
    """Every table, empty; table name -> column name -> dataset.

    `dtypes`: as `dtypes_of` gives them. `packed`: larger chunks, all of them compressed, for a file that nobody
    writes any more.
    """
    sizes = {"row": shape[0], "col": shape[1]}
    return {
        table: _create_table(file.create_group(table), columns, sizes, dtypes, packed)
        for table, columns in TABLES.items()
    }


def trim(file: h5py.File, rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Cut every dataset to the rows that belong to whole records; `rows` by table and by what a dataset counts.

    Gives the datasets that cannot be cut, because their last chunk is damaged.
    """
    uncut: list[str] = []
    for table, columns in TABLES.items():
        if table not in file:
            continue
        sizes = {name: rows[table][column.per] for name, column in columns.items() if name in file[table]}
        if "byte" in file[table]:
            sizes["byte"] = rows[table]["byte"]
        # the one that says how many there are goes first, so that a kill leaves nothing announced that is missing
        for name in sorted(sizes, key=lambda name: name != commit_column(table)):
            if file[table][name].shape[0] != sizes[name]:
                try:
                    file[table][name].resize(sizes[name], axis=0)
                except RuntimeError as error:
                    _log.warning("%s: /%s/%s stays longer than its records: %s", file.filename, table, name, error)
                    uncut.append(f"/{table}/{name}")
    return uncut


def _create_table(
    group: h5py.Group, columns: Table, sizes: Mapping[str, int], dtypes: Mapping[str, str], packed: bool
) -> dict[str, h5py.Dataset]:
    scales: dict[str, h5py.Dataset] = {}
    for dim in sorted({dim for column in columns.values() for dim in column.dims}):
        scales[dim] = _fixed_dataset(group, dim, np.arange(sizes[dim], dtype=np.uint32))
        scales[dim].make_scale(dim)
    datasets: dict[str, h5py.Dataset] = {}
    for name, column in columns.items():
        dtype = dtypes.get(column.dtype, column.dtype)
        row = tuple(sizes[dim] for dim in column.dims)
        datasets[name] = _growing_dataset(group, name, row, dtype, column, packed)
        set_text(datasets[name], "units", "A" if (column.dtype, dtype) == ("code", "f8") else column.unit)
        if column.meaning:
            set_text(datasets[name], "meaning", column.meaning)
    for per, name in SCALES.items():
        if name in datasets:
            scales[per] = datasets[name]
            scales[per].make_scale(name)
    if any(column.per == "byte" for column in columns.values()):
        scales["byte"] = _growing_dataset(group, "byte", (), "u1", Column("u1", per="byte"), packed)
        scales["byte"].make_scale(_BARE_DIMENSION)
    for name, column in columns.items():
        for axis, dim in enumerate((column.per, *column.dims)):
            if name != SCALES.get(dim):
                datasets[name].dims[axis].attach_scale(scales[dim])
    _hint_viewers(group, columns, columns.signal)
    return datasets


def _hint_viewers(group: h5py.Group, columns: Mapping[str, Column], signal: str) -> None:
    """Attributes of NeXus, by which plain viewers plot a table by themselves."""
    if not signal:
        return
    column = columns[signal]
    set_text(group, "NX_class", "NXdata")
    set_text(group, "signal", signal)
    if column.per not in SCALES:
        return  # bytes, which nothing but their place numbers
    axes = [SCALES[column.per], *column.dims]
    names = [name.encode() for name in axes]
    group.attrs.create("axes", np.array(names, dtype=h5py.string_dtype("utf-8", max(map(len, names)))))


def _growing_dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str, column: Column, packed: bool
) -> h5py.Dataset:
    record_bytes = int(np.dtype(dtype).itemsize * np.prod(shape, dtype=int))
    chunk = min(max(_CHUNK_BYTES // record_bytes, 1), _MAX_CHUNK)
    # an even number of rows, as the checksum runs over words of two bytes
    chunk = 1 if len(shape) == 2 else _CHUNK_ROWS.get(column.per, max(chunk // 2 * 2, 1))
    # Maps are mostly empty and have a chunk of their own, which is therefore written once: worth packing.
    filters: dict[str, Any] = {"compression": "gzip", "compression_opts": 1} if len(shape) == 2 else {}
    if column.packed:
        # bytes of codes apart, as the upper ones hardly differ
        filters = {"compression": "gzip", "compression_opts": 1, "shuffle": dtype in ("i2", "i4")}
    if packed:
        chunk = max(_PACKED_BYTES // record_bytes // 2 * 2, 1)
        filters = {"compression": "gzip", "compression_opts": _PACKING, "shuffle": True}
    return group.create_dataset(
        name,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        chunks=(chunk, *shape),
        fletcher32=True,
        fillvalue=column.fill if np.dtype(dtype).kind != "S" else None,
        **filters,
    )


def _fixed_dataset(group: h5py.Group, name: str, values: np.ndarray[Any, np.dtype[Any]]) -> h5py.Dataset:
    return group.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)


def dtypes_of(infos: Sequence[ArrayInfo]) -> dict[str, str]:
    """What the values of a run are stored as: codes where every array has an ADC; and its voltages in steps."""
    # of codes as signed numbers: those of an unsigned converter, or of one that does not say, need one bit more
    bits = [info.adc.bits + (info.adc.signed is not True) for info in infos if info.adc is not None]
    code = "f8" if len(bits) < len(infos) else "i4" if max(bits) > 16 else "i2"
    most = max((info.limits.read_voltage / info.input_step for info in infos if info.input_step), default=0.0)
    return {"code": code, "steps": "i1" if round(most) <= np.iinfo(np.int8).max else "i2"}
