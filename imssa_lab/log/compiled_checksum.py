"""The checksums of `imssa_lab.log.checksum` for a log that is being written: compiled where numba is installed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from imssa_lab.jit import AVAILABLE, compiled
from imssa_lab.log import checksum

_DIGEST = struct.Struct("<I")


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
def _overwrite(chunks: Any, totals: Any, sizes: Any, places: Any, lengths: Any, pieces: Any) -> int:
    changed, start = 0, 0
    for i in range(len(sizes)):
        chunk, at, length, size = chunks[i], places[i], lengths[i], sizes[i]
        differs = False
        for k in range(length):
            differs |= chunk[at + k] != pieces[start + k]
        if differs:
            changed |= 1 << i
            low, high = at // 2, (at + length + 1) // 2  # words
            for sign in (-1, 1):
                for j in range(low, high):
                    word = sign * (np.int64(chunk[2 * j]) + 256 * np.int64(chunk[2 * j + 1]))
                    totals[i, 0] += word
                    totals[i, 1] += (size // 2 - j) * word
                if sign < 0:
                    for k in range(length):
                        chunk[at + k] = pieces[start + k]
            first, second = _half(totals[i, 0]), _half(totals[i, 1])
            chunk[size], chunk[size + 1] = first & 255, first >> 8
            chunk[size + 2], chunk[size + 3] = second & 255, second >> 8
        start += length
    return changed


def overwrite_by_numpy(chunks: Any, totals: Any, sizes: Any, places: Any, lengths: Any, pieces: Any) -> int:
    """`overwrite` without numba."""
    changed, start = 0, 0
    for i, (at, length) in enumerate(zip(places.tolist(), lengths.tolist(), strict=True)):
        chunk, size, piece = chunks[i], int(sizes[i]), pieces[start : start + length]
        start += length
        if not np.array_equal(chunk[at : at + length], piece):
            changed |= 1 << i
            low, high = at // 2 * 2, (at + length + 1) // 2 * 2
            before = chunk[low:high].tobytes()
            chunk[at : at + length] = piece
            first, second = checksum.change(before, chunk[low:high].tobytes())
            totals[i] += first, second + (size - high) // 2 * first
            _DIGEST.pack_into(chunk, size, checksum.digest(*totals[i].tolist()))
    return changed


overwrite = _overwrite if AVAILABLE else overwrite_by_numpy
"""Write a piece over each of several chunks that are under way, and make their checksums again.

Args:
    chunks: bytes, with room for the checksum behind those of each, u1 (n, most); written.
    totals: `checksum.sums` of each, i8 (n, 2); written.
    sizes: bytes of each without the checksum, even, i8 (n,).
    places, lengths: where in each its piece goes, and how long that is, 0 for none, i8 (n,).
    pieces: all of them, one behind the other, u1.

Returns:
    A number whose bit i says whether chunk i is another now.
"""


def sums(data: Any) -> tuple[int, int]:
    """`checksum.sums`."""
    if AVAILABLE and len(data) % 2 == 0:
        return _sums(np.frombuffer(data, dtype="<u2"))
    return checksum.sums(data)


def with_checksum(data: bytes | memoryview) -> bytes:
    """`checksum.with_checksum`."""
    return b"".join((data, _DIGEST.pack(checksum.digest(*sums(data)))))
