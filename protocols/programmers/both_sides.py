"""Approach from both sides: half of the cells start above their target, so that a one-sided bias cancels."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, ProgrammingReport, PulseKind, Pulses
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.staged_report import followed


class BothSides(BaseModel):
    """Every second cell is lifted above its target first, then `recipe` runs, a `Programmer`.

    The mean error over an array loses the bias of small steps; the errors then lie in two groups. `recipe.centre`
    removes the bias of every cell and is the better choice where the steps of the ladders are alike.

    Attributes:
        recipe: write-verify; its strongest SET lifts, at ever higher gates, until a cell lies above its window.
        lifts: pulses for lifting, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: WriteVerify
    lifts: int = Field(default=40, ge=1)

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` to `target` (rows, cols), S; see `CrossbarArray.program_conductances`."""
        started = array.time
        ladder = self.recipe.ladder(PulseKind.SET)
        rows, cols = np.indices(mask.shape)
        low = mask & ((rows + cols) % 2 == 0)
        pulses, reads = np.zeros(mask.shape, dtype=np.int32), 0
        budget = self.recipe.pulse_budget
        for gate in np.unique(ladder.gate)[: self.lifts if budget is None else min(self.lifts, budget)]:
            seen = array.read_conductances(low, self.recipe.averages)
            reads += self.recipe.averages
            low = low & (np.nan_to_num(seen - target) <= self.recipe.tolerance_out)
            if not low.any():
                break
            array.apply_pulses(Pulses.on(low, PulseKind.SET, ladder.voltage.max(), gate, ladder.width))
            pulses[low] += 1
        rest = self.recipe
        if budget is not None:
            rest = rest.model_copy(update={"pulse_budget": max(budget - int(pulses.max(initial=0)), 0)})
        report = rest(array, target, mask)
        return followed(array, report, target, mask, pulses=pulses, reads=reads, started=started)
