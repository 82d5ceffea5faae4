"""Which cells are stuck, by independent re-reads and not only by the report of the programmer.

A programmer that writes by statistics, as a twin's does whose pulses are not known, reports every cell as reached.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.cell_classes import in_tolerance
from imssa_lab.contract.hal import BoolArray, CellOutcome, FloatArray, ProgrammingReport

_TOLD = (CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH, CellOutcome.GAVE_UP)
_STILL = 0.5
"""Share of the tolerance that a cell may be read to have moved by programming and still count as not moved."""


class Misses:
    """The cells of one array that missed their targets so far, maps (rows, cols).

    Attributes:
        out: missed twice by more than the tolerance, and moved between: no cell to be relied on, nor a stuck one.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.out: BoolArray = np.zeros(shape, dtype=np.bool_)
        self._missed: BoolArray = np.zeros(shape, dtype=np.bool_)
        self._at: FloatArray = np.full(shape, np.nan)

    def again(self) -> Misses:
        """For another round of programming: a cell that was out may have got another target."""
        self.out = np.zeros_like(self.out)
        return self

    def stuck(self, report: ProgrammingReport, due: BoolArray, tolerance: float) -> BoolArray:
        """Cells of `due` that a programming run shows to be stuck.

        They are off target, and either the programmer says that they do not move, or they were off before and stand
        where they stood, although they were programmed in between.

        Args:
            tolerance: S.
        """
        off = due & ~in_tolerance(report.target, report.achieved, tolerance)
        told = off & np.isin(report.outcome, _TOLD)
        still = off & self._missed & (np.abs(report.achieved - self._at) <= _STILL * tolerance)
        if report.pulses.any():  # a cell that got none was not tried
            still &= report.pulses > 0
        self.out = (self.out & ~due) | (off & self._missed & ~still & ~told)
        self._missed = np.where(due, off, self._missed)
        self._at = np.where(off, report.achieved, self._at)
        return np.asarray(told | still)
