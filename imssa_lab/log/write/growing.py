"""A dataset that grows by rows, laid down chunk by chunk past HDF5's filters, with their checksum.

HDF5's own path costs a read, a filter run and a metadata flush a record. Here a map has a chunk of its own, packed
where that pays; what else a record consists of is written into chunks that many rows share (`shared_chunks`). The
extent grows by steps. What is written stays plain HDF5: the filters are those of the dataset, left out chunk by chunk
through the filter mask that HDF5 keeps with each.

All of it runs between two calls to an instrument, when a processor's caches are full of other things: here the number
of steps counts, and the bytes that are touched.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from imssa_lab.log.file.compiled_checksum import DIGEST, fletcher32, with_checksum

_STEP_BYTES = 1 << 18
_MAX_STEP = 4096
_UNPACKED = 0b01  # filter mask: deflate left out, fletcher32 kept
# A map of few cells packs to some hundred bytes whatever the level; this one leaves most of the caches alone.
_PACKING = 0
_LEVEL, _BLOCK_ENDS = 1, isal_zlib.Z_SYNC_FLUSH
_SMALL = 1 << 12  # bytes: a copy costs less than the steps to do without
_SAMPLE = 128  # cells, to see whether a map is of few cells


class Unfit(ValueError):
    """A value that cannot be stored unchanged in `column`, a path in the file."""

    def __init__(self, column: str, text: str) -> None:
        super().__init__(f"{column} {text}")
        self.column = column


class GrowingDataset:
    """Rows of one dataset of a table.

    Attributes:
        name: path in the file; dtype: numpy dtype; shape: shape of a row; row_bytes: bytes of a row.
        per_chunk: rows of a chunk; empty: bytes of a chunk that was never written.
        touched: chunks from this number on were never written.
        packs: whether a chunk that is full when it is written is compressed.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.name = str(dataset.name)
        self.dtype: np.dtype[Any] = dataset.dtype
        self.shape = tuple(int(size) for size in dataset.shape[1:])
        self.row_bytes = int(self.dtype.itemsize * np.prod(self.shape, dtype=int))
        self.per_chunk = int(dataset.chunks[0])
        self.empty = np.full((self.per_chunk, *self.shape), dataset.fillvalue, self.dtype).tobytes()
        self.touched = 0
        self.packs = bool(dataset.compression)
        self._shuffled = bool(dataset.shuffle)
        self._last_packed = -1, 0  # number and size of the chunk that was laid down compressed last
        self._left_out = (1 << dataset.id.get_create_plist().get_nfilters() - 1) - 1  # all but the checksum
        self._id = dataset.id
        self._dataset = dataset  # keeps the id open
        self._tail = (0,) * len(self.shape)
        step = min(max(_STEP_BYTES // self.row_bytes, 16), _MAX_STEP)
        self._step = -(-step // self.per_chunk) * self.per_chunk
        self._extent = int(dataset.shape[0])
        self._pending = False

    def fit(self, value: Any, several: bool) -> bytes | memoryview:
        """`value`, one row or `several`, as it is stored; HDF5 itself would cut what is too large, without a word.

        Raises:
            Unfit: it cannot be stored unchanged.
        """
        given = np.asarray(value)
        if not several:
            given = given[np.newaxis]
        if given.dtype == self.dtype:
            fits, data = True, given
        elif given.dtype == np.bool_ and self.dtype == np.uint8:
            fits, data = True, given.view(np.uint8)
        elif given.dtype.kind == "S":
            fits, data = given.dtype.itemsize <= self.dtype.itemsize, given.astype(self.dtype)
        else:
            with np.errstate(invalid="ignore"):
                data = given.astype(self.dtype)
            fits = bool(np.array_equal(data, given, equal_nan=given.dtype.kind == "f"))
        if not fits or data.shape[1:] != self.shape:
            raise Unfit(
                self.name,
                f"holds {self.dtype} of shape {self.shape} and cannot keep "
                f"{given.dtype} of shape {given.shape[1:]} unchanged",
            )
        if data.nbytes <= _SMALL:
            return data.tobytes()
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data

    def reach(self, end: int) -> None:
        """Make room for the rows before `end`."""
        if end > self._extent:
            extent = -(-end // self._step) * self._step
            self._pending = True
            self._id.set_extent((extent, *self.shape))
            self._extent = extent

    def lay(self, number: int, chunk: Any, mask: int | None = None) -> None:
        """Give HDF5 a chunk as it is to be stored; `mask` names the filters left out, None: all but checksums.

        It is on disk then, but to be found only after `flush`.
        """
        self.touched = max(self.touched, number + 1)
        self._pending = True
        if mask is None:
            mask = self._left_out
        self._id.write_direct_chunk((number * self.per_chunk, *self._tail), chunk, mask)

    def place_of(self, number: int) -> int | None:
        """Where a chunk lies in the file, None where it was never written; HDF5 goes through all to find one."""
        coordinates = (number * self.per_chunk, *self._tail)
        place: int | None = self._id.get_chunk_info_by_coord(coordinates).byte_offset
        return place

    def lay_packed(self, number: int, chunk: bytes) -> None:
        """Give HDF5 a chunk compressed, as far as that makes it smaller; see `lay`."""
        size = self.dtype.itemsize
        if size == 8 and self._is_full(chunk):
            self.lay(number, with_checksum(chunk))
            return
        packer = isal_zlib.compressobj(_LEVEL)
        if self._shuffled:
            # a block of its own for each byte of the numbers: noise in the lower one, little in the upper one
            planes = np.ascontiguousarray(np.frombuffer(chunk, dtype=np.uint8).reshape(-1, size).T)
            parts = [part for plane in planes for part in (packer.compress(plane), packer.flush(_BLOCK_ENDS))]
        else:
            parts = [packer.compress(chunk)]
        data = b"".join([*parts, packer.flush()])
        packed = number, len(data)
        # of one size HDF5 would write it over in place, and a kill in the middle would cost the rows that it had
        if len(data) < len(chunk) and packed != self._last_packed:
            self._last_packed = packed
            self.lay(number, with_checksum(data), 0)
        else:
            self.lay(number, with_checksum(chunk))

    def _is_full(self, chunk: bytes) -> bool:
        """Whether most of a chunk of floats is another value each: there is nothing to be had."""
        some = np.frombuffer(chunk, dtype=self.dtype)[:: max(len(chunk) // (8 * _SAMPLE), 1) | 1]
        return self.dtype.kind == "f" and bool(2 * np.count_nonzero(some[1:] != some[:-1]) > len(some))

    def stored(self, number: int) -> tuple[bytes, bool]:
        """A chunk that was laid down before, with its checksum but not compressed; and whether it is stored so."""
        coordinates = (number * self.per_chunk, *self._tail)
        data: bytes = self._id.read_direct_chunk(coordinates)[1]
        # the filters that it says were left out are none, whatever they were (h5py 3.16, HDF5 2.0)
        if self._id.get_chunk_info_by_coord(coordinates).filter_mask == self._left_out:
            return data, True
        self._last_packed = number, len(data) - DIGEST.size
        chunk = isal_zlib.decompress(data[: -DIGEST.size])
        if self._shuffled:
            chunk = np.frombuffer(chunk, dtype=np.uint8).reshape(self.dtype.itemsize, -1).T.tobytes()
        return with_checksum(chunk), False

    def flush(self) -> None:
        """Make what was laid down findable for another process."""
        if self._pending:
            self._id.flush()
            self._pending = False


class Maps(GrowingDataset):
    """Each row in a chunk of its own, packed where that pays: masks and maps of few cells, not noise."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(dataset)
        size = self.dtype.itemsize
        self._cell = np.dtype(f"u{size}" if size <= 8 else f"V{size}")
        cells = int(np.prod(self.shape))
        self._sampled = slice(0, None, max(cells // _SAMPLE, 1) | 1)  # odd: not all on a few bit lines
        self._room = bytearray(self.row_bytes + DIGEST.size)  # pages that are mapped already
        self._last_mask: tuple[bytes, tuple[bytes, int]] = (b"", (b"", 0))

    def put(self, row: int, data: bytes | memoryview) -> None:
        """Write whole rows from `row` on; on disk, but to be found only after `flush`."""
        size = self.row_bytes
        end = row + len(data) // size
        self.reach(end)
        for number in range(row, end):
            piece = data[(number - row) * size : (number - row + 1) * size]
            if self.dtype.itemsize == 1:
                self._put_mask(number, bytes(piece))
            elif self._is_noise(piece):
                self._room[:size] = piece
                DIGEST.pack_into(self._room, size, fletcher32(piece))
                self.lay(number, self._room, _UNPACKED)
            else:
                self.lay(number, *_packed(piece))

    def _put_mask(self, row: int, data: bytes) -> None:
        """Masks and ranges are often those of the read before, or empty."""
        if row >= self.touched and data == self.empty:
            return
        if data != self._last_mask[0]:
            self._last_mask = data, _packed(data)
        self.lay(row, *self._last_mask[1])

    def _is_noise(self, data: bytes | memoryview) -> bool:
        """Whether most cells differ from the one looked at before."""
        some = np.frombuffer(data, dtype=self._cell)[self._sampled]
        return bool(2 * np.count_nonzero(some[1:] != some[:-1]) > len(some))


def _packed(data: bytes | memoryview) -> tuple[bytes, int]:
    """A map as its chunk stores it, and the filters left out."""
    packed = isal_zlib.compress(data, _PACKING)
    return (with_checksum(packed), 0) if len(packed) < len(data) else (with_checksum(data), _UNPACKED)
