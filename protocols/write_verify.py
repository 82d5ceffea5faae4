"""Write-verify programming: a voltage ladder inside a gate ladder, with a hysteretic window.

The procedure of the superT A0 lab: all listed cells are pulsed in parallel, one SET batch and one RESET batch a
step, between array reads. What counts afterwards is an independent, averaged re-read, not the loop's belief.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imssa_lab.hal import (
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    ProgrammingReport,
    PulseKind,
    Pulses,
)

_log = logging.getLogger(__name__)
_IDLE = -1


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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance_in: float = Field(gt=0)
    tolerance_out: float = Field(gt=0)
    set_voltage: tuple[float, float, float]
    set_gate: tuple[float, float, float]
    set_width: float = Field(gt=0)
    reset_voltage: tuple[float, float, float]
    reset_gate: tuple[float, float, float]
    reset_width: float = Field(gt=0)
    averages: int = Field(default=1, ge=1)
    max_steps: int = Field(default=200, ge=1)
    max_retries: int = Field(default=5, ge=0)
    verify_averages: int = Field(default=8, ge=1)

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
        started = array.time
        climb = _Climb(self, mask)
        reads = 0
        lowest = np.full(mask.shape, np.inf)
        highest = np.full(mask.shape, -np.inf)
        for step in range(self.max_steps):
            if not climb.open.any():
                break
            measured = array.read_conductances(climb.open, self.averages)
            reads += self.averages
            lowest, highest = np.fmin(lowest, measured), np.fmax(highest, measured)
            climb.verify(np.nan_to_num(measured - target))
            _log.debug("step %d: %d cells to SET, %d to RESET", step, climb.to_set.sum(), climb.to_reset.sum())
            if not climb.listed.any():
                break
            for pulses in climb.next_pulses():
                array.apply_pulses(pulses)
        achieved = array.read_conductances(mask, self.verify_averages)
        return ProgrammingReport(
            target=target,
            achieved=achieved,
            pulses=climb.pulses,
            outcome=self._outcome(climb, mask, highest - lowest, target),
            tolerance=self.tolerance_out,
            seconds=array.time - started,
            reads=reads + self.verify_averages,
        )

    def _outcome(self, climb: _Climb, mask: BoolArray, moved: FloatArray, target: FloatArray) -> NDArray[np.uint8]:
        outcome = np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED)
        outcome[climb.listed] = CellOutcome.BUDGET
        outcome[climb.given_up] = CellOutcome.GAVE_UP
        immobile = climb.given_up & (moved <= 2 * self.tolerance_out)
        outcome[immobile & climb.to_set] = CellOutcome.STUCK_LOW
        outcome[immobile & climb.to_reset] = CellOutcome.STUCK_HIGH
        return outcome.astype(np.uint8)


@dataclass(frozen=True)
class _Ladder:
    """Voltage inside gate, from weakest to strongest; one entry per rung."""

    kind: PulseKind
    voltage: FloatArray
    gate: FloatArray
    width: float

    @classmethod
    def of(
        cls, kind: PulseKind, voltage: tuple[float, float, float], gate: tuple[float, float, float], width: float
    ) -> _Ladder:
        gates, voltages = np.meshgrid(_ramp(*gate), _ramp(*voltage), indexing="ij")
        return cls(kind, voltages.ravel(), gates.ravel(), width)

    @property
    def top(self) -> int:
        return len(self.voltage) - 1


def _ramp(start: float, stop: float, step: float) -> FloatArray:
    return np.asarray(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), dtype=np.float64)


class _Climb:
    """Where every cell stands: which list it is on, its rung on either ladder, its pulses."""

    def __init__(self, recipe: WriteVerify, mask: BoolArray) -> None:
        self._recipe = recipe
        self._mask = mask
        self._ladders = {
            PulseKind.SET: _Ladder.of(PulseKind.SET, recipe.set_voltage, recipe.set_gate, recipe.set_width),
            PulseKind.RESET: _Ladder.of(PulseKind.RESET, recipe.reset_voltage, recipe.reset_gate, recipe.reset_width),
        }
        self._rung = {kind: np.full(mask.shape, _IDLE) for kind in self._ladders}
        self._retries = np.zeros(mask.shape, dtype=np.int32)
        self.to_set = mask.copy()
        self.to_reset = mask.copy()
        self.given_up = np.zeros_like(mask)
        self.pulses = np.zeros(mask.shape, dtype=np.int32)

    @property
    def open(self) -> BoolArray:
        """Cells that are still verified: all but those given up."""
        return self._mask & ~self.given_up

    @property
    def listed(self) -> BoolArray:
        """Cells that get a pulse at this step."""
        return (self.to_set | self.to_reset) & ~self.given_up

    def verify(self, error: FloatArray) -> None:
        """Renew both lists from measured - target (S)."""
        inner, outer = self._recipe.tolerance_in, self._recipe.tolerance_out
        renew = self.open
        self.to_set = np.where(renew, (error < -outer) | (self.to_set & (error < -inner)), self.to_set)
        self.to_reset = np.where(renew, (error > outer) | (self.to_reset & (error > inner)), self.to_reset)
        self._rung[PulseKind.SET][renew & ~self.to_set] = _IDLE
        self._rung[PulseKind.RESET][renew & ~self.to_reset] = _IDLE
        self._retries[renew & ~self.to_set & ~self.to_reset] = 0

    def next_pulses(self) -> list[Pulses]:
        """One rung up for every listed cell; the batches to send, SET first."""
        batches = []
        for kind, wanted in ((PulseKind.SET, self.to_set), (PulseKind.RESET, self.to_reset)):
            ladder, rung = self._ladders[kind], self._rung[kind]
            climbing = wanted & ~self.given_up
            at_top = climbing & (rung == ladder.top)
            self._retries[at_top] += 1
            self.given_up = self.given_up | (at_top & (self._retries > self._recipe.max_retries))
            chosen = climbing & ~self.given_up
            rung[chosen & ~at_top] += 1
            self.pulses[chosen] += 1
            if chosen.any():
                batches.append(Pulses.on(chosen, ladder.kind, ladder.voltage[rung], ladder.gate[rung], ladder.width))
        return batches
