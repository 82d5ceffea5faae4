"""`BenchTwin`: a twin as it sits inside an instrument, with outputs, a journal, and its raw readouts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from imssa_lab.contract.errors import ImssaError, LimitError
from imssa_lab.contract.hal import BoolArray, FloatArray, Pulses, Readout
from imssa_lab.virtual.electrode_journal import Journal
from twin.digital_twin import DigitalTwin
from twin.profile import TwinProfile


class BenchTwin(DigitalTwin):
    """A `DigitalTwin` whose requests, checked against its limits like any, are noted in `journal`.

    Attributes:
        readout: what the last reading gave, as codes.
        outputs: whether the electrodes are connected; requests that drive them need that.
    """

    def __init__(
        self,
        profile: TwinProfile | str,
        shape: tuple[int, int],
        seed: int,
        journal: Journal | None = None,
        state: Path | None = None,
    ) -> None:
        super().__init__(profile, shape, seed, state)
        _compile_reads(self.profile)
        self.journal = Journal() if journal is None else journal
        self.outputs = False
        self._readout: Readout | None = None

    @property
    def readout(self) -> Readout:
        """What the last reading gave.

        Raises:
            ImssaError: nothing was read yet.
        """
        if self._readout is None:
            raise ImssaError("the bench has not read anything yet; read first")
        return self._readout

    def connect(self) -> None:
        """Electrodes at 0 V and connected."""
        if not self.outputs:
            self.outputs = True
            self.journal.add("on", self.time)

    def ground(self) -> None:
        """Electrodes to 0 V, then grounded; nothing happens where they are already."""
        if self.outputs:
            self.journal.add("zero", self.time)
            self.outputs = False
            self.journal.add("ground", self.time)

    def read_cells_at(self, voltage: float, mask: BoolArray, averages: int) -> None:
        """As `read_conductances`, at this voltage; `readout` has it.

        Raises:
            LimitError: not above 0 V, or above the voltage that cells are read at.
        """
        own = self._info
        if not 0.0 < voltage <= own.read_voltage:
            raise LimitError(f"{own.name}: cells are read at up to {own.read_voltage:g} V, {voltage:g} V asked")
        self._info = own.model_copy(update={"read_voltage": voltage})
        try:
            self.read_conductances(mask, averages)
        finally:
            self._info = own

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.journal.add("mvm", self._time(), voltages)
        self._readout = super()._read_mvm(voltages)
        return self._readout

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self.journal.add("cells", self._time(), np.where(mask, self._info.read_voltage, np.nan))
        self._readout = super()._read_conductances(mask, averages)
        return self._readout

    def _apply_pulses(self, pulses: Pulses) -> None:
        self.journal.add(pulses.kind.value, self._time(), pulses.voltage, pulses.gate, pulses.width)
        super()._apply_pulses(pulses)

    def see(self, pulses: Pulses) -> None:
        """Pulses as they are at the electrodes, whether or not cells can take them: no limit is checked."""
        with self._call():
            self._apply_pulses(pulses)

    def currents_at(self, voltages: FloatArray) -> FloatArray:
        """Currents into the bit lines, A, (n, cols), for word lines at these voltages, V, (n, rows); as `see`."""
        with self._call():
            return self._read_mvm(voltages).current(self._info.adc)


@lru_cache(maxsize=16)
def _compile_reads(profile: TwinProfile) -> None:
    """Let numba compile the reads of this kind of chip now: on a wire, the first answer would miss its deadline."""
    with DigitalTwin(profile, (2, 2), seed=0) as small:
        small.read_mvm(np.zeros((1, 2)))
        small.read_conductances()
