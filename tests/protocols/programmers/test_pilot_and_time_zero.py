"""An array that answers as written out: how far the pilot of a gate start goes, and when relaxation begins."""

import numpy as np
import pytest

from imssa_lab.contract.hal import CrossbarArray, FloatArray, Programmer, PulseKind, Pulses, Readout
from protocols.characterisation.experiments import Bench, Schedule, relaxation
from protocols.programmers import GateStart, WriteVerify
from protocols.programmers.gate_start import Tries
from twin import DigitalTwin, TwinProfile

SHAPE = (2, 2)
READ = 4.0
"""s that a read of the whole array takes."""


class Answering(CrossbarArray):
    """Holds 0 until a SET, then `after`(gate in V), S; a read takes `READ` s and sees the middle of that time.

    What it holds falls by 1 nS a second from the last pulse on.
    """

    def __init__(self, levels: dict[float, float]) -> None:
        info = DigitalTwin("ideal", shape=SHAPE).info
        super().__init__(info.model_copy(update={"adc": None}))
        self.levels, self.now, self.pulsed = levels, 100.0, 100.0
        self.held = 50e-6
        self.gates: list[float] = []

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        raise NotImplementedError

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:  # type: ignore[type-arg]
        middle = self.now + READ / 2 - self.pulsed
        self.now += READ
        return Readout(np.full((averages, *SHAPE), (self.held - 1e-9 * middle) * self.info.read_voltage))

    def _apply_pulses(self, pulses: Pulses) -> None:
        if pulses.kind is PulseKind.SET:
            self.gates.append(round(float(np.nanmax(pulses.gate)), 3))
            self.held = self.levels[self.gates[-1]]
        self.pulsed = self.now

    def _default_programmer(self) -> Programmer:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def _time(self) -> float:
        return self.now

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...


def recipe(**changes: object) -> WriteVerify:
    own = {"set_gate": (0.5, 0.9, 0.1), "tolerance_in": 4e-6, "tolerance_out": 8e-6}
    return WriteVerify.model_validate({**TwinProfile.load("supert-a0-easy").recipe.model_dump(), **own, **changes})


@pytest.mark.parametrize(("third", "gates"), [(64e-6, 4), (60e-6 + 8e-6, 4), (70e-6, 3)])
def test_the_pilot_goes_on_until_its_median_is_beyond_the_highest_target_and_its_window(
    third: float, gates: int
) -> None:
    """Targets of 60 uS with a window of 8 uS: 68 uS itself is not beyond it."""
    levels = {0.5: 20e-6, 0.6: 40e-6, 0.7: third, 0.8: 90e-6, 0.9: 120e-6}
    array = Answering(levels)
    array.read_conductances = lambda mask=None, averages=1: np.full(SHAPE, array.held)  # type: ignore[method-assign]
    target, mask = np.full(SHAPE, 60e-6), np.ones(SHAPE, dtype=bool)
    tries = Tries(GateStart(recipe=recipe()), array, target, mask)
    found, level = tries.pilot()
    assert len(found) == gates
    assert found == pytest.approx([0.5, 0.6, 0.7, 0.8][:gates])
    assert level == pytest.approx(list(levels.values())[:gates])
    assert tries.reads == gates


@pytest.mark.parametrize("times", [(10.0, 50.0), (1.0, 50.0)])
def test_relaxation_counts_from_the_middle_of_the_first_read_to_the_middle_of_each(times: tuple[float, ...]) -> None:
    """What is held falls by 1 nS a second, so each difference says when it was read; a read of 4 s ends in 4 s."""
    array = Answering({})
    array.program_conductances = lambda *_: None  # type: ignore[method-assign, assignment, return-value]
    bench = Bench(array, recipe(), Schedule(levels=2, times=times))
    table = relaxation(bench)
    time = np.unique(table["time"])
    first = max(times[0], READ)  # the next read cannot begin before the first has ended
    assert time == pytest.approx([0.0, first, times[1]])
    fallen = table["initial"].astype(float) - table["conductance"].astype(float)
    assert fallen == pytest.approx(1e-9 * table["time"].astype(float), abs=1e-13)
    assert table["time"].size == 3 * 4
