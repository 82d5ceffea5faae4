"""Incremental pulses in rounds of alternating polarity, accepted after a re-read, in epochs with waits between.

After NeuRRAM (Wan et al., Nature 608, 504 (2022)): RESET pulses grow until the cell is below the top of its window,
SET pulses until it is above the bottom, and so on; a cell inside is read once more before it counts. Then the array
relaxes, and what left its window is programmed again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport, PulseKind
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.sequential_reading import reader

_log = logging.getLogger(__name__)


class Incremental(BaseModel):
    """Incremental-step programming with relaxation epochs, a `Programmer`.

    Attributes:
        recipe: ladders, window (`tolerance_in` while programming, `tolerance_out` after a wait), reads, and the steps
            of an epoch.
        rounds: changes of polarity that a cell may make in one epoch before it is given up.
        epochs: how often the array is programmed; between two it waits.
        wait: s, for what relaxes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: WriteVerify
    rounds: int = Field(default=20, ge=1)
    epochs: int = Field(default=3, ge=1)
    wait: float = Field(default=1.0, ge=0)

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` to `target` (rows, cols), S; see `CrossbarArray.program_conductances`."""
        started, recipe = array.time, self.recipe
        look = reader(recipe.averages, recipe.sequential, mask.shape)
        pulses = np.zeros(mask.shape, dtype=np.int32)
        lowest, highest = np.full(mask.shape, np.inf), np.full(mask.shape, -np.inf)
        end = np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED)
        due, reads = mask.copy(), 0
        for epoch in range(self.epochs):
            cells = _Cells.of(due)
            for _ in range(recipe.max_steps):
                if not cells.open.any():
                    break
                seen = look.read(array, cells.open, target, np.full(mask.shape, recipe.tolerance_in))
                reads += seen.reads
                lowest, highest = np.fmin(lowest, seen.conductance), np.fmax(highest, seen.conductance)
                error = np.nan_to_num(seen.conductance - target)
                window = recipe.tolerance_in - np.minimum(seen.doubt, recipe.tolerance_in / 2)
                self._step(array, cells, error, np.abs(error) <= window, pulses)
            end[due] = cells.end[due]
            end[cells.open] = CellOutcome.BUDGET
            hopeless = np.isin(end, (CellOutcome.GAVE_UP, CellOutcome.BUDGET))
            if epoch == self.epochs - 1:
                break
            array.wait(self.wait)
            left = mask & ~hopeless
            if not left.any():
                break
            seen = look.read(array, left, target, np.full(mask.shape, recipe.tolerance_out))
            reads += seen.reads
            due = left & (np.abs(np.nan_to_num(seen.conductance - target)) > recipe.tolerance_out)
            _log.debug("epoch %d: %d cells left their window in %g s", epoch, due.sum(), self.wait)
            if not due.any():
                break
        achieved = array.read_conductances(mask, recipe.verify_averages)
        immobile = (end == CellOutcome.GAVE_UP) & (highest - lowest <= 2 * recipe.tolerance_out)
        off = np.nan_to_num(achieved - target)
        end[immobile & (off < 0)] = CellOutcome.STUCK_LOW
        end[immobile & (off > 0)] = CellOutcome.STUCK_HIGH
        return ProgrammingReport(
            target=target,
            achieved=achieved,
            pulses=pulses,
            outcome=end.astype(np.uint8),
            tolerance=recipe.tolerance_out,
            seconds=array.time - started,
            reads=reads + recipe.verify_averages,
        )

    def _step(
        self, array: CrossbarArray, cells: _Cells, error: FloatArray, inside: BoolArray, pulses: NDArray[np.int32]
    ) -> None:
        """Accept what was inside twice running, give up what the rule says, one pulse up for the rest."""
        recipe = self.recipe
        cells.accept(inside)
        for kind, wanted in ((PulseKind.SET, error < 0), (PulseKind.RESET, error > 0)):
            ladder = recipe.ladder(kind)
            chosen = cells.open & ~inside & wanted
            cells.turn(chosen, kind, self.rounds)
            cells.climb(chosen, ladder.top, recipe.max_retries)
            if recipe.pulse_budget is not None:
                cells.close(chosen & (pulses >= recipe.pulse_budget), CellOutcome.BUDGET)
            chosen &= cells.open
            if chosen.any():
                array.apply_pulses(ladder.pulses(chosen, np.minimum(cells.rung, ladder.top)))
                pulses[chosen] += 1


@dataclass
class _Cells:
    """The state of the cells in one epoch, (rows, cols)."""

    open: BoolArray
    seen_inside: BoolArray
    kind: NDArray[np.int8]
    rung: NDArray[np.intp]
    turns: NDArray[np.int32]
    at_top: NDArray[np.int32]
    end: NDArray[np.int64]

    @classmethod
    def of(cls, due: BoolArray) -> _Cells:
        shape = due.shape
        return cls(
            open=due.copy(),
            seen_inside=np.zeros(shape, dtype=np.bool_),
            kind=np.zeros(shape, dtype=np.int8),
            rung=np.full(shape, -1, dtype=np.intp),
            turns=np.zeros(shape, dtype=np.int32),
            at_top=np.zeros(shape, dtype=np.int32),
            end=np.full(shape, CellOutcome.NOT_SELECTED, dtype=np.int64),
        )

    def close(self, which: BoolArray, end: CellOutcome) -> None:
        self.end[which & self.open] = end
        self.open &= ~which

    def accept(self, inside: BoolArray) -> None:
        """The second read inside counts: the first may be luck."""
        self.close(inside & self.seen_inside, CellOutcome.REACHED)
        self.seen_inside = inside & self.open

    def turn(self, chosen: BoolArray, kind: PulseKind, rounds: int) -> None:
        """Cells that change polarity restart their ladder; too many changes end it."""
        sign = 1 if kind is PulseKind.SET else -1
        turned = chosen & (self.kind != sign)
        self.kind[turned] = sign
        self.rung[turned], self.at_top[turned] = -1, 0
        self.turns[turned] += 1
        self.close(turned & (self.turns > rounds), CellOutcome.GAVE_UP)

    def climb(self, chosen: BoolArray, top: int, retries: int) -> None:
        """One rung up, or one more pulse at the top; too many of those end it."""
        high = chosen & (self.rung == top)
        self.at_top[high] += 1
        self.close(high & (self.at_top > retries), CellOutcome.GAVE_UP)
        self.rung[chosen & ~high] += 1
