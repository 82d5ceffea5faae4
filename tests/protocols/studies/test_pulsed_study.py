"""Studies by pulses: chips keep what their profile has, and the naive arm gets no correction of any kind."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.studies import pulsed_chips
from imssa_lab.studies.pulsed_chips import deploy_by_pulses, pulsed_trial, with_stuck
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import ARMS, Arm, StudyTrial
from protocols.deployment.deployment import Deployment
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin, TwinProfile

BOARD = TwinProfile.load("supert-a0")


@pytest.fixture(scope="module")
def model() -> StudyModel:
    return StudyModel(tiny.bundle(), Sequences(*tiny.sequences()), 20, BOARD)


@pytest.fixture
def chips(monkeypatch: pytest.MonkeyPatch) -> list[DigitalTwin]:
    """The chips that trials meet, small ones so that it is quick."""
    met: list[DigitalTwin] = []

    def twin(profile: TwinProfile, shape: tuple[int, int], seed: int) -> DigitalTwin:
        met.append(DigitalTwin(profile, shape, seed))
        return met[-1]

    monkeypatch.setattr(pulsed_chips, "DigitalTwin", twin)
    monkeypatch.setattr(pulsed_chips, "SHAPE", (24, 24))
    return met


def test_stuck_cells_replace_those_of_the_profile_and_nothing_else() -> None:
    changed = with_stuck(BOARD, 0.05)
    assert (changed.stuck.on_fraction, changed.stuck.off_fraction) == (0.025, 0.025)
    assert changed.stuck.on_conductance == BOARD.stuck.on_conductance
    assert changed.model_copy(update={"stuck": BOARD.stuck}) == BOARD
    assert with_stuck(BOARD, None) is BOARD
    without_lines = changed.model_copy(update={"lines": None})
    assert DigitalTwin(without_lines, (64, 64), 3).cells.faults.stuck.mean() == pytest.approx(0.05, abs=0.01)


def test_dense_layers_are_deployed_and_judged_where_they_are_asked_for(
    model: StudyModel, chips: list[DigitalTwin]
) -> None:
    whole, trial = replace(model, layers="all"), StudyTrial(None, None, "ours", 4)
    result = deploy_by_pulses(whole, trial)
    assert {tile.layer for tile in result.mapping.tiles} == {"encoder"}
    assert [level.level for level in result.levels] == ["cells", "mvm", "kernel", "dense", "task"]
    assert len(chips) == result.mapping.arrays == 2
    assert deploy_by_pulses(model, trial).mapping.arrays == 1  # null control
    assert len(pulsed_trial([whole], trial).figures) == len(pulsed_chips.FIGURES)
    assert whole.digest() != model.digest()
    with pytest.raises(ConfigError, match="by pulses alone"):
        replace(whole, profile=None)


def test_only_the_naive_arm_goes_uncorrected(model: StudyModel, chips: list[DigitalTwin]) -> None:
    found: dict[Arm, Deployment] = {arm: deploy_by_pulses(model, StudyTrial(None, None, arm, 4)) for arm in ARMS}
    naive, corrected, ours = chips
    assert naive.calibration is None
    assert corrected.calibration is not None
    assert ours.calibration is not None
    plain = found["naive"].corrections.layers[0]
    assert (plain.gain == 1.0).all()
    assert (plain.offset == 0.0).all()
    assert not (found["corrected"].corrections.layers[0].gain == 1.0).any()
    assert all(np.array_equal(chip.cells.faults.bits, naive.cells.faults.bits) for chip in chips)
    # bit lines of the board read a sixth too little, which is nobody's programming error
    errors = {arm: float(np.median(result.kernel_nrmse)) for arm, result in found.items()}
    assert errors["naive"] > errors["corrected"], errors
    assert found["naive"].surveyed == found["corrected"].surveyed == 0
    assert found["naive"].pulses > 0, "by pulses"


def test_a_trial_is_the_same_again_but_for_its_processor_time(model: StudyModel, chips: list[DigitalTwin]) -> None:
    job = StudyTrial(0.05, None, "corrected", 1)
    one, two = (pulsed_trial([model], job) for _ in range(2))
    assert np.array_equal(one.figures[:-1], two.figures[:-1])
    assert np.array_equal(one.nrmse, two.nrmse)
    assert one.accuracies[1] == one.right.mean() == one.figures[1]
    assert len(one.figures) == len(pulsed_chips.FIGURES)
    other = pulsed_trial([model], replace(job, chip=2))
    assert not np.array_equal(one.nrmse, other.nrmse)
    assert len(chips) == 3


def test_a_model_knows_its_profile(model: StudyModel) -> None:
    written = replace(model, profile=None)
    assert model.digest() != written.digest()
    assert model.digest() != replace(model, profile=with_stuck(BOARD, 0.02)).digest()
    with pytest.raises(ConfigError, match="needs the profile"):
        deploy_by_pulses(written, StudyTrial(None, None, "ours", 0))
