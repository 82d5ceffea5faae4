"""How accuracy falls with faults and programming errors: many deployments, one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray

PUBLISHED = (95.06, 81.69)
"""Accuracy in software and on a chip in %, as IMSSA (arXiv 2412.20215) published them; the loss was put down to stuck
devices."""

PUBLISHED_TASK, PUBLISHED_CLASSES = "shd", 2
"""What they are of: two classes of the Spiking Heidelberg Digits. They say nothing about any other task."""

Arm = Literal["naive", "corrected", "ours"]
"""How a chip is deployed: "naive" programs the cells and reads; "corrected" also calibrates columns and corrects
outputs; "ours" is the whole loop, which plans around faults, mends and corrects."""
ARMS: tuple[Arm, ...] = get_args(Arm)
ARM_WORDS: dict[Arm, str] = {
    "naive": "naive",
    "corrected": "naive, columns and outputs corrected",
    "ours": "our loop",
}


@dataclass(frozen=True)
class StudyTrial:
    """One deployment of a study: what it needs to be done again, anywhere, with the same result.

    Attributes:
        stuck: fraction of stuck cells; None for what the profile has.
        sigma: programming error, S, of conductances that are written; None for cells that are programmed by pulses.
        arm: how it is deployed.
        chip: number of the chip, which seeds its cells, its faults and its errors; seed: number of the model.
    """

    stuck: float | None
    sigma: float | None
    arm: Arm
    chip: int
    seed: int = 0


@dataclass(frozen=True)
class StudyPoint:
    """Deployments at one fraction of stuck cells and one programming error, over chips and models.

    Attributes:
        stuck: fraction; sigma: S; arm: as for `StudyTrial`.
        softwares, accuracies: fractions, of the models in software and on each chip.
    """

    stuck: float | None
    sigma: float | None
    arm: Arm
    softwares: tuple[float, ...]
    accuracies: tuple[float, ...]

    @property
    def software(self) -> float:
        """Mean accuracy of the models in software, a fraction."""
        return float(np.mean(self.softwares))

    @property
    def mean(self) -> float:
        """Mean accuracy over the chips, a fraction."""
        return float(np.mean(self.accuracies))


def plan(
    stuck: Sequence[float | None],
    sigmas: Sequence[float | None],
    chips: int,
    arms: Sequence[Arm] = ARMS,
    seeds: int = 1,
) -> list[StudyTrial]:
    """Every combination, chip by chip.

    Raises:
        ConfigError: a fraction that is none, an error below zero or not finite, or one of them twice.
    """
    for name, values, highest in (("fraction of stuck cells", stuck, 1.0), ("programming error", sigmas, math.inf)):
        for value in values:
            if value is not None and not (0.0 <= value <= highest and math.isfinite(value)):
                raise ConfigError(f"{name} {value:g}: it lies between 0 and {highest:g}")
            if list(values).count(value) > 1:
                raise ConfigError(f"{name} {value:g} is given twice; keep one")
    return [
        StudyTrial(fraction, sigma, arm, chip, seed)
        for sigma in sigmas
        for fraction in stuck
        for arm in arms
        for seed in range(seeds)
        for chip in range(chips)
    ]


def points(trials: Sequence[StudyTrial], results: FloatArray) -> list[StudyPoint]:
    """The points of which there are results, in the order of the plan.

    Args:
        results: accuracy in software and on the chip, (trials, 2 or more), NaN where there is none yet.
    """
    groups: dict[tuple[float | None, float | None, Arm], list[tuple[float, float]]] = {}
    for trial, (software, accuracy) in zip(trials, results[:, :2], strict=True):
        if np.isfinite(accuracy):
            key = (trial.stuck, trial.sigma, trial.arm)
            groups.setdefault(key, []).append((float(software), float(accuracy)))
    return [
        StudyPoint(*key, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))
        for key, pairs in groups.items()
    ]
