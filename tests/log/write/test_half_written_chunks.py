"""Chunks that a kill left half written: what is taken back agrees with the checksum of HDF5, or nothing is."""

import logging
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import LOCKS, lock, unlock
from imssa_lab.log import Recorded, RunLog, open_run, record
from imssa_lab.log.file import held_file
from imssa_lab.log.file.chunks import mended_rows, without_unfinished
from imssa_lab.log.file.file_state import hold
from imssa_lab.log.read.run_file import RunFile
from imssa_lab.log.schema import NO_RECORD
from tests.log.conftest import Chip

ROWS = 8
"""Of a chunk."""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "x.h5", "w", libver=("v110", "v110")) as file:
        yield file


def dataset(file: h5py.File, values: np.ndarray, fill: float = 0, name: str = "x") -> h5py.Dataset:  # type: ignore[type-arg]
    made = file.create_dataset(
        name, values.shape, values.dtype, maxshape=(None,), chunks=(ROWS,), fletcher32=True, fillvalue=fill
    )
    made[...] = values
    file.flush()
    return made


def chunk(of: h5py.Dataset, first: int = 0) -> bytes:
    """As HDF5 has stored it, its checksum behind it."""
    return bytes(of.id.read_direct_chunk((first,))[1])


def over(stored: bytes, row: int, values: list[float], dtype: object) -> bytes:
    """The chunk with values written over its rows from `row` on, its checksum as before."""
    data = np.frombuffer(stored[:-4], dtype).copy()
    data[row : row + len(values)] = values
    return data.tobytes() + stored[-4:]


@pytest.mark.parametrize("whole", range(ROWS + 1))
def test_what_lies_behind_the_whole_records_is_taken_back(file: h5py.File, whole: int) -> None:
    made = dataset(file, np.where(np.arange(ROWS) < whole, 7 + np.arange(ROWS), 0))
    stored = chunk(made)
    for count in range(ROWS - whole + 1):
        assert without_unfinished(made, over(stored, whole, [99] * count, made.dtype), whole) == stored
    if whole:
        assert without_unfinished(made, over(stored, whole - 1, [99], made.dtype), whole) is None  # a whole record


def test_a_row_count_that_cannot_be_and_bytes_that_are_no_chunk_give_nothing(file: h5py.File) -> None:
    made = dataset(file, np.arange(1, ROWS + 1))
    stored = chunk(made)
    assert without_unfinished(made, stored, ROWS) == stored
    for rows in (-1, ROWS + 1):
        assert without_unfinished(made, stored, rows) is None
    for other in (stored[:-1], stored + b"\0", stored[:-4], b""):
        assert without_unfinished(made, other, ROWS) is None


@pytest.mark.parametrize("there", [0, 1, 3, 5])
@pytest.mark.parametrize("more", [1, 2, 3])
def test_of_record_numbers_as_many_are_taken_back_as_were_being_written(
    file: h5py.File, there: int, more: int
) -> None:
    numbers = np.full(ROWS, NO_RECORD, dtype="<u8")
    numbers[:there] = 40 + np.arange(there)
    made = dataset(file, numbers, NO_RECORD)
    stored = chunk(made)
    cut = over(stored, there, [40 + there + i for i in range(more)], made.dtype)
    assert without_unfinished(made, cut, None) == stored
    if there:
        assert without_unfinished(made, over(cut, there - 1, [7], made.dtype), None) is None


@pytest.mark.parametrize(("name", "before", "after"), [("done", 0, 1), ("device_time", math.nan, 2.5)])
def test_what_is_set_in_a_whole_row_later_is_taken_back_row_by_row(
    file: h5py.File, name: str, before: float, after: float
) -> None:
    """`done` and the time of a pulse follow when it was sent; which row was being set is found by the checksum."""
    dtype = "u1" if name == "done" else "<f8"
    for row in range(4):
        values = np.array([after] * 4 + [0] * 4, dtype)
        values[row] = before
        made = dataset(file, values, name=f"pulses{row}/{name}")
        stored = chunk(made)
        cut = over(stored, row, [after], dtype)
        assert without_unfinished(made, cut, 4) is None  # no other dataset is ever set later
        file.move(f"pulses{row}", "pulses")
        made = file[f"pulses/{name}"]
        assert without_unfinished(made, cut, 4) == stored
        assert without_unfinished(made, over(cut, (row + 1) % 4, [77], dtype), 4) is None  # another row is wrong, too
        file.move("pulses", f"pulses{row}")


