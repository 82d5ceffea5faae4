"""Stuck cells are found by what re-reads say, also where the programmer reports every cell as reached."""

import numpy as np
import pytest

from imssa_lab.contract.hal import BoolArray, CellOutcome, FloatArray, ProgrammingReport
from imssa_lab.s4d.inference import run_network
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.misses import Misses
from protocols.deployment.sequences import Sequences
from trials.untrained import untrained_bundle, varied_sequences
from twin import DigitalTwin, TwinProfile
from twin.programming_law import ProgrammingError

TOLERANCE = 10e-6
ALL: BoolArray = np.ones((1, 4), dtype=bool)


def report(achieved: FloatArray, pulses: int = 3, outcome: CellOutcome = CellOutcome.REACHED) -> ProgrammingReport:
    shape = ALL.shape
    return ProgrammingReport(
        target=np.full(shape, 100e-6),
        achieved=achieved,
        pulses=np.full(shape, pulses, dtype=np.int32),
        outcome=np.full(shape, outcome, dtype=np.uint8),
        tolerance=TOLERANCE,
        seconds=0.0,
        reads=1,
    )


def test_off_twice_without_having_moved_is_stuck_whoever_reports() -> None:
    misses = Misses((1, 4))
    assert not misses.stuck(report(np.array([[2e-6, 60e-6, 85e-6, 101e-6]])), ALL, TOLERANCE).any()
    found = misses.stuck(report(np.array([[3e-6, 120e-6, 99e-6, 130e-6]])), ALL, TOLERANCE)
    assert found.tolist() == [[True, False, False, False]]
    assert misses.out.tolist() == [[False, True, False, False]]  # off twice, but it moves


def test_a_cell_that_got_no_pulse_was_not_tried() -> None:
    misses = Misses((1, 4))
    still = np.full((1, 4), 2e-6)
    misses.stuck(report(still), ALL, TOLERANCE)
    some = report(still)
    some.pulses.flags.writeable = True
    some.pulses[0, :2] = 0
    assert misses.stuck(some, ALL, TOLERANCE).tolist() == [[False, False, True, True]]


def test_what_the_programmer_says_counts_only_where_the_re_read_agrees() -> None:
    told = report(np.array([[2e-6, 100e-6, 2e-6, 100e-6]]), outcome=CellOutcome.STUCK_LOW)
    assert Misses((1, 4)).stuck(told, ALL, TOLERANCE).tolist() == [[True, False, True, False]]


@pytest.fixture(scope="module")
def profile() -> TwinProfile:
    """A fitted chip: programming by its statistics, 5 % of the cells stuck."""
    easy = TwinProfile.load("supert-a0-easy")
    stuck = easy.stuck.model_copy(update={"on_fraction": 0.025, "off_fraction": 0.025, "on_conductance": 140e-6})
    law = ProgrammingError(law="normal", g_max=150e-6, sd=(2e-6, 2e-6))
    return easy.model_copy(update={"stuck": stuck, "programming": law})


def deployed(profile: TwinProfile, mending: bool) -> tuple[DigitalTwin, Deployment]:
    bundle, inputs = untrained_bundle(), varied_sequences(0)
    labels = run_network(bundle, inputs).argmax(axis=1)
    chips = [DigitalTwin(profile, seed=seed) for seed in (31, 32)]
    result = deploy(bundle, chips, Sequences(inputs[:32], inputs, labels), DeploymentChoices(mending=mending))
    return chips[0], result


def test_stuck_cells_of_a_fitted_twin_are_learned_and_arranged_around(profile: TwinProfile) -> None:
    chip, ours = deployed(profile, True)
    _, naive = deployed(profile, False)
    assert all((report.outcome[report.selected] == CellOutcome.REACHED).all() for report in ours.reports)  # no help
    off = np.isfinite(ours.targets[0]) & chip.cells.stuck
    off &= np.abs(chip.cells.conductance - ours.targets[0]) > 1.5 * TOLERANCE
    ends = ours.cell_ends[0][off]
    assert off.sum() > 3
    assert np.isin(ends, (CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH)).mean() > 0.9
    assert ours.levels[1].measured < 0.4 * naive.levels[1].measured
    assert ours.accuracy >= naive.accuracy
