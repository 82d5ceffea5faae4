"""Reading cells only as often as a decision needs: a sequential test instead of a fixed number of averages.

A loop that stops at the first read inside its window selects lucky noise. Here a cell is read again while its mean
lies too close to a window's edge for its own noise; most cells are far from the edge and are read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray


class SequentialTest(BaseModel):
    """When a cell has been read often enough to say whether it is inside its window.

    Attributes:
        accept: standard errors of the mean that a cell must be clear of the edge to count as inside.
        reject: the same to count as outside; smaller, since a needless pulse costs less than a false success.
        most: reads after which a cell is judged by its mean, inside a window that is narrower by `guard` standard
            errors.
        read_sd: S, sd of one read; None: from the first reads of the array itself, which then are two a cell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: float = Field(default=1.5, gt=0)
    reject: float = Field(default=0.5, ge=0)
    guard: float = Field(default=1.0, ge=0)
    most: int = Field(default=8, ge=2)
    read_sd: float | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class Estimate(FrozenArrays):
    """What reading gave.

    Attributes:
        conductance: S, (rows, cols), NaN where not read.
        doubt: S, how much narrower a window to accept in, one for all or (rows, cols).
        reads: reads of the array, whole or in part.
    """

    conductance: FloatArray
    doubt: FloatArray | float
    reads: int


class PlainReader:
    """A fixed number of averages, without doubt."""

    def __init__(self, averages: int) -> None:
        self._averages = averages

    def read(self, array: CrossbarArray, mask: BoolArray, target: FloatArray, limit: FloatArray) -> Estimate:
        """Conductance in S of the cells of `mask`, (rows, cols); target and limit play no part."""
        return Estimate(array.read_conductances(mask, self._averages), 0.0, self._averages)


_PRIOR = 4.0
"""Degrees of freedom that the noise of all cells counts for in the noise of one."""


class SequentialReader:
    """Reads until the decision about every cell is closed. It learns the noise of each cell on the way.

    White noise is what averages away; telegraph and 1/f noise slower than the reads stay in the mean.
    """

    def __init__(self, test: SequentialTest, shape: tuple[int, int]) -> None:
        self._test = test
        self._squares, self._freedom = np.zeros(shape), np.zeros(shape)

    def read(self, array: CrossbarArray, mask: BoolArray, target: FloatArray, limit: FloatArray) -> Estimate:
        """Estimate of the cells of `mask` against windows target +- limit (S), all (rows, cols)."""
        test = self._test
        mean, squares, count = np.full(mask.shape, np.nan), np.zeros(mask.shape), 0
        reads = np.zeros(mask.shape)
        due = mask.copy()
        learning = test.read_sd is None and not self._freedom.any()
        while due.any() and count < test.most:
            value = array.read_conductances(due, 1)
            count += 1
            before = np.where(count == 1, value, mean)
            mean = np.where(due, before + (value - before) / count, mean)
            squares = np.where(due, squares + np.nan_to_num((value - before) * (value - mean)), squares)
            reads[due] = count
            if count == 1 and learning:
                continue
            error = self._sd(squares, reads) / np.sqrt(np.maximum(reads, 1))
            away = np.abs(mean - target) - limit
            due &= ~np.where(away > 0, away > test.reject * error, -away > test.accept * error)
        doubt = test.guard * self._sd(squares, reads) / np.sqrt(np.maximum(reads, 1))
        self._squares += squares
        self._freedom += np.maximum(reads - 1, 0)
        closed = mask & ~due
        return Estimate(np.where(mask, mean, np.nan), np.where(closed, 0.0, doubt), count)

    def _sd(self, squares: FloatArray, reads: FloatArray) -> FloatArray:
        """sd of a read of each cell, S: its own, shrunk to that of all cells."""
        squares, freedom = self._squares + squares, self._freedom + np.maximum(reads - 1, 0)
        known = self._test.read_sd
        pooled = known**2 if known is not None else squares.sum() / max(freedom.sum(), 1.0)
        return np.sqrt((_PRIOR * pooled + squares) / (_PRIOR + freedom))


def reader(averages: int, test: SequentialTest | None, shape: tuple[int, int]) -> PlainReader | SequentialReader:
    """The reader that a recipe asks for."""
    return PlainReader(averages) if test is None else SequentialReader(test, shape)
