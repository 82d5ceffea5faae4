"""Which cells count as in tolerance: one rule for deployments, reports, logs and live pages.

A programmed cell is one that has a target; it is in tolerance when an independent re-read finds it within the
tolerance of that target. Cells that only had to stay at the bottom of the window pass on a chip that was never
programmed, so each class of cells is judged separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray, FloatArray, Window
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays

TOLERANCE = 0.07
"""Half width of the window around a target, as a fraction of the conductance window: 10.4 uS of 2 to 150 uS."""
_LEVELS = 3
_COUNTS = ("cells", "inside", "made_up", "null")


class CellClass(StrEnum):
    """Classes of programmed cells, by what was required of them."""

    MOVED = "had to move"
    ZERO = "zero weights"
    BETWEEN = "between kernels"


@dataclass(frozen=True)
class CellMap(FrozenArrays):
    """The programmed cells of one array, maps (rows, cols).

    Attributes:
        target, achieved: S, target NaN where nothing is programmed; achieved by re-read.
        kernels: cells that belong to a kernel; None: all of them.
        made_up: see `made_up_for`; None: none.
    """

    target: FloatArray
    achieved: FloatArray
    kernels: BoolArray | None = None
    made_up: BoolArray | None = None


@dataclass(frozen=True)
class ClassShare:
    """The programmed cells of one class.

    Attributes:
        name: of the class, or of a part of one, in words.
        cells: how many there are; inside: of them in tolerance.
        made_up: stuck cells out of tolerance whose partner takes over the difference, so that the weight is right.
        null: cells that would be in tolerance if all stood at the bottom of the window, as on a chip that was never
            programmed.
    """

    name: str
    cells: int
    inside: int
    made_up: int
    null: int

    @property
    def share(self) -> float:
        """Fraction of the cells in tolerance or made up for; 1.0 if there are no cells."""
        return (self.inside + self.made_up) / self.cells if self.cells else 1.0

    @property
    def null_share(self) -> float:
        """The same fraction on a chip that was never programmed."""
        return self.null / self.cells if self.cells else 1.0

    def facts(self) -> dict[str, Any]:
        """For JSON: the counts and both shares."""
        counts = {"cells": self.cells, "in_tolerance": self.inside, "made_up_for_by_partner": self.made_up}
        return {"class": self.name, **counts, "share": self.share, "share_never_programmed": self.null_share}

    def __str__(self) -> str:
        words = f"{100 * self.share:.2f} % in tolerance ({self.inside} of {self.cells}"
        if self.made_up:
            words += f", {self.made_up} more made up for by their partner"
        return f"{words}); never programmed: {100 * self.null_share:.0f} %"


@dataclass(frozen=True)
class CellShares:
    """All programmed cells by class.

    Attributes:
        tolerance: S; classes: those that have cells, `CellClass.MOVED` always; levels: its cells by target.
        whole: all classes together.
    """

    tolerance: float
    classes: tuple[ClassShare, ...]
    levels: tuple[ClassShare, ...] = field(default=())

    @property
    def whole(self) -> ClassShare:
        """All classes together, as one."""
        counts = [[getattr(each, name) for each in self.classes] for name in _COUNTS]
        return ClassShare("all programmed cells", *map(sum, counts))

    @classmethod
    def merged(cls, several: Sequence[CellShares]) -> CellShares:
        """The shares of several arrays together; the tolerance is the widest of them."""

        def sums(parts: Sequence[ClassShare]) -> tuple[ClassShare, ...]:
            totals: dict[str, list[int]] = {}
            for part in parts:
                counts = totals.setdefault(part.name, [0, 0, 0, 0])
                for place, name in enumerate(_COUNTS):
                    counts[place] += getattr(part, name)
            return tuple(ClassShare(name, *counts) for name, counts in totals.items())

        classes = sums([part for each in several for part in each.classes])
        levels = sums([part for each in several for part in each.levels])
        order = [str(name) for name in CellClass]
        ordered = tuple(sorted(classes, key=lambda part: order.index(part.name)))
        return cls(max(each.tolerance for each in several), ordered, levels)

    def all_parts(self) -> list[ClassShare]:
        """As they are shown: the class that had to move with its levels, the other classes, the whole."""
        parts = [
            part for each in self.classes for part in (each, *(self.levels if each.name == CellClass.MOVED else ()))
        ]
        return [*parts, self.whole]

    @property
    def worst(self) -> float:
        """The share of the class with the lowest one; 0.0 where no cell had to move, since nothing is shown then."""
        moved = next(each for each in self.classes if each.name == CellClass.MOVED)
        return min(each.share for each in self.classes) if moved.cells else 0.0


def had_to_move(target: FloatArray, window: Window, tolerance: float) -> BoolArray:
    """Cells that must be programmed: their targets are more than `tolerance` (S) above the bottom of the window."""
    return np.asarray(np.nan_to_num(target, nan=window.low) > window.low + tolerance)


def level_ranges(window: Window, tolerance: float) -> list[tuple[float, float]]:
    """From which target to which, S, the levels reach that cells which had to move are sorted into; tolerance: S."""
    return list(pairwise(np.linspace(window.low + tolerance, window.high, _LEVELS + 1).tolist()))


def target_levels(target: FloatArray, window: Window, tolerance: float) -> NDArray[np.int64]:
    """Which of `level_ranges` each target (S, any shape) is in; -1 for a cell that did not have to move."""
    edges = [low for low, _ in level_ranges(window, tolerance)]
    place = np.clip(np.searchsorted(edges, np.nan_to_num(target)) - 1, 0, _LEVELS - 1)
    return np.asarray(np.where(had_to_move(target, window, tolerance), place, -1), np.int64)


def in_tolerance(target: FloatArray, achieved: FloatArray, tolerance: float) -> BoolArray:
    """Cells that a re-read finds within `tolerance` (S) of their target; False without a target or a reading."""
    return np.asarray(np.abs(achieved - target) <= tolerance)


def made_up_for(wanted: FloatArray, achieved: FloatArray, stuck: BoolArray, tolerance: float) -> BoolArray:
    """Stuck cells out of tolerance whose pair (bit lines 2j and 2j + 1) nevertheless has the right difference.

    Args:
        wanted: S, targets before any partner was moved, (rows, cols) with an even number of cols; achieved: S.
        stuck: cells that are known not to move; tolerance: S.
    """
    partner = np.arange(wanted.shape[1]) ^ 1
    error = achieved - wanted
    right = np.abs(error - error[:, partner]) <= tolerance
    return np.asarray(stuck & right & ~in_tolerance(wanted, achieved, tolerance))


def cell_shares(maps: Sequence[CellMap], window: Window, tolerance: float) -> CellShares:
    """The programmed cells of some arrays by class.

    Args:
        tolerance: S.
    """
    counted: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in CellClass}
    names = [
        f"{CellClass.MOVED}, to {1e6 * low:.0f}-{1e6 * high:.0f} uS" for low, high in level_ranges(window, tolerance)
    ]
    levels: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in names}
    for cells in maps:
        programmed = np.isfinite(cells.target)
        moved = programmed & had_to_move(cells.target, window, tolerance)
        kernels = programmed if cells.kernels is None else programmed & cells.kernels
        inside = in_tolerance(cells.target, cells.achieved, tolerance)
        made_up = np.zeros_like(inside) if cells.made_up is None else cells.made_up & ~inside
        marks = (programmed, inside, made_up, ~moved)
        parts = {CellClass.MOVED: moved, CellClass.ZERO: kernels & ~moved, CellClass.BETWEEN: programmed & ~kernels}
        parts[CellClass.BETWEEN] &= ~moved
        level = target_levels(cells.target, window, tolerance)
        for into, chosen in [
            *((counted[name], part) for name, part in parts.items()),
            *((levels[name], level == place) for place, name in enumerate(names)),
        ]:
            for place, mark in enumerate(marks):
                into[place] += int(np.count_nonzero(chosen & mark))
    classes = [ClassShare(str(name), *counts) for name, counts in counted.items()]
    kept = tuple(each for each in classes if each.cells or each.name == CellClass.MOVED)
    return CellShares(
        tolerance, kept, tuple(ClassShare(name, *counts) for name, counts in levels.items() if counts[0])
    )
