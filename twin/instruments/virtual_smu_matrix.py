"""A twin wired to two source-measure units and a switch matrix: what each of the three instruments does to it.

The 2400 and 2450 as far as drivers of crossbars use them, the 7001 and the 707; see docs/smu_matrix.md.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import PulseKind, Pulses
from twin.instruments.bench_twin import BenchTwin
from twin.instruments.scpi_message import CommandTree, Framer, ScpiError, boolean, number, split
from twin.instruments.scpi_status import Status
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile

_HIGH, _LOW, _GATE = 0, 1, 2
_GATE_OPENS = 0.3  # V below which no transistor conducts
_LARGEST = 21.0  # V
_LONGEST = 9999.999  # s


def meter_profile(profile: TwinProfile | str) -> TwinProfile:
    """The profile as source-measure units see the cells: no converters and no column amplifiers, both signs."""
    loaded = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
    columns = loaded.columns.model_copy(update={"gain": 1.0, "gain_spread": 0.0, "offset_spread": 0.0})
    inputs = Inputs(coding="analog", bits=None, full_scale=loaded.inputs.full_scale, signed=True)
    return loaded.model_copy(update={"adc": None, "columns": columns, "inputs": inputs})


class Wiring:
    """Which crosspoints are closed, and what current flows for a voltage between the high and the low terminal.

    Args:
        open_lines: matrix columns without a contact to the chip.
    """

    def __init__(self, bench: BenchTwin, open_lines: frozenset[int] = frozenset()) -> None:
        self.bench = bench
        self.closed: set[tuple[int, int]] = set()
        self.gate_level = 0.0
        self._open_lines = open_lines

    def _cells(self) -> tuple[PulseKind, np.ndarray]:
        """Direction, and which cells the source sees."""
        rows, cols = self.bench.info.shape
        lines = [
            {c for r, c in self.closed if r == terminal and c not in self._open_lines}
            for terminal in (_HIGH, _LOW, _GATE)
        ]
        high, low, gates = lines
        kind = PulseKind.SET if all(line < rows for line in high) else PulseKind.RESET
        words, bits = (high, low) if kind is PulseKind.SET else (low, high)
        seen = np.zeros((rows, cols), dtype=np.bool_)
        if self.gate_level > _GATE_OPENS:
            for word in words:
                if word < rows and rows + cols + word in gates:
                    seen[word, [bit - rows for bit in bits if rows <= bit < rows + cols]] = True
        return kind, seen

    def currents(self, levels: FloatArray, hold: float) -> FloatArray:
        """A, for levels (n,) in V; those above the read voltage are pulses of `hold` s."""
        kind, seen = self._cells()
        limit = self.bench.info.limits.read_voltage
        if not seen.any():
            return np.zeros(len(levels))
        found = np.zeros(len(levels))
        small = np.abs(levels) <= limit
        if levels[small].any():
            driven = np.where(seen.any(axis=1), levels[small][:, None], 0.0)
            found[small] = self.bench.read_mvm(driven, raw=True)[:, seen.any(axis=0)].sum(axis=1)
        for at in np.flatnonzero(~small):
            level = float(levels[at])
            found[at] = level * self.bench.cells.conductance[seen].sum()
            self.bench.apply_pulses(Pulses.on(seen, kind, level, self.gate_level, hold))
        return found


class _Scpi:
    """What the instruments have in common; a part of `Instrument`."""

    watchdog = 0.0
    paced = False
    incomplete_after = 0.25
    kind = "instrument"

    def __init__(self, wiring: Wiring, identity: str) -> None:
        self._wiring = wiring
        self._framer = Framer()
        self._tree = CommandTree()
        self.status = Status(identity)
        self.status.add_to(self._tree)

    @property
    def bench(self) -> BenchTwin:
        """The twin behind all three."""
        return self._wiring.bench

    @property
    def unfinished(self) -> bool:
        """Whether part of a message waits for the rest."""
        return self._framer.unfinished

    def forget(self) -> None:
        """Drop part of a message."""
        self._framer.clear()

    def fail(self) -> None:
        """An entry in the error queue."""
        self.status.error(-240, "Hardware error; over temperature")

    def receive(self, data: bytes) -> list[bytes]:
        """The answers to all messages that are complete with these bytes."""
        answers = (self._execute(message) for message in self._framer.feed(data))
        return [answer + b"\n" for answer in answers if answer]

    def _execute(self, message: bytes) -> bytes:
        return self.status.run(self._tree, message)


class Meter(_Scpi):
    """A 2400 or 2450.

    Args:
        gates: whether it feeds the gates instead of the cells.
    """

    def __init__(self, wiring: Wiring, model: str = "2400", gates: bool = False) -> None:
        super().__init__(wiring, f"KEITHLEY INSTRUMENTS INC.,MODEL {model},{'2' if gates else '1'},C30")
        self.kind = f"source-measure unit {model}"
        self._gates = gates
        self.level = 0.0
        self.on = False
        self.compliance = 1.05e-4
        self._levels, self._hold, self._count = np.zeros(1), 0.0, 1
        self._tripped = False
        self._buffer = np.zeros(0)
        tree = self._tree
        tree.add("OUTPut[:STATe]", self._output, 1)
        tree.add("OUTPut[:STATe]?", lambda: b"%d" % self.on)
        tree.add("SOURce:FUNCtion", lambda name: None, 1)
        tree.add("SENSe:FUNCtion", lambda name: None, 1)
        tree.add("SOURce:VOLTage[:LEVel]", self._set_level, 1)
        tree.add("SOURce:VOLTage[:LEVel]?", lambda: b"%.6E" % self.level)
        if model.startswith(("245", "246", "247")):
            self._add_2450()
        else:
            self._add_2400()

    def _add_2400(self) -> None:
        tree = self._tree
        tree.add("FORMat:ELEMents", lambda names: None, 1)
        tree.add("SOURce:VOLTage:MODE", lambda name: None, 1)
        tree.add("SENSe:CURRent:PROTection[:LEVel]", self._set_compliance, 1)
        tree.add("SENSe:CURRent:PROTection:TRIPped?", lambda: b"%d" % self._tripped)
        tree.add("SOURce:DELay", self._set_hold, 1)
        tree.add("TRIGger:COUNt", self._set_count, 1)
        tree.add("READ?", self._read)

    def _add_2450(self) -> None:
        tree = self._tree
        tree.add("SOURce:VOLTage:ILIMit[:LEVel]", self._set_compliance, 1)
        tree.add("SOURce:VOLTage:ILIMit[:LEVel]:TRIPped?", lambda: b"%d" % self._tripped)
        tree.add("SOURce:SWEep:VOLTage:LIST", lambda start, hold, count: self._set_hold(hold), 3)
        tree.add("INITiate", self._initiate)
        tree.add("TRACe:CLEar", self._clear)
        tree.add("TRACe:DATA?", self._data, 4)

    def make_safe(self) -> None:
        """0 V, then off."""
        self._set(0.0)
        self._switch(False)

    def _execute(self, message: bytes) -> bytes:
        # the list takes as many levels as there are, which no fixed number of arguments covers
        units = []
        try:
            for unit in split(message, b";"):
                header, _, rest = unit.strip().partition(b" ")
                if header.upper() in (b":SOUR:LIST:VOLT", b":SOURCE:LIST:VOLTAGE"):
                    self._levels = np.array([number(part, -_LARGEST, _LARGEST) for part in split(rest, b",")])
                else:
                    units.append(unit)
        except ScpiError as error:
            self.status.error(error.code, error.text)
            return b""
        return super()._execute(b";".join(units))

    def _output(self, argument: bytes) -> None:
        self._switch(boolean(argument))

    def _switch(self, on: bool) -> None:
        self.on = on
        if self._gates:
            self._wiring.gate_level = self.level if on else 0.0
        elif on:
            self.bench.connect()
        else:
            self.bench.ground()

    def _set_level(self, argument: bytes) -> None:
        self._set(number(argument, -_LARGEST, _LARGEST))

    def _set(self, level: float) -> None:
        self.level = level
        if self._gates:
            self._wiring.gate_level = level if self.on else 0.0

    def _set_compliance(self, argument: bytes) -> None:
        self.compliance = number(argument, 1e-9, 1.05)

    def _set_hold(self, argument: bytes) -> None:
        self._hold = number(argument, 0.0, _LONGEST)

    def _set_count(self, argument: bytes) -> None:
        self._count = int(number(argument, 1, 2500))

    def _clear(self) -> None:
        self._buffer = np.zeros(0)

    def _read(self) -> bytes:
        if self._count != len(self._levels):
            raise ScpiError(-221, f"Settings conflict; {self._count} triggers for {len(self._levels)} levels")
        return self._text(self._measure())

    def _initiate(self) -> None:
        self._buffer = self._measure()

    def _data(self, start: bytes, end: bytes, buffer: bytes, elements: bytes) -> bytes:
        last = int(number(end, 1, max(len(self._buffer), 1)))
        return self._text(self._buffer[int(number(start, 1, last)) - 1 : last])

    def _measure(self) -> FloatArray:
        if not self.on:
            raise ScpiError(-221, "Settings conflict; the output is off")
        try:
            flows = self._wiring.currents(self._levels, self._hold)
        except LimitError as error:
            raise ScpiError(-222, f"Data out of range; {error}") from error
        self._tripped = bool((np.abs(flows) >= self.compliance).any())
        return np.clip(flows, -self.compliance, self.compliance)  # that is what compliance is

    @staticmethod
    def _text(currents: FloatArray) -> bytes:
        return ",".join(f"{float(current):+.6E}" for current in currents).encode()


class Matrix7001(_Scpi):
    """A 7001 with two 4x10 cards."""

    kind = "switch matrix 7001"

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring, "KEITHLEY INSTRUMENTS INC.,MODEL 7001,1,B08")
        self._tree.add("ROUTe:OPEN", self._open, 1)
        self._tree.add("ROUTe:CLOSe", self._close, 1)

    def make_safe(self) -> None:
        """A matrix keeps its relays when its client goes."""

    def _open(self, argument: bytes) -> None:
        if argument.strip().upper() == b"ALL":
            self._wiring.closed.clear()
        else:
            self._wiring.closed -= self._channels(argument)

    def _close(self, argument: bytes) -> None:
        self._wiring.closed |= self._channels(argument)

    @staticmethod
    def _channels(argument: bytes) -> set[tuple[int, int]]:
        text = argument.strip()
        if not (text.startswith(b"(@") and text.endswith(b")")):
            raise ScpiError(-170, "Expression error; channels are written (@1!1!1)")
        points = set()
        for part in text[2:-1].split(b","):
            try:
                slot, row, column = (int(field) for field in part.split(b"!"))
            except ValueError as error:
                raise ScpiError(-170, f"Expression error; {part[:20]!r}") from error
            if not (1 <= slot <= 2 and 1 <= row <= 4 and 1 <= column <= 10):
                raise ScpiError(-222, f"Data out of range; channel {part[:20]!r}")
            points.add((row - 1, 10 * (slot - 1) + column - 1))
        return points


class Matrix707:
    """A 707 with six 8x12 cards: device-dependent commands, each executed by an X."""

    kind = "switch matrix 707"
    watchdog = 0.0
    paced = False
    incomplete_after = 0.25

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._data = bytearray()
        self._error = False

    @property
    def bench(self) -> BenchTwin:
        """The twin behind it."""
        return self._wiring.bench

    @property
    def unfinished(self) -> bool:
        """Whether part of a line waits for the rest."""
        return bool(self._data)

    def forget(self) -> None:
        """Drop part of a line."""
        self._data.clear()

    def fail(self) -> None:
        """The next error status says so."""
        self._error = True

    def make_safe(self) -> None:
        """A matrix keeps its relays when its client goes."""

    def receive(self, data: bytes) -> list[bytes]:
        """The answers to all lines that are complete with these bytes."""
        self._data += data
        *lines, rest = bytes(self._data).split(b"\n")
        self._data = bytearray(rest)
        return [answer for line in lines for command in line.split(b"X") if (answer := self._run(command.strip()))]

    def _run(self, command: bytes) -> bytes:
        if command == b"U0":
            return b"707 STATUS 000\n"
        if command == b"U1":
            error, self._error = self._error, False
            return b"707 %d000000000\n" % error
        if command == b"P0":
            self._wiring.closed.clear()
        elif command[:1] in (b"C", b"N"):
            self._switch(command[:1] == b"C", command[1:])
        elif command:
            self._error = True
        return b""

    def _switch(self, close: bool, points: bytes) -> None:
        for point in points.split(b","):
            row, column = point[:1], point[1:]
            if not (b"A" <= row <= b"H" and column.isdigit() and 1 <= int(column) <= 72):
                self._error = True
                return
            at = row[0] - ord("A"), int(column) - 1
            if close:
                self._wiring.closed.add(at)
            else:
                self._wiring.closed.discard(at)
