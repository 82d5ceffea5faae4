"""The chip of the superT A0: scan chains, registers, engine and FIFOs, and what its lines bring to the cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.hal import PulseKind, Readout
from imssa_lab.virtual.supert_a0.amplifiers import Setting, gains_of
from imssa_lab.virtual.supert_a0.board_twin import BoardTwin, share_of_current
from imssa_lab.virtual.supert_a0.controller_pins import Pins
from imssa_lab.virtual.supert_a0.dac_outputs import STEP, Dac
from imssa_lab.virtual.supert_a0.line_numbers import ARRAYS, DEPTH, FIFOS, SIDE, columns_of, places, rows_of

_CLOCK = 200e6
_AT_RESET_DIVIDER = 20
CONTROL = 2
_CHAIN_BYTES = (120, 120, 7)
_HOLD, _WRITE_START, _WRITE_END = 4, 5, 6  # bytes of the control chain
_CONNECTS = ("CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT", "COL_WRITE_CONNECT")
_LEADING = {*_CONNECTS, "PWR_GOOD", *(f"NFORCE_SAFE{array}" for array in range(ARRAYS))}
_SHORTEST = 1e-6
"""s; a gate line opened by two commands of a host is open for longer."""


class ArrayChip:
    """Follows the control lines.

    Args:
        clock: s, for pulses that a host times by itself; powered_up: called when the supply comes.
    """

    def __init__(
        self, dac: Dac, benches: list[BoardTwin], clock: Callable[[], float], powered_up: Callable[[], None]
    ) -> None:
        self.pins = Pins(self._changed, lambda: self.done, lambda: self.adc_out)
        self.dac, self.benches, self._clock, self._powered_up = dac, benches, clock, powered_up
        self.dividers = {index: [_AT_RESET_DIVIDER, 0] for index in (0, 1, 2)}
        self._opened: float | None = None
        self._firmware_times = False
        self._forget()

    def _forget(self) -> None:
        self.chains = [bytes(size) for size in _CHAIN_BYTES]
        self._gains = np.full((ARRAYS, SIDE), -1, dtype=np.int8)
        self._banks = {kind: np.zeros((ARRAYS, 4), dtype=np.uint16) for kind in ("rows", "columns")}
        self._engine: bytes | None = None
        self._reset_engine()
        self.done = True

    def _reset_engine(self) -> None:
        self.fifos = np.zeros((FIFOS, DEPTH), dtype=np.uint16)
        self._at = [0] * FIFOS

    # ---- state

    @property
    def powered(self) -> bool:
        """Whether the chip has its supply and is out of reset."""
        return self.pins.level("PWR_GOOD") and self.pins.level("NRESET_FULL_CHIP")

    @property
    def running(self) -> bool:
        """Whether the engine can convert: clocks, supply, and timings that it was given before it left its reset."""
        clocks = self.dividers[0][1] and self.dividers[2][1]
        return bool(self.powered and self.pins.level("NRESET_DPE_ENGINE") and clocks and self._engine)

    @property
    def adc_out(self) -> int:
        """The word at the outputs of the addressed FIFO."""
        number = self.pins.fifo
        return int(self.fifos[number, self._at[number]]) if number < FIFOS else 0

    @property
    def _period(self) -> float:
        return 2 * self.dividers[0][0] / _CLOCK

    @property
    def write_width(self) -> float:
        """Of a pulse that the engine times, s; 0 where it makes none."""
        if not self.running or self._engine is None:
            return 0.0
        return max(self._engine[_WRITE_END] - self._engine[_WRITE_START], 0) * self._period

    def selected(self, array: int) -> tuple[BoolArray, BoolArray]:
        """Rows and columns in an array's registers."""
        return rows_of(self._banks["rows"][array]), columns_of(self._banks["columns"][array])

    def select(self, array: int, kind: str, banks: NDArray[np.uint16]) -> None:
        """Four banks into a register, as the firmware loads them."""
        if self.powered:
            self._banks[kind][array] = banks

    def shift(self, chain: int, data: bytes) -> bytes:
        """Bytes through a scan chain; what comes out at its end."""
        through = self.chains[chain] + data
        if self.powered:
            self.chains[chain] = through[len(data) :]
        return through[: len(data)]

    # ---- lines

    def _changed(self, name: str, high: bool) -> None:
        if name == "PIC_CLR":
            self.dac.clear(not high)
        elif name == "PWR_GOOD" or name == "NRESET_FULL_CHIP":
            if high and name == "PWR_GOOD":
                self._powered_up()
            elif not high:
                if name == "PWR_GOOD":
                    self._note_loss()
                self._forget()
        elif name == "NRESET_DPE_ENGINE":
            self._reset_engine()
            if high:
                self._engine = self.chains[CONTROL] if any(self.chains[CONTROL]) else None
        elif high and name == "LATCH_CLK_DATA":
            self._latch()
        elif high and name == "UPDATE_TIA_CONF" and self.powered:
            self._configure()
        elif high and name == "ADC_FIFO_ADVANCE":
            if self.pins.fifo < FIFOS:
                self._at[self.pins.fifo] = (self._at[self.pins.fifo] + 1) % DEPTH
        elif high and name == "WRT_PULSE":
            internal = self.pins.level("WRT_INTERNAL_EN") and not self.pins.level("WRITE_SEL_EXT")
            if internal and self.pins.level("CONNECT_COLUMN_T"):
                self._pulse_selected(self.write_width)
        elif high and name in ("DPE_PULSE", "AGC_PULSE"):
            if self.pins.level({"DPE_PULSE": "DPE_INTERNAL_EN", "AGC_PULSE": "AGC_INTERNAL_EN"}[name]):
                self.convert(name == "AGC_PULSE")
        elif high and name == "DPE_EXT_SH":
            if self.pins.level("ADC_SEL_EXTERNAL") and self.pins.level("DPE_EXT_OVERRIDE_EN"):
                self._convert_external()
        if name == "CONNECT_COLUMN_T":
            self._gate_line(high)
        if name in _LEADING:
            self.follow()

    def _latch(self) -> None:
        if not self.powered:
            return
        kind = "columns" if self.pins.level("COL_ROW_SEL") else "rows"
        for array in range(ARRAYS):
            if self.pins.level(f"ARRAY_EN{array}"):
                for bank in range(4):
                    if self.pins.bank >> bank & 1:
                        self._banks[kind][array, bank] = self.pins.data

    def _configure(self) -> None:
        # which word of a chain belongs to which column is open; the order of the FIFOs is taken, half a chain each
        words = np.concatenate([gains_of(chain) for chain in self.chains[:CONTROL]])
        for array in range(ARRAYS):
            fifo, word = places(array)
            self._gains[array] = words[fifo * DEPTH + word]

    def _note_loss(self) -> None:
        """A supply that goes while the references still drive the chip."""
        volts = np.array([self.dac.volts(name) for name in ("PLANE_VPP", "VREF_TIA", "VP_PAD", "TVDD")])
        if np.abs(volts).max() > 2 * STEP:
            for bench in self.benches:
                bench.journal.add("unpowered", bench.time, volts)

    def follow(self) -> None:
        """An array is connected while it is not forced safe and something leads to it."""
        leads = self.pins.level("PWR_GOOD") and any(map(self.pins.level, _CONNECTS))
        for array, bench in enumerate(self.benches):
            if leads and self.pins.level(f"NFORCE_SAFE{array}"):
                bench.connect()
            elif bench.outputs:
                pad = self.dac.volts("VP_PAD")
                across = self.dac.volts("VREF_TIA") - self.dac.volts("PLANE_VPP")
                bench.at_rest = max(abs(pad), abs(across), abs(self.dac.volts("TVDD"))) < 2 * STEP
                bench.ground()

    # ---- reading

    def across(self, array: int) -> float:
        """V from the columns to the rows that are driven in a read; 0 where nothing connects them."""
        lines = ("READ_BIT", "CONNECT_TIA", f"NFORCE_SAFE{array}")
        if not (self.powered and all(map(self.pins.level, lines))):
            return 0.0
        return self.dac.volts("VREF_TIA") - self.dac.volts("PLANE_VPP")

    @property
    def gate(self) -> float:
        """V at the gates of the selected columns."""
        return self.dac.volts("TVDD") if self.powered and self.pins.level("CONNECT_COLUMN_T") else 0.0

    def setting(self, array: int, auto: bool) -> Setting:
        """How a conversion of this array goes now."""
        assert self._engine is not None
        source = min(self.dac.volts("PLANE_VPP"), self.dac.volts("VREF_TIA"))
        return Setting(
            gains=self._gains[array],
            enabled=self.selected(array)[1],
            auto=auto,
            reference=self.dac.volts("VREF_TIA"),
            top=self.dac.volts("VREF_HI_CMP"),
            agc=self.dac.volts("VAGC_1"),
            hold=(self._engine[_HOLD] + 2) * self._period,
            share=share_of_current(self.gate, source),
        )

    def convert(self, auto: bool) -> None:
        """One conversion of all arrays, into the FIFOs; without clock, supply or timings it never ends."""
        self.done = self.running
        if not self.done:
            return
        for array, bench in enumerate(self.benches):
            if not self.pins.level(f"NFORCE_SAFE{array}"):
                continue
            rows, cols = self.selected(array)
            setting = self.setting(array, auto)
            if np.count_nonzero(rows) == 1 and np.count_nonzero(cols) == 1:
                words = self.words(bench.cell_reads(np.outer(rows, cols), *self._drive(array), setting, 0))
                words = words[0, rows][0]
            else:
                words = self.words(bench.products(rows[None], *self._drive(array), setting))[0]
            self.fill(array, np.where(cols, words, 0))

    def _drive(self, array: int) -> tuple[float, float]:
        return self.across(array), self.gate

    @staticmethod
    def words(readout: Readout) -> NDArray[np.uint16]:
        """Words as the FIFOs hold them: code, and gain index in bits 10 to 12."""
        assert readout.ranges is not None
        return np.asarray(readout.values.astype(np.uint16) | (4 - readout.ranges).astype(np.uint16) << 10)

    def fill(self, array: int, words: NDArray[np.uint16]) -> None:
        """The words of an array's 64 columns into its FIFOs."""
        self.fifos[places(array)] = words

    def _convert_external(self) -> None:
        """The converters look at ADC_EXT_TEST_IN; the last word of each FIFO holds what they say."""
        self.done = self.running
        if not self.done:
            return
        volts, top = self.dac.volts("ADC_EXT_TEST_IN"), self.dac.volts("VREF_HI_CMP")
        for array, bench in enumerate(self.benches):
            codes = bench.front.external(volts, top).astype(np.uint16)
            fifo, word = places(array)
            last = word == DEPTH - 1
            self.fifos[fifo[last], DEPTH - 1] = codes[last]

    # ---- pulsing

    def direction(self) -> PulseKind | None:
        """Where the pad's voltage goes: to the row (SET), to the column (RESET), or nowhere across a cell."""
        row, col = self.pins.level("ROW_WRITE_CONNECT"), self.pins.level("COL_WRITE_CONNECT")
        if not self.powered or row == col:
            return None
        if row:
            return PulseKind.SET if self.pins.level("WRITE_FWD") else None
        return PulseKind.RESET if not self.pins.level("WRITE_FWD") else None

    def pulse(self, array: int, volts: FloatArray, gates: FloatArray, width: float) -> None:
        """Pulses across the cells of an array that is not forced safe, NaN elsewhere."""
        kind = self.direction()
        if kind is not None and self.pins.level(f"NFORCE_SAFE{array}") and width > 0 and not np.isnan(volts).all():
            self.benches[array].pulse(kind, volts, gates, width)

    def _pulse_selected(self, width: float) -> None:
        for array in range(ARRAYS):
            chosen = np.outer(*self.selected(array))
            if chosen.any():
                volts = np.where(chosen, self.dac.volts("VP_PAD"), np.nan)
                self.pulse(array, volts, np.where(chosen, self.dac.volts("TVDD"), np.nan), width)

    def _gate_line(self, high: bool) -> None:
        """Where the engine does not time the pulse, the gate line does: from its rise to its fall."""
        if high and not self._firmware_times:
            self._opened = self._clock()
        elif self._opened is not None and self.pins.level("WRITE_SEL_EXT"):
            width, self._opened = max(self._clock() - self._opened, _SHORTEST), None
            self._pulse_selected(width)
        elif not high:
            self._opened = None

    @contextmanager
    def firmware_times(self) -> Iterator[None]:
        """While the firmware itself opens and closes the gate line, and says for how long."""
        self._firmware_times = True
        try:
            yield
        finally:
            self._firmware_times = False
