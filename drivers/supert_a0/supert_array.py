"""`SuperTArray`: an array of a superT A0 board behind the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers.operation_clock import OperationClock
from drivers.supert_a0 import electrode_sequences as sequences
from drivers.supert_a0 import wire
from drivers.supert_a0.controller import Board, Setup
from drivers.supert_a0.convert import DAC_OFFSET, DAC_STEP, dac_code, read_steps
from drivers.supert_a0.reading import (
    INPUT_BITS,
    SHIFTS,
    UNARY_BITS,
    Reading,
    currents,
    packed,
    train_currents,
    two_step,
)
from drivers.taox_cells import READ_VOLTAGE, RECIPE, WINDOW, limits
from imssa_lab.contract import safe_stop
from imssa_lab.contract.array_types import (
    TWIN_PROFILE,
    ArrayInfo,
    BoolArray,
    Durations,
    FloatArray,
    Pulses,
    Readout,
)
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import Programmer, PulseKind

_FLOATING_AUTOGAIN = 3  # rows that are not driven float
READ_PAUSE = 500
"""us between the reads of single cells: without it they sag at 50 MHz."""
_CELL_TIME, _VECTOR_TIME, _PULSE_TIME = 0.22e-3, 0.55e-3, 0.1e-3  # s beside pauses and widths
_INTERNAL_CYCLES = 253
_VECTORS_AT_ONCE = 8 * wire.MAX_VECTORS  # under one deadline: a dead board is noticed within seconds
_CUT_OFF = [tuple(sequences.cut_off(array)) for array in range(wire.ARRAYS)]
LIMITS = limits(shortest=20e-9)


class SuperTArray(OperationClock):
    """Array `index` of a board, or the block of its first rows and columns.

    Signed voltages are read in two passes, products by pulse trains, up to 60 vectors a command. The board has no
    clock: `time` adds up what operations and waits take.

    Args:
        reading: how it is read.
        pulses: of more than 5.06 us: "batch" by command 407, whose width is undefined in a firmware built without
            its trace print; "single" by command 406, one cell each, acknowledged one by one.
        sleep: lets time pass; a virtual board moves its own clock.
    """

    def __init__(
        self,
        board: Board,
        index: int = 0,
        shape: tuple[int, int] = (wire.SIDE, wire.SIDE),
        sleep: Callable[[float], None] = safe_stop.sleep,
        reading: Reading | None = None,
        pulses: Literal["batch", "single"] = "batch",
    ) -> None:
        if not (0 <= index < wire.ARRAYS and all(1 <= size <= wire.SIDE for size in shape)):
            raise LimitError(f"superT A0: array {index}, block {shape}; there are arrays 0 to 2 of 64 x 64 cells")
        self._reading, self._single_pulses = reading or Reading(), pulses == "single"
        super().__init__(
            ArrayInfo(
                name=f"superT A0 array {index}",
                serial=f"{board.name} array {index}",  # the board has no serial number
                rows=shape[0],
                cols=shape[1],
                window=WINDOW,
                limits=LIMITS,
                read_voltage=read_steps(READ_VOLTAGE) * DAC_STEP,
                input_coding=self._reading.inputs,
                input_bits=INPUT_BITS if self._reading.inputs == "bit-serial" else UNARY_BITS,
                input_signed=True,
                input_passes=2,
                durations=_durations(self._reading, shape),
                provenance={
                    "port": board.name,
                    "firmware": "8 December 2019 or later",
                    "reading": str(self._reading),
                    "TIA reference": f"{sequences.TIA_REFERENCE:g} V",
                    TWIN_PROFILE: "supert-a0",
                },
            )
        )
        self._board = board
        self._index = index
        self._sleep = sleep
        self._clock = 0.0
        board.join()

    @property
    def board(self) -> Board:
        """The board it is on."""
        return self._board

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        full = self._info.limits.read_voltage
        step = full / self._reading.levels
        numbers = np.rint(np.abs(voltages) / step).astype(np.uint8)
        current = self._trains(np.where(voltages > 0, numbers, 0))
        negative = (voltages < 0).any(axis=1)
        if negative.any():
            current[negative] -= self._trains(np.where(voltages < 0, numbers, 0)[negative])
        return Readout(current * (full / _driven(full)))

    def _trains(self, numbers: NDArray[np.uint8]) -> FloatArray:
        """Products in A, (n, cols), of vectors of numbers (n, rows): the pulses of a vector one after another."""
        pulses, counts = self._reading.train(numbers)
        driven, voltage = pulses.reshape(-1, self._info.rows), self._info.limits.read_voltage
        if self._reading.adc == "single":
            return train_currents(self._words(driven)(self._setup("products", voltage, 0.0)), counts)
        by_vector = self._products(driven, voltage).reshape(-1, len(counts), self._info.cols)
        return np.asarray((counts[:, None] * by_vector).sum(axis=1) / self._reading.levels)

    def _products(self, driven: BoolArray, voltage: float) -> FloatArray:
        """Products in A, (n, cols), of rows (n, rows) that are driven or not, to `voltage` or the step below."""
        return self._amperes(self._words(driven), "products", voltage)

    def _words(self, driven: BoolArray) -> Callable[[Setup], NDArray[np.uint16]]:
        """What reads the words, (n, cols), of products of rows (n, rows) that are driven or not."""
        masks = packed(driven)

        def read(setup: Setup) -> NDArray[np.uint16]:
            words = []
            for start in range(0, len(masks), _VECTORS_AT_ONCE):
                safe_stop.SafeStop.give_way()
                some = masks[start : start + _VECTORS_AT_ONCE]
                commands = [
                    wire.Products(self._index, len(part), _FLOATING_AUTOGAIN, 0, part.tobytes())
                    for part in np.split(some, range(wire.MAX_VECTORS, len(some), wire.MAX_VECTORS))
                ]
                seconds = len(some) * _VECTOR_TIME
                replies = self._board.send_each(setup, commands, seconds)
                words += [command.words(reply) for command, reply in zip(commands, replies, strict=True)]
                self._clock += seconds
            return np.concatenate(words)[:, : self._info.cols]

        return read

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        reads = np.zeros((averages, *self._info.shape))
        voltage = min(self._info.read_voltage, self._info.limits.read_voltage)
        for read in reads:
            safe_stop.SafeStop.give_way()
            if self._reading.cells == "rows":
                rows = np.flatnonzero(mask.any(axis=1))
                read[rows] = self._products(np.arange(self._info.rows) == rows[:, None], voltage)
            elif np.count_nonzero(mask) > self._info.rows:  # below that single reads are the faster way
                read[:] = self._amperes(self._read_all, "cells", voltage)
            else:
                read[mask] = self._amperes(lambda setup: self._read_some(setup, mask), "cells", voltage)
        scale = self._info.read_voltage / _driven(voltage)
        return Readout(reads if scale == 1.0 else reads * scale)

    def _read_all(self, setup: Setup) -> NDArray[np.uint16]:
        seconds = wire.SIDE**2 * (_CELL_TIME + READ_PAUSE * 1e-6)
        reply = self._board.send(setup, wire.ReadArray(self._index, pause=READ_PAUSE), _CUT_OFF[self._index], seconds)
        self._clock += seconds
        return np.frombuffer(reply, "<u2").reshape(wire.SIDE, wire.SIDE)[: self._info.rows, : self._info.cols]

    def _read_some(self, setup: Setup, mask: BoolArray) -> NDArray[np.uint16]:
        cells = np.argwhere(mask).tolist()
        replies = [
            self._board.send(setup, wire.ReadCell(self._index, *cell), _CUT_OFF[self._index]) for cell in cells
        ]
        self._clock += len(cells) * _CELL_TIME
        return np.frombuffer(b"".join(replies), "<u2")

    def _amperes(self, read: Callable[[Setup], NDArray[np.uint16]], what: str, voltage: float) -> FloatArray:
        """Currents in A from words that `read` gives, once or once for every ADC reference."""
        if self._reading.adc == "single":
            return currents(read(self._setup(what, voltage, 0.0)))
        return two_step({shift: read(self._setup(what, voltage, shift)) for shift in SHIFTS})

    def _setup(self, what: str, voltage: float, shift: float) -> Setup:
        def commands() -> list[wire.Command]:
            setup = sequences.before_reading(voltage, shift)
            return setup + sequences.enable_columns(self._index, self._info.cols) if what == "products" else setup

        return Setup(commands, (what, self._index, self._info.cols, read_steps(voltage), shift))

    def _apply_pulses(self, pulses: Pulses) -> None:
        internal, length = pulse_length(pulses.width)
        if self._single_pulses and not internal:
            self._pulse_singly(pulses, length)
            return
        if not internal:
            self._board.try_timing(self._index)
        voltage, gate = self._codes(pulses.voltage), self._codes(pulses.gate)
        forward = int(pulses.kind is PulseKind.SET)
        if internal:
            batch: list[wire.Command] = [
                wire.PulsesInternal(self._index, forward, row, data) for row, data in wire.packets(voltage, gate)
            ]
        else:
            batch = [
                wire.PulsesExternal(self._index, forward, sequences.ZERO_CODE, length, row, data)
                for row, data in wire.packets(voltage, gate)
            ]
        seconds = int(np.count_nonzero(pulses.mask)) * (_PULSE_TIME + pulses.width)
        setup = sequences.before_pulsing(length + 1 if internal else None)
        self._board.send(Setup(lambda: setup, packets=batch[:-1]), batch[-1], sequences.after_pulsing(), seconds)
        self._clock += seconds

    def _pulse_singly(self, pulses: Pulses, length: int) -> None:
        """Pulses that the controller times, one command and one acknowledgement a cell."""
        forward, zero = int(pulses.kind is PulseKind.SET), sequences.ZERO_CODE
        codes = self._codes(pulses.voltage), self._codes(pulses.gate)
        commands = [
            wire.PulseExternal(
                self._index, row, col, forward, int(codes[0][row, col]), int(codes[1][row, col]), zero, length
            )
            for row, col in np.argwhere(pulses.mask).tolist()
        ]
        seconds = len(commands) * (_PULSE_TIME + pulses.width)
        setup = Setup(lambda: sequences.before_pulsing(None))
        self._board.send_each(setup, commands, seconds, sequences.after_pulsing())
        self._clock += seconds

    def _codes(self, values: FloatArray) -> NDArray[np.uint16]:
        """DAC codes for the whole array, 0 where nothing is to happen."""
        codes = np.zeros((wire.SIDE, wire.SIDE), dtype=np.uint16)
        given = ~np.isnan(values)
        codes[: values.shape[0], : values.shape[1]][given] = dac_code(values[given], DAC_OFFSET)
        return codes

    def _lower(self, lowered: ArrayInfo) -> None:
        """A lower read limit lowers the row plane at the next reading: it needs only be one that there is."""
        read_steps(lowered.limits.read_voltage)

    def _default_programmer(self) -> Programmer:
        return RECIPE

    def _make_safe(self) -> None:
        if not self._board.link.closed:
            self._board.make_safe()

    def _close(self) -> None:
        self._board.leave()


def _driven(voltage: float) -> float:
    """What the cells see, V, where `voltage` is asked: the step of the converter below it."""
    return read_steps(voltage) * DAC_STEP


def _durations(reading: Reading, shape: tuple[int, int]) -> Durations:
    """What operations on a block of this shape take: a vector is read in two passes, cells all together."""
    rows, cols = shape
    whole = rows * _VECTOR_TIME if reading.cells == "rows" else wire.SIDE**2 * (_CELL_TIME + READ_PAUSE * 1e-6)
    return Durations(
        product=2 * reading.steps * reading.pulses * _VECTOR_TIME,
        cell_read=reading.steps * whole / (rows * cols),
        pulse=_PULSE_TIME,
    )


def pulse_length(width: float) -> tuple[bool, int]:
    """How a pulse of `width` s is timed: by the chip (True) in clock cycles, or by the controller (False) in us.

    >>> pulse_length(1e-6), pulse_length(10e-6)
    ((True, 50), (False, 10))

    Raises:
        LimitError: the board cannot give this width.
    """
    cycles, micros = width * sequences.CLOCK, width * 1e6
    if round(cycles) <= _INTERNAL_CYCLES:
        if abs(cycles - round(cycles)) < 1e-6 * cycles and round(cycles) >= 1:
            return True, round(cycles)
    elif abs(micros - round(micros)) < 1e-6 * micros and round(micros) <= wire.LONGEST_DELAY:
        return False, round(micros)
    raise LimitError(
        f"superT A0: width {width:g} s asked; it gives whole multiples of 20 ns up to 5.06 us, "
        "and whole microseconds above that up to 21.47 s"
    )
