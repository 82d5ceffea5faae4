"""What the firmware of a superT A0 does for each command, by its lines: the state of 8 December 2019.

Where the board's fact sheet says "undefined" or "for ever", `Stuck` is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray
from imssa_lab.virtual.supert_a0.array_chip import CONTROL, ArrayChip
from imssa_lab.virtual.supert_a0.dac_outputs import CHANNELS
from imssa_lab.virtual.supert_a0.line_numbers import ARRAYS, DEPTH, SIDE, bank_of_column, bank_of_row, places
from imssa_lab.virtual.supert_framing import Received

PATTERN = np.arange(0, 6_400_000, 100_000, dtype="<u4").tobytes()
_ACKNOWLEDGE = b"0"
_MOST_VECTORS, _ROWS_OF_BLOCK = 60, 4
_LONGEST_DELAY = 21_470_000  # us; the wait compares signed ticks of 10 ns, a longer one returns at once
_AT_ONCE = 10e-9
_TVDD, _VP_PAD, _TEST_IN = (CHANNELS.index(name) for name in ("TVDD", "VP_PAD", "ADC_EXT_TEST_IN"))
_SUPPLY_CODE = 3102  # 2.5 V: half of 5 V


class Stuck(Exception):
    """The firmware does not come back before it is restarted."""


class Firmware:
    """Commands in, replies out.

    Args:
        zero_rule: whether cells with a code 0 are left alone, as since 6 December 2019; 407 and 412 came with it.
        leftover: us that command 407 takes for its width whatever is asked, in a build in which its missing argument
            is something else than what the trace print left; None for one with the trace print.
    """

    def __init__(self, chip: ArrayChip, zero_rule: bool = True, leftover: int | None = None) -> None:
        self._chip, self._pins = chip, chip.pins
        self._zero_rule, self._leftover = zero_rule, leftover
        self._replies = np.zeros((SIDE, SIDE), dtype="<u2")
        self.codes = np.zeros((2 * SIDE, SIDE), dtype=np.uint16)
        self.timed_one_cell = False

    def run(self, command: Received) -> bytes:
        """The reply, empty for silent and unknown commands.

        Raises:
            Stuck: too few fields, no such array, row or port, or a wait that never ends.
        """
        handler = getattr(self, f"_c{command.number}", None)
        if handler is None:
            return b""  # a note on the debug console, and nothing else
        try:
            reply: bytes = handler(command.values, command.texts, command.payload) or b""
        except (IndexError, KeyError, ValueError) as error:
            raise Stuck(f"command {command.number}: {error!r}") from error
        return reply

    # ---- board

    def _c103(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return PATTERN

    def _c201(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.write(texts[0].decode(), values[1])

    def _c202(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return self._pins.read(texts[0].decode()).to_bytes(4, "little")

    def _c203(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.data = values[0]

    def _c204(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.write("K", values[0] & 0xF)

    def _c205(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.write("K", values[0] << 4 & 0xF0)

    def _c207(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return self._chip.adc_out.to_bytes(4, "little")

    def _c210(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.read(texts[0].decode())  # a slew rate moves no level; only the port must exist

    def _c211(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.write_pin(texts[0].decode(), values[1], True)

    def _c212(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.write_pin(texts[0].decode(), values[1], False)

    def _c213(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.toggle(texts[0].decode(), values[1])

    def _c214(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._chip.dac.word(int.from_bytes((values[0] & 0xFFFFFFFF).to_bytes(4, "little"), "big"))

    def _c215(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._c219(values, texts, payload)

    def _c216(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        # which voltages the controller's own converter sees is open: the chip's supply is taken, halved
        code = _SUPPLY_CODE if self._pins.level("PWR_GOOD") else 0
        return np.full(5, code, dtype="<u4").tobytes()

    def _c217(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._chip.dividers[values[0]][1] = 1

    def _c218(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._chip.dividers[values[0]][1] = 0

    def _c219(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        if not 0 <= values[0] <= CONTROL:
            return payload  # no chain is selected
        return self._chip.shift(values[0], payload)

    def _c220(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._chip.dividers[values[0]][0] = values[2]

    def _c230(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.direct(texts[0].decode(), values[1], output=False)

    def _c231(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._pins.direct(texts[0].decode(), values[1], output=True)

    def _c301(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        return self._dump(values[0]).astype("<u2").tobytes()

    def _c302(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        self._chip.dac.write(_TEST_IN, values[0])

    def _c303(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        self._c219(values, texts, payload)
        return _ACKNOWLEDGE

    def _c304(self, values: list[int], texts: list[bytes], payload: bytes) -> None:
        for high in (False, True):
            self._pins.drive("PIC_CLR", high)
        self._chip.dac.word(14 << 20 | values[0])

    # ---- reading

    def _c401(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, mode = (value & 0xFF for value in values)
        self._load(array, row, col)
        self._connect(array, mode != 0)
        self._strobe(mode != 0)
        return self._word(array, col)

    def _c402(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, mode, pause = values
        return self._read_all(array & 0xFF, mode != 0, pause, last_read=True)

    def _c502(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, mode = values
        return self._read_all(array & 0xFF, mode != 0, 0, last_read=False)

    def _read_all(self, array: int, auto: bool, pause: int, last_read: bool) -> bytes:
        chip = self._chip
        self._load(array, SIDE - 1, SIDE - 1)
        self._connect(array, auto)
        if not chip.running:
            raise Stuck("ADC_DONE never comes")
        every = np.ones((SIDE, SIDE), dtype=np.bool_)
        read = chip.benches[array].cell_reads(every, chip.across(array), chip.gate, chip.setting(array, auto), pause)
        self._replies[:] = chip.words(read)[0]
        self._pins.drive("READ_BIT", last_read)
        return self._replies.tobytes()

    def _c403(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, count, mode, _ = values
        array &= 0xFF
        if count > _MOST_VECTORS:
            return b""
        if count <= 0:
            return self._replies[:_ROWS_OF_BLOCK].tobytes()
        chip, auto = self._chip, bool(mode & 2)
        self._only(array)
        masks = np.frombuffer(payload, ">u8").astype(np.uint64)
        rows = (masks[:, None] >> np.arange(SIDE, dtype=np.uint64) & np.uint64(1)).astype(np.bool_)
        chip.select(array, "rows", _banks(np.flatnonzero(rows[-1]), bank_of_row))
        self._connect(array, auto)
        self._pins.drive("READ_DPE", not mode & 1)
        if not chip.running:
            raise Stuck("ADC_DONE never comes")
        read = chip.benches[array].products(rows, chip.across(array), chip.gate, chip.setting(array, auto))
        words = np.where(chip.selected(array)[1], chip.words(read), 0)
        self._replies[:count] = words
        chip.fill(array, words[-1])
        for name in ("CONNECT_COLUMN_T", "CONNECT_TIA", *(f"NFORCE_SAFE{a}" for a in range(ARRAYS)), "READ_BIT"):
            self._pins.drive(name, False)
        return self._replies[: -(-count // _ROWS_OF_BLOCK) * _ROWS_OF_BLOCK].tobytes()

    def _c411(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, _, col, mode = (value & 0xFF for value in values[:4])
        values[7]  # the number of test pulses: it must be there
        self._reset_engine()
        self._chip.convert(mode != 0)
        if not self._chip.done:
            raise Stuck("ADC_DONE never comes")
        return self._word(array, col)

    def _c412(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        if not self._zero_rule:
            return b""
        for array in range(ARRAYS):
            self._pins.drive(f"ARRAY_EN{array}", True)
            self._pins.drive(f"NFORCE_SAFE{array}", True)
        for name in ("CONNECT_TIA", "CONNECT_COLUMN_T"):
            self._pins.drive(name, False)
        for name in ("ADC_SEL_EXTERNAL", "DPE_EXT_OVERRIDE_EN"):
            self._pins.drive(name, True)
        self._pins.drive("DPE_EXT_SH", False)
        self._reset_engine()
        self._pins.drive("DPE_EXT_SH", True)
        if not self._chip.done:
            raise Stuck("ADC_DONE never comes")
        self._pins.drive("DPE_EXT_SH", False)
        return int(self._dump(values[0])[DEPTH - 1]).to_bytes(2, "little")

    # ---- pulsing

    def _c404(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, forward, voltage, gate = values
        voltage, gate = voltage & 0xFFFF, gate & 0xFFFF
        chosen = self._one(array, row, col)
        if (voltage and gate) or not self._zero_rule:
            self._write(array, forward, chosen * np.uint16(voltage), chosen * np.uint16(gate), chosen)
        return _ACKNOWLEDGE

    def _c406(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, row, col, forward, voltage, gate, zero, width = values
        chosen = self._one(array, row, col)
        codes = chosen * np.uint16(voltage & 0xFFFF), chosen * np.uint16(gate & 0xFFFF)
        self._write(array, forward, *codes, chosen, zero, width)
        return _ACKNOWLEDGE

    def _c405(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, forward, row = values
        return self._batch(array, forward, row, payload)

    def _c407(self, values: list[int], texts: list[bytes], payload: bytes) -> bytes:
        array, forward, zero, width, row = values
        if not self._zero_rule:
            return b""  # the command came with the zero rule
        return self._batch(array, forward, row, payload, zero, width if self._leftover is None else self._leftover)

    def _batch(
        self, array: int, forward: int, row: int, payload: bytes, zero: int | None = None, width: int = 0
    ) -> bytes:
        if row < 2 * SIDE:
            self.codes[row : row + 2] = np.frombuffer(payload, "<u2").reshape(2, SIDE)
        if row != 2 * SIDE - 2:
            return b""
        voltage, gate = self.codes[:SIDE], self.codes[SIDE:]
        chosen = (voltage != 0) & (gate != 0) if self._zero_rule else np.ones(voltage.shape, dtype=np.bool_)
        if chosen.any():
            self._write(array, forward, voltage, gate, chosen, zero, width)
        return _ACKNOWLEDGE

    def _write(
        self,
        array: int,
        forward: int,
        voltage: NDArray[np.uint16],
        gate: NDArray[np.uint16],
        chosen: BoolArray,
        zero: int | None = None,
        micros: int = 0,
    ) -> None:
        """Pulses on the chosen cells; `zero` is the code to return to where the controller times them."""
        chip, pins, timed = self._chip, self._pins, zero is not None
        row, col = (int(line) for line in np.argwhere(chosen)[-1])
        self._load(array, row, col)
        pins.drive("WRT_INTERNAL_EN", not timed)
        pins.drive("WRITE_ADD_CAP", False)
        pins.drive("WRITE_SEL_EXT", timed)
        self._reset_engine()
        for number in range(ARRAYS):
            pins.drive(f"NFORCE_SAFE{number}", number == array)
        pins.drive("WRITE_FWD", forward == 1)
        pins.drive("ROW_WRITE_CONNECT" if forward == 1 else "COL_WRITE_CONNECT", True)
        chip.dac.write(_TVDD, int(gate[row, col]))
        chip.dac.write(_VP_PAD, int(voltage[row, col]))
        with chip.firmware_times():
            pins.drive("CONNECT_COLUMN_T", True)
            width = chip.write_width
            if timed:
                width = micros * 1e-6 if micros <= _LONGEST_DELAY else _AT_ONCE
                self.timed_one_cell = np.count_nonzero(chosen) == 1
            volts, gates = (
                np.where(chosen, chip.dac.of_codes(codes, channel), np.nan)
                for codes, channel in ((voltage, _VP_PAD), (gate, _TVDD))
            )
            chip.pulse(array, volts, gates, width)
            pins.drive("CONNECT_COLUMN_T", False)
        pins.drive("ROW_WRITE_CONNECT", False)
        for number in range(ARRAYS):
            pins.drive(f"NFORCE_SAFE{number}", False)
        if zero is not None:
            chip.dac.write(_VP_PAD, zero)
            chip.dac.write(_TVDD, zero)

    # ---- parts of them

    @staticmethod
    def _one(array: int, row: int, col: int) -> BoolArray:
        chosen = np.zeros((SIDE, SIDE), dtype=np.bool_)
        chosen[row, col] = True
        return chosen

    def _only(self, array: int) -> None:
        """One array takes vectors."""
        if not 0 <= array < ARRAYS:
            raise IndexError(f"array {array}")
        for number in range(ARRAYS):
            self._pins.drive(f"ARRAY_EN{number}", number == array)

    def _load(self, array: int, row: int, col: int) -> None:
        if not (0 <= row < SIDE and 0 <= col < SIDE):
            raise IndexError(f"row {row}, column {col}")
        self._only(array)
        self._chip.select(array, "rows", _banks([row], bank_of_row))
        self._chip.select(array, "columns", _banks([col], bank_of_column))

    def _reset_engine(self) -> None:
        for high in (False, True):
            self._pins.drive("NRESET_DPE_ENGINE", high)

    def _connect(self, array: int, auto: bool) -> None:
        self._reset_engine()
        self._pins.drive("AGC_INTERNAL_EN" if auto else "DPE_INTERNAL_EN", True)
        self._pins.drive("READ_BIT", True)
        self._pins.drive("READ_DPE", False)
        for number in range(ARRAYS):
            self._pins.drive(f"NFORCE_SAFE{number}", number == array)
        for name in ("CONNECT_TIA", "CONNECT_COLUMN_T"):
            self._pins.drive(name, True)

    def _strobe(self, auto: bool) -> None:
        for high in (True, False):
            self._pins.drive("AGC_PULSE" if auto else "DPE_PULSE", high)
        if not self._chip.done:
            raise Stuck("ADC_DONE never comes")

    def _word(self, array: int, col: int) -> bytes:
        fifo, word = places(array)
        return int(self._chip.fifos[fifo[col], word[col]]).to_bytes(2, "little")

    def _dump(self, number: int) -> NDArray[np.uint16]:
        return np.asarray(self._chip.fifos[number])


def _banks(lines: Sequence[int] | NDArray[np.intp], place: Callable[[int], tuple[int, int]]) -> NDArray[np.uint16]:
    """The four banks of 16 bits that select these lines."""
    banks = np.zeros(4, dtype=np.uint16)
    for line in lines:
        bank, bit = place(int(line))
        banks[bank] |= np.uint16(1 << bit)
    return banks
