"""The firmware of the superT A0 board (8 December 2019) around three `BenchTwin`s: framing, replies, and its traps.

Where the board's fact sheet says "undefined" or "for ever", this one stops answering until it is restarted.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers.supert_a0 import wire
from imssa_lab.contract.array_types import BoolArray
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import PulseKind, Pulses
from twin.instruments.bench_twin import BenchTwin
from twin.instruments.electrode_journal import Journal
from twin.instruments.supert_framing import Framing
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile

_CLOCK = 200e6
_ADC_REFERENCE = 4.0
_SELECTS = ("NFORCE_SAFE0", "NFORCE_SAFE1", "NFORCE_SAFE2")
_CONNECTS = ("CONNECT_COLUMN_T", "CONNECT_TIA", "ROW_WRITE_CONNECT", *_SELECTS)


def board_profile(profile: TwinProfile | str, coding: Literal["analog", "bit-serial"] = "analog") -> TwinProfile:
    """The profile with the board's own converters: one-sided ADC of five ranges, word lines at 0 V or read voltage.

    Args:
        coding: "analog" is one product a vector, as the board does it; "bit-serial" what its driver makes of eight.

    Raises:
        ConfigError: a profile without an ADC.
    """
    loaded = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
    if loaded.adc is None:
        raise ConfigError(f"profile {loaded.name}: a superT A0 has an ADC; take a profile with one")
    scales = tuple(sorted(wire.ADC_SPAN / resistance for resistance in wire.TIA_RESISTANCES))
    adc = loaded.adc.model_copy(update={"bits": 10, "full_scales": scales, "signed": False})
    bits = None if coding == "analog" else 8
    inputs = Inputs(coding=coding, bits=bits, full_scale=loaded.inputs.full_scale, signed=False)
    return loaded.model_copy(update={"adc": adc, "inputs": inputs})


class SuperTBoard:
    """The board without its wire.

    Args:
        profile: of the arrays; see `board_profile`.
        seed: of array 0; the others have the next ones.
        zero_rule: False for firmware before 6 December 2019, which drives code 0 (-10 V) into masked cells.

    Raises:
        ConfigError: a profile without an ADC.
    """

    kind = "superT A0"
    incomplete_after = 0.25
    watchdog = 0.0  # the board has none

    def __init__(
        self,
        profile: TwinProfile | str = "supert-a0-easy",
        seed: int = 0,
        journal: Journal | None = None,
        paced: bool = False,
        zero_rule: bool = True,
    ) -> None:
        single = board_profile(profile)
        self.journal = Journal() if journal is None else journal
        self.benches = [BenchTwin(single, (wire.SIDE, wire.SIDE), seed + i, self.journal) for i in range(wire.ARRAYS)]
        self.paced = paced
        self._zero_rule = zero_rule
        self.restart()

    def restart(self) -> None:
        """Power off and on: the controller forgets everything, the cells nothing."""
        self.make_safe()
        self._ports = dict.fromkeys("ABCDEFGHJK", 0)
        self._ports["H"] = 0x00FF
        self.dac = np.zeros(16, dtype=np.uint16)
        self._clocks = {0: [20, False], 2: [20, False]}
        self._columns = np.zeros((wire.ARRAYS, wire.SIDE), dtype=np.bool_)
        self._column_banks = [0, 0, 0, 0]
        self._replies = np.zeros((wire.SIDE, wire.SIDE), dtype="<u2")
        self._codes = np.zeros((2 * wire.SIDE, wire.SIDE), dtype=np.uint16)
        self._pulse_end = 2
        self._line_data = 0
        self._framing = Framing()
        self.hung = False

    # ---- what a port needs

    @property
    def bench(self) -> BenchTwin:
        """The array whose clock paces; all three share the controller."""
        return max(self.benches, key=lambda bench: bench.time)

    @property
    def unfinished(self) -> bool:
        """Whether part of a command waits for the rest."""
        return self._framing.unfinished

    def forget(self) -> None:
        """A USB transfer that ended early is dropped."""
        self._framing.forget()

    def make_safe(self) -> None:
        """Power off."""
        for bench in self.benches:
            bench.ground()

    def fail(self) -> None:
        """The board has no way to report a fault of its own."""

    def receive(self, data: bytes) -> list[bytes]:
        """The replies to all commands that are complete with these bytes."""
        if self.hung:
            return []
        self._framing.add(data)
        replies = []
        while not self.hung and (command := self._framing.next()) is not None:
            reply = self._run(*command)
            if reply:
                replies.append(reply)
        return replies

    # ---- commands

    def _run(self, number: int, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        handler = getattr(self, f"_c{number}", None)
        if handler is None:
            return b""  # a note on the debug console, and nothing else
        try:
            reply: bytes = handler(values, texts, payload) or b""
        except (IndexError, KeyError, ValueError):  # LimitError is one
            self.hung = True  # too few fields, no such array, row or port: undefined
            return b""
        return reply

    def _c103(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return wire.PATTERN

    def _c202(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return self._ports[texts[0].decode()].to_bytes(4, "little")

    def _c207(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return bytes(4)

    def _c201(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._ports[texts[0].decode()] = values[1] & 0xFFFF

    def _c203(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._line_data = values[0] & 0xFFFF

    def _c204(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._ports["K"] = values[0] & 0xF

    def _c205(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._ports["K"] = values[0] << 4 & 0xF0

    def _c211(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._write_pin(texts[0].decode(), values[1], True)

    def _c212(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._write_pin(texts[0].decode(), values[1], False)

    def _c214(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        word = int.from_bytes((values[0] & 0xFFFFFFFF).to_bytes(4, "little"), "big")
        if word >> 20 & 0xF == 3:
            self.dac[word >> 16 & 0xF] = word & 0xFFFF

    def _c217(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._clocks[values[0]][1] = True

    def _c218(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._clocks[values[0]][1] = False

    def _c220(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._clocks[values[0]][0] = values[2]

    def _c303(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        if values[0] == 2 and len(payload) == 7:
            self._pulse_end = payload[6]
        return wire.ACKNOWLEDGE

    def _c401(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, _ = values
        mask = np.zeros((wire.SIDE, wire.SIDE), dtype=np.bool_)
        mask[row, col] = True
        words = self._read_cells(array, mask)
        return b"" if words is None else words[row, col].tobytes()

    def _c402(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, _, _ = values
        words = self._read_cells(array, np.ones((wire.SIDE, wire.SIDE), dtype=np.bool_))
        if words is None:
            return b""
        self._replies[:] = words
        return self._replies.tobytes()

    def _c403(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, count, _, _ = values
        if count > wire.MAX_VECTORS or not self._ready(array):
            return b""
        if count <= 0:
            return self._replies[:4].tobytes()
        bench = self._connect(array)
        masks = np.frombuffer(payload, ">u8").astype(np.uint64)
        rows = (masks[:, None] >> np.arange(wire.SIDE, dtype=np.uint64)) & np.uint64(1)
        bench.read_mvm(rows * bench.info.read_voltage, raw=True)
        self._replies[:count] = np.where(self._columns[array], self._words(bench), 0)
        self._disconnect(array)
        return self._replies[: -(-count // 4) * 4].tobytes()

    def _c404(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, forward, voltage, gate = values
        self._pulse_cell(array, row, col, forward, voltage, gate, self._internal_width)
        return wire.ACKNOWLEDGE

    def _c405(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, forward, row = values
        return self._batch(array, forward, row, payload, self._internal_width)

    def _c406(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, forward, voltage, gate, _, width = values
        self._pulse_cell(array, row, col, forward, voltage, gate, width * 1e-6)
        return wire.ACKNOWLEDGE

    def _c407(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, forward, _, width, row = values
        if not self._zero_rule:
            return b""  # the command came with the zero rule
        return self._batch(array, forward, row, payload, width * 1e-6 if width <= wire.LONGEST_DELAY else 10e-9)

    def _c412(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        if not self._zero_rule:
            return b""
        if not self._ready(0):
            return b""
        return bytes(2)

    # ---- what they do

    @property
    def _internal_width(self) -> float:
        divider, _ = self._clocks[0]
        return (self._pulse_end - 1) * 2 * divider / _CLOCK

    def _pin(self, name: str) -> bool:
        port, pin = wire.PINS[name]
        return bool(self._ports[port] >> pin & 1)

    def _write_pin(self, port: str, pin: int, high: bool) -> None:
        if not 0 <= pin < 16:
            raise IndexError(pin)
        before = self._ports[port]
        self._ports[port] = before | 1 << pin if high else before & ~(1 << pin)
        if (port, pin) == wire.PINS["LATCH_CLK_DATA"] and high:
            self._latch()
        if (port, pin) in {wire.PINS[name] for name in (*_CONNECTS, "PWR_GOOD")}:
            self._follow_lines()

    def _latch(self) -> None:
        if not self._pin("COL_ROW_SEL"):
            return
        for bank in range(4):
            if self._ports["K"] >> bank & 1:
                self._column_banks[bank] = self._line_data
        selected = np.array(
            [
                self._column_banks[2 * (c // 32) + c % 2] >> (15 - c // 2 if c < 32 else (c - 32) // 2) & 1
                for c in range(wire.SIDE)
            ],
            dtype=np.bool_,
        )
        for array in range(wire.ARRAYS):
            if self._pin(f"ARRAY_EN{array}"):
                self._columns[array] = selected

    def _follow_lines(self) -> None:
        """An array is connected while it is not forced safe and anything leads to it."""
        leads = self._pin("CONNECT_COLUMN_T") or self._pin("CONNECT_TIA") or self._pin("ROW_WRITE_CONNECT")
        for array, bench in enumerate(self.benches):
            if self._pin("PWR_GOOD") and (leads or self._pin(_SELECTS[array])):
                if self._pin(_SELECTS[array]):
                    bench.connect()
            else:
                bench.ground()

    def _ready(self, array: int) -> bool:
        """Without power or clock the wait for ADC_DONE lasts for ever."""
        running = self._clocks[0][1] and self._clocks[2][1] and self._pin("NRESET_FULL_CHIP")
        if not (running and self._pin("PWR_GOOD") and self._pin("NRESET_DPE_ENGINE") and 0 <= array < wire.ARRAYS):
            self.hung = True
        return not self.hung

    def _connect(self, array: int) -> BenchTwin:
        for number, name in enumerate(_SELECTS):
            self._write_pin(*wire.PINS[name], number == array)
        self._write_pin(*wire.PINS["CONNECT_TIA"], True)
        self._write_pin(*wire.PINS["CONNECT_COLUMN_T"], True)
        return self.benches[array]

    def _disconnect(self, array: int) -> None:
        for name in ("CONNECT_COLUMN_T", "CONNECT_TIA", *_SELECTS):
            self._write_pin(*wire.PINS[name], False)

    def _read_cells(self, array: int, mask: BoolArray) -> NDArray[np.uint16] | None:
        if not self._ready(array):
            return None
        bench = self._connect(array)
        bench.read_conductances(mask)
        self._columns[array] = mask.any(axis=0) if np.count_nonzero(mask) == 1 else np.arange(wire.SIDE) == 63
        return np.asarray(self._words(bench)[0])

    def _words(self, bench: BenchTwin) -> NDArray[np.uint16]:
        """Codes with their gain index; range 0 of the profile is the largest resistance, gain 4."""
        readout = bench.readout
        assert readout.ranges is not None
        reference = wire.dac_voltage(self.dac[wire.CHANNELS["VREF_HI_CMP"]], wire.DAC_OFFSET)
        moved = np.rint((reference - _ADC_REFERENCE) * (wire.ADC_TOP / wire.ADC_SPAN))
        codes = np.clip(readout.values + moved, 0, wire.ADC_TOP)  # the ADC ends there
        return wire.pack(codes.astype(np.uint16), len(wire.TIA_GROUPS) - 1 - readout.ranges)

    def _batch(self, array: int, forward: int, row: int, payload: bytes, width: float) -> bytes:
        if row < 2 * wire.SIDE:
            self._codes[row : row + 2] = np.frombuffer(payload, "<u2").reshape(2, wire.SIDE)
        if row != wire.START_ROW:
            return b""
        voltage, gate = self._codes[: wire.SIDE], self._codes[wire.SIDE :]
        chosen = (voltage != 0) & (gate != 0) if self._zero_rule else np.ones(voltage.shape, dtype=np.bool_)
        self._pulse(array, forward, voltage, gate, chosen, width)
        return wire.ACKNOWLEDGE

    def _pulse_cell(
        self, array: int, row: int, col: int, forward: int, voltage: int, gate: int, width: float
    ) -> None:
        chosen = np.zeros((wire.SIDE, wire.SIDE), dtype=np.bool_)
        chosen[row, col] = True
        shape = chosen.shape
        codes = np.full(shape, voltage, dtype=np.uint16), np.full(shape, gate, dtype=np.uint16)
        self._pulse(array, forward, *codes, chosen, width)

    def _pulse(
        self,
        array: int,
        forward: int,
        voltage: NDArray[np.uint16],
        gate: NDArray[np.uint16],
        chosen: BoolArray,
        width: float,
    ) -> None:
        bench = self.benches[array]
        if not (self._pin("PWR_GOOD") and chosen.any()):
            return
        bench.connect()
        volts, gates = (np.where(chosen, wire.dac_voltage(codes), np.nan) for codes in (voltage, gate))
        kind = PulseKind.SET if forward == 1 else PulseKind.RESET
        if np.nanmin(volts) <= 0 or np.nanmin(gates) <= 0:
            # what no limit of a twin foresees: note it, and leave what happens to the cells to imagination
            self.journal.add(kind.value, bench.time, volts, gates, width)
        else:
            bench.apply_pulses(Pulses(kind, volts, gates, width))
        bench.ground()
