"""Scaling by the training set alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.tasks.task import Split

Scaling = Callable[[Sequence[Split]], list[Split]]
"""From raw splits, train first, to scaled ones."""


def standardised(splits: Sequence[Split]) -> list[Split]:
    """Splits whose every input has mean 0 and deviation 1 over clips and steps of the first split.

    Raises:
        DataError: an input never changes in the first split.
    """
    train = splits[0][0]
    mean = train.mean(axis=(0, 1), dtype=np.float64)
    deviation = train.std(axis=(0, 1), dtype=np.float64)
    if (constant := np.flatnonzero(deviation == 0)).size:
        raise DataError(f"inputs {constant.tolist()} never change in the training set and cannot be standardised")
    return [(((inputs - mean) / deviation).astype(np.float32), classes) for inputs, classes in splits]


def standardised_as_one(splits: Sequence[Split]) -> list[Split]:
    """Splits with mean 0 and deviation 1 over everything in the first, for inputs of one kind such as pixels.

    Raises:
        DataError: the first split never changes.
    """
    mean = np.float32(splits[0][0].mean(dtype=np.float64))
    return unit_deviation([(inputs - mean, classes) for inputs, classes in splits])


def unit_deviation(splits: Sequence[Split]) -> list[Split]:
    """Splits divided by one number, the deviation of the first; zero stays zero.

    Raises:
        DataError: the first split never changes.
    """
    deviation = float(splits[0][0].std(dtype=np.float64))
    if deviation == 0:
        raise DataError("the training set never changes and cannot be scaled")
    return [((inputs / deviation).astype(np.float32), classes) for inputs, classes in splits]
