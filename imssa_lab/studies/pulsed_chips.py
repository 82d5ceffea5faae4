"""Chips of a profile as it is, programmed by pulses with the recipe that they bring: for studies of what deploying
really costs. Dead lines, weak cells and lasting noise stay in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import BoolArray, FloatArray
from imssa_lab.mapping import arrays_needed
from imssa_lab.studies.study_model import CALIBRATED, StudyModel
from imssa_lab.studies.trials import StudyTrial
from protocols.cost.predicted_cost import InferenceCost, predicted_cost
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from twin import DigitalTwin, TwinProfile

SHAPE = (64, 64)
LEVELS = ("cells", "mvm", "kernel", "task")
"""Of verification, in the order of a deployment."""
FIGURES = (
    "accuracy in software",
    "accuracy on the chip",
    "pulses",
    "device time of the deployment, s",
    "products a time step",
    *(f"1 where the {level} level passed" for level in LEVELS),
    "processor time, s",
)
"""Of a trial, in this order; all but the last are the same on every machine."""
_ARRAYS_A_CHIP = 1000


@dataclass(frozen=True)
class PulsedResult(FrozenArrays):
    """What came of one chip.

    Attributes:
        figures: numbers, (figures,), in the order of `FIGURES`.
        right: (tests,), which test sequences the chip classified rightly; nrmse: (kernels,), on real input.
    """

    figures: FloatArray
    right: BoolArray
    nrmse: FloatArray

    @property
    def accuracies(self) -> tuple[float, float]:
        """In software and on the chip, fractions."""
        return float(self.figures[0]), float(self.figures[1])


def with_stuck(profile: TwinProfile, fraction: float | None) -> TwinProfile:
    """The profile with a fraction of stuck cells, half of them at either end; None leaves what it has."""
    if fraction is None:
        return profile
    half = {"on_fraction": fraction / 2, "off_fraction": fraction / 2}
    return profile.model_copy(update={"stuck": profile.stuck.model_copy(update=half)})


def chip_arrays(model: StudyModel, trial: StudyTrial) -> list[DigitalTwin]:
    """The arrays of the chip of a trial, as many as the model needs.

    Raises:
        ConfigError: the model has no profile.
    """
    if model.profile is None:
        raise ConfigError("a study by pulses needs the profile of its chips")
    profile = with_stuck(model.profile, trial.stuck)
    first = _ARRAYS_A_CHIP * trial.chip
    needed = arrays_needed(model.bundle, SHAPE, model.layers)
    return [DigitalTwin(profile, SHAPE, first + index) for index in range(needed)]


def deploy_by_pulses(model: StudyModel, trial: StudyTrial) -> Deployment:
    """Deploy a study's model on the chip of a trial, as `imssa deploy` does.

    Raises:
        ConfigError: the model has no profile.
    """
    arrays = chip_arrays(model, trial)
    choices = DeploymentChoices(mending=trial.arm == "ours", corrections=trial.arm != "naive", layers=model.layers)
    sequences = model.sequences.first(CALIBRATED, model.tests)
    if model.tests == len(model.sequences.test_labels):  # the control without memory was judged on these
        sequences = replace(sequences, reference=model.sequences.reference)
    return deploy(model.bundle, arrays, sequences, choices)


def planned_cost(model: StudyModel) -> InferenceCost:
    """What one test sequence costs on chips of a study as planned without faults; nothing is read or driven.

    Raises:
        ConfigError: the model has no profile.
    """
    if model.profile is None:
        raise ConfigError("a study by pulses needs the profile of its chips")
    return predicted_cost(model.bundle, DigitalTwin(model.profile, SHAPE), model.sequences.test_inputs[:1])


def pulsed_trial(models: Sequence[StudyModel], trial: StudyTrial) -> PulsedResult:
    """One trial of a study of several models."""
    started = time.process_time()
    model = models[trial.seed]
    result = deploy_by_pulses(model, trial)
    figures = (
        result.software_accuracy,
        result.accuracy,
        result.pulses,
        result.seconds,
        result.reads_a_step[1],
        *(level.passed for level in result.levels if level.level in LEVELS),
        time.process_time() - started,
    )
    right = result.predictions == model.sequences.test_labels[: model.tests]
    return PulsedResult(np.array(figures, dtype=np.float64), right, result.kernel_nrmse)
