"""How accuracy falls with faults and programming errors: many deployments, one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.hal import FloatArray

PUBLISHED = (95.06, 81.69)
"""Accuracy in software and on a chip in %, as IMSSA (arXiv 2412.20215) published them; the loss was put down to stuck
devices."""

PUBLISHED_TASK, PUBLISHED_CLASSES = "shd", 2
"""What they are of: two classes of the Spiking Heidelberg Digits. They say nothing about any other task."""


@dataclass(frozen=True)
class StudyTrial:
    """One deployment of a study: what it needs to be done again, anywhere, with the same result.

    Attributes:
        stuck: fraction of stuck cells; sigma: programming error, S; mending: our loop, or naive programming.
        chip: number of the chip, which seeds its cells, its faults and its errors.
    """

    stuck: float
    sigma: float
    mending: bool
    chip: int


@dataclass(frozen=True)
class StudyPoint:
    """Deployments at one fraction of stuck cells and one programming error, over chips.

    Attributes:
        stuck: fraction; sigma: S; mending: our loop, or naive programming.
        software, accuracies: fractions, of the model in software and on each chip.
    """

    stuck: float
    sigma: float
    mending: bool
    software: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy over the chips, a fraction."""
        return float(np.mean(self.accuracies))


def plan(stuck: Sequence[float], sigmas: Sequence[float], chips: int) -> list[StudyTrial]:
    """Every combination, with naive programming and with our loop, chip by chip."""
    return [
        StudyTrial(fraction, sigma, mending, chip)
        for sigma in sigmas
        for fraction in stuck
        for mending in (False, True)
        for chip in range(chips)
    ]


def points(trials: Sequence[StudyTrial], results: FloatArray) -> list[StudyPoint]:
    """The points of which there are results, in the order of the plan.

    Args:
        results: accuracy in software and on the chip, (trials, 2), NaN where there is none yet.
    """
    groups: dict[tuple[float, float, bool], list[tuple[float, float]]] = {}
    for trial, (software, accuracy) in zip(trials, results, strict=True):
        if np.isfinite(accuracy):
            key = (trial.stuck, trial.sigma, trial.mending)
            groups.setdefault(key, []).append((float(software), float(accuracy)))
    return [StudyPoint(*key, pairs[0][0], tuple(pair[1] for pair in pairs)) for key, pairs in groups.items()]
