"""`OpenMenaArray`: the 8 x 8 crossbar on an OpenMENA shield of an Arduino Due."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drivers.links import Exchange, Link, Stream
from drivers.openmena import wire
from drivers.operation_clock import OperationClock
from imssa_lab.contract import safe_stop
from imssa_lab.contract.array_types import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    Durations,
    FloatArray,
    Limits,
    PulseLimits,
    Pulses,
    Readout,
    Window,
)
from imssa_lab.contract.errors import ImssaError, InstrumentError, LimitError, LinkCorrupt, WrongInstrument
from imssa_lab.contract.hal import Programmer, PulseKind
from imssa_lab.contract.safe_stop import SafeStop
from protocols.programmers.hysteretic import WriteVerify

GATE = 1.0
"""V; what a pulse must name as its gate: the cells have none, and the value goes nowhere."""
_SHORTEST, _LONGEST = 1e-6, 0.1  # s of a pulse
_VECTOR, _PULSE, _SETTING = 1.045, 15e-3, 16e-3  # s: the pauses of the firmware
_TOGETHER = 16
"""Vectors of one message: the controller keeps line and results in 96 kB."""
_PATIENCE = 5.0  # s beside the pauses; a board that restarts at opening is back after two
_QUESTIONS = 99


@dataclass(frozen=True)
class Cells:
    """What the chip in the socket takes: the board cannot say, and drives most chips to death.

    Attributes:
        set_max, reset_max: V across a cell; window: S.
        gain: V per A of the column amplifiers, as their trimmers are set.
        read: V on a word line while reading.
    """

    set_max: float
    reset_max: float
    window: Window
    gain: float
    read: float = 0.05


class OpenMenaArray(OperationClock):
    """The contract over the firmware's three commands: read, pulse, all lines to rest.

    A read gives the mean of 20 readings of every bit line, taken against a read of all word lines at rest in the same
    message: that takes away the offset of the amplifiers, and that rest lies half a code beside the virtual ground.
    A pulse is not answered; a question that drives nothing follows each, so that a refused or lost one is noticed.
    The switches are open between operations. There is no clock, no watchdog and no checksum.

    Args:
        stream: taken over; cells: what the chip takes.
        sleep: lets time pass.

    Raises:
        LinkError: no answer, or another instrument (WrongInstrument).
    """

    def __init__(self, stream: Stream, cells: Cells, sleep: Callable[[float], None] = safe_stop.sleep) -> None:
        self._sleep = sleep
        self._clock = 0.0
        self._numbers = itertools.cycle(range(1, _QUESTIONS + 1))
        self._cells = cells
        self.link = Link(stream, self._handshake, _PATIENCE)
        scale = wire.ADC_SUPPLY / wire.RANGE / wire.REPEATS / cells.gain
        super().__init__(
            ArrayInfo(
                name="OpenMENA",
                serial=self.link.name,
                rows=wire.LINES,
                cols=wire.LINES,
                window=cells.window,
                limits=Limits(read_voltage=cells.read, set=_pulses(cells.set_max), reset=_pulses(cells.reset_max)),
                read_voltage=cells.read,
                input_coding="analog",
                input_signed=False,
                adc=AdcRanges(bits=18, signed=True, scale=(scale,), offset=(0.0,)),
                durations=Durations(product=_VECTOR, cell_read=_VECTOR / wire.LINES, pulse=_PULSE),
                provenance={
                    "gain": f"{cells.gain:g} V/A, as given",
                    "gates": "none; those of pulses go nowhere",
                    "input step": f"{wire.STEP:.3g} V",
                },
            )
        )
        try:
            self._make_safe()
        except BaseException:
            self.link.close()
            raise

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        steps = np.minimum(np.round(voltages / wire.STEP), np.floor(self._info.limits.read_voltage / wire.STEP))
        return self._readout(self._sums(steps.astype(np.int64)))

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        driven = int(self._info.read_voltage / wire.STEP)
        rows = np.flatnonzero(mask.any(axis=1))
        vectors = np.tile(driven * np.eye(wire.LINES, dtype=np.int64)[rows], (averages, 1))
        reads = np.zeros((averages, *self._info.shape))
        if len(rows):
            reads[:, rows] = self._sums(vectors).reshape(averages, len(rows), wire.LINES)
            # the contract divides by the voltage that was asked for
            reads *= self._info.read_voltage / (driven * wire.STEP)
        return self._readout(np.round(reads).astype(np.int32))

    @staticmethod
    def _readout(sums: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> Readout:
        return Readout(sums, np.zeros(sums.shape, np.uint8))

    def _sums(
        self, steps: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        """Sums of readings, (n, 8), for word lines so many steps above rest, (n, 8)."""
        found = []
        for start in range(0, len(steps), _TOGETHER):
            SafeStop.give_way()
            codes = wire.REST + np.vstack([np.zeros((1, wire.LINES), np.int64), steps[start : start + _TOGETHER]])
            seconds = len(codes) * _VECTOR
            with self.link.exchange(_PATIENCE + seconds) as talk:
                talk.send(wire.read(codes))
                self._expect(talk, wire.RUNNING)
                self._expect(talk, wire.READ_BEGINS)
                sums = np.array([wire.averages(talk.line()) for _ in codes])
                self._expect(talk, wire.READ_ENDS)
            self._clock += seconds
            full = np.argwhere(sums == wire.REPEATS * wire.RANGE)
            if len(full):
                raise ImssaError(
                    f"{self.info.name}: bit line {full[0][1]} reads the end of its converter; lower its amplifier "
                    "(trimmer, and gain in the address), or the read voltage"
                )
            found.append(sums[1:] - sums[0])
        return np.concatenate(found)

    def _apply_pulses(self, pulses: Pulses) -> None:
        micros = round(1e6 * pulses.width)
        if abs(1e6 * pulses.width - micros) > 1e-3:
            raise LimitError(
                f"{self._info.name}: pulses last whole microseconds, {pulses.width:g} s asked; nothing was pulsed"
            )
        forward = pulses.kind is not PulseKind.RESET
        for row, col in np.argwhere(pulses.mask):
            SafeStop.give_way()
            message = wire.pulse(int(row), int(col), forward, float(pulses.voltage[row, col]), micros)
            with self.link.exchange(_PATIENCE + 2 * pulses.width) as talk:
                talk.send(message)
                self._ask(talk)
            self._clock += _PULSE + 2 * pulses.width

    def _ask(self, talk: Exchange) -> None:
        """Everything before is done once this is answered."""
        number = next(self._numbers)
        talk.send(wire.question(number))
        self._expect(talk, wire.reply(number))

    def _expect(self, talk: Exchange, start: bytes) -> None:
        line = talk.line()
        if line.startswith((b"Invalid arguments", b"Error: ")) and not line.startswith(start):
            raise InstrumentError(0, line.decode("utf-8", "replace"))
        if not line.startswith(start):
            raise LinkCorrupt(f"{self.link.name}: {start!r} was expected, got {line[:60]!r}; ask again")

    def _handshake(self, talk: Exchange) -> None:
        number = next(self._numbers)
        talk.send(b"\n" + wire.question(number))  # the line feed ends what a message before may have left
        strange = b""
        for _ in range(1000):  # answers of before, and what the board says when it starts
            line = talk.line()
            if line.startswith(b"BUSY"):
                raise WrongInstrument(f"{talk.name}: {line.decode('ascii', 'replace')}")
            if line == wire.reply(number):
                return
            strange = line or strange
        raise WrongInstrument(f"{talk.name}: answers {strange[:60]!r}, but not as an OpenMENA board does")

    def _lower(self, lowered: ArrayInfo) -> None:
        """Every read asks `info`."""

    def _default_programmer(self) -> Programmer:
        """Up in one pulse, down in steps: without a gate nothing else limits a SET."""
        span, most = self._cells.window.span, self._info.limits
        return WriteVerify(
            tolerance_in=0.03 * span,
            tolerance_out=0.07 * span,
            set_voltage=(0.6 * most.set.voltage_max, most.set.voltage_max, 0.05 * most.set.voltage_max),
            set_gate=(GATE, GATE, GATE),
            set_width=1e-3,
            reset_voltage=(0.2 * most.reset.voltage_max, most.reset.voltage_max, 0.015 * most.reset.voltage_max),
            reset_gate=(GATE, GATE, GATE),
            reset_width=1e-3,
            max_steps=400,
        )

    def _make_safe(self) -> None:
        if self.link.closed:
            return
        with self.link.exchange(_PATIENCE) as talk:
            talk.send(wire.at_rest())
            self._expect(talk, wire.LINES_SET)
            self._expect(talk, b"AD5593R DAC0: ")
            self._ask(talk)
        self._clock += _SETTING

    def _close(self) -> None:
        self.link.close()


def _pulses(most: float) -> PulseLimits:
    return PulseLimits(voltage_max=most, gate_max=GATE, width_min=_SHORTEST, width_max=_LONGEST)
