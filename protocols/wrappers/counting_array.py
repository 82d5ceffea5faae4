"""`CountingArray`: counts what a protocol requests from an array, without a command to the array.

Nothing here reads or drives the array that is meant; how long operations take is what its driver says of them.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import (
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    PulseKind,
    Pulses,
    Readout,
)
from imssa_lab.log.write.record_sizes import RecordSizes
from protocols.programmers import GateStart, recipe_inside
from protocols.wrappers.session_counts import Counts, with_peaks

_PULSES = 25
"""Pulses that a cell takes on average, rather more than less."""


class CountingArray(CrossbarArray):
    """Stands in for `array`, which gets no command: it counts, and holds the targets that it is given.

    What is outside the limits raises, as it would there. Cells read as far above the window until they are
    programmed, so that none of them passes for one that is where it should be; those of a `fresh` chip read as being
    at the bottom of the window.

    Attributes:
        expected, longest: what was asked for so far, with as many pulses as a cell takes on average, and with as
            many as it can get. Write-verify reads to its last step in both.
        strongest: V and gate V of the strongest pulses, by kind; drive: V, the highest on a word line while reading.
    """

    def __init__(self, array: CrossbarArray, *, fresh: bool = False) -> None:
        super().__init__(array.info.model_copy(update={"adc": None}))
        self._sizes = RecordSizes(array.info)
        self.expected, self.longest = Counts(), Counts()
        self.strongest: dict[PulseKind, tuple[float, float]] = {}
        self.drive = 0.0
        self._own = array._default_programmer()  # noqa: SLF001 - the half of the contract that a backend writes
        self._pulsed = np.zeros(array.info.shape, dtype=np.bool_)
        self._held = np.full(array.info.shape, array.info.window.low if fresh else 2 * array.info.window.high)

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Count what a programmer would ask for, and hold the targets; ladders above the limits raise LimitError."""
        self._count(self._own if programmer is None else programmer, mask)
        self._held = np.where(mask, target, self._held)
        return ProgrammingReport(
            target=target,
            achieved=target,
            pulses=np.zeros(mask.shape, dtype=np.int32),
            outcome=np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8),
            tolerance=1.0,
            seconds=0.0,
            reads=0,
        )

    def _count(self, loop: Programmer, mask: BoolArray) -> None:
        cells, recipe = int(mask.sum()), recipe_inside(loop)
        self._see(mask)
        self._log(self._sizes.programming(cells))
        if recipe is None:
            self._add_pulses(cells * _PULSES, cells * _PULSES, 0.0)
            return
        for kind in (PulseKind.SET, PulseKind.RESET):
            ladder = recipe.ladder(kind)
            self._note_pulses(Pulses.on(mask, kind, ladder.voltage.max(), ladder.gate.max(), ladder.width))
        most = recipe.max_steps if recipe.pulse_budget is None else min(recipe.pulse_budget, recipe.max_steps)
        width = (recipe.set_width + recipe.reset_width) / 2
        self._add_pulses(cells * min(_PULSES, most), cells * most, width)
        # a noisy cell or two keep a loop busy, and all cells read, to its last step
        steps = recipe.max_steps + (loop.tries if isinstance(loop, GateStart) else 0)
        self._add_reads(cells, recipe.averages * steps + recipe.verify_averages)

    def _add_pulses(self, expected: int, longest: int, width: float) -> None:
        for counts, pulses in ((self.expected, expected), (self.longest, longest)):
            counts.pulses += pulses
            counts.widths += pulses * width
            counts.log_bytes += self._sizes.pulses(pulses)

    def _add_reads(self, cells: int, reads: int) -> None:
        self.expected.cell_reads += cells * reads
        self.longest.cell_reads += cells * reads
        self._log(self._sizes.cell_reads(cells, reads))

    def _log(self, size: int) -> None:
        self.expected.log_bytes += size
        self.longest.log_bytes += size

    def _note_pulses(self, pulses: Pulses) -> None:
        self._check_pulses(pulses)
        self.strongest = with_peaks(self.strongest, pulses)

    def _see(self, mask: BoolArray) -> None:
        self._pulsed |= mask
        self.expected.cells = self.longest.cells = int(np.count_nonzero(self._pulsed))

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.expected.products += len(voltages)
        self.longest.products += len(voltages)
        self._log(self._sizes.products(voltages))
        self.drive = max(self.drive, float(np.abs(voltages).max()))
        return Readout(voltages @ self._held)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self._add_reads(int(mask.sum()), averages)
        return Readout(np.broadcast_to(self._held * self.info.read_voltage, (averages, *mask.shape)))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._see(pulses.mask)
        self._note_pulses(pulses)
        count = int(np.count_nonzero(pulses.mask))
        self._add_pulses(count, count, pulses.width)

    def _default_programmer(self) -> Programmer:
        return self._own

    def _wait(self, seconds: float) -> None:
        self.expected.waited += seconds
        self.longest.waited += seconds

    def _time(self) -> float:
        return self.expected.waited

    def _make_safe(self) -> None:
        """Nothing is driven."""

    def _close(self) -> None:
        """Nothing is held."""
