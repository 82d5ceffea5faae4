"""What a run file says about itself, beside the numbers that are in it."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LinkTimeout, LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.care.compare import statistics
from imssa_lab.log.file.file_state import marks_of
from imssa_lab.log.read.exported_files import export
from imssa_lab.log.replay.replay_address import open_replay
from imssa_lab.log.schema import FORMAT_VERSION
from imssa_lab.log.write.wire_log import WireMessage
from tests.log.conftest import Chip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run of two readings and a wait, with a short and a long note."""
    where = tmp_path / "run.h5"
    with record(where, [Chip()], {"short": "n" * 199, "long": "abc" * 100}) as (array,), array:
        array.read_mvm(np.zeros(5))
        array.wait(2.0)
        array.read_conductances()
    return where


def test_the_summary_cuts_long_notes_alone(path: Path) -> None:
    with open_run(path) as run:
        summary = run.summary()
        assert run.provenance == {"short": "n" * 199, "long": "abc" * 100}
    assert summary["short"] == "n" * 199
    assert summary["long"] == ("abc" * 100)[:197] + "..."
    assert (summary["read_mvm"], summary["waits"], summary["closed cleanly"]) == ("1", "1", "yes")


def test_a_run_keeps_what_its_computer_knew_of_itself(path: Path) -> None:
    with h5py.File(path) as file:
        assert "environment" in file.attrs
    with open_run(path) as run:
        assert run.environment


def test_pulses_are_known_to_be_complete_when_the_instrument_has_answered(tmp_path: Path) -> None:
    """A cell may have seen those of a call that failed."""
    chip, pulses = Chip(), Pulses.on(np.ones((5, 4), dtype=np.bool_), "RESET", 1.2, 2.0, 2e-7)
    with record(tmp_path / "run.h5", [chip], {}) as (array,):
        array.apply_pulses(pulses)
        chip.fail.append(LinkTimeout("no answer within 2 s"))
        with pytest.raises(LinkTimeout):
            array.apply_pulses(pulses)
    with open_run(tmp_path / "run.h5") as run:
        assert run.column("pulses", "done").tolist() == [1, 0]
        np.testing.assert_array_equal(run.column("pulses", "device_time"), [chip.now, np.nan])
        assert run.summary()["pulses not known to be complete"] == "1"


def test_the_wall_time_of_a_run_is_from_its_first_to_its_last_record(path: Path) -> None:
    with h5py.File(path) as file:
        times = np.concatenate([file[name]["wall_time"][:] for name in ("read_mvm", "waits", "read_conductances")])
    with open_run(path) as run:
        found = statistics(run)["wall time, s"]
        ticks = np.concatenate([run.column(name, "wall_time") for name in ("read_mvm", "waits", "read_conductances")])
    assert len(times) == 3
    assert found >= np.ptp(ticks) > 0
    assert found < 60


def test_a_csv_file_is_text_with_a_line_a_record(path: Path, tmp_path: Path) -> None:
    with open_run(path) as run:
        (written,) = export(run, tmp_path / "out", "csv", ["waits"])
    with written.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert written.suffix == ".csv"
    assert [float(row["seconds [s]"]) for row in rows] == [2.0]


def test_a_replay_by_address_lets_go_of_its_file(path: Path) -> None:
    with open_replay(str(path), {}) as array:
        assert array.read_mvm(np.zeros(5)).shape == (4,)
        with pytest.raises(OSError, match="already open"):
            h5py.File(path, "r+")
    with h5py.File(path, "r+") as file:
        assert file.attrs["format_version"] == FORMAT_VERSION


def test_a_file_shorter_than_its_marks_has_none(path: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.h5"
    start.write_bytes(path.read_bytes()[:8])
    assert marks_of(start) == 0
    start.write_bytes(path.read_bytes()[:7])
    with pytest.raises(LogError, match="not an HDF5 file"):
        marks_of(start)


def test_messages_on_a_wire_are_timed_from_the_begin_of_the_run(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "wire.h5", [Chip()], {}) as log:
        begin = log._started
        log.wire("link")
        log.append_wire([WireMessage(0, 0, begin + 0.25, b"ask"), WireMessage(0, 1, begin + 1.5, b"answer")])
    with open_run(tmp_path / "wire.h5") as run:
        assert run.column("wire", "t_ns").tolist() == pytest.approx([0.25e9, 1.5e9], abs=1e3)
