"""Programming a whole mapping: cells, then partners of stuck cells, then kernels that stay damaged.

Remedies in order of cost: a stuck cell's healthy partner takes over the difference; a kernel that this cannot
mend moves to a free place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from imssa_lab.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, Programmer, ProgrammingReport
from imssa_lab.mapping import Mapping, PlacedKernel, compensate, from_pairs

_log = logging.getLogger(__name__)
_STUCK = (CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH, CellOutcome.GAVE_UP)
DAMAGE = 0.25
"""A kernel moves when a weight in its bit lines is off by more than this fraction of the largest weight."""
_ROUNDS = 4


class ProgrammedMapping:
    """Arrays with a mapping on them.

    Args:
        arrays: those that may be used; programmer: None for each chip's own recipe.
        tell: called with (arrays done, arrays) during the first round.

    Attributes:
        mapping: the final one, after moves.
        targets: per array, S, (rows, cols), NaN where nothing is programmed: the mapping's, with a partner's moved
            target where it was moved on purpose, so that a stuck cell counts as the failure it is.
        reports: every programming run, in order.
    """

    def __init__(
        self,
        arrays: Sequence[CrossbarArray],
        mapping: Mapping,
        programmer: Programmer | None,
        tell: Callable[[int, int], None],
    ) -> None:
        self.mapping = mapping
        self.reports: list[ProgrammingReport] = []
        self._arrays = arrays
        self._programmer = programmer
        self.targets: list[FloatArray] = [np.full(mapping.shape, np.nan) for _ in arrays]
        self._standing: list[FloatArray] = [np.full(mapping.shape, np.nan) for _ in arrays]
        self._stuck: list[BoolArray] = [np.zeros(mapping.shape, dtype=np.bool_) for _ in arrays]
        for done in range(mapping.arrays):
            tell(done, mapping.arrays)
            self._program(done)
        tell(mapping.arrays, mapping.arrays)
        for _ in range(_ROUNDS):
            if not self._move_damaged():
                break
        self.targets = self.targets[: self.mapping.arrays]

    def _program(self, index: int) -> None:
        """Bring one array to its targets, then move the partners of what turned out stuck."""
        target, mask = self.mapping.target(index)
        for _ in range(2):
            wanted = compensate(target, self._stuck[index], self._standing[index], self.mapping.window)
            due = mask & (wanted != self.targets[index])
            self.targets[index] = wanted
            if not due.any():
                return
            report = self._arrays[index].program_conductances(wanted, due, self._programmer)
            self.reports.append(report)
            self._standing[index] = np.where(due, report.achieved, self._standing[index])
            self._stuck[index] = self._stuck[index] | np.isin(report.outcome, _STUCK)

    def _move_damaged(self) -> bool:
        """Give the most damaged kernels the free places there are; False if nothing moved."""
        damaged = [kernel for kernel in self.mapping.kernels if self.damage(kernel) > DAMAGE]
        damaged.sort(key=self.damage, reverse=True)
        moved = self.mapping.relocate(damaged, len(self._arrays))
        changed = len(moved.abandoned) - len(self.mapping.abandoned)
        if not changed:
            return False
        _log.info("%d of %d damaged kernels move to free places", changed, len(damaged))
        self.mapping = moved
        for index in range(moved.arrays):
            self._program(index)
        return True

    def damage(self, kernel: PlacedKernel) -> float:
        """Largest error among the weights that act on a kernel's bit lines, in units of the largest weight."""
        bank = [other for other in self.mapping.on(kernel.array) if other.bank == kernel.bank]
        rows = np.concatenate([np.arange(self.mapping.shape[0])[other.rows] for other in bank])
        target, _ = self.mapping.target(kernel.array)
        off = from_pairs((self._standing[kernel.array] - target)[rows, kernel.cols], self.mapping.window)
        return float(np.abs(off).max())
