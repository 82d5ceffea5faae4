"""The array tester of docs/scpi.md around a `BenchTwin`: commands to requests, readouts to blocks."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from drivers.scpi import wire
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.scpi_message import (
    CommandTree,
    Framer,
    ScpiError,
    block_content,
    boolean,
    cell,
    number,
)
from imssa_lab.virtual.scpi_status import Status

VERSION = "1.0"
_LONGEST_WAIT = 1e7
_T = TypeVar("_T")


class ScpiArrayTester:
    """The instrument without its wire: `execute` takes one message and gives what goes back.

    Args:
        bench: the twin inside.
        paced: tell the client that operations take their device time; the server then lets it pass.
        watchdog: s without a message after which the outputs are grounded; 0 for never.

    Attributes:
        session: drawn at each start; calls of another session are not executed.
    """

    kind = "SCPI array tester"
    incomplete_after = 0.25
    """s of silence after which part of a message is dropped."""

    def __init__(self, bench: BenchTwin, paced: bool = False, watchdog: float = 2.0) -> None:
        self.bench = bench
        self.paced = paced
        self.watchdog = watchdog
        self._watchdog = watchdog
        self._started = 0.0
        self._lock = threading.Lock()
        self._framer = Framer()
        self._start()

    def _start(self) -> None:
        """Everything that lives in memory, as it is at power on."""
        bench = self.bench
        self.session = 1 + secrets.randbelow((1 << 32) - 1)
        self.status = Status(f"imssa_lab,{bench.profile.name} array tester,{bench.info.serial},{VERSION}")
        self.watchdog = self._watchdog
        self._order: wire.Order = ">"
        self._framer.clear()
        self._tree = CommandTree()
        self._in_call, self._first = False, True
        self._add_commands()

    def restart(self) -> None:
        """Off and on: outputs grounded, settings, error queue and clock lost, cells as they were.

        Who carries the bytes need not notice: a port keeps its connection, as a gateway does. Any thread may call it;
        a message under way is executed before.
        """
        with self._lock:
            self.bench.ground()
            self._started = self.bench.time
            self._start()

    def _add_commands(self) -> None:
        tree = self._tree
        self.status.add_to(tree)
        tree.add("*RST", self._reset)
        tree.add("SYSTem:CALL", self._call, 4)
        tree.add("SYSTem:SESSion?", lambda: b"%d" % self.session)
        tree.add("SYSTem:SYNC?", self._sync, 1)
        tree.add("SYSTem:DESCription?", self._describe)
        tree.add("SYSTem:TIME?", lambda: b"%r" % float(self.bench.time - self._started))
        tree.add("SYSTem:WAIT", self._wait, 1)
        tree.add("SYSTem:WATChdog", self._set_watchdog, 1)
        tree.add("SYSTem:WATChdog?", lambda: b"%r" % float(self.watchdog))
        tree.add("FORMat:BORDer", self._set_order, 1)
        tree.add("FORMat:BORDer?", lambda: b"NORM" if self._order == ">" else b"SWAP")
        tree.add("OUTPut[:STATe]", self._output, 1)
        tree.add("OUTPut[:STATe]?", lambda: b"%d" % self.bench.outputs)
        tree.add("READ:MVM?", self._read_mvm, 2)
        tree.add("READ:CONDuctance?", self._read_conductances, 2)
        tree.add("READ:CONDuctance:AT?", self._read_conductances_at, 3)
        tree.add("READ:CELL?", self._read_cell, 1)
        for kind in PulseKind:
            name = {"SET": "SET", "RESET": "RESet", "FORM": "FORM"}[kind.value]
            tree.add(f"PULSe:{name}", lambda w, v, g, kind=kind: self._pulse(kind, w, v, g), 3)
            tree.add(f"PULSe:CELL:{name}", lambda c, v, g, w, kind=kind: self._pulse_cell(kind, c, v, g, w), 4)

    # ---- what the wire sees

    def receive(self, data: bytes) -> list[bytes]:
        """What goes back for these bytes, one entry for every answered message."""
        with self._lock:
            answers = (self.execute(message) for message in self._framer.feed(data))
            return [answer for answer in answers if answer]

    def transfers(self, data: bytes) -> list[bytes]:
        """All of it: a client writes message by message."""
        return [data]

    @property
    def unfinished(self) -> bool:
        """Whether part of a message waits for the rest."""
        return self._framer.unfinished

    def forget(self) -> None:
        """Drop part of a message: the client went silent or away."""
        self._framer.clear()

    def make_safe(self) -> None:
        """Outputs to 0 V and grounded."""
        self.bench.ground()

    def fail(self) -> None:
        """An entry in the error queue, as when a supply sags."""
        self.status.error(-240, "Hardware error; supply out of range")

    def execute(self, message: bytes) -> bytes:
        """The answer to one message with its line feed; empty when there is none."""
        answer = self.status.run(self._tree, message)
        self._first = False
        return answer + b"\n" if answer else b""

    # ---- calls

    def _call(self, session_: bytes, number_: bytes, check: bytes, content: bytes) -> bytes:
        if self._in_call:
            raise ScpiError(-100, "Command error; a call inside a call")
        try:
            session, name, promised = int(session_), int(number_), int(check)
            message = block_content(content)
        except (ValueError, ScpiError):
            session, name, promised, message = 0, wire.DAMAGED, -1, b""
        if promised != wire.checksum(session, name, 0, message):
            return self._answer(wire.DAMAGED, b"")
        if session != self.session:
            return self._answer(name, b"")
        self._in_call = True
        try:
            answer = self.status.run(self._tree, message)
        finally:
            self._in_call = False
        return self._answer(name, answer)

    def _answer(self, name: int, content: bytes) -> bytes:
        return wire.answer(self.session, name, self.status.waiting, content).removesuffix(b"\n")

    def _sync(self, token: bytes) -> bytes:
        return b"SYNC " + token.strip()[:40]

    # ---- what it is

    def _describe(self) -> bytes:
        timing, profile = self.bench.profile.timing, self.bench.profile
        seconds = wire.Seconds()
        if self.paced:
            seconds = wire.Seconds(vector=timing.mvm, cell=timing.cell_read, pulse=timing.pulse, widths=True)
        info = self.bench.info.model_copy(update={"name": f"SCPI array tester {profile.name}"})
        description = wire.Description(
            protocol=wire.PROTOCOL_VERSION,
            info=info,
            seconds=seconds,
            reads_at=True,
            recipe=profile.recipe.model_dump(),
        )
        return wire.block(description.model_dump_json().encode())

    def _reset(self) -> None:
        self.bench.ground()
        self._order = ">"

    def _set_order(self, argument: bytes) -> None:
        words: dict[bytes, wire.Order] = {b"NORM": ">", b"NORMAL": ">", b"SWAP": "<", b"SWAPPED": "<"}
        order = words.get(argument.strip().upper())
        if order is None:
            raise ScpiError(-141, "Invalid character data; NORMal or SWAPped")
        self._order = order

    def _set_watchdog(self, argument: bytes) -> None:
        self.watchdog = number(argument, 0.0, 3600.0, default=2.0)

    def _output(self, argument: bytes) -> None:
        if boolean(argument) and self._first:
            raise ScpiError(-221, "Settings conflict; the first message since power-on drives nothing, send it again")
        if boolean(argument):
            self.bench.connect()
        else:
            self.bench.ground()

    def _wait(self, argument: bytes) -> None:
        self.bench.wait(number(argument, 0.0, _LONGEST_WAIT))

    # ---- what it does

    def _driven(self) -> BenchTwin:
        if not self.bench.outputs:
            raise ScpiError(-221, "Settings conflict; outputs are off, send OUTP ON first")
        return self.bench

    def _read_mvm(self, count: bytes, voltages: bytes) -> bytes:
        vectors = int(number(count, 1, 1e7))
        values = self._numbers(voltages, (vectors, self.bench.info.rows))
        self._checked(lambda bench: bench.read_mvm(values, raw=True))
        return wire.readout(self.bench.readout, self._order)

    def _read_conductances(self, averages: bytes, mask: bytes) -> bytes:
        return self._read_conductances_at(b"MAX", averages, mask)

    def _read_conductances_at(self, voltage: bytes, averages: bytes, mask: bytes) -> bytes:
        volt = number(voltage, 0.0, self.bench.info.read_voltage)
        data = block_content(mask)
        if len(data) != self.bench.info.rows * self.bench.info.cols or data.strip(b"\0\1"):
            raise ScpiError(-168, f"Block data not allowed; {self.bench.info.shape} bytes of 0 and 1 are needed")
        chosen = np.frombuffer(data, np.uint8).reshape(self.bench.info.shape) == 1
        times = int(number(averages, 1, 1e6))
        self._checked(lambda bench: bench.read_cells_at(volt, chosen, times))
        return wire.readout(self.bench.readout, self._order)

    def _read_cell(self, channel: bytes) -> bytes:
        mask = np.zeros(self.bench.info.shape, dtype=np.bool_)
        mask[self._cell(channel)] = True
        conductance = self._checked(lambda bench: bench.read_conductances(mask))
        return b"%.6E" % float(conductance[mask][0])

    def _pulse(self, kind: PulseKind, width: bytes, voltage: bytes, gate: bytes) -> None:
        shape = self.bench.info.shape
        volts, gates = self._numbers(voltage, shape), self._numbers(gate, shape)
        seconds = number(width, 0.0, 1e3)
        self._checked(lambda bench: bench.apply_pulses(Pulses(kind, volts, gates, seconds)))

    def _pulse_cell(self, kind: PulseKind, channel: bytes, voltage: bytes, gate: bytes, width: bytes) -> None:
        mask = np.zeros(self.bench.info.shape, dtype=np.bool_)
        mask[self._cell(channel)] = True
        volts, gates, seconds = (number(argument, -1e3, 1e3) for argument in (voltage, gate, width))
        self._checked(lambda bench: bench.apply_pulses(Pulses.on(mask, kind, volts, gates, seconds)))

    def _cell(self, channel: bytes) -> tuple[int, int]:
        row, col = cell(channel)
        rows, cols = self.bench.info.shape
        if not (0 <= row < rows and 0 <= col < cols):
            raise ScpiError(-222, f"Data out of range; cells are (@1!1) to (@{rows}!{cols})")
        return row, col

    def _numbers(self, argument: bytes, shape: tuple[int, int]) -> FloatArray:
        data = block_content(argument)
        wanted = 8 * shape[0] * shape[1]
        if len(data) != wanted:
            raise ScpiError(-168, f"Block data not allowed; {wanted} bytes are needed, {len(data)} came")
        return np.frombuffer(data, np.dtype(f"{self._order}f8")).astype(np.float64).reshape(shape)

    def _checked(self, request: Callable[[BenchTwin], _T]) -> _T:
        """Make a request of the twin, whose own limits speak here as the instrument's."""
        bench = self._driven()
        try:
            return request(bench)
        except LimitError as error:
            raise ScpiError(-222, f"Data out of range; {error}") from error
