"""What is written over in place reads back through HDF5, whose checksum filter refuses any other bytes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.log import open_run, record
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file import compiled_checksum
from imssa_lab.log.file.checksum import sums
from imssa_lab.log.write import shared_chunks
from imssa_lab.log.write.growing import GrowingDataset
from imssa_lab.log.write.shared_chunks import SharedChunks

from .conftest import Chip, session

WAYS = [compiled_checksum.overwrite, compiled_checksum.overwrite_by_numpy]
# name: dtype, shape of a row, rows of a chunk
DATASETS = {"a": ("u1", (), 8), "b": ("<u2", (), 6), "c": ("<f8", (3,), 4), "d": ("S7", (), 10), "e": ("<u8", (), 64)}
PACKED = {"f": ("<i2", (4,), 16), "g": ("<f8", (5,), 8), "h": ("u1", (30,), 10)}


@pytest.mark.parametrize("past_hdf5", [True, False])
@pytest.mark.parametrize("overwrite", WAYS)
def test_hdf5_reads_what_was_put(
    overwrite: Callable[..., int], past_hdf5: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of one to many rows, some datasets left out, chunks gone back to, rows set later."""
    monkeypatch.setattr(shared_chunks, "overwrite", overwrite)
    random = np.random.default_rng(1)
    with h5py.File(tmp_path / "x.h5", "w", libver=("v110", "v110")) as file:
        datasets = [
            file.create_dataset(
                name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(rows, *shape), fletcher32=True
            )
            for name, (dtype, shape, rows) in DATASETS.items()
        ] + [
            file.create_dataset(
                name,
                (0, *shape),
                dtype,
                maxshape=(None, *shape),
                chunks=(rows, *shape),
                fletcher32=True,
                compression="gzip",
                shuffle=dtype == "<i2",
            )
            for name, (dtype, shape, rows) in PACKED.items()
        ]
        handle = os.open(tmp_path / "x.h5", os.O_RDWR)
        columns = [GrowingDataset(dataset) for dataset in datasets]
        written = [bytearray() for _ in columns]
        chunks = SharedChunks(columns, handle if past_hdf5 else None)
        for _ in range(120):
            rows, data = [], []
            for column, before in zip(columns, written, strict=True):
                width, end = column.row_bytes, len(before) // column.row_bytes
                row = int(random.integers(max(end - 12, 0), end + 1))
                piece = random.bytes(width * int(random.choice([0, 1, 1, 1, 5, 23])))
                if column.packs and random.random() < 0.7:
                    piece = piece[:1] * len(piece)  # what compresses, beside what does not
                before[row * width : row * width + len(piece)] = piece
                rows.append(row)
                data.append(piece)
            chunks.put(rows, data)
        chunks.flush()
        os.close(handle)
    with h5py.File(tmp_path / "x.h5") as file:
        for name in PACKED:
            chunk_sizes = [file[name].id.get_chunk_info(i) for i in range(file[name].id.get_num_chunks())]
            assert len({info.filter_mask for info in chunk_sizes}) == 2, name
        for name, expected in zip({**DATASETS, **PACKED}, written, strict=True):
            stored = file[name][()].tobytes()
            assert stored[: len(expected)] == expected, name
            assert not any(stored[len(expected) :]), name


@pytest.mark.parametrize("overwrite", WAYS)
def test_a_wrong_checksum_would_be_seen(
    overwrite: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(chunks: Any, numbers: Any, pieces: Any) -> int:
        changed = overwrite(chunks, numbers, pieces)
        numbers[4] += 1
        return changed

    monkeypatch.setattr(shared_chunks, "overwrite", forgetful)
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        session(array)
    assert not verify(tmp_path / "run.h5").good


@pytest.mark.parametrize("size", [0, 2, 34, 4096, 32_768, 5, 33])
def test_the_compiled_sums(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert tuple(compiled_checksum.sums(data)) == sums(data)


def test_without_numba_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for name in ("with", "without"):
        with record(tmp_path / f"{name}.h5", [Chip()], {}) as (array,):
            answers.append(session(array))
        monkeypatch.setattr(compiled_checksum, "AVAILABLE", False)
        monkeypatch.setattr(shared_chunks, "overwrite", compiled_checksum.overwrite_by_numpy)
    assert answers[0] == answers[1]
    with open_run(tmp_path / "with.h5") as one, open_run(tmp_path / "without.h5") as other:
        for table in ("read_mvm", "read_conductances", "pulses", "program"):
            for name in one.file[table]:
                if name != "wall_time":
                    np.testing.assert_array_equal(one.file[table][name][()], other.file[table][name][()])
    assert verify(tmp_path / "without.h5").good
