"""When programming again is tried for a level that failed, and how often."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from imssa_lab.contract.array_types import Window
from imssa_lab.contract.cell_classes import CellMap, cell_shares
from imssa_lab.contract.hal import FloatArray
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.journal import ArrayState
from protocols.deployment.remedies import Loop
from protocols.deployment.verification import Bounds, LevelResult
from trials import tiny

TOLERANCE = 5e-6
BOUNDS = Bounds(tolerance=TOLERANCE / 148e-6)  # of the window of the ideal twin, 2 to 150 uS


class Programmed:
    """Two arrays with 150 and 50 targets; counts how often it is asked to program again."""

    def __init__(self) -> None:
        self.targets = [np.full((20, 10), np.nan), np.full((20, 10), np.nan)]
        self.targets[0].flat[:150] = self.targets[1].flat[:50] = 50e-6
        self.states = [ArrayState.fresh((20, 10)) for _ in self.targets]
        self.spent, self.refreshed = False, 0
        self.mapping = SimpleNamespace(arrays=2, window=Window(low=2e-6, high=150e-6))
        self.arrange_for_products = self.read_apart = lambda: 0
        self.arrange_for_outputs = self.program_finer = lambda owners: 0
        self.mapping.kernels = ()

    def mark(self, achieved: list[FloatArray]) -> None:
        """Nothing is taken back here."""

    def cell_maps(self, achieved: list[FloatArray]) -> list[CellMap]:
        return [CellMap(target, read) for target, read in zip(self.targets, achieved, strict=True)]

    def refresh(self) -> int:
        self.refreshed += 1
        return 0


def failed() -> tuple[LevelResult, NDArray[np.int64]]:
    """A task that is lost."""
    return LevelResult("task", 1.0, 0.02, False, "loss"), np.zeros(2, dtype=np.int64)


def loop(programmed: Programmed) -> Loop:
    choices = DeploymentChoices(bounds=BOUNDS)
    made = Loop(tiny.bundle(), [], programmed, [], {}, choices, lambda *_: None)  # type: ignore[arg-type]
    made.achieved = [np.where(np.isfinite(target), target, 9.0) for target in programmed.targets]
    made.shares = cell_shares(programmed.cell_maps(made.achieved), programmed.mapping.window, TOLERANCE)
    return made


def off(programmed: Programmed, made: Loop, cells: int, error: float, array: int = 0) -> None:
    made.achieved[array].flat[:cells] = 50e-6 + error


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda p, m: off(p, m, 1, 6e-6), False),  # half a per cent
        (lambda p, m: off(p, m, 2, 6e-6), True),  # one per cent
        (lambda p, m: off(p, m, 2, -6e-6), True),
        (lambda p, m: off(p, m, 9, 4.9e-6), False),  # inside the tolerance
        (lambda p, m: (off(p, m, 1, 6e-6), off(p, m, 1, 6e-6, 1)), True),  # over both arrays
        (lambda p, m: (off(p, m, 9, 6e-6), p.states[0].stuck.flat.__setitem__(slice(9), True)), False),  # immovable
    ],
)
def test_programming_again_is_tried_where_enough_cells_that_move_are_out(
    change: Callable[[Programmed, Loop], object], again: bool
) -> None:
    programmed = Programmed()
    made = loop(programmed)
    change(programmed, made)
    made.for_task(failed, True)
    assert programmed.refreshed == int(again)
    made.for_task(failed, True)
    assert programmed.refreshed == (1 if again else 0)  # each remedy once
    assert made.tried == []  # nothing was changed by it here


def test_a_task_that_decides_nothing_costs_no_pulses() -> None:
    programmed = Programmed()
    made = loop(programmed)
    off(programmed, made, 9, 6e-6)
    level = LevelResult("task", 0.0, 0.02, False, "no memory", decidable=False)
    made.for_task(lambda: (level, np.zeros(2, dtype=np.int64)), True)
    assert programmed.refreshed == 0


def test_nothing_is_programmed_again_once_the_budget_is_spent() -> None:
    programmed = Programmed()
    made = loop(programmed)
    off(programmed, made, 50, 20e-6)
    programmed.spent = True
    made.for_task(failed, True)
    assert programmed.refreshed == 0
