"""A twin that is opened again holds what the log of a run says that it was given."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.log import open_run, record
from imssa_lab.log.replay.repeated import repeat
from twin import DigitalTwin, TwinProfile
from twin.programming_law import ProgrammingError

SHAPE = (6, 8)


def session(path: Path, arrays: list[DigitalTwin]) -> None:
    """Reads, pauses, the chip's own recipe and single pulses, on the second of two arrays more than on the first."""
    window = arrays[0].info.window
    target = np.random.default_rng(2).uniform(window.low, window.high, SHAPE)
    with record(path, arrays, {}) as recorded:
        for number, array in enumerate(recorded):
            array.read_conductances(averages=3)
            array.program_conductances(target)
            array.wait(100.0 * number)
            array.read_mvm(np.full((5, SHAPE[0]), 0.1))
            if number and arrays[0].profile.programming is None:
                voltage = np.full(SHAPE, np.nan)
                voltage[2, 3:5] = 1.0
                array.apply_pulses(Pulses(PulseKind.RESET, voltage, voltage, 1e-4))


@pytest.mark.parametrize("name", ["supert-a0-easy", "law", "hfox-cmo"])
def test_cells_of_a_twin_come_back(name: str, tmp_path: Path) -> None:
    profile = TwinProfile.load("supert-a0-easy" if name == "law" else name)
    if name == "law":
        law = ProgrammingError(law="normal", g_max=150e-6, sd=(2e-6, 2e-6))
        profile = profile.model_copy(update={"programming": law})
    first, second = ([DigitalTwin(profile, SHAPE, seed) for seed in (4, 5)] for _ in range(2))
    session(tmp_path / "run.h5", first)
    with open_run(tmp_path / "run.h5") as run:
        for index, array in enumerate(second):
            fresh = array.cells.conductance.copy()
            repeat(run, index, array)
            moved = np.abs(first[index].cells.conductance - fresh)
            assert np.median(moved) > 5e-6
            left = np.abs(array.cells.conductance - first[index].cells.conductance)
            assert left.max() == 0 if profile.relaxation is None else np.median(left) < 0.05 * np.median(moved)
            assert array.time == pytest.approx(first[index].time)
