"""How good the outputs of a net are, as one number that is 1 at best, and its 95 % interval.

Of classes it is the accuracy. Of values it is the share of their variance that is explained, 1 - NRMSE^2, which is 0
for a net that always gives their mean, and below 0 for a worse one.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.s4d.intervals import accuracy_interval, check_varied, ratio_interval

Goal = Literal["classes", "values"]
"""What a net gives for a sequence: a logit for each class, or values in their own unit."""

Wanted = NDArray[Any]
"""What is right for n sequences: class numbers, (n,) of a whole-number type, or values, (n, outputs) float."""


class Score(NamedTuple):
    """A score, the ends of its 95 % interval, and how many independent units the interval rests on."""

    value: float
    low: float
    high: float
    units: int


def goal_of(wanted: Wanted) -> Goal:
    """Which of the two `wanted` holds."""
    return "classes" if wanted.dtype.kind in "iu" else "values"


def answers(goal: Goal, outputs: FloatArray) -> Wanted:
    """What a net says by its outputs (n, outputs): class numbers (n,), or the values themselves."""
    return outputs.argmax(axis=1) if goal == "classes" else outputs


def score(said: Wanted, wanted: Wanted) -> float:
    """The score of what a net said.

    Args:
        said, wanted: class numbers (n,), or values (n, outputs).

    Raises:
        ConfigError: a value that is the same in all sequences.
    """
    if goal_of(wanted) == "classes":
        return float(np.mean(said == wanted))
    check_varied(wanted)
    return 1.0 - float((((said - wanted) ** 2).mean(axis=0) / wanted.var(axis=0)).mean())


def scored(said: Wanted, wanted: Wanted, units: ArrayLike | None = None) -> Score:
    """The score of what a net said, with its interval.

    Args:
        said, wanted: class numbers (n,), or values (n, outputs).
        units: (n, k) or (n,), numbers of the independent recordings that each sequence is made of; None: each
            sequence is a recording of its own.

    Raises:
        ConfigError: nothing was counted, not as many units as sequences, or values that are all the same.
    """
    if goal_of(wanted) == "classes":
        right = said == wanted
        return Score(float(np.mean(right)), *accuracy_interval(right, units))
    unexplained, (low, high, independent) = ratio_interval((said - wanted) ** 2, wanted, units)
    return Score(1.0 - unexplained, 1.0 - high, 1.0 - low, independent)


def first_or_spread(goal: Goal, count: int, most: int) -> NDArray[np.int64]:
    """Numbers (n,) of at most `most` of `count` sequences: the first, or of values, whose windows overlap, spread."""
    if goal == "classes" or count <= most:
        return np.arange(min(most, count))
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def nrmse_of(value: float) -> float:
    """The NRMSE behind a score of values: the root of the mean, over outputs, of mean squared error over variance."""
    return float(np.sqrt(max(0.0, 1.0 - value)))
