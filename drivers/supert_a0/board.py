"""The superT A0 board: three `CrossbarArray`s on one serial link."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.links import Exchange, Link, Stream
from drivers.supert_a0 import sequences, wire
from drivers.supert_a0.convert import TIA_RESISTANCES, dac_code, unpack
from imssa_lab.array_types import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    FloatArray,
    Limits,
    PulseLimits,
    Pulses,
    Readout,
    Window,
)
from imssa_lab.errors import LimitError, LinkCorrupt, LinkTimeout, WrongInstrument
from imssa_lab.hal import CrossbarArray, Programmer, PulseKind
from protocols.write_verify import WriteVerify

READ_VOLTAGE = 0.2
INPUT_BITS = 8
_FLOATING_AUTOGAIN = 3  # rows that are not driven float
READ_PAUSE = 500
"""us between the reads of single cells: without it they sag at 50 MHz."""
_CELL_TIME, _VECTOR_TIME, _PULSE_TIME = 0.22e-3, 0.55e-3, 0.1e-3  # s beside pauses and widths
_SLACK = 2.0
_MARGIN = 1.5
_INTERNAL_CYCLES = 253
_CUT_OFF = tuple(sequences.cut_off())
_BARRIER = wire.Barrier()
LIMITS = Limits(
    read_voltage=READ_VOLTAGE,
    set=PulseLimits(voltage_max=3.5, gate_max=2.1, width_min=20e-9, width_max=10e-3),
    reset=PulseLimits(voltage_max=3.0, gate_max=5.5, width_min=20e-9, width_max=100e-3),
)
RECIPE = WriteVerify(
    tolerance_in=4e-6,
    tolerance_out=10e-6,
    set_voltage=(1.0, 3.0, 1.0),
    set_gate=(0.4, 1.4, 0.05),
    set_width=10e-6,
    reset_voltage=(0.5, 2.5, 0.05),
    reset_gate=(5.0, 5.5, 0.5),
    reset_width=1e-3,
    max_steps=300,
)
ADC = AdcRanges(bits=10, scale=tuple(3.5 / r / 1023 for r in TIA_RESISTANCES), offset=(0.0,) * len(TIA_RESISTANCES))


class Board:
    """The controller: commands in order, replies by length, power and clocks.

    Args:
        stream: a serial port; taken over.

    Raises:
        LinkError: nobody answers, or not a superT A0 with the firmware of 8 December 2019 (WrongInstrument).
    """

    def __init__(self, stream: Stream, timeout: float = _SLACK) -> None:
        self.link = Link(stream, shake_hands, timeout)
        self._users = 0
        self._ready_for: object = None
        try:
            self.send(sequences.power_up())
            self._require_zero_rule()
        except BaseException:
            self.link.close()
            raise

    @property
    def name(self) -> str:
        """The port."""
        return self.link.name

    def send(
        self,
        commands: Iterable[wire.Command],
        last: wire.Command | None = None,
        after: Iterable[wire.Command] = (),
        seconds: float = 0.0,
    ) -> bytes:
        """Commands one after another, each one write; gives the reply of `last`.

        A barrier ends it: what it answers shows that all are done, and that no byte came too many or too few.

        Args:
            seconds: how long `last` works.

        Raises:
            LinkError: a missing, short or wrong reply.
        """
        with self.link.exchange(self.link.timeout + _MARGIN * seconds) as talk:
            for command in commands:
                self._one(talk, command)
            reply = b"" if last is None else self._one(talk, last)
            for command in after:
                self._one(talk, command)
            wire.check_barrier(self._one(talk, _BARRIER))
            talk.end()
        return reply

    def _one(self, talk: Exchange, command: wire.Command) -> bytes:
        talk.send(command.encode())
        reply = talk.exactly(command.reply) if command.reply else b""
        if command.reply == len(wire.ACKNOWLEDGE):
            wire.check_acknowledged(reply, command.number)
        return reply

    def configure(self, state: tuple[Any, ...], commands: Callable[[], list[wire.Command]]) -> list[wire.Command]:
        """The commands that bring the board to `state`, none if it is there: it stays so until something else is."""
        if self._ready_for == (state, self.link.resynchronised):
            return []
        self._ready_for = (state, self.link.resynchronised)
        return commands()

    def forget_state(self) -> None:
        """The next operation configures anew."""
        self._ready_for = None

    def make_safe(self) -> None:
        """Outputs to 0 V and arrays cut off; done when the board says so."""
        self.forget_state()
        self.send(sequences.safe())

    def join(self) -> None:
        """One more array uses the board."""
        self._users += 1

    def leave(self) -> None:
        """One array fewer; the last one switches the power off and lets go of the port."""
        self._users -= 1
        if self._users == 0 and not self.link.closed:
            try:
                self.send(sequences.power_down())
            finally:
                self.link.close()

    def _require_zero_rule(self) -> None:
        """Older firmware drives -10 V into cells that are left alone; it does not know command 407 either."""
        nothing = np.zeros((wire.SIDE, wire.SIDE), dtype=np.uint16)
        empty = [
            wire.PulsesExternal(0, 1, sequences.ZERO_CODE, 1, row, data)
            for row, data in wire.packets(nothing, nothing)
        ]
        try:
            self.send(empty[:-1], empty[-1])
        except LinkTimeout as error:
            raise WrongInstrument(
                f"{self.name}: its firmware is older than 8 December 2019, which drives -10 V into cells that are to "
                "be left alone; nothing was pulsed, program the board with that firmware first"
            ) from error


def shake_hands(talk: Exchange) -> None:
    """The fixed pattern of the board, and nothing after it."""
    talk.send(wire.Handshake().encode())
    got = talk.exactly(len(wire.PATTERN))
    if got != wire.PATTERN:
        raise LinkCorrupt(f"{talk.name}: the handshake was answered {got[:12].hex(' ')}...; is this a superT A0?")
    time.sleep(0.01)  # a late answer to something before may still be coming


class SuperTArray(CrossbarArray):
    """Array `index` of a board, or the block of its first rows and columns.

    Signed voltages are read in two passes. The board has no clock: `time` adds up what operations and waits take.

    Args:
        sleep: lets time pass; a virtual board moves its own clock.
    """

    def __init__(
        self,
        board: Board,
        index: int = 0,
        shape: tuple[int, int] = (wire.SIDE, wire.SIDE),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not (0 <= index < wire.ARRAYS and all(1 <= size <= wire.SIDE for size in shape)):
            raise LimitError(f"superT A0: array {index}, block {shape}; there are arrays 0 to 2 of 64 x 64 cells")
        super().__init__(
            ArrayInfo(
                name=f"superT A0 array {index}",
                serial=f"{board.name} array {index}",  # the board has no serial number
                rows=shape[0],
                cols=shape[1],
                window=Window(low=2e-6, high=150e-6),
                limits=LIMITS,
                read_voltage=READ_VOLTAGE,
                input_coding="bit-serial",
                input_bits=INPUT_BITS,
                input_signed=True,
                provenance={"port": board.name, "firmware": "8 December 2019 or later", "adc": "single step"},
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
        step = self._info.limits.read_voltage / (2**INPUT_BITS - 1)
        numbers = np.rint(np.abs(voltages) / step).astype(np.uint8)
        current = self._products(np.where(voltages > 0, numbers, 0))
        negative = (voltages < 0).any(axis=1)
        if negative.any():
            current[negative] -= self._products(np.where(voltages < 0, numbers, 0)[negative])
        return Readout(current)

    def _products(self, numbers: NDArray[np.uint8]) -> FloatArray:
        """Bit-serial products in A, (n, cols), of vectors of numbers (n, rows): the planes of a vector in a row."""
        masks = _masks(numbers)
        parts = []
        for start in range(0, len(masks), wire.MAX_VECTORS):
            some = masks[start : start + wire.MAX_VECTORS]
            command = wire.Products(self._index, len(some), _FLOATING_AUTOGAIN, 0, some.tobytes())
            seconds = len(some) * _VECTOR_TIME
            reply = self._board.send(self._read_setup("products"), command, (), seconds)
            self._clock += seconds
            parts.append(command.words(reply))
        current = self._amperes(np.concatenate(parts)[:, : self._info.cols])
        by_vector = current.reshape(-1, INPUT_BITS, self._info.cols)
        total = 1 / (2**INPUT_BITS - 1) * by_vector[:, 0]
        for bit in range(1, INPUT_BITS):
            total = total + 2**bit / (2**INPUT_BITS - 1) * by_vector[:, bit]
        return np.asarray(total)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        every = np.count_nonzero(mask) > self._info.rows  # below that single reads are the faster way
        reads = np.zeros((averages, *self._info.shape))
        for read in reads:
            if every:
                read[:] = self._read_all()
            else:
                for row, col in np.argwhere(mask):
                    read[row, col] = self._read_one(int(row), int(col))
        return Readout(reads)

    def _read_all(self) -> FloatArray:
        seconds = wire.SIDE**2 * (_CELL_TIME + READ_PAUSE * 1e-6)
        reply = self._board.send(
            self._read_setup("cells"), wire.ReadArray(self._index, pause=READ_PAUSE), _CUT_OFF, seconds
        )
        self._clock += seconds
        words = np.frombuffer(reply, "<u2").reshape(wire.SIDE, wire.SIDE)
        return self._amperes(words)[: self._info.rows, : self._info.cols]

    def _read_one(self, row: int, col: int) -> float:
        reply = self._board.send(self._read_setup("cells"), wire.ReadCell(self._index, row, col), _CUT_OFF)
        self._clock += _CELL_TIME
        return float(self._amperes(np.frombuffer(reply, "<u2"))[0])

    def _read_setup(self, what: str) -> list[wire.Command]:
        def commands() -> list[wire.Command]:
            setup = sequences.before_reading(READ_VOLTAGE)
            return setup + sequences.enable_columns(self._index, self._info.cols) if what == "products" else setup

        return self._board.configure((what, self._index, self._info.cols), commands)

    @staticmethod
    def _amperes(words: NDArray[np.uint16]) -> FloatArray:
        code, gain = unpack(words)
        return Readout(code.astype(np.int16), gain.astype(np.uint8)).current(ADC)

    def _apply_pulses(self, pulses: Pulses) -> None:
        internal, length = pulse_length(pulses.width)
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
        self._board.forget_state()
        setup = sequences.before_pulsing(length + 1 if internal else None)
        self._board.send([*setup, *batch[:-1]], batch[-1], sequences.after_pulsing(), seconds)
        self._clock += seconds

    def _codes(self, values: FloatArray) -> NDArray[np.uint16]:
        """DAC codes for the whole array, 0 where nothing is to happen."""
        codes = np.zeros((wire.SIDE, wire.SIDE), dtype=np.uint16)
        given = ~np.isnan(values)
        codes[: values.shape[0], : values.shape[1]][given] = dac_code(values[given])
        return codes

    def _default_programmer(self) -> Programmer:
        return RECIPE

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)
        self._clock += seconds

    def _time(self) -> float:
        return self._clock

    def _make_safe(self) -> None:
        if not self._board.link.closed:
            self._board.make_safe()

    def _close(self) -> None:
        self._board.leave()


def _masks(numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bit planes of vectors of numbers (n, rows), lowest bit first, as masks of rows: (8 n, 8) bytes."""
    planes = numbers[:, None, :] >> np.arange(INPUT_BITS, dtype=np.uint8)[:, None] & 1
    bits = np.zeros((len(numbers) * INPUT_BITS, wire.SIDE), dtype=np.uint8)
    bits[:, : numbers.shape[1]] = planes.reshape(len(bits), -1)
    return np.packbits(bits[:, ::-1], axis=1)  # row 63 is the top bit of the first byte


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


class Boards:
    """Boards that are open in this program, by port: three arrays share one port, which only one program can have."""

    def __init__(self) -> None:
        self._boards: dict[str, Board] = {}
        self._lock = threading.Lock()

    def get(self, port: str, connect: Callable[[], Board]) -> Board:
        """The open board at this port, or a new one."""
        with self._lock:
            board = self._boards.get(port)
            if board is None or board.link.closed:
                board = self._boards[port] = connect()
            return board
