"""A running file gives what was written, whoever else has it open. HDF5 itself mixes up chunks."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.file.chunks import scan

from .conftest import Chip

MANY = 600  # records: three chunks of 256


def cut_off(path: Path) -> Path:
    """A file as a kill leaves it, with waits of 0, 1, 2 ... s."""
    with RunLog.create(path.with_name("running.h5"), [Chip()], {}) as log:
        for number in range(MANY):
            log.append("waits", {"array": 0, "device_time": 0.0, "seconds": number})
        path.write_bytes(log.path.read_bytes())
    return path


def test_the_log_of_this_very_process(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), open_run(tmp_path / "run.h5") as run:
        for number in range(MANY):
            array.wait(number)
            if number % 50 == 0:
                assert run.column("waits", "seconds").tolist() == [*range(number + 1)]
                assert run.column("waits", "seconds", number // 2) == number // 2


def test_a_chunk_that_a_kill_left_half_written_is_looked_at_again_and_again(tmp_path: Path) -> None:
    path = cut_off(tmp_path / "killed.h5")
    with open_run(path) as run, path.open("rb") as raw:
        last = list(scan(run.file["waits/seconds"], raw.fileno()))[-1]
    data = bytearray(path.read_bytes())
    torn = last.byte_offset + 8 * (MANY - last.first)
    data[torn : torn + 8] = np.float64(MANY).tobytes()  # of a record that never was, its checksum not written yet
    path.write_bytes(data)
    with open_run(path) as run:
        assert run.column("waits", "seconds").tolist() == [*range(MANY)]
        assert run.column("waits", "seconds", slice(MANY - 1, MANY)).tolist() == [MANY - 1]


def test_a_dataset_that_is_held_is_refused_not_misread(tmp_path: Path) -> None:
    with open_run(cut_off(tmp_path / "killed.h5")) as run:
        held = run.file["waits/seconds"]
        with pytest.raises(LogError, match="/waits/seconds is open a second time in this program"):
            run.column("waits", "seconds")
        assert run.column("waits", "seq").tolist() == [*range(MANY)]
        del held
        assert run.column("waits", "seconds").tolist() == [*range(MANY)]


@pytest.mark.skipif(h5py.version.hdf5_version != "2.0.0", reason="what this HDF5 does is known of version 2.0.0 only")
def test_hdf5_misreads_it(tmp_path: Path) -> None:
    """The reason for all this: once it no longer holds, `imssa_lab.log.file.live_dataset` can be simpler."""
    with h5py.File(cut_off(tmp_path / "killed.h5"), "r", swmr=True) as file:
        one, other = file["waits/seconds"], file["waits/seconds"]
        assert other[300] == 300
        one.refresh()
        assert other[300] == one[300] == 300 % 256
