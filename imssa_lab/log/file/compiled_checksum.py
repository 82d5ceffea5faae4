"""The checksums of `checksum.py` for a log that is being written: compiled where numba is installed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from imssa_lab.contract.jit import AVAILABLE, compiled
from imssa_lab.log.file import checksum

DIGEST = struct.Struct("<I")


@compiled
def _sums(words: Any) -> tuple[int, int]:
    first: Any = np.int64(0)
    second: Any = np.int64(0)
    count = len(words)
    for i in range(count):
        word = np.int64(words[i])
        first += word
        second += (count - i) * word
    return first, second


@compiled
def _half(total: int) -> int:
    half = 256 * (total % 65535) % 65535
    return 65535 if half == 0 and total != 0 else half


@compiled
def _overwrite(chunks: Any, numbers: Any, pieces: Any) -> int:
    changed, start = 0, 0
    for i in range(len(chunks)):
        chunk, at, length, size = chunks[i], numbers[0, i], numbers[1, i], numbers[2, i]
        differs = False
        for k in range(length):
            differs |= chunk[at + k] != pieces[start + k]
        if differs:
            changed |= 1 << i
            low, high = at // 2, (at + length + 1) // 2  # words
            for sign in (-1, 1):
                for j in range(low, high):
                    word = sign * (np.int64(chunk[2 * j]) + 256 * np.int64(chunk[2 * j + 1]))
                    numbers[3, i] += word
                    numbers[4, i] += (size // 2 - j) * word
                if sign < 0:
                    for k in range(length):
                        chunk[at + k] = pieces[start + k]
            first, second = _half(numbers[3, i]), _half(numbers[4, i])
            chunk[size], chunk[size + 1] = first & 255, first >> 8
            chunk[size + 2], chunk[size + 3] = second & 255, second >> 8
        start += length
    return changed


def overwrite_by_numpy(chunks: Any, numbers: Any, pieces: Any) -> int:
    """`overwrite` without numba."""
    changed, start = 0, 0
    for i, (at, length, size) in enumerate(numbers[:3].T.tolist()):
        chunk, piece = chunks[i], pieces[start : start + length]
        start += length
        if not np.array_equal(chunk[at : at + length], piece):
            changed |= 1 << i
            low, high = at // 2 * 2, (at + length + 1) // 2 * 2
            before = chunk[low:high].tobytes()
            chunk[at : at + length] = piece
            first, second = checksum.change(before, chunk[low:high].tobytes())
            numbers[3:, i] += first, second + (size - high) // 2 * first
            DIGEST.pack_into(chunk, size, checksum.digest(*numbers[3:, i].tolist()))
    return changed


overwrite = _overwrite if AVAILABLE else overwrite_by_numpy
"""Write a piece over each of several chunks that are under way, and make their checksums again.

Args:
    chunks: bytes, with room for the checksum behind those of each, u1 (n, most); written.
    numbers: of each chunk, i8 (5, n): where its piece goes, how long that is (0: no piece), how many bytes the chunk
        has without checksum (even), and `checksum.sums` of it; the last two are written.
    pieces: one behind the other, u1.

Returns:
    A number whose bit i says whether chunk i is another now.
"""


def sums(data: Any) -> tuple[int, int]:
    """`checksum.sums`."""
    if AVAILABLE and len(data) % 2 == 0:
        return _sums(np.frombuffer(data, dtype="<u2"))
    return checksum.sums(data)


def fletcher32(data: Any) -> int:
    """`checksum.fletcher32`."""
    return checksum.digest(*sums(data))


def with_checksum(data: bytes | memoryview) -> bytes:
    """A chunk as HDF5's fletcher32 filter stores it."""
    return b"".join((data, DIGEST.pack(fletcher32(data))))
