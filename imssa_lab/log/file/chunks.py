"""The chunks of a dataset as they lie in the file, each held against its checksum without HDF5's help."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.operating_system import read_at
from imssa_lab.log.file.checksum import intact
from imssa_lab.log.file.file_state import HDF5_ERRORS
from imssa_lab.log.schema import NO_RECORD

_RETRIES = 3
# Datasets that are written in a row which is whole already, when its pulses have been sent: what stood there before.
_SET_LATER = {"/pulses/device_time": math.nan, "/pulses/done": 0}


@dataclass(frozen=True)
class Chunk:
    """One chunk: the rows it holds (some may lie beyond the end), where its bytes are, and whether they agree."""

    first: int
    stop: int
    byte_offset: int
    size: int
    intact: bool


def scan(dataset: h5py.Dataset, handle: int) -> Iterator[Chunk]:
    """All chunks of a dataset that are on disk, in order of rows; `handle` is a file descriptor of the same file."""
    found: list[tuple[int, int, int]] = []

    def keep(info: h5py.h5d.StoreInfo) -> None:
        found.append((int(info.chunk_offset[0]), int(info.byte_offset), int(info.size)))

    dataset.id.chunk_iter(keep)
    rows = int(dataset.chunks[0])
    for first, byte_offset, size in sorted(found):
        good = any(intact(read_at(handle, size, byte_offset)) for _ in range(_RETRIES))
        yield Chunk(first, first + rows, byte_offset, size, good)


def mended_rows(dataset: h5py.Dataset, path: Path, rows: slice | int, end: int | None) -> NDArray[Any] | None:
    """Rows of a dataset, (rows, ...), of which a kill may have left a chunk half written; None if more is wrong.

    Args:
        path: of its file; end: rows that belong to whole records; None in the column that counts them.
    """
    if isinstance(rows, int):
        rows = rows + dataset.shape[0] if rows < 0 else rows
        rows = slice(rows, rows + 1)
    (start, stop, _), pieces, per = rows.indices(dataset.shape[0]), [], dataset.chunks[0]
    while start < stop:
        first = start // per * per
        until = min(first + per, stop)
        try:
            pieces.append(dataset[start:until])
        except HDF5_ERRORS:
            info = dataset.id.get_chunk_info_by_coord((first, *(0,) * (dataset.ndim - 1)))
            with path.open("rb") as raw:
                raw.seek(info.byte_offset)
                stored = raw.read(info.size)
            chunk = without_unfinished(dataset, stored, None if end is None else min(end - first, per))
            if chunk is None:
                return None
            data = np.frombuffer(chunk[:-4], dtype=dataset.dtype).reshape(dataset.chunks)
            pieces.append(data[start - first : until - first])
        start = until
    return np.concatenate(pieces) if pieces else None


def without_unfinished(dataset: h5py.Dataset, stored: bytes, rows: int | None) -> bytes | None:
    """A chunk that a kill left half written over, as it was before; None if it does not agree with its checksum so.

    Only what comes behind the whole records is taken back, and only if the checksum, which is written last, then
    agrees: nothing is made up.

    Args:
        rows: rows of the chunk that belong to whole records; None in the column that counts them.
    """
    shape = dataset.chunks
    plain = int(np.prod(shape)) * dataset.dtype.itemsize
    if len(stored) != plain + 4:
        return None
    data = np.frombuffer(stored[:plain], dtype=dataset.dtype).reshape(shape).copy()
    if rows is None:
        (there,) = np.nonzero(data != NO_RECORD)
        tried = range(int(there[-1]) if there.size else 0, -1, -1)  # several numbers are written at a time
    else:
        tried = range(rows, rows - 1, -1)
    if tried.start < 0 or tried.start > len(data):
        return None
    for first in tried:
        data[first:] = dataset.fillvalue
        mended = data.tobytes() + stored[plain:]
        if intact(mended):
            return mended
    if dataset.name in _SET_LATER:
        before = _SET_LATER[dataset.name]
        for row in reversed(range(min(tried[-1], len(data)))):
            after, data[row] = data[row], before
            mended = data.tobytes() + stored[plain:]
            if intact(mended):
                return mended
            data[row] = after
    return None
