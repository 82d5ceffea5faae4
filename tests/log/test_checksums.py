"""The checksums of a run file against numcodecs, which has them from other code than ours."""

from typing import Any

import numpy as np
import pytest
from numcodecs.checksum32 import JenkinsLookup3
from numcodecs.fletcher32 import Fletcher32

from imssa_lab.log.file import checksum, compiled_checksum

SIZES = (1, 2, 3, 7, 30, 32, 33, 34, 2046, 2048, 2050, 8193, 100_000)
PIECES = {
    "random": lambda size: np.random.default_rng(size).bytes(size),
    "zeros": bytes,
    "ones": lambda size: b"\xff" * size,
    "words that sum to the modulus": lambda size: (b"\xfe\xff\x01\x00" * size)[:size],
    "one at the end": lambda size: b"\0" * (size - 1) + b"\1",
}


def fletcher(data: bytes) -> int:
    return int.from_bytes(bytes(Fletcher32().encode(data))[-4:], "little")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", PIECES.values(), ids=PIECES)
def test_fletcher32(make: Any, size: int) -> None:
    data = make(size)
    assert checksum.fletcher32(data) == fletcher(data)
    stored = (
        bytes(compiled_checksum.with_checksum(data)) if size % 2 == 0 else data + fletcher(data).to_bytes(4, "little")
    )
    assert stored[-4:] == fletcher(data).to_bytes(4, "little")
    assert checksum.intact(stored)


@pytest.mark.parametrize("overwrite", [compiled_checksum.overwrite, compiled_checksum.overwrite_by_numpy])
def test_fletcher32_of_chunks_that_are_written_over(overwrite: Any) -> None:
    """Two hundred pieces at random places, the checksum carried along and never taken of the whole."""
    random, size, count = np.random.default_rng(3), 200, 3
    chunks = np.zeros((count, size + 4), dtype=np.uint8)
    numbers = np.zeros((5, count), dtype=np.int64)
    numbers[2] = size
    for _ in range(200):
        lengths = random.integers(0, 40, count)
        numbers[0], numbers[1] = random.integers(0, size - 40, count), lengths
        before = chunks.copy()
        changed = overwrite(chunks, numbers, np.frombuffer(random.bytes(int(lengths.sum())), dtype=np.uint8))
        assert changed == sum(1 << i for i in range(count) if not np.array_equal(chunks[i], before[i]))
        for chunk in chunks:
            assert int.from_bytes(chunk[size:].tobytes(), "little") == fletcher(chunk[:size].tobytes())


@pytest.mark.parametrize("size", [1, 4, 11, 12, 13, 24, 25, 44, 500])
def test_lookup3(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    stored = bytes(JenkinsLookup3().encode(np.frombuffer(data, dtype=np.uint8)))
    assert checksum.lookup3(data) == int.from_bytes(stored[-4:], "little")


def test_null_control_one_bit_changes_either() -> None:
    data = np.random.default_rng(5).bytes(300)
    for at in (0, 1, 150, 299):
        other = bytearray(data)
        other[at] ^= 4
        assert checksum.fletcher32(bytes(other)) != fletcher(data)
        assert checksum.lookup3(bytes(other)) != checksum.lookup3(data)
