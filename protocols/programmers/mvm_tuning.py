"""Tuning by products: pulses follow the gradient of the output error; no cell is read alone.

Gradient-descent programming (Buechel et al., IEDM 2022): where the converter or the line is what limits, a product
over all word lines carries far more of each cell than a read of that cell alone.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport, PulseKind
from protocols.programmers.gate_start import GateStart, Tries
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.ladder_state import Climb
from protocols.programmers.product_reading import ProductReader

_log = logging.getLogger(__name__)


class MvmTuning(BaseModel):
    """Write-verify whose verify is a batch of products with random inputs, a `Programmer`.

    Calibrate the columns first: the tuned cells make the outputs right as `read_mvm` gives them, so a gain that is
    not corrected goes into the conductances. Stuck cells are not mended.

    Attributes:
        recipe: ladders and window; steps are rounds.
        vectors: in a round; None: as many as word lines.
        tries: SET pulses of the gate-compliance start; 1 needs no read of single cells but the pilot's.
        step_sd: S, how far a pulse may move a cell.
        sure: standard errors that a cell must be clear of its window for a pulse.
        drift: S, what cells move by themselves in a round.
        back: V, how far below the gate of the start the SET ladder begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: WriteVerify
    vectors: int | None = Field(default=None, ge=1)
    tries: int = Field(default=1, ge=1)
    step_sd: float = Field(default=8e-6, gt=0)
    sure: float = Field(default=0.3, ge=0)
    drift: float = Field(default=0.1e-6, ge=0)
    back: float = Field(default=0.1, ge=0)

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` to `target` (rows, cols), S; see `CrossbarArray.program_conductances`."""
        started, recipe = array.time, self.recipe
        start = Tries(GateStart(recipe=recipe, tries=self.tries, back=self.back), array, target, mask)
        gates, level = start.pilot()
        start.tries(gates, level)
        begin = np.where(mask, start.gate - self.back, gates[0])
        others = array.read_conductances(~mask) if not mask.all() else np.zeros(mask.shape)
        look = ProductReader(
            array,
            np.where(mask, np.nan_to_num(target), np.nan_to_num(others)),
            np.where(mask, 2 * self.step_sd, self.step_sd),
            vectors=self.vectors or array.info.rows,
            drift=self.drift,
            batches=recipe.max_steps,
        )
        ladders = (recipe.ladder(PulseKind.SET), recipe.ladder(PulseKind.RESET))
        climb = Climb(recipe.rules, ladders, mask, begin)
        climb.pulses += start.pulses
        for step in range(recipe.max_steps):
            look.read()
            error = np.where(mask, look.conductance - np.nan_to_num(target), 0.0)
            clear = np.sign(error) * np.maximum(np.abs(error) - self.sure * look.doubt, 0.0)
            climb.verify(clear, 0.0)
            _log.debug("round %d: %d cells to SET, %d to RESET", step, climb.to_set.sum(), climb.to_reset.sum())
            for pulses in climb.next_pulses():
                array.apply_pulses(pulses)
                look.forget(pulses.mask, self.step_sd)
            if not climb.open.any():
                break
        achieved = array.read_conductances(mask, recipe.verify_averages)
        return ProgrammingReport(
            target=target,
            achieved=achieved,
            pulses=climb.pulses,
            outcome=self._outcome(climb, mask),
            tolerance=recipe.tolerance_out,
            seconds=array.time - started,
            reads=start.reads + look.reads + recipe.verify_averages,
        )

    def _outcome(self, climb: Climb, mask: BoolArray) -> NDArray[np.uint8]:
        outcome = np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED)
        outcome[climb.listed] = CellOutcome.BUDGET
        outcome[climb.given_up] = CellOutcome.GAVE_UP
        return outcome.astype(np.uint8)
