"""How long a protocol will take: it is run on an array that only counts, and the counts are priced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from imssa_lab.hal import (
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from protocols.programmers import GateStart, WriteVerify

# The prices are taken from the backend half of the contract.
# ruff: noqa: SLF001

_PULSES = 25
"""Pulses that a cell takes on average, rather more than less."""


@dataclass
class Counts:
    """What a protocol asks for; `waited` and `widths` (all pulse widths together) in s."""

    cell_reads: int = 0
    products: int = 0
    pulses: int = 0
    widths: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class Prices:
    """Device time in s of a read of one cell, of one product, and of a pulse beside its width."""

    cell_read: float
    product: float
    pulse: float

    @classmethod
    def of(cls, array: CrossbarArray) -> Prices:
        """Taken from a few reads of the array; a pulse, which is not tried, is priced as a read of a cell."""
        line = np.zeros(array.info.shape, dtype=np.bool_)
        line[0] = True
        started = array.time
        array.read_conductances(line)
        between = array.time
        array.read_mvm(np.zeros((4, array.info.rows)))
        cell = (between - started) / array.info.cols
        return cls(cell, (array.time - between) / 4, cell)

    def seconds(self, counts: Counts) -> float:
        """Device time of what was counted."""
        return (
            counts.cell_reads * self.cell_read
            + counts.products * self.product
            + counts.pulses * self.pulse
            + counts.widths
            + counts.waited
        )


class DryCount(CrossbarArray):
    """An array of the shape of `array` that reads zero, feels nothing and counts everything.

    Attributes:
        counts: so far.
    """

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(array.info.model_copy(update={"adc": None}))
        self.counts = Counts()
        self._own = array._default_programmer()

    def program_conductances(
        self, target: ArrayLike, mask: BoolArray | None = None, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """Count write-verify at its longest: a noisy cell or two keep a loop busy to its last step."""
        chosen, wanted = self._mask(mask), np.asarray(target, dtype=np.float64)
        cells = int(chosen.sum())
        tries, recipe = 0, self._own if programmer is None else programmer
        if isinstance(recipe, GateStart):
            tries, recipe = recipe.tries, recipe.recipe
        if isinstance(recipe, WriteVerify):
            self.counts.cell_reads += cells * (recipe.averages * (recipe.max_steps + tries) + recipe.verify_averages)
            self.counts.widths += cells * _PULSES * (recipe.set_width + recipe.reset_width) / 2
        self.counts.pulses += cells * _PULSES
        return ProgrammingReport(
            target=np.where(chosen, wanted, np.nan),
            achieved=np.where(chosen, 0.0, np.nan),
            pulses=np.zeros(chosen.shape, dtype=np.int32),
            outcome=np.where(chosen, CellOutcome.BUDGET, CellOutcome.NOT_SELECTED).astype(np.uint8),
            tolerance=1.0,
            seconds=0.0,
            reads=0,
        )

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.counts.products += len(voltages)
        return Readout(np.zeros((len(voltages), self.info.cols)))

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self.counts.cell_reads += averages * int(mask.sum())
        return Readout(np.zeros((averages, *mask.shape)))

    def _apply_pulses(self, pulses: Pulses) -> None:
        count = int(pulses.mask.sum())
        self.counts.pulses += count
        self.counts.widths += count * pulses.width

    def _default_programmer(self) -> Programmer:
        return self._own

    def _wait(self, seconds: float) -> None:
        self.counts.waited += seconds

    def _time(self) -> float:
        return self.counts.waited

    def _make_safe(self) -> None:
        """Nothing is driven."""

    def _close(self) -> None:
        """Nothing is held."""
