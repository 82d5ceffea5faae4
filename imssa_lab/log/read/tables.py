"""A table of a run for analysis: xarray (read as it is needed) and pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.read.row_blocks import Block, cells_of, currents, damaged_rows, known, left, pick, rows_of
from imssa_lab.log.schema import SCALES, TABLES

if TYPE_CHECKING:
    import pandas
    import xarray

    from imssa_lab.log.read.run_file import RunFile

_DIMS = {**SCALES, "byte": "byte"}


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

    known(run, table)
    lost = damaged_rows(run, table) if skip_damaged else {}
    found: dict[str, Any] = {}
    names = [name for name, column in TABLES[table].items() if f"{table}/{name}" in run.file and not column.behind]
    sizes = {TABLES[table][name].per: run.rows(table, name) for name in names}
    for name in names:
        column, dtype = TABLES[table][name], run.file[table][name].dtype
        dims = (_DIMS[column.per], *column.dims)
        shape = (sizes[column.per], *run.file[table][name].shape[1:])
        attrs = {"units": text_attribute(run.file[table][name], "units") or ""}
        attrs |= {"meaning": column.meaning} if column.meaning else {}
        if name == _DIMS[column.per]:
            good = left(sizes[column.per], lost.get(column.per, ()))
            values = np.zeros(shape, dtype)
            values[good] = run.column(table, name, slice(0, shape[0])) if not lost else pick(run, table, name, good)
            found[name] = (dims, values, attrs)
            continue
        found[name] = (dims, _lazy(shape, dtype, _reader(run, table, name)), attrs)
    if table in ("read_mvm", "read_conductances"):
        dims, per = found["value"][0], TABLES[table]["value"].per
        shape = (sizes[per], *run.file[table]["value"].shape[1:])
        found["current"] = (dims, _lazy(shape, np.dtype("f8"), currents(run, table)), {"units": "A"})
    # row, col and byte are plain counts
    data = xarray.Dataset(found, attrs={"run": str(run.path), "uuid": run.uuid})
    for per, rows in lost.items():
        if rows:
            data = data.isel({_DIMS[per]: left(sizes[per], rows)})
    return data.assign_coords({dim: np.arange(data.sizes[dim]) for dim in ("row", "col") if dim in data.dims})


@damage_named
def to_pandas(run: RunFile, table: str, *, skip_damaged: bool = False) -> pandas.DataFrame:
    """A table with one row a record (a vector in `read_mvm`, a message of the wire); maps and cells are in `cells`.

    Vectors become columns such as ``voltage_0``. SI units.
    """
    return _frame(rows_of(run, table, skip_damaged))


@damage_named
def cells(run: RunFile, table: str, *, skip_damaged: bool = False) -> pandas.DataFrame:
    """A table with one row for every cell that a record touches: seq, row, col and the values there."""
    return _frame(cells_of(run, table, skip_damaged))


def _frame(blocks: Iterable[Block]) -> pandas.DataFrame:
    import pandas

    frames = [pandas.DataFrame(block) for block in blocks]
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def _reader(run: RunFile, table: str, name: str) -> Callable[[slice], NDArray[Any]]:
    return lambda rows: np.asarray(run.column(table, name, rows))


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
