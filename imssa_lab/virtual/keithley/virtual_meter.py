"""`Meter`: a source-measure unit of the 2400 series or of the 2450's generation, at the terminals of a `Wiring`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.keithley.instrument_settings import Settings
from imssa_lab.virtual.keithley.terminal_wiring import Wiring
from imssa_lab.virtual.scpi_message import CommandTree, Framer, ScpiError, number
from imssa_lab.virtual.scpi_status import Status

LARGEST = 210.0  # V
_SOURCE_RANGES = (0.2, 2.0, 20.0, 200.0)
_SENSE_RANGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_ABOVE_RANGE = 1.05
_NO_LIMIT = 1.05  # A
_OPEN_CIRCUIT = 1e-12  # S: what a current source sees where nothing is connected


class WireInstrument:
    """What SCPI instruments of one bench have in common: messages in, answers out."""

    watchdog = 0.0
    paced = False
    incomplete_after = 0.25
    kind = "instrument"

    def __init__(self, wiring: Wiring, identity: str, no_error: str = "No error") -> None:
        self._wiring = wiring
        self._framer = Framer()
        self._tree = CommandTree()
        self.status = Status(identity, no_error)
        self.status.add_to(self._tree)

    @property
    def bench(self) -> BenchTwin:
        """The twin behind all of them."""
        return self._wiring.bench

    def transfers(self, data: bytes) -> list[bytes]:
        """All of it: a client writes message by message."""
        return [data]

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

    def make_safe(self) -> None:
        """Nothing: it does not notice that its client goes."""

    def restart(self) -> None:
        """Off and on again: its settings are lost."""
        self._framer.clear()
        self.status.power_on()

    def receive(self, data: bytes) -> list[bytes]:
        """The answers to all messages that are complete with these bytes."""
        answers = (self.execute(message) for message in self._framer.feed(data))
        return [answer for answer in answers if answer]

    def execute(self, message: bytes) -> bytes:
        """The answer to one message with its line feed; empty when there is none."""
        answer = self.status.run(self._tree, message)
        return answer + b"\n" if answer else b""


@dataclass(frozen=True)
class Measured(FrozenArrays):
    """Some points, arrays (n,).

    Attributes:
        programmed: V or A that the source was set to; voltage: V; current: A; time: s since switched on.
        compliance: where the limit was reached that was set; by_range: where the measuring range was the limit.
    """

    programmed: FloatArray
    voltage: FloatArray
    current: FloatArray
    time: FloatArray
    compliance: BoolArray
    by_range: BoolArray


class Meter(WireInstrument):
    """What the two generations of meters share: a source, a limit, a measurement, and the commands for them.

    Args:
        gates: whether its terminals go to the gates instead of the cells.
        cables: FRON or REAR: where they are plugged in. The other terminals lead nowhere.
        line: Hz of the power line.
    """

    limit_pattern = "SENSe:CURRent[:DC]:PROTection[:LEVel]"
    voltage_limit_pattern = "SENSe:VOLTage[:DC]:PROTection[:LEVel]"

    def __init__(
        self,
        wiring: Wiring,
        model: str,
        identity: str,
        no_error: str,
        gates: bool = False,
        cables: str = "FRON",
        line: float = 50.0,
    ) -> None:
        super().__init__(wiring, identity, no_error)
        self.kind = f"source-measure unit {model}"
        self.line = line
        self._gates, self._cables = gates, cables
        self._clock = 0.0
        self.levels: FloatArray = np.zeros(1)
        self.settings = Settings(self._tree, self._changed)
        self._add_common()

    def _add_common(self) -> None:
        tree, settings = self._tree, self.settings
        tree.add("*RST", self.reset)
        tree.add("*TRG", lambda: None)
        tree.add("ABORt", lambda: None)
        tree.add("*OPT?", lambda: b"0")
        settings.flag("SYSTem:LFRequency:AUTO", "line_auto", True)
        settings.flag("DISPlay:ENABle", "display", True)
        tree.add("SYSTem:LFRequency?", lambda: b"%d" % self.line)
        tree.add("SYSTem:BEEPer[:IMMediate]", lambda frequency, seconds: None, 2)
        tree.add("STATus:PRESet", lambda: None)
        settings.flag("OUTPut[:STATe]", "output", False)
        settings.word("SOURce:FUNCtion[:MODE]", "source", ("VOLTage", "CURRent"))
        settings.number("SOURce:VOLTage[:LEVel][:IMMediate][:AMPLitude]", "level", -LARGEST, LARGEST, 0.0)
        settings.number("SOURce:CURRent[:LEVel][:IMMediate][:AMPLitude]", "current", -_NO_LIMIT, _NO_LIMIT, 0.0)
        settings.number("SOURce:VOLTage:RANGe", "source_range", -LARGEST, LARGEST, 20.0)
        settings.flag("SOURce:VOLTage:RANGe:AUTO", "source_auto", True)
        settings.number("SOURce:CURRent:RANGe", "source_current_range", -_NO_LIMIT, _NO_LIMIT, 1e-4)
        settings.flag("SOURce:CURRent:RANGe:AUTO", "source_current_auto", True)
        settings.number("SENSe:CURRent[:DC]:RANGe[:UPPer]", "sense_range", -_NO_LIMIT, _NO_LIMIT, 1e-4)
        settings.flag("SENSe:CURRent[:DC]:RANGe:AUTO", "sense_auto", True)
        settings.number("SENSe:VOLTage[:DC]:RANGe[:UPPer]", "sense_volts", -LARGEST, LARGEST, 20.0)
        settings.flag("SENSe:VOLTage[:DC]:RANGe:AUTO", "sense_volts_auto", True)
        settings.number("SENSe:RESistance:RANGe[:UPPer]", "sense_ohms", 0.0, 2.1e8, 2.1e5)
        settings.flag("SENSe:RESistance:RANGe:AUTO", "sense_ohms_auto", True)
        settings.number(self.limit_pattern, "limit", -_NO_LIMIT, _NO_LIMIT, 1.05e-4)
        settings.number(self.voltage_limit_pattern, "voltage_limit", -LARGEST, LARGEST, 21.0)
        settings.word("ROUTe:TERMinals", "terminals", ("FRONt", "REAR"))
        tree.add("SOURce:LIST:VOLTage", self._set_list, 1, 100)
        tree.add("SOURce:LIST:VOLTage:APPend", self._append_to_list, 1, 100)
        tree.add("SOURce:LIST:VOLTage?", lambda: self.text(self.levels))
        tree.add("SOURce:LIST:VOLTage:POINts?", lambda: b"%d" % len(self.levels))

    # ---- state

    @property
    def on(self) -> bool:
        """Whether the output is on."""
        return bool(self.settings["output"])

    @property
    def level(self) -> float:
        """V of the source, while no list runs."""
        return float(self.settings["level"])

    @property
    def limit(self) -> tuple[float, bool]:
        """A at which the current is held, and whether that is for the measuring range."""
        set_, most = abs(self.settings["limit"]), _ABOVE_RANGE * self.settings["sense_range"]
        if self.settings["sense_auto"] or set_ <= most * (1 + 1e-9):
            return set_, False
        return most, True

    def reset(self) -> None:
        """What `*RST` does: output off at once, from whatever level; then the defaults."""
        self.settings.put("output", False)
        self._apply()
        self.settings.reset()
        self.levels = np.zeros(1)

    def restart(self) -> None:
        """As `WireInstrument`."""
        super().restart()
        self.reset()

    def _changed(self, name: str) -> None:
        settings = self.settings
        if name in ("source_range", "sense_range", "source_current_range", "sense_volts"):
            ranges = _SOURCE_RANGES if name in ("source_range", "sense_volts") else _SENSE_RANGES
            fitting = [each for each in ranges if abs(settings[name]) <= each * _ABOVE_RANGE * (1 + 1e-9)]
            settings.put(name, fitting[0])
            auto = {"source_range": "source_auto", "sense_range": "sense_auto", "sense_volts": "sense_volts_auto"}
            settings.put(auto.get(name, "source_current_auto"), False)
        if name == "level" and not settings["source_auto"]:
            most = _ABOVE_RANGE * settings["source_range"]
            if abs(settings[name]) > most:
                raise ScpiError(-222, f"Parameter data out of range; {settings[name]:g} V on a range to {most:g} V")
        if name in ("limit", "sense_range"):
            self._check_limit()
        if name in ("output", "level", "current", "terminals", "source", "limit"):
            self._apply()

    def _check_limit(self) -> None:
        """Refuse a limit that the range cannot hold; nothing where the two go together."""

    def _apply(self) -> None:
        """Terminals as the settings have them."""
        settings = self.settings
        there = bool(settings["output"]) and settings["terminals"] == self._cables
        volts = settings["source"] == "VOLT"
        level = float(settings["level"]) if volts else self._volts(float(settings["current"]))
        if self._gates:
            self._wiring.put_gate(level if there else 0.0)
        elif there:
            self.bench.connect()
            self._wiring.put(level, self.limit[0])
        else:
            self._wiring.put(0.0, self.limit[0])
            self.bench.ground()

    def _volts(self, current: float) -> float:
        """V that a current source needs for `current`, A, as far as it may."""
        _, cells, _ = self._wiring.seen()
        load = self._wiring.conductance(cells) if cells.any() and not self._gates else _OPEN_CIRCUIT
        most = abs(self.settings["voltage_limit"])
        return float(np.clip(current / load, -most, most))

    def _set_list(self, *levels: bytes) -> None:
        self.levels = np.array([number(level, -LARGEST, LARGEST) for level in levels])

    def _append_to_list(self, *levels: bytes) -> None:
        self.levels = np.append(self.levels, [number(level, -LARGEST, LARGEST) for level in levels])

    # ---- measuring

    def measure(self, levels: FloatArray, seconds: FloatArray) -> Measured:
        """Levels (n,) of the source one after another, V or A, each for its time, s, and measured at its end."""
        limit, by_range = self.limit
        volts = self.settings["source"] == "VOLT"
        asked = levels if volts else np.array([self._volts(float(level)) for level in levels])
        before = self.bench.time
        if self._gates or self.settings["terminals"] != self._cables:
            voltage, current, limited = asked, np.zeros(len(asked)), np.zeros(len(asked), dtype=np.bool_)
        else:
            flow = self._wiring.drive(asked, seconds, limit if volts else np.inf)
            voltage, current, limited = flow.voltage, flow.current, flow.limited
        if not volts:
            limited = np.abs(asked) >= abs(self.settings["voltage_limit"])
        ends = self._clock + np.cumsum(seconds)
        self._clock = float(ends[-1])
        self.bench.wait(max(float(seconds.sum()) - (self.bench.time - before), 0.0))
        none = np.zeros(len(levels), dtype=np.bool_)
        reached = (none, limited) if by_range and volts else (limited, none)
        return Measured(levels, voltage, current, ends, *reached)

    @staticmethod
    def text(numbers: FloatArray) -> bytes:
        """Numbers with commas, as these instruments write them."""
        return ",".join(f"{float(value):+.6E}" for value in numbers).encode()
