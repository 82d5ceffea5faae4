"""One table of a run file as it is written: its datasets record by record, the number of a record last."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import h5py

from imssa_lab.log.schema import TABLES, commit_column, parts
from imssa_lab.log.write.growing import GrowingDataset, Maps
from imssa_lab.log.write.shared_chunks import SharedChunks

_CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f8": "d"}


class Encoded(NamedTuple):
    """Whole records of a table without their numbers, as they are stored, a piece a dataset."""

    maps: list[bytes | memoryview]
    rest: list[bytes | memoryview]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(map(len, self.maps)) + sum(map(len, self.rest))


class TableWriter:
    """The datasets of one table; `handle` as in `SharedChunks`.

    Attributes:
        rows: written to the end, by what a dataset counts. What an interrupt leaves beyond is overwritten.
    """

    def __init__(self, table: str, datasets: Mapping[str, h5py.Dataset], handle: int | None) -> None:
        commit, columns = commit_column(table), TABLES[table]
        self.rows = dict.fromkeys((columns[name].per for name in datasets), 0)
        self._several = parts(table)
        self._maps = {name: Maps(dataset) for name, dataset in datasets.items() if dataset.ndim == 3}
        rest = {n: GrowingDataset(d) for n, d in datasets.items() if n not in self._maps and n != commit}
        plain = [n for n in rest if columns[n].per == "call" and columns[n].dtype in _CODES and not columns[n].dims]
        self._scalars = {name: rest[name] for name in plain}
        self._vectors = {name: column for name, column in rest.items() if name not in self._scalars}
        self._rest = self._scalars | self._vectors
        self._pack = struct.Struct("<" + "".join(_CODES[columns[name].dtype] for name in self._scalars)).pack
        self._split = struct.Struct("".join(f"{column.row_bytes}s" for column in self._scalars.values())).unpack
        self._per = {name: columns[name].per for name in datasets}
        self._shared = SharedChunks(list(self._rest.values()), handle)
        self._commit = SharedChunks([GrowingDataset(datasets[commit])], handle)
        self._per_commit = columns[commit].per

    def encode(self, record: Mapping[str, Any]) -> Encoded:
        """One record as it is stored; None leaves a column alone.

        Raises:
            Unfit: a value cannot be stored unchanged.
        """
        try:
            numbers = self._split(self._pack(*[record[name] for name in self._scalars]))
        except (struct.error, TypeError):
            numbers = tuple(column.fit(record[name], False) for name, column in self._scalars.items())
        maps, vectors = (
            [
                b"" if record[name] is None else column.fit(record[name], self._per[name] == self._several)
                for name, column in columns.items()
            ]
            for columns in (self._maps, self._vectors)
        )
        return Encoded(maps, [*numbers, *vectors])

    def encode_many(self, records: Mapping[str, Any]) -> Encoded:
        """Several records as they are stored, their rows in one array a column; raises as `encode`."""
        maps, rest = (
            [b"" if records[name] is None else column.fit(records[name], True) for name, column in columns.items()]
            for columns in (self._maps, self._rest)
        )
        return Encoded(maps, [*rest])

    def stored(self, values: Mapping[str, bytes]) -> Encoded:
        """Columns that are not maps, as they are stored already; those that are not named are left alone."""
        return Encoded([], [values.get(name, b"") for name in self._rest])

    def write(self, data: Encoded, numbers: bytes, more: Mapping[str, int]) -> None:
        """Write and flush whole records.

        Args:
            numbers: of the dataset that says which records there are, as they are stored.
            more: how many rows that is, by what a dataset counts.

        Raises:
            OSError, RuntimeError: the file does not take them.
        """
        for (name, column), piece in zip(self._maps.items(), data.maps, strict=True):
            column.put(self.rows[self._per[name]], piece)
        self._shared.put([self.rows[self._per[name]] for name in self._rest], data.rest)
        for column in self._maps.values():
            column.flush()
        self._shared.flush()
        self._commit.put([self.rows[self._per_commit]], [numbers])
        self._commit.flush()
        for per, count in more.items():
            self.rows[per] += count

    def set_later(self, row: int, values: Mapping[str, bytes]) -> None:
        """Set what a record could not say when it was written; raises as `write`."""
        self._shared.put([row] * len(self._rest), self.stored(values).rest)
        self._shared.flush()
