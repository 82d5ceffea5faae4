"""Choosing classes, and setting a part of a training set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError, DataError

Name = TypeVar("Name", int, str)


def chosen_classes(task: str, asked: Sequence[Name], present: Sequence[Name]) -> tuple[Name, ...]:
    """The classes asked for, in that order.

    Raises:
        ConfigError: fewer than two, one twice, or one that is not there; the message lists what is.
    """
    if isinstance(asked, str) or len(asked) < 2 or len(set(asked)) != len(asked):
        raise ConfigError(f"{task}: classes {asked!r}; needed are two or more different ones")
    if missing := [name for name in asked if name not in present]:
        raise ConfigError(
            f"{task}: no class {', '.join(map(repr, missing))}; there are {', '.join(map(str, present))}"
        )
    return tuple(asked)


def set_aside(
    task: str, classes: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions for training and for validation, ascending, the same fraction `share` of each class.

    Raises:
        ConfigError: the share does not lie between 0 and 1.
        DataError: a class has too few sequences for both.
    """
    if not 0 < share < 1:
        raise ConfigError(f"{task}: a validation share of {share:g}; it must lie between 0 and 1")
    aside = np.zeros(len(classes), dtype=np.bool_)
    for number in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == number))
        count = max(1, round(share * len(members)))
        if count == len(members):
            raise DataError(
                f"{task}: class {number} has {len(members)} training sequences, too few to set {share:g} of them "
                "aside; ask for another share, or fetch all of the data"
            )
        aside[members[:count]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)
