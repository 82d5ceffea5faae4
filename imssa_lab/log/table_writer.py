"""One table of a run file as it is written: its datasets record by record, the number of a record last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h5py

from imssa_lab.log.growing import GrowingDataset, Maps
from imssa_lab.log.schema import TABLES, commit_column
from imssa_lab.log.shared_chunks import SharedChunks


class TableWriter:
    """The datasets of one table; `handle` is a descriptor of the file, open for writing.

    Attributes:
        columns: what a record consists of besides its number: (name, dataset, what its rows count).
        rows: written to the end, by what a dataset counts. What an interrupt leaves beyond is overwritten.
    """

    def __init__(self, table: str, datasets: Mapping[str, h5py.Dataset], handle: int) -> None:
        commit = commit_column(table)
        per = {name: TABLES[table][name].per for name in datasets}
        self.rows = dict.fromkeys(per.values(), 0)
        self._maps = [(n, Maps(d), per[n]) for n, d in datasets.items() if d.ndim == 3]
        shared = [(n, GrowingDataset(d), per[n]) for n, d in datasets.items() if d.ndim < 3 and n != commit]
        self._shared = SharedChunks([column for _, column, _ in shared], handle)
        self._numbers = SharedChunks([GrowingDataset(datasets[commit])], handle)
        self._per_number = per[commit]
        self.columns: list[tuple[str, GrowingDataset, str]] = [*self._maps, *shared]
        self._names = [name for name, _, _ in shared]

    def write(self, data: Sequence[bytes | memoryview], numbers: bytes, more: Mapping[str, int]) -> None:
        """Write and flush whole records.

        Args:
            data: of each of `columns`, as it is stored; numbers: of the dataset that says which records there are.
            more: how many rows that is, by what a dataset counts.

        Raises:
            OSError, RuntimeError: the file does not take them.
        """
        rows = [self.rows[per] for _, _, per in self.columns]
        maps = len(self._maps)
        for (_, column, _), row, piece in zip(self._maps, rows, data, strict=False):
            column.put(row, piece)
        self._shared.put(rows[maps:], data[maps:])
        for _, column, _ in self._maps:
            column.flush()
        self._shared.flush()
        self._numbers.put([self.rows[self._per_number]], [numbers])
        self._numbers.flush()
        for per, count in more.items():
            self.rows[per] += count

    def set_later(self, row: int, values: Mapping[str, bytes]) -> None:
        """Set what a record could not say when it was written, by the names of columns; raises as `write`."""
        data = [values.get(name, b"") for name in self._names]
        self._shared.put([row] * len(data), data)
        self._shared.flush()
