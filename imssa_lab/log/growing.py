"""A dataset that grows by rows, written chunk by chunk past HDF5's filters, with their checksum.

HDF5's own path costs a read, a filter run and a metadata flush a record. Here a chunk that several rows share is laid
down once and then written over in place, which touches no metadata and needs no HDF5; a map has a chunk of its own,
packed where that pays. The extent grows by steps. What is written stays plain HDF5: the filters are those of the
dataset, left out chunk by chunk through the filter mask that HDF5 keeps with each.

All of it runs between two calls to an instrument, when a processor's caches are full of other things: here the number
of steps counts, and the bytes that are touched.
"""

from __future__ import annotations

import operator
import os
import struct
from abc import ABC, abstractmethod
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from imssa_lab.log.checksum import change, digest, sums, with_checksum

_STEP_BYTES = 1 << 18
_MAX_STEP = 4096
_UNPACKED = 0b01  # filter mask: deflate left out, fletcher32 kept
# A map of few cells packs to some hundred bytes whatever the level; this one leaves most of the caches alone.
_PACKING = 0
_SAMPLE_EVERY = 7  # cells, to see whether a map is of few cells; no divisor of the usual 2^n bit lines
_DIGEST = struct.Struct("<I")
_NUMBERS: Any = (float, int, np.number, np.bool_)
_CODES = {"u1": "<B", "u2": "<H", "u4": "<I", "u8": "<Q", "f8": "<d"}


class GrowingDataset(ABC):
    """Rows of one dataset of a table.

    Attributes:
        dtype: numpy dtype; shape: shape of a row; row_bytes: bytes of a row.
        name: path in the file.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.name = str(dataset.name)
        self.dtype: np.dtype[Any] = dataset.dtype
        self.shape = tuple(int(size) for size in dataset.shape[1:])
        self.row_bytes = int(self.dtype.itemsize * np.prod(self.shape, dtype=int))
        self._id = dataset.id
        self._dataset = dataset  # keeps the id open
        # how one number of a row without dimensions is stored; None for the others
        code = None if self.shape else _CODES.get(self.dtype.str[1:])
        self._pack = None if code is None else struct.Struct(code).pack
        self._number = float if self.dtype.kind == "f" else operator.index
        self._per_chunk = int(dataset.chunks[0])
        self._tail = (0,) * len(self.shape)
        step = min(max(_STEP_BYTES // self.row_bytes, 16), _MAX_STEP)
        self._step = -(-step // self._per_chunk) * self._per_chunk
        self._extent = int(dataset.shape[0])
        self._empty = np.full((self._per_chunk, *self.shape), dataset.fillvalue, self.dtype).tobytes()
        self._pending = False
        self._touched = 0  # chunks below this number may be on disk

    def fit(self, value: Any, several: bool) -> bytes | memoryview:
        """`value`, one row or `several`, as it is stored; HDF5 itself would cut what is too large, without a word.

        Raises:
            ValueError: it cannot be stored unchanged.
        """
        if self._pack is not None and not several and isinstance(value, _NUMBERS):
            try:
                return self._pack(self._number(value))
            except (struct.error, TypeError):
                pass  # refused below, with all the facts
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
            raise ValueError(
                f"{self.name} holds {self.dtype} of shape {self.shape} and cannot keep "
                f"{given.dtype} of shape {given.shape[1:]} unchanged"
            )
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data

    def put(self, row: int, data: bytes | memoryview) -> None:
        """Write whole rows from `row` on; on disk, but to be found only after `flush`."""
        end = row + len(data) // self.row_bytes
        if end > self._extent:
            extent = -(-end // self._step) * self._step
            self._pending = True
            self._id.set_extent((extent, *self.shape))
            self._extent = extent
        self._put(row, end, data)

    def flush(self) -> None:
        """Make what was `put` findable for another process."""
        if self._pending:
            self._id.flush()
            self._pending = False

    @abstractmethod
    def _put(self, row: int, end: int, data: bytes | memoryview) -> None:
        """`put` within the extent, of the rows before `end`."""

    def _lay(self, number: int, chunk: Any, mask: int = 0) -> None:
        """Give HDF5 a chunk as it is to be stored, `mask` naming the filters that were left out."""
        self._touched = max(self._touched, number + 1)
        self._pending = True
        self._id.write_direct_chunk((number * self._per_chunk, *self._tail), chunk, mask)


class Maps(GrowingDataset):
    """Each row in a chunk of its own, packed where that pays: masks and maps of few cells, not noise."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(dataset)
        size = self.dtype.itemsize
        self._cell = np.dtype(f"u{size}" if size <= 8 else f"V{size}")
        self._last_mask: tuple[bytes, tuple[bytes, int]] = (b"", (b"", 0))

    def _put(self, row: int, end: int, data: bytes | memoryview) -> None:
        size = self.row_bytes
        for number in range(row, end):
            piece = data[(number - row) * size : (number - row + 1) * size]
            if self.dtype.itemsize == 1:
                self._put_mask(number, bytes(piece))
            elif self._is_noise(piece):
                self._lay(number, with_checksum(piece), _UNPACKED)
            else:
                self._lay(number, *_packed(piece))

    def _put_mask(self, row: int, data: bytes) -> None:
        """Masks and ranges are often those of the read before, or empty."""
        if row >= self._touched and data == self._empty:
            return
        if data != self._last_mask[0]:
            self._last_mask = data, _packed(data)
        self._lay(row, *self._last_mask[1])

    def _is_noise(self, data: bytes | memoryview) -> bool:
        """Whether most cells differ from the first."""
        some = np.frombuffer(data, dtype=self._cell)[::_SAMPLE_EVERY]
        return bool(2 * np.count_nonzero(some != some[0]) > len(some))


