"""Chips with a stated programming error and stated faults, for studies: twins that are written, not pulsed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport
from imssa_lab.mapping import arrays_needed
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.studies.study_model import CALIBRATED, StudyModel
from imssa_lab.studies.trials import StudyTrial
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from twin import DigitalTwin, TwinProfile

TOLERANCE = 10e-6


def healthy_profile(name: str = "supert-a0-easy") -> TwinProfile:
    """The preset without faults, of which the benchmark puts in its own, and with white read noise alone.

    So the chip has what the bars were found with: converters of 8 and 10 bits, reads that scatter by 1 %. Telegraph
    noise is not an error of programming, and no deployment can take it away.
    """
    profile = TwinProfile.load(name)
    changes: dict[str, object] = {"stuck": profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})}
    for section in ("lines", "weak"):
        if getattr(profile, section, None) is not None:
            changes[section] = None
    noise = {"flicker": None, "telegraph": None}
    changes["read_noise"] = profile.read_noise.model_copy(update=noise)
    return profile.model_copy(update=changes)


def chips(count: int, chip: int, stuck: float, profile: TwinProfile) -> list[DigitalTwin]:
    """`count` arrays of chip number `chip`, a fraction `stuck` of the cells stuck, half of them at either end."""
    arrays = []
    for index in range(count):
        array = DigitalTwin(profile, seed=1000 * chip + index)
        lot = np.random.default_rng([chip, index, 7]).random(array.info.shape)
        array.cells.stick(lot < stuck / 2, 150e-6)
        array.cells.stick((lot >= stuck / 2) & (lot < stuck), 0.8e-6)
        arrays.append(array)
    return arrays


@dataclass
class Gaussian:
    """A programmer that leaves Gaussian errors of `sigma` (S) and cannot move stuck cells."""

    sigma: float
    rng: np.random.Generator

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Write every cell of `mask` once."""
        twin = array
        if not isinstance(twin, DigitalTwin):
            raise TypeError("this programmer writes into a twin")
        moves = mask & ~twin.cells.stuck
        written = target + self.sigma * self.rng.standard_normal(target.shape)
        top = 1.2 * array.info.window.high
        twin.cells.conductance = np.where(moves, np.clip(written, 0.0, top), twin.cells.conductance)
        achieved = array.read_conductances(mask, 8)
        error = np.nan_to_num(achieved - target)
        ends = np.full(mask.shape, CellOutcome.NOT_SELECTED, dtype=np.uint8)
        ends[mask] = CellOutcome.REACHED
        held = mask & twin.cells.stuck & (np.abs(error) > TOLERANCE)
        ends[held & (error < 0)] = CellOutcome.STUCK_LOW
        ends[held & (error > 0)] = CellOutcome.STUCK_HIGH
        return ProgrammingReport(target, achieved, mask.astype(np.int32), ends, TOLERANCE, 0.0, 9)


# A sigma of 3 uS or 5 uS leaves cells outside any narrow tolerance: judged are products, kernels and task.
WIDE = Bounds(tolerance=0.17, cells=0.0, mvm=10.0, kernel=10.0, task_loss=1.0)


def deploy_statistical(
    bundle: KernelBundle,
    sequences: Sequences,
    *,
    chip: int,
    stuck: float,
    sigma: float,
    mending: bool,
    tests: int,
    seed: int = 0,
    averages: int = 1,
    corrections: bool = True,
    arrays: list[DigitalTwin] | None = None,
) -> Deployment:
    """Deploy a bundle on chip number `chip` with a fraction `stuck` of stuck cells and an error of `sigma`, S.

    Args:
        mending: our loop; False: naive programming, without compensation or remedies.
        tests: test sequences; seed: of the programming errors, with the chip; averages: reads of every step.
        corrections: calibrate columns and correct outputs.
        arrays: those to use, made by `chips`, where they are wanted afterwards.
    """
    return deploy(
        bundle,
        arrays or chips(arrays_needed(bundle, (64, 64)), chip, stuck, healthy_profile()),
        sequences.first(CALIBRATED, tests),
        DeploymentChoices(
            bounds=WIDE,
            programmer=Gaussian(sigma, np.random.default_rng([chip, seed])),
            mending=mending,
            corrections=corrections,
            averages=averages,
        ),
    )


def stated(trial: StudyTrial) -> tuple[float, float]:
    """The fraction of stuck cells and the programming error (S) of a trial.

    Raises:
        ConfigError: it names none: its cells are to be programmed by pulses.
    """
    if trial.stuck is None or trial.sigma is None:
        raise ConfigError("conductances are written with a stated fraction of stuck cells and a stated error")
    return trial.stuck, trial.sigma


def study_trial(model: StudyModel, trial: StudyTrial) -> tuple[float, float]:
    """Accuracy in software and on the chip of one trial; ConfigError as `stated`."""
    stuck, sigma = stated(trial)
    result = deploy_statistical(
        model.bundle,
        model.sequences,
        chip=trial.chip,
        stuck=stuck,
        sigma=sigma,
        mending=trial.arm == "ours",
        corrections=trial.arm != "naive",
        tests=model.tests,
    )
    return result.software_accuracy, result.accuracy
