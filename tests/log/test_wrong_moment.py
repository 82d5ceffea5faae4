"""Programs that open a run at the moment when its writer makes or closes it: none of them fails."""

import os
import threading
from pathlib import Path

import h5py
import pytest

from imssa_lab.log import open_run, record
from imssa_lab.log import run as opening
from imssa_lab.log.file.file_state import marks_of, start_swmr
from imssa_lab.log.schema import LIBVER

from .conftest import Chip


def test_marks_that_change_between_a_look_at_them_and_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, looks = tmp_path / "run.h5", iter((0, 0))

    def late(where: Path) -> int:
        return next(looks, marks_of(where))

    with record(path, [Chip()], {}) as (array,), array:
        array.read_conductances()
        monkeypatch.setattr(opening, "marks_of", late)
        with open_run(path) as run:
            assert run.records("read_conductances") == 1


def test_a_file_that_is_still_empty_is_waited_for(tmp_path: Path) -> None:
    made, path = tmp_path / "made.h5", tmp_path / "run.h5"
    with record(made, [Chip()], {}) as (array,), array:
        array.read_conductances()
    path.touch()
    fill = threading.Timer(0.05, path.write_bytes, (made.read_bytes(),))
    fill.start()
    with open_run(path) as run:
        assert run.records("read_conductances") == 1
    fill.join()


def test_a_reader_that_holds_the_file_as_its_writer_renews_the_lock_is_waited_for(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")
    path = tmp_path / "run.h5"
    with h5py.File(path, "x", libver=LIBVER) as file:
        reader = os.open(path, os.O_RDONLY)
        fcntl.flock(file.id.get_vfd_handle(), fcntl.LOCK_UN)
        fcntl.flock(reader, fcntl.LOCK_SH)
        leave = threading.Timer(0.2, os.close, (reader,))
        leave.start()
        start_swmr(file)
        assert not leave.is_alive()
        assert file.swmr_mode
        with h5py.File(path, "r", swmr=True) as seen:
            assert list(seen) == []