class SharedChunks(GrowingDataset):
    """Several rows a chunk, and none of it packed; `handle` is a descriptor of the same file, open for writing."""

    def __init__(self, dataset: h5py.Dataset, handle: int) -> None:
        super().__init__(dataset)
        self._handle = handle
        self._size = len(self._empty)
        self._empty_sums = sums(self._empty)
        self._empty_stored = with_checksum(self._empty)
        # the chunk under way: its number (-1: to be read again), bytes with room for the checksum, sums, whether it
        # is in the file, and where (None: not looked up yet)
        self._chunk = -1
        self._buffer = bytearray()
        self._sums = (0, 0)
        self._laid = False
        self._place: int | None = None

    def _put(self, row: int, end: int, data: bytes | memoryview) -> None:
        size = self.row_bytes
        view = memoryview(data)
        while row < end:
            number, inside = divmod(row, self._per_chunk)
            count = min(self._per_chunk - inside, end - row)
            if count == self._per_chunk and number >= self._touched:
                self._put_whole(number, view[: count * size])
            else:
                self._put_piece(number, inside * size, view[: count * size])
            row, view = row + count, view[count * size :]

    def _put_whole(self, number: int, chunk: memoryview) -> None:
        """A chunk that is full from the start; nothing of it is kept for rows to come."""
        if number == self._chunk:
            self._chunk = -1
        stored = with_checksum(chunk)
        if stored != self._empty_stored:
            self._lay(number, stored)

    def _put_piece(self, number: int, at: int, piece: bytes | memoryview) -> None:
        if number != self._chunk:
            self._load(number)
        buffer, size, end = self._buffer, self._size, at + len(piece)
        low, high = at & ~1, end + 1 & ~1  # the checksum is one of words of two bytes
        old = buffer[low:high]
        new: Any = piece
        if high - low > len(piece):
            new = b"".join((old[: at - low], piece, old[end - low :]))
        if old == new:
            return  # it is there already, or reads the same as long as the chunk was never written
        self._chunk = -1  # until all is done: an interrupt in between has the chunk read again
        buffer[low:high] = new
        more, more_second = change(old, new)
        first = self._sums[0] + more
        second = self._sums[1] + more_second + (size - high) // 2 * more
        _DIGEST.pack_into(buffer, size, digest(first, second))
        if not self._laid:
            self._lay(number, buffer)
            self._laid, self._place = True, None
        else:
            if self._place is None:  # only now: HDF5 goes through all chunks to find one
                self._place = self._place_of(number)
                assert self._place is not None
            written = os.pwrite(self._handle, memoryview(buffer)[at:], self._place + at)
            if written != size + 4 - at:
                raise OSError(f"{written} of {size + 4 - at} bytes written to {self.name}")
        self._sums, self._chunk = (first, second), number

    def _load(self, number: int) -> None:
        self._chunk = -1
        place = self._place_of(number) if number < self._touched else None
        if place is not None:
            self._buffer = bytearray(os.pread(self._handle, self._size + 4, place))
            self._sums = sums(self._buffer[:-4])
        else:
            self._buffer = bytearray(self._empty_stored)
            self._sums = self._empty_sums
        self._laid, self._place, self._chunk = place is not None, place, number

    def _place_of(self, number: int) -> int | None:
        """Where a chunk lies in the file; None where it was never written."""
        coordinates = (number * self._per_chunk, *self._tail)
        place: int | None = self._id.get_chunk_info_by_coord(coordinates).byte_offset
        return place


def growing(dataset: h5py.Dataset, handle: int) -> GrowingDataset:
    """The dataset by the chunks that it has: a map's rows are two-dimensional."""
    return Maps(dataset) if dataset.ndim == 3 else SharedChunks(dataset, handle)


def _packed(data: bytes | memoryview) -> tuple[bytes, int]:
    """A map as its chunk stores it, and the filters left out."""
    packed = isal_zlib.compress(data, _PACKING)
    return (with_checksum(packed), 0) if len(packed) < len(data) else (with_checksum(data), _UNPACKED)
