"""How accuracy falls with faults and programming errors: many deployments, one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

PUBLISHED = (95.06, 81.69)
"""Accuracy in software and on a chip in %, as IMSSA published them; the loss was put down to stuck devices."""


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


Deploy = Callable[[float, float, bool, int], tuple[float, float]]
"""`deploy(stuck, sigma, mending, chip)`: accuracy in software and on that chip."""


def study(deploy: Deploy, stuck: Sequence[float], sigmas: Sequence[float], chips: int) -> Iterator[StudyPoint]:
    """Every combination, with naive programming and with our loop, as they come."""
    for sigma in sigmas:
        for fraction in stuck:
            for mending in (False, True):
                pairs = [deploy(fraction, sigma, mending, chip) for chip in range(chips)]
                yield StudyPoint(fraction, sigma, mending, pairs[0][0], tuple(pair[1] for pair in pairs))
