"""The chip record: no pulse that a cell has seen may be missing from it."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import LimitError, LinkLost, LogError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.log import open_run, record
from protocols.chip_record import ChipRecord, chip_id
from protocols.wrappers.counted import Counted
from twin import DigitalTwin

SHAPE = (8, 8)


def pulses(kind: str = "SET", voltage: float = 1.5, width: float = 10e-6) -> Pulses:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 3:5] = True
    return Pulses.on(mask, kind, voltage, 1.0 if kind == "SET" else 5.0, width)


def test_pulses_and_their_widths_add_up_over_sessions(tmp_path: Path) -> None:
    for _ in range(2):
        with ChipRecord(tmp_path / "chips.sqlite") as chips:
            array = Counted(DigitalTwin("supert-a0-easy", SHAPE, seed=1), chips)
            array.apply_pulses(pulses())
            array.apply_pulses(pulses("RESET", width=1e-3))
            array.apply_pulses(pulses("RESET", width=1e-4))
            Counted(DigitalTwin("supert-a0-easy", SHAPE, seed=2), chips).apply_pulses(pulses())
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        assert chips.chips() == ["twin:supert-a0-easy seed 1", "twin:supert-a0-easy seed 2"]
        wear = chips.wear("twin:supert-a0-easy seed 1")
        assert wear.count[PulseKind.SET][2].tolist() == [0, 0, 0, 2, 2, 0, 0, 0]
        assert wear.count[PulseKind.RESET].sum() == 8
        assert wear.seconds[PulseKind.RESET][2, 3] == pytest.approx(2.2e-3)
        assert wear.count[PulseKind.FORM].sum() == 0
        assert wear.pulses.sum() == 12
        assert chips.wear("twin:supert-a0-easy seed 2").pulses.sum() == 4


def test_a_programming_run_is_all_there_and_unchanged(tmp_path: Path) -> None:
    target = np.random.default_rng(0).uniform(2e-6, 150e-6, SHAPE)
    bare = DigitalTwin("supert-a0-easy", SHAPE, seed=1)
    expected = bare.program_conductances(target)
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(DigitalTwin("supert-a0-easy", SHAPE, seed=1), chips)
        report = array.program_conductances(target)
        assert np.array_equal(report.achieved, expected.achieved)
        assert np.array_equal(chips.wear(array.chip).pulses, report.pulses)


def test_stuck_cells_become_faults_once(tmp_path: Path) -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, seed=1)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, 1] = True
    twin.cells.stick(mask, 2e-6)
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(twin, chips)
        for _ in range(2):
            array.program_conductances(np.full(SHAPE, 100e-6), mask)
        found = chips.faults(array.chip)
        assert [(f.row, f.col, f.fault, f.found_by) for f in found] == [(1, 1, "stuck low", "programming")]


def test_a_refused_request_is_not_counted(tmp_path: Path) -> None:
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(DigitalTwin("supert-a0-easy", SHAPE, seed=1), chips)
        with pytest.raises(LimitError):
            array.apply_pulses(pulses(voltage=9.0))
        assert chips.wear(array.chip).pulses.sum() == 0


def test_a_batch_that_fails_on_its_way_stays_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, seed=1)

    def lost(_: Pulses) -> None:
        raise LinkLost("the other end closed the link")

    monkeypatch.setattr(twin, "_apply_pulses", lost)
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(twin, chips)
        with pytest.raises(LinkLost):
            array.apply_pulses(pulses())
        assert chips.wear(array.chip).pulses.sum() == 2


def test_a_record_that_cannot_be_written_stops_the_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = DigitalTwin("supert-a0-easy", SHAPE, seed=1)
    before = twin.cells.conductance.copy()
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(twin, chips)
        with sqlite3.connect(tmp_path / "chips.sqlite") as other:
            other.execute("DROP TABLE pulses")
        with pytest.raises(LogError, match="cannot be written"):
            array.apply_pulses(pulses())
    assert np.array_equal(twin.cells.conductance, before)


_SESSION = """
import sys
import numpy as np
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import open_run, record
from protocols.chip_record import ChipRecord
from protocols.wrappers.counted import Counted
from twin import DigitalTwin

class Telling(DigitalTwin):
    def _apply_pulses(self, pulses):
        sys.stdout.write("x")
        sys.stdout.flush()
        super()._apply_pulses(pulses)

array = Counted(Telling("supert-a0-easy", (8, 8), seed=1), ChipRecord(sys.argv[1]))
one = Pulses.on(np.ones((8, 8), dtype=bool), "SET", 1.0, 0.5, 1e-6)
while True:
    array.apply_pulses(one)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process by signal")
