"""The checksums of an HDF5 file: Fletcher-32 of a chunk, lookup3 of the superblock.

Chunks are written past HDF5's filters, so their checksum is made here, as HDF5's filter 3 makes it: over big-endian
16-bit words, sums modulo 65535 in which a sum above zero is never 0, stored little-endian behind the chunk.
Sources: H5checksum.c (H5_checksum_fletcher32, H5_checksum_lookup3) of HDF5; Jenkins, lookup3.c (public domain).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_MODULUS = 65535
# Below this many bytes a loop is faster than numpy.
_SHORT = 32
_SHORT_WORDS = {size: struct.Struct(f"<{size // 2}H").unpack for size in range(0, _SHORT + 1, 2)}
# A piece is summed block by block: small products of matrices stay in a processor's cache, and in one thread.
_BLOCK = 1024
_WEIGHTS = np.stack([np.ones(_BLOCK), np.arange(_BLOCK, 0.0, -1.0)])  # of a word: 1, and its distance to the end


def sums(data: Any) -> tuple[int, int]:
    """Both sums of a piece, not yet reduced: of its words, and of its words times their distance to its end.

    Words are little-endian, which reads faster; `digest` turns them. A byte left over is a word.
    Pieces join: behind a piece with sums (a, b) of n words, ``(s1 + a, s2 + n * s1 + b)``.
    """
    size = len(data)
    if size % 2:
        data, size = bytes(data) + b"\0", size + 1
    if size <= _SHORT:
        first = second = 0
        for word in _SHORT_WORDS[size](data):
            first += word
            second += first
        return first, second
    # float64 holds these sums exactly (65535 n^2 / 2 < 2^53 for n below 500 000 words) and multiplies fastest
    words = np.frombuffer(data, dtype="<u2").astype(np.float64)
    ahead = len(words) % _BLOCK
    s1 = s2 = 0.0
    if ahead:
        s1, s2 = (_WEIGHTS[:, _BLOCK - ahead :] @ words[:ahead]).tolist()
    if ahead < len(words):
        for a, b in (words[ahead:].reshape(-1, _BLOCK) @ _WEIGHTS.T).tolist():
            s1, s2 = s1 + a, s2 + _BLOCK * s1 + b
    return int(s1), int(s2)


def change(old: bytes | bytearray, new: bytes | memoryview) -> tuple[int, int]:
    """What `sums` of a piece change by when it is written over; both of one even length."""
    if len(old) > _SHORT:
        (old_first, old_second), (new_first, new_second) = sums(old), sums(new)
        return new_first - old_first, new_second - old_second
    first = second = 0
    words = _SHORT_WORDS[len(old)]
    for before, after in zip(words(old), words(new), strict=True):
        first += after - before
        second += first
    return first, second


def digest(first: int, second: int) -> int:
    """The checksum of a chunk from its two sums: modulo 65535 a word times 256 is the word with its bytes swapped."""
    low, high = 256 * first % _MODULUS, 256 * second % _MODULUS
    return (high or (_MODULUS if second else 0)) << 16 | (low or (_MODULUS if first else 0))


def fletcher32(data: Any) -> int:
    """The checksum of a whole chunk, at most 1 MB."""
    return digest(*sums(data))


def intact(stored: Any) -> bool:
    """Whether a stored chunk agrees with the checksum in its last four bytes."""
    if len(stored) < 4:
        return False
    return fletcher32(stored[:-4]) == int.from_bytes(stored[-4:], "little")


def lookup3(data: bytes) -> int:
    """Jenkins' hash of metadata, as the superblock carries it."""
    mask = 0xFFFFFFFF

    def rot(value: int, by: int) -> int:
        return (value << by | value >> (32 - by)) & mask

    a: int
    b: int
    c: int
    a = b = c = (0xDEADBEEF + len(data)) & mask
    while len(data) > 12:
        x, y, z = struct.unpack_from("<3I", data)
        a, b, c = a + x & mask, b + y & mask, c + z & mask
        for turn in (4, 6, 8, 16, 19, 4):
            a = (a - c & mask) ^ rot(c, turn)
            c = c + b & mask
            a, b, c = b, c, a
        data = data[12:]
    if not data:
        return c
    x, y, z = struct.unpack("<3I", data.ljust(12, b"\0"))
    a, b, c = a + x & mask, b + y & mask, c + z & mask
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - rot(b, turn) & mask
        a, b, c = b, c, a
    # seven turns leave the three one place further round
    return b
