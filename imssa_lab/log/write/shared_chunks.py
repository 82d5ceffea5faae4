"""Datasets of which many rows share a chunk, written a record at a time: numbers, times, vectors, cells.

A chunk is laid down once and then written over in place, which touches no metadata and needs no HDF5. One compiled
loop brings a record into the chunks under way of all datasets of a table and makes their checksums again. Where the
system has no positioned writes (Windows), HDF5 itself writes each chunk over as a whole, in the same place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial

import numpy as np

from imssa_lab.contract.operating_system import read_at, write_at
from imssa_lab.log.file.compiled_checksum import DIGEST, overwrite, sums, with_checksum
from imssa_lab.log.write.growing import GrowingDataset

_NONE = 1 << 62
_LINE = 64  # bytes


class SharedChunks:
    """The chunks under way of `datasets`.

    `handle` is a descriptor of their file, open for writing; None to have HDF5 write all of it.
    """

    def __init__(self, datasets: Sequence[GrowingDataset], handle: int | None) -> None:
        count = len(datasets)
        self._datasets = list(datasets)
        self._handle = handle
        self._row_bytes = [dataset.row_bytes for dataset in datasets]
        self._sizes = [len(dataset.empty) for dataset in datasets]
        # as `overwrite` has them
        widest = -(-(max(self._sizes) + DIGEST.size) // _LINE) * _LINE
        self._chunks = np.zeros((count, widest), dtype=np.uint8)
        self._numbers = np.zeros((5, count), dtype=np.int64)
        self._numbers[2] = self._sizes
        self._set_places = partial(struct.Struct(f"={2 * count}q").pack_into, self._numbers.data.cast("B"), 0)
        self._stored = [
            chunk[: size + DIGEST.size].data for chunk, size in zip(self._chunks, self._sizes, strict=True)
        ]
        # of each chunk under way: the byte of its dataset that it begins with (none: it is to be read again), whether
        # it is in the file as it is here, and where (None: not looked up yet)
        self._starts = [_NONE] * count
        self._laid = [False] * count
        self._places: list[int | None] = [None] * count
        self._new = False  # something was laid down since the last `flush`
        self._empty_stored = [with_checksum(dataset.empty) for dataset in datasets]
        self._write([0] * count, [b""] * count)  # compiles, before it matters

    def put(self, rows: Sequence[int], data: Sequence[bytes | memoryview]) -> None:
        """Write whole rows of each dataset from its row on, none where there are no bytes.

        They are on disk then, but in a new chunk to be found only after its dataset's `flush`.

        Raises:
            OSError: the file does not take them.
        """
        at, pieces = [], []
        known = zip(rows, data, self._row_bytes, self._starts, self._sizes, strict=True)
        for i, (row, piece, width, start, size) in enumerate(known):
            inside = row * width - start
            if not piece or 0 <= inside <= size - len(piece):
                at.append(inside)
                pieces.append(piece)
            else:
                self._put_alone(i, row, memoryview(piece))
                at.append(0)
                pieces.append(b"")
        self._write(at, pieces)

    def flush(self) -> None:
        """Make what was `put` findable for another process."""
        if self._new:
            for dataset in self._datasets:
                dataset.flush()
            self._new = False

    def _put_alone(self, i: int, row: int, data: memoryview) -> None:
        """Write rows of one dataset that do not all lie in its chunk under way."""
        dataset, width, count = self._datasets[i], self._row_bytes[i], len(self._datasets)
        many = dataset.packs and len(data) >= self._sizes[i]
        end = row + len(data) // width
        self._new = True
        dataset.reach(end)
        while row < end:
            number, inside = divmod(row, dataset.per_chunk)
            rows = min(dataset.per_chunk - inside, end - row)
            piece, data = data[: rows * width], data[rows * width :]
            if rows == dataset.per_chunk and number >= dataset.touched:
                self._put_whole(i, number, piece)
            else:
                if number * self._sizes[i] != self._starts[i]:
                    self._load(i, number)
                at, pieces = [0] * count, [data[:0]] * count
                at[i], pieces[i] = inside * width, piece
                # behind many rows at once the next ones come so too, and have the chunk laid down in another place:
                # what is not compressed now would stay in the file for nothing
                self._write(at, pieces, i if many else None)
            row += rows

    def _put_whole(self, i: int, number: int, chunk: memoryview) -> None:
        """A chunk that is full from the start; nothing of it is kept for rows to come."""
        if number * self._sizes[i] == self._starts[i]:
            self._starts[i] = _NONE
        dataset, data = self._datasets[i], bytes(chunk)
        if data != dataset.empty:
            if dataset.packs:
                dataset.lay_packed(number, data)
            else:
                dataset.lay(number, with_checksum(data))

    def _load(self, i: int, number: int) -> None:
        dataset = self._datasets[i]
        self._starts[i] = _NONE
        place = dataset.place_of(number) if number < dataset.touched else None
        stored, as_it_is = self._empty_stored[i], False
        if place is not None:
            if self._handle is None or dataset.packs:
                stored, as_it_is = dataset.stored(number)
            else:
                stored, as_it_is = read_at(self._handle, self._sizes[i] + DIGEST.size, place), True
        self._stored[i][:] = stored
        self._numbers[3:, i] = sums(self._stored[i][: -DIGEST.size])
        self._laid[i], self._places[i] = as_it_is, place
        self._starts[i] = number * self._sizes[i]

    def _write(self, at: Sequence[int], pieces: Sequence[bytes | memoryview], packed: int | None = None) -> None:
        """Bring a piece into the chunk under way of each dataset, and what is new there into the file.

        `packed`: the dataset whose chunk is laid down compressed.

        What is there already is left: it may read the same because the chunk was never written.
        """
        starts = self._starts
        self._starts = [_NONE] * len(starts)  # until all is done: an interrupt in between has the chunks read again
        self._set_places(*at, *map(len, pieces))
        changed = overwrite(self._chunks, self._numbers, np.frombuffer(b"".join(pieces), dtype=np.uint8))
        for i in range(len(starts)) if changed else ():
            if changed >> i & 1:
                self._to_file(i, starts[i], at[i], i == packed)
        self._starts = starts

    def _to_file(self, i: int, start: int, at: int, packed: bool) -> None:
        """The chunk under way from byte `at` on, to its checksum."""
        dataset, stored = self._datasets[i], self._stored[i]
        number = start // self._sizes[i]
        if packed:
            self._new = True
            self._laid[i] = False
            dataset.lay_packed(number, bytes(stored[: -DIGEST.size]))
            return
        if self._handle is None or not self._laid[i]:
            self._new = True
            dataset.lay(number, stored)
            self._laid[i], self._places[i] = True, None
            return
        place = self._places[i]
        if place is None:
            place = self._places[i] = dataset.place_of(number)
            assert place is not None
        written = write_at(self._handle, stored[at:], place + at)
        if written != len(stored) - at:
            raise OSError(f"{written} of {len(stored) - at} bytes written to {dataset.name}")
