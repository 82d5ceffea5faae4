"""Gate-compliance start: RESET, then one SET whose gate voltage chooses the conductance; write-verify for the rest.

In a 1T1R cell the conductance after SET follows the gate voltage (Li et al., Nat. Electron. 1, 52 (2018)); how is
measured on a few cells of the array first, so no figure of a device is needed.
"""

from __future__ import annotations

import logging

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, ProgrammingReport, PulseKind, Pulses
from protocols.programmers.hysteretic import WriteVerify
from protocols.programmers.sequential_reading import PlainReader, SequentialReader, reader
from protocols.programmers.staged_report import Counts, followed

_log = logging.getLogger(__name__)


class GateStart(BaseModel):
    """A `Programmer` with a few tries of two pulses, each at a gate voltage corrected by the result of the last try.

    A cell that is too high gets a RESET before its SET; one that is too low only the SET. What a cell does above or
    below the pilot cells is learned from its tries. Cells that are still outside, and those with targets below what
    the weakest gate gives, go to `recipe`, whose SET ladder starts below the gate that the tries found.

    Attributes:
        recipe: write-verify for what is left; its ladders and windows are used throughout.
        tries: SET pulses before write-verify takes over.
        pilot: cells on which SET is measured against gate voltage; they are pulsed once a gate rung.
        scatter: variance of a SET from pulse to pulse, in units of that from cell to cell.
        back: V, how far below the gate found the SET ladder of `recipe` starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: WriteVerify
    tries: int = Field(default=5, ge=1)
    pilot: int = Field(default=64, ge=1)
    scatter: float = Field(default=0.5, ge=0)
    back: float = Field(default=0.1, ge=0)

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` to `target` (rows, cols), S; see `CrossbarArray.program_conductances`."""
        started = array.time
        run = Tries(self, array, target, mask)
        gates, level = run.pilot()
        off = run.tries(gates, level)
        _log.debug("%d cells left to write-verify after %d tries", off.sum(), self.tries)
        begin = np.where(mask, run.gate - self.back, gates[0])
        report = self._left(run.pulses).climb(array, np.where(off, target, np.nan), off, begin)
        return followed(array, report, target, mask, pulses=run.pulses, reads=run.reads, started=started)

    def _left(self, pulses: Counts) -> WriteVerify:
        """The recipe with what any cell may still get of the pulse budget."""
        budget = self.recipe.pulse_budget
        if budget is None:
            return self.recipe
        return self.recipe.model_copy(update={"pulse_budget": max(budget - int(pulses.max(initial=0)), 0)})


class Tries:
    """One run of the pilot and the tries.

    Attributes:
        gate: V, gate of the last SET of each cell; pulses: those each cell got; reads: array reads used.
    """

    def __init__(self, rule: GateStart, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> None:
        self._rule, self._array, self._target, self._mask = rule, array, target, mask
        recipe = rule.recipe
        self._set, self._reset = recipe.ladder(PulseKind.SET), recipe.ladder(PulseKind.RESET)
        self._look: PlainReader | SequentialReader = reader(recipe.averages, recipe.sequential, mask.shape)
        self.gate = np.full(mask.shape, self._set.gate[0])
        self.pulses = np.zeros(mask.shape, dtype=np.int32)
        self.reads = 0

    def pilot(self) -> tuple[FloatArray, FloatArray]:
        """Median conductance (S) of the pilot cells after a SET at each gate voltage (V), rising.

        The pilot cells are those with the highest targets: one that was SET may not come back to a low one.
        """
        chosen = np.zeros(self._mask.shape, dtype=np.bool_)
        falling = np.argsort(np.where(self._mask, -np.nan_to_num(self._target), np.inf), axis=None, kind="stable")
        chosen.flat[falling[: min(self._rule.pilot, int(self._mask.sum()))]] = True
        highest = float(np.max(self._target, where=self._mask, initial=0.0)) + self._rule.recipe.tolerance_out
        gates, levels = [], []
        self._send_reset(chosen)
        for gate in np.unique(self._set.gate):
            self._send_set(chosen, np.full(chosen.shape, gate))
            if not (chosen & ~self._spent).any():
                break
            read = self._array.read_conductances(chosen, 1)
            self.reads += 1
            gates.append(float(gate))
            levels.append(float(np.nanmedian(read)))
            if levels[-1] > highest:
                break
        if not levels:
            return self._set.gate[:1], np.zeros(1)
        return np.array(gates), np.maximum.accumulate(np.array(levels))

    def tries(self, gates: FloatArray, level: FloatArray) -> BoolArray:
        """Try all cells; True for those that are still outside."""
        rule, tolerance = self._rule, self._rule.recipe.tolerance_in
        limit = np.full(self._mask.shape, tolerance)
        left, error, _ = self._verify(self._mask, limit)
        # targets below what the weakest gate gives are for write-verify: a SET would only overshoot them
        off = left & (np.nan_to_num(self._target) >= level[0])
        left &= ~off
        clear = off & (error > 0)
        wanted = np.interp(np.nan_to_num(self._target), level, gates)
        lead, tried = np.zeros(self._mask.shape), np.zeros(self._mask.shape)
        for _ in range(rule.tries):
            self._send_reset(clear)
            shift = lead / np.maximum(tried + rule.scatter, 1e-9)
            self.gate = np.clip(wanted - shift, self._set.gate[0], self._set.gate[-1])
            self._send_set(off, self.gate)
            tried = tried + off
            still, error, read = self._verify(off, limit)
            reached = np.interp(np.nan_to_num(read), level, gates)
            lead = np.where(off, lead + reached - self.gate, lead)
            off = still
            clear = off & (error > 0)
            if not (off & ~self._spent).any():
                break
        return np.asarray(off | left)

    def _verify(self, cells: BoolArray, limit: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
        """Which of the cells are outside, their errors and their conductances, S."""
        seen = self._look.read(self._array, cells, self._target, limit)
        self.reads += seen.reads
        error = np.nan_to_num(seen.conductance - self._target)
        outside = cells & (np.abs(error) > limit - np.minimum(seen.doubt, limit / 2))
        return np.asarray(outside), error, seen.conductance

    @property
    def _spent(self) -> BoolArray:
        budget = self._rule.recipe.pulse_budget
        return np.zeros_like(self._mask) if budget is None else self.pulses >= budget

    def _send_reset(self, cells: BoolArray) -> None:
        ladder = self._reset
        self._send(cells, PulseKind.RESET, ladder.voltage[-1], np.full(cells.shape, ladder.gate[-1]), ladder.width)

    def _send_set(self, cells: BoolArray, gate: FloatArray) -> None:
        self._send(cells, PulseKind.SET, self._set.voltage.max(), gate, self._set.width)

    def _send(self, cells: BoolArray, kind: PulseKind, voltage: float, gate: FloatArray, width: float) -> None:
        cells = cells & ~self._spent
        if cells.any():
            self._array.apply_pulses(Pulses.on(cells, kind, voltage, gate, width))
            self.pulses[cells] += 1
