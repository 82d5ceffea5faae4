"""Which pulses a programmer sends, by a chip that moves as it is scripted and notes all that it is asked."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract.hal import CellOutcome, CrossbarArray, FloatArray, Programmer, PulseKind, Pulses, Readout
from protocols.deployment.verification import Bounds
from protocols.programmers import Incremental, SequentialTest, WriteVerify
from twin import DigitalTwin

RECIPE = WriteVerify.model_validate(
    {
        "tolerance_in": 1e-6,
        "tolerance_out": 2e-6,
        "set_voltage": (1.0, 2.0, 0.1),
        "set_gate": (1.0, 1.0, 0.1),
        "set_width": 1e-6,
        "reset_voltage": (0.5, 1.5, 0.1),
        "reset_gate": (4.0, 4.0, 0.1),
        "reset_width": 1e-6,
        "averages": 1,
        "max_steps": 60,
        "max_retries": 5,
    }
)


class Scripted(CrossbarArray):
    """Three cells; `moves` says what a pulse does, `relaxes` what a wait does, S.

    `sent` lists (kind, voltage) of each pulse of the first cell, `pulsed` and `read` the masks of all calls.
    """

    def __init__(
        self, moves: Callable[[Pulses], FloatArray], relaxes: FloatArray | None = None, start: float = 50e-6
    ) -> None:
        info = DigitalTwin("ideal", shape=(1, 3)).info
        super().__init__(info.model_copy(update={"adc": None}))
        self.cells = np.full((1, 3), start)
        self._moves, self._relaxes, self._now = moves, relaxes, 0.0
        self.sent: list[tuple[PulseKind, float]] = []
        self.pulsed: list[list[bool]] = []
        self.read: list[list[bool]] = []

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return Readout(voltages @ self.cells)

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:  # type: ignore[type-arg]
        self.read.append(mask[0].tolist())
        return Readout(np.repeat((self.cells * self.info.read_voltage)[None], averages, axis=0))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self.pulsed.append(pulses.mask[0].tolist())
        if pulses.mask[0, 0]:
            self.sent.append((pulses.kind, round(float(pulses.voltage[0, 0]), 6)))
        self.cells = self.cells + np.where(pulses.mask, self._moves(pulses), 0.0)

    def _default_programmer(self) -> Programmer:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self._now += seconds
        if self._relaxes is not None:
            self.cells, self._relaxes = self.cells + self._relaxes, None

    def _time(self) -> float:
        return self._now

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...


def small_steps(pulses: Pulses) -> FloatArray:
    """3 µS up at every SET, 5 µS down at the first RESET, whatever the voltage."""
    return np.full((1, 3), 3e-6 if pulses.kind is PulseKind.SET else -5e-6)


FIRST = np.array([[True, False, False]])


def test_a_ladder_starts_again_from_its_lowest_rung_when_the_direction_turns() -> None:
    """From 47.5 µS three SETs lead past 55 +- 1 µS to 56.5, a RESET to 51.5 and a SET to 54.5."""
    array = Scripted(small_steps, start=47.5e-6)
    report = array.program_conductances(np.full((1, 3), 55e-6), FIRST, Incremental(recipe=RECIPE, epochs=1))
    ups = [(PulseKind.SET, 1.0), (PulseKind.SET, 1.1), (PulseKind.SET, 1.2)]
    assert array.sent[:4] == [*ups, (PulseKind.RESET, 0.5)]
    assert array.sent[4] == (PulseKind.SET, 1.0)
    assert report.pulses[0, 0] == len(array.sent)
    assert report.outcome[0, 0] == CellOutcome.REACHED


def test_a_cell_that_turns_too_often_is_given_up_and_every_turn_counts() -> None:
    """It jumps over its window with every pulse; `rounds` changes of direction are allowed."""

    def jumps(pulses: Pulses) -> FloatArray:
        return np.full((1, 3), 20e-6 if pulses.kind is PulseKind.SET else -20e-6)

    array = Scripted(jumps, start=50e-6)
    programmer = Incremental(recipe=RECIPE, epochs=1, rounds=4)
    report = array.program_conductances(np.full((1, 3), 60e-6), FIRST, programmer)
    assert array.sent == [(PulseKind.SET, 1.0), (PulseKind.RESET, 0.5)] * 2
    assert report.outcome[0, 0] == CellOutcome.GAVE_UP


def test_a_second_epoch_takes_up_the_cells_that_left_their_window_and_no_others() -> None:
    """After the wait the first cell is 6 µS too low, the second still good; the third was never asked for."""
    array = Scripted(small_steps, relaxes=np.array([[-6e-6, 0.5e-6, -30e-6]]), start=50e-6)
    mask = np.array([[True, True, False]])
    report = array.program_conductances(np.full((1, 3), 50e-6), mask, Incremental(recipe=RECIPE, epochs=2))
    assert array.sent == [(PulseKind.SET, 1.0), (PulseKind.SET, 1.1)]
    assert {tuple(cells) for cells in array.pulsed} == {(True, False, False)}
    assert not any(cells[2] for cells in array.read)
    assert report.pulses.tolist() == [[2, 0, 0]]
    assert report.outcome.tolist() == [[CellOutcome.REACHED, CellOutcome.REACHED, CellOutcome.NOT_SELECTED]]


@pytest.mark.parametrize("wrong", [0.0, -0.5])
def test_tolerances_and_errors_above_zero_are_asked_for(wrong: float) -> None:
    for kind, name in ((Bounds, "tolerance"), (Bounds, "mvm"), (Bounds, "kernel"), (SequentialTest, "accept")):
        with pytest.raises(ValidationError, match=name):
            kind.model_validate({name: wrong})
    with pytest.raises(ValidationError, match="frozen"):
        SequentialTest().accept = 2.0  # type: ignore[misc]
