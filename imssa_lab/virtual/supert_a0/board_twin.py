"""`BoardTwin`: one array of a superT A0, driven by whatever voltages its electrodes are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.hal import PulseKind, Pulses, Readout
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Journal
from imssa_lab.virtual.supert_a0.amplifiers import FrontEnd, Setting
from imssa_lab.virtual.supert_a0.line_numbers import SIDE
from twin.profile import TwinProfile

_DISTURBING = 0.45
"""V across a cell beyond which a read is a pulse; up to there the lab read."""
_READ_WIDTH = 20e-6
_THRESHOLD, _FULLY_ON = 0.3, 3.0
_PAUSED = 500


class BoardTwin(BenchTwin):
    """A `BenchTwin` without limits: a board drives what its lines and references come to.

    Attributes:
        at_rest: whether the lines carry no voltage now; the board keeps it.
    """

    def __init__(self, profile: TwinProfile, seed: int, journal: Journal, state: Path | None = None) -> None:
        super().__init__(profile, (SIDE, SIDE), seed, journal, state)
        self.front = FrontEnd(self._converters)
        # the short ways of a twin end in its own converters, not in what the board has made of them
        self._converters, self._compiled = self.front, None
        self._nominal = self.profile
        self.at_rest = True

    def ground(self) -> None:
        """Cut off from all outputs; at 0 V before only where that is so."""
        if self.outputs:
            if self.at_rest:
                self.journal.add("zero", self.time)
            self.outputs = False
            self.journal.add("ground", self.time)

    def products(self, rows: BoolArray, volts: float, gate: float, setting: Setting) -> Readout:
        """Words of all columns for rows (n, 64) driven to `volts` (V) below the columns, gates at `gate` (V)."""
        driven = np.where(rows, volts, 0.0)
        self.journal.add("mvm", self.time, driven, np.array([gate]))
        self.front.setting = setting
        self._readout = super(BenchTwin, self)._read_mvm(driven)
        self._disturb(np.outer(rows.any(axis=0), setting.enabled), volts, gate)
        return self._readout

    def cell_reads(self, mask: BoolArray, volts: float, gate: float, setting: Setting, pause: int) -> Readout:
        """Words (64, 64) of single cells, those outside `mask` without meaning; `pause` in us after each."""
        self.journal.add("cells", self.time, np.where(mask, volts, np.nan), np.array([gate]))
        self.front.setting = replace(setting, share=setting.share * float(np.sign(volts)))
        timing = self._nominal.timing
        if pause != _PAUSED:
            timing = timing.model_copy(update={"cell_read": round(timing.cell_read + 1e-6 * (pause - _PAUSED), 9)})
        info = self._info
        self.profile = self._nominal.model_copy(update={"timing": timing})
        # the twin reads at a magnitude; direction, and that nothing flows at 0 V, are in the share
        self._info = info.model_copy(update={"read_voltage": abs(volts) or info.read_voltage})
        try:
            self._readout = super(BenchTwin, self)._read_conductances(mask, 1)
        finally:
            self.profile, self._info = self._nominal, info
        self._disturb(mask, volts, gate)
        return self._readout

    def _disturb(self, cells: BoolArray, volts: float, gate: float) -> None:
        if abs(volts) > _DISTURBING and gate > _THRESHOLD:
            # a row below its column is how RESET pulses stand
            kind = PulseKind.RESET if volts > 0 else PulseKind.SET
            self._move(kind, np.where(cells, abs(volts), np.nan), np.where(cells, gate, np.nan), _READ_WIDTH)

    def pulse(self, kind: PulseKind, volts: FloatArray, gates: FloatArray, width: float) -> None:
        """Pulses of `width` s: V from row to column for SET, else from column to row, and gates, NaN elsewhere."""
        self.journal.add(kind.value, self.time, volts, gates, width)
        other = PulseKind.RESET if kind is PulseKind.SET else PulseKind.SET
        moved = np.count_nonzero((volts != 0) & (gates > 0))  # NaN is not above 0
        self._clock += (self.profile.timing.pulse + width) * (np.count_nonzero(~np.isnan(volts)) - moved)
        for which, chosen in ((kind, volts > 0), (other, volts < 0)):
            self._move(which, np.where(chosen, np.abs(volts), np.nan), gates, width)

    def _move(self, kind: PulseKind, volts: FloatArray, gates: FloatArray, width: float) -> None:
        open_ = (volts > 0) & (gates > 0)
        if open_.any() and width > 0:
            pulses = Pulses(kind, np.where(open_, volts, np.nan), np.where(open_, gates, np.nan), width)
            super(BenchTwin, self)._apply_pulses(pulses)


def share_of_current(gate: float, source: float) -> float:
    """What a transistor lets through in a read: nothing at threshold, all where it is fully on."""
    return float(np.clip((gate - source - _THRESHOLD) / (_FULLY_ON - _THRESHOLD), 0.0, 1.0))
