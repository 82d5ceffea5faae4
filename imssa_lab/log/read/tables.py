"""A table of a run for analysis: xarray (read as it is needed), pandas, CSV and Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError, LogError
from imssa_lab.contract.operating_system import open_file
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.schema import SCALES, TABLES, parts

if TYPE_CHECKING:
    import pandas
    import xarray

    from imssa_lab.log.read.run_file import RunFile

_BLOCK = 256  # calls that an export holds in memory
_CELLS = 1 << 18  # so many cells of pulses
_DIMS = {**SCALES, "byte": "byte"}
FORMATS = ("csv", "parquet")
Rows = NDArray[np.intp]


@damage_named
def to_xarray(run: RunFile, table: str, *, skip_damaged: bool = False) -> xarray.Dataset:
    """A table as an xarray Dataset with units and coordinates, as it is now; values are read when they are used.

    Reads carry a `current` in A besides the codes, before any column calibration.

    Args:
        skip_damaged: leave out the records whose stored bytes are damaged; without it, using them raises LogError.

    Raises:
        LogError: no such table, or a column that the others hang on is damaged.
    """
    import xarray

    _known(run, table)
    lost = damaged_rows(run, table) if skip_damaged else {}
    found: dict[str, Any] = {}
    names = [name for name in TABLES[table] if f"{table}/{name}" in run.file]
    sizes = {TABLES[table][name].per: run.rows(table, name) for name in names}
    for name in names:
        column, dtype = TABLES[table][name], run.file[table][name].dtype
        dims = (_DIMS[column.per], *column.dims)
        shape = (sizes[column.per], *run.file[table][name].shape[1:])
        attrs = {"units": text_attribute(run.file[table][name], "units") or ""}
        attrs |= {"meaning": column.meaning} if column.meaning else {}
        if name == _DIMS[column.per]:
            good = _left(sizes[column.per], lost.get(column.per, ()))
            values = np.zeros(shape, dtype)
            values[good] = run.column(table, name, slice(0, shape[0])) if not lost else _pick(run, table, name, good)
            found[name] = (dims, values, attrs)
            continue
        found[name] = (dims, _lazy(shape, dtype, _reader(run, table, name)), attrs)
    if table in ("read_mvm", "read_conductances"):
        dims, per = found["value"][0], TABLES[table]["value"].per
        shape = (sizes[per], *run.file[table]["value"].shape[1:])
        found["current"] = (dims, _lazy(shape, np.dtype("f8"), _currents(run, table)), {"units": "A"})
    # row, col and byte are plain counts
    data = xarray.Dataset(found, attrs={"run": str(run.path), "uuid": run.uuid})
    for per, rows in lost.items():
        if rows:
            data = data.isel({_DIMS[per]: _left(sizes[per], rows)})
    return data.assign_coords({dim: np.arange(data.sizes[dim]) for dim in ("row", "col") if dim in data.dims})


@damage_named
def damaged_rows(run: RunFile, table: str) -> dict[str, set[int]]:
    """The rows that hang on damaged chunks, by what they count; a call is damaged if any part of it is."""
    lost: dict[str, set[int]] = {column.per: set() for column in TABLES[table].values()}
    handle = open_file(run.path, os.O_RDONLY)
    try:
        for name, column in TABLES[table].items():
            if f"{table}/{name}" in run.file:
                bad = [chunk for chunk in scan(run.file[table][name], handle) if not chunk.intact]
                for chunk in bad:
                    lost[column.per].update(range(chunk.first, min(chunk.stop, run.rows(table, name))))
    finally:
        os.close(handle)
    several = parts(table)
    if several is not None and any(lost.values()):
        first, count = (run.column(table, name).astype(int) for name in ("first", "count"))
        for row, (start, many) in enumerate(zip(first, count, strict=True)):
            mine = range(start, start + many)
            if row in lost["call"] or not lost[several].isdisjoint(mine):
                lost["call"].add(row)
                lost[several].update(mine)
    return lost


@damage_named
def to_pandas(run: RunFile, table: str, *, skip_damaged: bool = False) -> pandas.DataFrame:
    """A table with one row a record (a vector in `read_mvm`, a message of the wire); maps and cells are in `cells`.

    Vectors become columns such as ``voltage_0``. SI units.
    """
    import pandas

    blocks = list(_rows(run, table, skip_damaged))
    return pandas.concat(blocks, ignore_index=True) if blocks else pandas.DataFrame()


@damage_named
def cells(run: RunFile, table: str, *, skip_damaged: bool = False) -> pandas.DataFrame:
    """A table with one row for every cell that a record touches: seq, row, col and the values there."""
    import pandas

    blocks = list(_cells(run, table, skip_damaged))
    return pandas.concat(blocks, ignore_index=True) if blocks else pandas.DataFrame()


@damage_named
def export(run: RunFile, folder: Path, kind: str, tables: list[str], *, skip_damaged: bool = False) -> list[Path]:
    """Write tables as ``TABLE.csv`` or ``.parquet`` and their maps as ``TABLE_cells...``; gives the files.

    Raises:
        ConfigError: an unknown kind, or a file is there already; LogError: an unknown table, or damaged records.
    """
    if kind not in FORMATS:
        raise ConfigError(f"no format {kind!r}; choose {' or '.join(FORMATS)}")
    written: list[Path] = []
    for table in tables:
        _known(run, table)
        jobs = [(table, _rows)] if not _is_map(table) else [(table, _rows), (f"{table}_cells", _cells)]
        for name, blocks in jobs:
            path = folder / f"{name}.{kind}"
            if path.exists():
                raise ConfigError(f"{path} exists; choose another folder, nothing was overwritten")
            if _write(blocks(run, table, skip_damaged), path, kind):
                written.append(path)
    return written


def _write(blocks: Iterator[pandas.DataFrame], path: Path, kind: str) -> bool:
    writer: Any = None
    try:
        for number, block in enumerate(blocks):
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "csv":
                block.to_csv(path, mode="a", header=number == 0, index=False)
            else:
                import pyarrow
                import pyarrow.parquet

                arrow = pyarrow.Table.from_pandas(block, preserve_index=False)
                writer = writer or pyarrow.parquet.ParquetWriter(path, arrow.schema)
                writer.write_table(arrow)
    finally:
        if writer is not None:
            writer.close()
    return path.exists()


def _known(run: RunFile, table: str) -> None:
    if table not in TABLES:
        raise LogError(f"{run.path}: no table {table!r}; a run holds {', '.join(TABLES)}")


def _is_map(table: str) -> bool:
    return any(column.dims == ("row", "col") or column.per == "cell" for column in TABLES[table].values())


def _rows(run: RunFile, table: str, skip_damaged: bool) -> Iterator[pandas.DataFrame]:
    import pandas

    data = to_xarray(run, table, skip_damaged=skip_damaged)
    dim = "vector_call" if table == "read_mvm" else _DIMS["message" if table == "wire" else "call"]
    # what belongs to the whole call is repeated for each of its vectors
    calls = data["seq"].to_index() if dim == "vector_call" else None
    for start in range(0, data.sizes[dim], _BLOCK):
        part = data.isel({dim: slice(start, start + _BLOCK)})
        block: dict[str, Any] = {}
        chosen = None if calls is None else calls.get_indexer(part[dim].values)
        for name, variable in part.variables.items():
            if variable.dims == (dim,):
                values = variable.values
                block[str(name)] = (
                    np.char.decode(values, "utf-8") if values.dtype.kind == "S" and name != "text" else values
                )
            elif variable.dims == ("seq",) and chosen is not None and name not in ("first", "count"):
                block[str(name)] = data.variables[name].values[chosen]
            elif variable.dims == (dim, "col") or variable.dims == (dim, "row"):
                block |= {f"{name}_{index}": values for index, values in enumerate(variable.values.T)}
        if table == "wire":
            offsets, lengths = part["offset"].values, part["length"].values
            block["data"] = [
                run.column("wire", "data", slice(int(at), int(at + size))).tobytes().hex()
                for at, size in zip(offsets, lengths, strict=True)
            ]
        if "text" in block:
            block["text"] = [text.decode(errors="replace") for text in block["text"]]
        yield pandas.DataFrame(block)


def _cells(run: RunFile, table: str, skip_damaged: bool) -> Iterator[pandas.DataFrame]:
    import pandas

    data = to_xarray(run, table, skip_damaged=skip_damaged)
    if table == "pulses":
        names = {"seq": "cell_call"} | {name: name for name in ("row", "col", "voltage", "gate")}
        for start in range(0, data.sizes["cell_call"], _CELLS):
            part = data.isel(cell_call=slice(start, start + _CELLS))
            yield pandas.DataFrame({name: part[column].values for name, column in names.items()})
        return
    per_read = table == "read_conductances"
    dim = "read_call" if per_read else "seq"
    seqs = data["seq"].to_index()
    for start in range(0, data.sizes[dim], _BLOCK):
        part = data.isel({dim: slice(start, start + _BLOCK)})
        maps = {str(n): v.values for n, v in part.variables.items() if v.dims == (dim, "row", "col")}
        if per_read:
            calls = seqs.get_indexer(part[dim].values)
            masks = data["mask"].isel(seq=slice(int(calls.min()), int(calls.max()) + 1)).values
            touched = masks[calls - calls.min()] != 0
        else:
            touched = maps["mask"] != 0
        which, row, col = np.nonzero(touched)
        block = {"seq": part[dim].values[which], "row": row, "col": col}
        block |= {name: values[touched] for name, values in maps.items() if name != "mask"}
        yield pandas.DataFrame(block)


def _left(size: int, rows: Any) -> Rows:
    """The rows of `size` that are not among `rows`."""
    keep = np.ones(size, dtype=np.bool_)
    keep[list(rows)] = False
    return np.flatnonzero(keep)


def _pick(run: RunFile, table: str, name: str, good: Rows) -> NDArray[Any]:
    """Rows one run of neighbours after the other, so that no damaged chunk is touched."""
    if not good.size:
        return np.zeros(0, run.file[table][name].dtype)
    pieces = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return np.concatenate([run.column(table, name, slice(int(p[0]), int(p[-1]) + 1)) for p in pieces])


def _reader(run: RunFile, table: str, name: str) -> Callable[[slice], NDArray[Any]]:
    return lambda rows: np.asarray(run.column(table, name, rows))


def _currents(run: RunFile, table: str) -> Callable[[slice], NDArray[Any]]:
    """Amperes from codes, with scale and offset of the array that a row belongs to."""
    infos, per = run.infos, SCALES[parts(table) or ""]
    arrays: dict[int, int] = {}

    def read(rows: slice) -> NDArray[Any]:
        values = run.column(table, "value", rows).astype(np.float64)
        ranges = run.column(table, "range", rows)
        if len(infos) > 1 and not arrays:
            arrays.update(zip(run.column(table, "seq").tolist(), run.column(table, "array").tolist(), strict=True))
        owners = np.array([arrays.get(int(seq), 0) for seq in run.column(table, per, rows)], dtype=int)
        for index, info in enumerate(infos):
            mine = owners == index
            if info.adc is not None and mine.any():
                scale, offset = np.asarray(info.adc.scale), np.asarray(info.adc.offset)
                values[mine] = scale[ranges[mine]] * values[mine] + offset[ranges[mine]]
        return np.asarray(values)

    return read


def _lazy(shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[slice], NDArray[Any]]) -> Any:
    """An array for xarray that is read, a span of rows at a time, when it is used."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        def __init__(self) -> None:
            self.shape, self.dtype = shape, dtype

        def __getitem__(self, key: Any) -> Any:
            return indexing.explicit_indexing_adapter(key, shape, indexing.IndexingSupport.OUTER, self._take)

        def _take(self, key: tuple[Any, ...]) -> NDArray[Any]:
            rows = np.atleast_1d(np.arange(shape[0])[key[0]])
            wanted, places = np.unique(rows, return_inverse=True)
            # neighbours at once, and nothing in between: what is damaged there is not asked for
            spans = [span for span in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1) if span.size]
            blocks = [read(slice(int(span[0]), int(span[-1]) + 1)) for span in spans]
            block = np.concatenate(blocks)[places] if blocks else np.zeros((0, *shape[1:]), dtype)
            for axis in range(len(shape) - 1, 0, -1):
                block = block[(slice(None),) * axis + (key[axis],)]
            return np.asarray(block if np.ndim(rows) == np.ndim(np.arange(shape[0])[key[0]]) else block[0])

    return indexing.LazilyIndexedArray(Lazy())
