"""A look at the arrays before anything is placed finds what does not come down, for three pulses a cell."""

import numpy as np
import pytest

from imssa_lab.contract.hal import CellOutcome
from protocols.deployment.survey import survey, unfinished_report
from twin import DigitalTwin, TwinProfile

TOLERANCE = 10e-6


def chip() -> DigitalTwin:
    profile = TwinProfile.load("supert-a0-easy")
    none = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    return DigitalTwin(profile.model_copy(update={"stuck": none, "lines": None, "overdrive": None}), (16, 16), seed=3)


def test_cells_that_stay_high_are_stuck_and_those_that_come_down_are_not() -> None:
    twin = chip()
    stuck = np.zeros((16, 16), dtype=bool)
    stuck[3] = stuck[7, 5] = True
    twin.cells.stick(stuck, 90e-6)
    twin.cells.conductance[10] = 120e-6  # of a session before
    found = survey(twin, TOLERANCE)
    assert (found.stuck == stuck).all()
    assert found.pulses == 3 * (16 + 1 + 16)
    assert found.held[stuck] == pytest.approx(90e-6, abs=5e-6)
    assert found.held[10].max() < 12e-6 + TOLERANCE


def test_a_fresh_chip_gets_no_pulse() -> None:
    twin = chip()
    before = twin.cells.conductance.copy()
    found = survey(twin, TOLERANCE)
    assert (found.pulses, found.stuck.any()) == (0, False)
    assert (twin.cells.conductance == before).all()


def test_a_run_that_the_budget_ended_is_reported_as_its_cells_are_read() -> None:
    """Either side of the tolerance, 5 uS; cells that were not asked for are not selected, whatever they hold."""
    twin = DigitalTwin("ideal", (1, 5))
    twin.cells.conductance[:] = np.array([[44.9, 45.1, 54.9, 55.1, 50.0]]) * 1e-6
    mask = np.array([[True, True, True, True, False]])
    wanted, pulses = np.full((1, 5), 50e-6), np.array([[7, 0, 1, 2, 0]])
    twin.wait(3.0)
    report = unfinished_report(twin, wanted, mask, pulses, 1.0, 5e-6)
    reached, budget = CellOutcome.REACHED, CellOutcome.BUDGET
    assert report.outcome.tolist() == [[budget, reached, reached, budget, CellOutcome.NOT_SELECTED]]
    assert np.array_equal(report.pulses, pulses)
    assert report.seconds == twin.time - 1.0
