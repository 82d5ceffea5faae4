"""Write-verify programming: a voltage ladder inside a gate ladder, with a hysteretic window.

The procedure of the superT A0 lab: all listed cells are pulsed in parallel, one SET batch and one RESET batch a
step, between array reads. What counts afterwards is an independent, averaged re-read, not the loop's belief.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport, PulseKind
from protocols.programmers.ladder import Ladder, Ramp
from protocols.programmers.ladder_state import Climb, Rules
from protocols.programmers.sequential_reading import SequentialTest, reader

_log = logging.getLogger(__name__)


class WriteVerify(BaseModel):
    """Hysteretic nested-ladder write-verify, a `Programmer`.

    A cell joins the work list when it lies more than `tolerance_out` from its target and leaves it once it is
    within `tolerance_in`; at the start every cell counts as listed. A listed cell climbs its ladder (voltage
    inside gate) by one rung a step, separately for SET and RESET; leaving a list resets that ladder. At the top it
    is pulsed `max_retries` more times and then given up.

    Attributes:
        tolerance_in, tolerance_out: S.
        set_voltage, set_gate, reset_voltage, reset_gate: start, stop, step in V, stop included.
        set_width, reset_width: s.
        averages: reads averaged at every verify; verify_averages: for the independent re-read.
        sequential: read until the decision is closed, instead of `averages` times.
        centre: let cells go further inside the window where small steps would leave a bias.
        step_back: rungs below the last one from which a cell that returns to a list climbs; None: from the start.
        pulse_budget: pulses that one cell may get; None: as many as the ladders give.
        patience: pulses that bring a cell no closer to its target, after which it is given up instead of at the end
            of its ladder; None: never. It should be more than the rungs that do nothing on a cell that works.
        returns: times that a cell may come back to a list after it was let go; it is noise that moves one that comes
            back more often. None: any number.
        whole_every: steps from one read of all cells to the next; between them only listed cells are read. Every cell
            is read before the loop ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance_in: float = Field(gt=0)
    tolerance_out: float = Field(gt=0)
    set_voltage: Ramp
    set_gate: Ramp
    set_width: float = Field(gt=0)
    reset_voltage: Ramp
    reset_gate: Ramp
    reset_width: float = Field(gt=0)
    averages: int = Field(default=1, ge=1)
    max_steps: int = Field(default=200, ge=1)
    max_retries: int = Field(default=5, ge=0)
    verify_averages: int = Field(default=8, ge=1)
    sequential: SequentialTest | None = None
    centre: bool = False
    step_back: int | None = Field(default=None, ge=0)
    pulse_budget: int | None = Field(default=None, ge=0)
    patience: int | None = Field(default=None, ge=1)
    returns: int | None = Field(default=None, ge=0)
    whole_every: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _sane(self) -> WriteVerify:
        if self.tolerance_out < self.tolerance_in:
            raise ValueError("tolerance_out must not be below tolerance_in")
        for name in ("set_voltage", "set_gate", "reset_voltage", "reset_gate"):
            start, stop, step = getattr(self, name)
            if not (0 < start <= stop and step > 0):
                raise ValueError(f"{name}: start, stop, step in V with 0 < start <= stop and step > 0")
        return self

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` to `target` (rows, cols), S; see `CrossbarArray.program_conductances`."""
        return self.climb(array, target, mask, None)

    def ladder(self, kind: PulseKind) -> Ladder:
        """The ladder of SET or RESET pulses."""
        if kind is PulseKind.SET:
            return Ladder.of(kind, self.set_voltage, self.set_gate, self.set_width)
        return Ladder.of(kind, self.reset_voltage, self.reset_gate, self.reset_width)

    @property
    def rules(self) -> Rules:
        """How cells climb under this recipe."""
        return Rules(
            self.tolerance_in,
            self.tolerance_out,
            self.max_retries,
            self.pulse_budget,
            self.step_back,
            self.centre,
            self.patience,
            self.returns,
        )

    def climb(
        self, array: CrossbarArray, target: FloatArray, mask: BoolArray, begin: FloatArray | None
    ) -> ProgrammingReport:
        """As a call, with the SET ladder of each cell starting at the gate voltage `begin` (V, (rows, cols))."""
        started = array.time
        climb = Climb(self.rules, (self.ladder(PulseKind.SET), self.ladder(PulseKind.RESET)), mask, begin)
        look = reader(self.averages, self.sequential, mask.shape)
        reads = 0
        lowest = np.full(mask.shape, np.inf)
        highest = np.full(mask.shape, -np.inf)
        for step in range(self.max_steps):
            if not climb.open.any():
                break
            whole = step % self.whole_every == 0 or not (climb.listed & ~climb.spent).any()
            looked = climb.open if whole else climb.listed & ~climb.spent
            seen = look.read(array, looked, target, climb.limit())
            reads += seen.reads
            np.fmin(lowest, seen.conductance, out=lowest)
            np.fmax(highest, seen.conductance, out=highest)
            error = seen.conductance - target
            error[np.isnan(error)] = 0.0
            climb.verify(error, seen.doubt, looked)
            listed = np.count_nonzero(climb.to_set), np.count_nonzero(climb.to_reset)
            _log.debug("step %d: %d cells to SET, %d to RESET", step, *listed)
            if not (climb.listed & ~climb.spent).any():
                if whole:
                    break
                continue
            for pulses in climb.next_pulses():
                array.apply_pulses(pulses)
        achieved = array.read_conductances(mask, self.verify_averages)
        return ProgrammingReport(
            target=target,
            achieved=achieved,
            pulses=climb.pulses,
            outcome=self._outcome(climb, mask, highest - lowest),
            tolerance=self.tolerance_out,
            seconds=array.time - started,
            reads=reads + self.verify_averages,
        )

    def _outcome(self, climb: Climb, mask: BoolArray, moved: FloatArray) -> NDArray[np.uint8]:
        outcome = np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED)
        outcome[climb.listed] = CellOutcome.BUDGET
        outcome[climb.given_up] = CellOutcome.GAVE_UP
        immobile = climb.given_up & (moved <= 2 * self.tolerance_out)
        outcome[immobile & climb.to_set] = CellOutcome.STUCK_LOW
        outcome[immobile & climb.to_reset] = CellOutcome.STUCK_HIGH
        return outcome.astype(np.uint8)