def test_rows_of_a_damaged_chunk_are_read_as_they_were(file: h5py.File, tmp_path: Path) -> None:
    """Three chunks, the last one half written behind row 20; rows by slice, by number and counted from the end."""
    values = np.where(np.arange(24) < 20, 100 + np.arange(24), 0)
    made = dataset(file, values)
    place = made.id.get_chunk_info_by_coord((16,)).byte_offset
    file.close()
    with (tmp_path / "x.h5").open("r+b") as raw:
        raw.seek(place + 4 * values.itemsize)
        raw.write(np.array([5, 6], values.dtype).tobytes())
    with h5py.File(tmp_path / "x.h5") as again:
        made = again["x"]
        with pytest.raises(OSError, match=r"[Cc]an't|filter"):
            made[20]  # the null control
        for rows in (slice(0, 24), slice(3, 24), slice(7, 9), slice(8, 16), slice(17, 23), slice(4, 4)):
            found = mended_rows(made, tmp_path / "x.h5", rows, 20)
            assert (None if found is None else found.tolist()) == (values[rows].tolist() or None), rows
        for row in (0, 7, 8, 19, 20, 23, -1, -4, -5, -24):
            found = mended_rows(made, tmp_path / "x.h5", row, 20)
            assert found is not None
            assert found.tolist() == [values[row]], row
        assert mended_rows(made, tmp_path / "x.h5", slice(0, 24), 21) is None  # row 20 would be a whole record
        assert mended_rows(made, tmp_path / "x.h5", slice(0, 16), 21) is not None


def test_a_file_that_is_written_is_locked_for_readers_too_but_not_against_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not LOCKS:
        pytest.skip("no locks on this system")
    import fcntl

    path = tmp_path / "x.h5"
    path.write_bytes(b"1234")
    with caplog.at_level(logging.WARNING):
        handle = hold(path)
    assert not caplog.records
    os.write(handle, b"5")
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a reader
    fcntl.flock(other, fcntl.LOCK_UN)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a second writer
    os.close(handle)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert path.read_bytes() == b"5234"


@pytest.mark.parametrize("patient", [True, False])
def test_closing_waits_for_another_program_to_let_the_file_go_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, patient: bool
) -> None:
    if not LOCKS:
        pytest.skip("no locks on this system")
    path = tmp_path / "run.h5"
    log = RunLog.create(path, [Chip()], {})
    Recorded(Chip(), log).wait(2.5)
    reader = os.open(path, os.O_RDONLY)
    lock(reader, shared=True)
    monkeypatch.setattr(held_file, "_SAY_AFTER", 0.03)
    if patient:
        with ThreadPoolExecutor() as beside:
            beside.submit(lambda: (time.sleep(0.1), unlock(reader)))
            log.close()
    else:
        monkeypatch.setattr(held_file, "_PATIENCE", 0.1)
        with pytest.raises(LogError, match="another program holds the file; close that and `imssa log repair`"):
            log.close()
    os.close(reader)
    assert [one.getMessage() for one in caplog.records].count(
        f"{path}: another program reads it; closing waits up to {held_file._PATIENCE:g} s"
    ) == 1
    with open_run(path) as run:
        assert run.closed_cleanly == patient
        assert run.column("waits", "seconds").tolist() == [2.5]


def test_a_folder_without_locks_is_named_and_the_file_written_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError("no locks available")

    if not LOCKS:
        pytest.skip("no locks on this system")
    import fcntl

    path = tmp_path / "x.h5"
    path.write_bytes(b"1234")
    monkeypatch.setattr(fcntl, "flock", none)
    with caplog.at_level(logging.WARNING):
        handle = hold(path)
    assert os.read(handle, 4) == b"1234"
    os.close(handle)
    (said,) = caplog.records
    assert "takes no locks (no locks available)" in said.getMessage()


def test_a_replay_reads_a_column_of_plain_numbers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for them call by call; read so, every call would be a read of the file."""
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        for step in range(30):
            array.read_mvm(np.full(5, 1e-3 * step))
    with open_run(tmp_path / "run.h5") as run:
        expected = run.column("read_mvm", "device_time").tolist()
        read, asked = RunFile._read, []

        def counted(self: RunFile, table: str, name: str, rows: slice | int) -> object:
            asked.append((table, name))
            return read(self, table, name, rows)

        monkeypatch.setattr(RunFile, "_read", counted)
        assert [run.column("read_mvm", "device_time", row) for row in range(30)] == expected
        assert asked.count(("read_mvm", "device_time")) == 1