def test_no_pulse_is_lost_by_a_kill(tmp_path: Path) -> None:
    """What the array was sent is never more than what the record says, and at most one batch less."""
    script, sent = tmp_path / "session.py", 0
    script.write_text(textwrap.dedent(_SESSION))
    for batches in (3, 17, 31):
        process = subprocess.Popen(
            [sys.executable, script, tmp_path / "chips.sqlite"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        got = len(process.stdout.read(batches))
        process.send_signal(signal.SIGKILL)
        process.wait()
        sent += got + len(process.stdout.read())
        process.stdout.close()
        with ChipRecord(tmp_path / "chips.sqlite") as chips:
            counted = chips.wear("twin:supert-a0-easy seed 1").pulses
        assert (counted == counted[0, 0]).all()  # a batch is there as a whole
        assert sent <= counted[0, 0] <= sent + 3


def test_files_that_are_no_record_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be read as one " * 20)
    with pytest.raises(LogError, match="cannot be opened"):
        ChipRecord(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    database.close()
    with pytest.raises(LogError, match="not a chip record"):
        ChipRecord(other)
    with pytest.raises(LogError, match="cannot be opened"):
        ChipRecord(tmp_path / "nowhere" / "chips.sqlite")


def test_two_shapes_under_one_name_are_refused(tmp_path: Path) -> None:
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        twin = DigitalTwin("supert-a0-easy", SHAPE, seed=1)
        chips.know(twin.info)
        with pytest.raises(LogError, match="different serial numbers"):
            chips.know(DigitalTwin("supert-a0-easy", (4, 4), seed=1).info)
        with pytest.raises(LogError, match=r"there are twin:supert-a0-easy seed 1"):
            chips.wear("another")
        assert chip_id(twin.info) == "twin:supert-a0-easy seed 1"


def test_a_survey_says_that_all_cells_were_looked_at(tmp_path: Path) -> None:
    """Programming, which looks at its own cells, does not; and a record from before surveys were kept is read."""
    one = np.zeros(SHAPE, dtype=bool)
    one[3, 4] = True
    twin = DigitalTwin("supert-a0-easy", SHAPE, seed=1)
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        assert not chips.known_cells(twin.info).immovable.any()
        assert chips.chips() == []
        chips.add_faults(chips.know(twin.info), {"stuck low": one}, "programming")
        assert not chips.known_cells(twin.info).surveyed
    with sqlite3.connect(tmp_path / "chips.sqlite") as old:
        old.execute("DROP TABLE surveys")
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        known = chips.known_cells(twin.info)
        assert np.array_equal(known.immovable, one)
        assert not known.surveyed
        chips.add_survey(chip_id(twin.info), {"dead word line": one}, "characterise")
        known = chips.known_cells(twin.info)
        assert known.surveyed.startswith("20")
        assert [fault for fault, cells in known.faults.items() if cells.any()] == ["stuck low", "dead word line"]
        with pytest.raises(LogError, match="different serial numbers"):
            chips.known_cells(DigitalTwin("supert-a0-easy", (4, 4), seed=1).info)
    with ChipRecord(tmp_path / "good.sqlite") as chips:
        chips.add_survey(chips.know(twin.info), {}, "characterise")
        assert chips.known_cells(twin.info).surveyed


def test_the_log_goes_outside_the_count(tmp_path: Path) -> None:
    """Both see every batch, and the report is in the log."""
    with ChipRecord(tmp_path / "chips.sqlite") as chips:
        array = Counted(DigitalTwin("supert-a0-easy", SHAPE, seed=1), chips)
        with record(tmp_path / "run.h5", [array], {}) as [recorded]:
            report = recorded.program_conductances(np.full(SHAPE, 60e-6))
        assert np.array_equal(chips.wear(array.chip).pulses, report.pulses)
    with open_run(tmp_path / "run.h5") as run:
        assert run.records("program") == 1
        assert np.array_equal(run.arrays()[0].program_conductances(np.full(SHAPE, 60e-6)).pulses, report.pulses)


@pytest.mark.parametrize("fault", ["stuck low", "stuck high", "dead word line", "dead bit line"])
def test_every_fault_that_no_pulse_mends_makes_its_cells_immovable(tmp_path: Path, fault: str) -> None:
    """And a fault that pulses may mend does not."""
    lines = np.zeros((4, 3), bool)
    lines[:, 1] = True
    with ChipRecord(tmp_path / "chips.db") as notes, DigitalTwin("ideal", (4, 3)) as array:
        chip = notes.know(array.info)
        notes.add_faults(chip, {"slow": ~lines}, "a test")
        assert not notes.known_cells(array.info).immovable.any()
        notes.add_faults(chip, {fault: lines}, "a test")
        assert np.array_equal(notes.known_cells(array.info).immovable, lines)
