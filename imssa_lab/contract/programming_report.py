"""Report of a programming run: results, and why the loop ended for each cell. SI units: S, s."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.notebook import facts_html

if TYPE_CHECKING:
    import xarray


class CellOutcome(IntEnum):
    """Why programming of a cell ended. REACHED is the loop's belief; the truth is the re-read."""

    NOT_SELECTED = 0
    REACHED = 1
    GAVE_UP = 2
    STUCK_LOW = 3
    STUCK_HIGH = 4
    BUDGET = 5


@dataclass(frozen=True)
class ProgrammingReport(FrozenArrays):
    """Report of a programming run, cell by cell; all arrays are (rows, cols).

    Attributes:
        target: S, NaN where not selected.
        achieved: S, by an independent re-read after the last pulse, NaN where not selected.
        pulses: number of pulses each cell received.
        outcome: `CellOutcome` values.
        tolerance: half width of the window that counts as success, S.
        seconds: device time from first read to the end of the re-read.
        reads: array reads used.
    """

    target: FloatArray
    achieved: FloatArray
    pulses: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    tolerance: float
    seconds: float
    reads: int

    @property
    def selected(self) -> BoolArray:
        """True for the cells that were to be programmed."""
        return np.asarray(self.outcome != CellOutcome.NOT_SELECTED)

    @property
    def error(self) -> FloatArray:
        """achieved - target, S."""
        return self.achieved - self.target

    def within(self, tolerance: float | None = None) -> float:
        """Fraction of selected cells truly inside target +- tolerance (S) by the re-read; 1.0 for none."""
        errors = self.error[self.selected]
        limit = self.tolerance if tolerance is None else tolerance
        return float(np.mean(np.abs(errors) <= limit)) if errors.size else 1.0

    def __str__(self) -> str:
        ends = ", ".join(
            f"{np.count_nonzero(self.outcome == end)} {end.name.lower().replace('_', ' ')}"
            for end in CellOutcome
            if end is not CellOutcome.NOT_SELECTED and np.any(self.outcome == end)
        )
        return (
            f"{np.count_nonzero(self.selected)} cells, {100 * self.within():.1f} % within "
            f"{self.tolerance * 1e6:.1f} uS by re-read, {int(self.pulses.sum())} pulses, "
            f"{self.reads} reads, {self.seconds:.1f} s ({ends or 'nothing selected'})"
        )

    def _repr_html_(self) -> str:
        """For notebooks: what a re-read says first, then what the loop did."""
        error, chosen = self.error[self.selected], int(np.count_nonzero(self.selected))
        facts = [
            ("within, by re-read", f"{100 * self.within():.2f} % of {chosen} cells, ±{self.tolerance * 1e6:g} µS")
        ]
        if error.size:
            facts.append(("error", f"mean {1e6 * error.mean():+.2f} µS, sd {1e6 * error.std():.2f} µS"))
        facts += [
            ("pulses", f"{int(self.pulses.sum())}, at most {int(self.pulses.max())} to a cell"),
            ("reads, device time", f"{self.reads}, {self.seconds:.1f} s"),
        ]
        for end in CellOutcome:
            count = int(np.count_nonzero(self.outcome == end))
            if count and end is not CellOutcome.NOT_SELECTED:
                facts.append((f"the loop says {end.name.lower().replace('_', ' ')}", str(count)))
        return facts_html("programming report", facts)

    def to_xarray(self) -> xarray.Dataset:
        """The report as an xarray Dataset with dimensions row (word line) and col (bit line)."""
        import xarray

        dims = ("row", "col")
        return xarray.Dataset(
            {
                "target": (dims, self.target, {"units": "S"}),
                "achieved": (dims, self.achieved, {"units": "S"}),
                "pulses": (dims, self.pulses, {"units": "1"}),
                "outcome": (dims, self.outcome, {"meaning": ", ".join(f"{e.value} {e.name}" for e in CellOutcome)}),
            },
            attrs={"tolerance_S": self.tolerance, "seconds": self.seconds, "reads": self.reads},
        )
