"""A 2400, with the commands that people's drivers send it; times after pages A-3 to A-6 of its manual."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.virtual.keithley.terminal_wiring import Wiring
from imssa_lab.virtual.keithley.virtual_meter import Measured, Meter
from imssa_lab.virtual.scpi_message import ScpiError

_ELEMENTS = {"VOLT": "VOLTAGE", "CURR": "CURRENT", "RES": "RESISTANCE", "TIME": "TIME", "STAT": "STATUS"}
_FUNCTIONS = ("VOLT", "CURR", "RES")
_NO_NUMBER = 9.91e37
_MOST_READINGS = 2500
_FRONT, _COMPLIANCE, _VOLTS, _AMPERES, _OHMS = 1 << 2, 1 << 3, 1 << 11, 1 << 12, 1 << 13
_VOLT_SOURCE, _CURRENT_SOURCE, _BY_RANGE, _FOUR_WIRES = 1 << 14, 1 << 15, 1 << 16, 1 << 22
_BUFFER_FULL, _LIMIT_EVENT = 1 << 9, 1 << 14


class Meter2400(Meter):
    """As `Meter`."""

    def __init__(
        self, wiring: Wiring, model: str = "2400", gates: bool = False, cables: str = "FRON", line: float = 50.0
    ) -> None:
        identity = f"KEITHLEY INSTRUMENTS INC.,MODEL {model},{'2' if gates else '1'},C30"
        super().__init__(wiring, model, identity, "No error", gates, cables, line)
        self._elements: tuple[str, ...] = tuple(_ELEMENTS)
        self._functions: set[str] = {"CURR"}
        self._last: Measured | None = None
        self._stored: list[Measured] = []
        self._event, self._tripped = 0, False
        self._add_commands()
        self.status.summary = lambda: int(bool(self._event & int(self.settings["measurement_enable"])))

    def _add_commands(self) -> None:
        tree, settings = self._tree, self.settings
        for pattern, name, default in (
            ("SYSTem:RSENse", "four_wires", False),
            ("SOURce:DELay:AUTO", "auto_delay", True),
            ("SOURce:CLEar:AUTO", "clear_auto", False),
            ("SENSe:FUNCtion:CONCurrent", "concurrent", True),
            ("SENSe:AVERage[:STATe]", "average", False),
        ):
            settings.flag(pattern, name, default)
        for pattern, name, words in (
            ("SOURce:VOLTage:MODE", "mode", ("FIXed", "LIST", "SWEep")),
            ("SOURce:CURRent:MODE", "current_mode", ("FIXed", "LIST", "SWEep")),
            ("SENSe:AVERage:TCONtrol", "average_kind", ("MOVing", "REPeat")),
            ("SENSe:RESistance:MODE", "ohms_mode", ("MANual", "AUTO")),
            ("FORMat[:DATA]", "format", ("ASCii", "REAL", "SREal")),
            ("ARM:SOURce", "arm_source", ("IMMediate", "TLINk", "TIMer", "MANual", "BUS", "NSTest", "PSTest")),
            ("TRIGger:SOURce", "trigger_source", ("IMMediate", "TLINk")),
            ("TRIGger:OUTPut", "trigger_output", ("NONE", "SOURce", "DELay", "SENSe")),
            ("ARM:OUTPut", "arm_output", ("NONE", "TENTer", "TEXit")),
            ("OUTPut:SMODe", "off_state", ("NORMal", "HIMPedance", "ZERO", "GUARd")),
            ("TRACe:FEED", "feed", ("SENSe", "CALCulate", "CALC2")),
            ("TRACe:FEED:CONTrol", "storing", ("NEVer", "NEXT")),
            ("CALCulate3:FORMat", "statistic", ("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK")),
            ("SOURce:SWEep:SPACing", "spacing", ("LINear", "LOGarithmic")),
            ("SOURce:SWEep:RANGing", "ranging", ("BEST", "AUTO", "FIXed")),
            ("SOURce:SWEep:CABort", "abort", ("NEVer", "EARLy", "LATE")),
        ):
            settings.word(pattern, name, words)
        for pattern, name, low, high, start, whole in (
            ("SOURce:DELay", "delay", 0.0, 9999.999, 1e-3, False),
            ("ARM:COUNt", "arm_count", 1, _MOST_READINGS, 1, True),
            ("TRIGger:COUNt", "trigger_count", 1, _MOST_READINGS, 1, True),
            ("TRIGger:DELay", "trigger_delay", 0.0, 999.9999, 0.0, False),
            ("ARM:TIMer", "arm_timer", 1e-3, 99999.99, 0.1, False),
            ("ARM:ILINe", "arm_input", 1, 4, 1, True),
            ("ARM:OLINe", "arm_line", 1, 4, 2, True),
            ("TRIGger:ILINe", "trigger_input", 1, 4, 1, True),
            ("TRIGger:OLINe", "trigger_line", 1, 4, 2, True),
            ("SENSe:AVERage:COUNt", "average_count", 1, 100, 10, True),
            ("SOURce:VOLTage:STARt", "start", -210.0, 210.0, 0.0, False),
            ("SOURce:VOLTage:STOP", "stop", -210.0, 210.0, 0.0, False),
            ("SOURce:SWEep:POINts", "points", 2, _MOST_READINGS, _MOST_READINGS, True),
            ("TRACe:POINts", "buffer_size", 1, _MOST_READINGS, 100, True),
            ("STATus:MEASurement:ENABle", "measurement_enable", 0, 65535, 0, True),
        ):
            settings.number(pattern, name, low, high, start, whole)
        for function in ("CURRent[:DC]", "VOLTage[:DC]", "RESistance"):  # one integration time for all of them
            settings.number(f"SENSe:{function}:NPLCycles", "cycles", 0.01, 10.0, 1.0)
        settings.flag("SYSTem:AZERo[:STATe]", "auto_zero", True)
        plain = tree.handlers["SYST:AZER"][0]
        tree.add("SYSTem:AZERo[:STATe]", lambda word: None if word.strip().upper() == b"ONCE" else plain(word), 1)
        tree.add("FORMat:ELEMents[:SENSe]", self._set_elements, 1, 5)
        tree.add("FORMat:ELEMents[:SENSe]?", lambda: ",".join(self._elements).encode())
        tree.add("SENSe:FUNCtion[:ON]", self._set_functions, 1, 3)
        tree.add("SENSe:FUNCtion[:ON]?", self._told_functions)
        tree.add("SENSe:FUNCtion[:ON]:ALL", lambda: self._sense(set(_FUNCTIONS)))
        tree.add("SENSe:FUNCtion:OFF:ALL", lambda: self._sense(set()))
        tree.add("SENSe:CURRent[:DC]:PROTection:TRIPped?", lambda: b"%d" % self._tripped)
        tree.add("TRIGger:CLEar", lambda: None)
        tree.add("INITiate[:IMMediate]", self._initiate)
        tree.add("FETCh?", self._fetch)
        tree.add("READ?", self._read)
        for name in _FUNCTIONS:
            pattern = {"VOLT": "VOLTage", "CURR": "CURRent", "RES": "RESistance"}[name]
            tree.add(f"CONFigure:{pattern}[:DC]", lambda name=name: self._configure(name))
            tree.add(f"MEASure:{pattern}[:DC]?", lambda name=name: self._measure_once(name))
        tree.add("TRACe:CLEar", self._stored.clear)
        tree.add("TRACe:DATA?", lambda: b",".join(map(self._formatted, self._stored)))
        tree.add("CALCulate3:DATA?", self._statistics)
        tree.add("STATus:MEASurement[:EVENt]?", self._take_event)
        tree.add("SYSTem:PRESet", self.reset)
        tree.add("SYSTem:LOCal", lambda: None)
        tree.add("SYSTem:REMote", lambda: None)

    def reset(self) -> None:
        """As `Meter`."""
        super().reset()
        self._elements, self._functions = tuple(_ELEMENTS), {"CURR"}
        self._last, self._tripped = None, False

    def _check_limit(self) -> None:
        if not self.settings["sense_auto"] and abs(self.settings["limit"]) < 1e-3 * self.settings["sense_range"]:
            raise ScpiError(822, "Too small for sense range")

    def _set_elements(self, *words: bytes) -> None:
        chosen = set()
        for word in words:
            text = word.decode("ascii", "replace").strip().upper()
            short = next((short for short, long in _ELEMENTS.items() if text in (short, long)), None)
            if short is None:
                raise ScpiError(-141, f"Invalid character data; {text[:20]}")
            chosen.add(short)
        self._elements = tuple(short for short in _ELEMENTS if short in chosen)

    def _set_functions(self, *words: bytes) -> None:
        chosen = set()
        for word in words:
            text = word.decode("ascii", "replace").strip().strip("\"'").upper().removesuffix(":DC")
            short = {"VOLTAGE": "VOLT", "CURRENT": "CURR", "RESISTANCE": "RES"}.get(text, text)
            if short not in _FUNCTIONS:
                raise ScpiError(-151, f"Invalid string data; {text[:20]}")
            chosen.add(short)
        self._sense(self._functions | chosen if self.settings["concurrent"] else chosen)

    def _sense(self, functions: set[str]) -> None:
        if len(functions) > 1 and not self.settings["concurrent"]:
            functions = {"CURR"}
        self._functions = functions

    def _told_functions(self) -> bytes:
        names = {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}
        return ",".join(names[name] for name in _FUNCTIONS if name in self._functions).encode()

    # ---- measuring

    def point_seconds(self) -> float:
        """How long each level lasts, s."""
        settings = self.settings
        functions = max(len(self._functions), 1)
        phases = 3 if settings["auto_zero"] else functions
        firmware = (1.8e-3 if functions == 1 else 2.3e-3) if settings["auto_zero"] else 300e-6 * functions
        delay = 1e-3 if settings["auto_delay"] else settings["delay"]
        converting = phases * (settings["cycles"] / self.line + 185e-6)
        averages = settings["average_count"] if settings["average"] else 1
        return float(50e-6 + settings["trigger_delay"] + delay + averages * converting + firmware)

    def _planned(self) -> FloatArray:
        settings = self.settings
        count = settings["arm_count"] * settings["trigger_count"]
        if count > _MOST_READINGS:
            raise ScpiError(-221, f"Settings conflict; {count} readings are more than {_MOST_READINGS}")
        if settings["source"] == "CURR":
            return np.full(count, settings["current"])
        if settings["mode"] == "FIX":
            return np.full(count, settings["level"])
        levels = self.levels
        if settings["mode"] == "SWE":
            scale = np.linspace if settings["spacing"] == "LIN" else np.geomspace
            levels = scale(settings["start"], settings["stop"], settings["points"])
        return np.array(list(itertools.islice(itertools.cycle(levels), count)))

    def _initiate(self) -> None:
        if not self.on:
            raise ScpiError(803, "Not permitted with OUTPUT off")
        levels = self._planned()
        found = self.measure(levels, np.full(len(levels), self.point_seconds()))
        self._last = found
        self._tripped = bool(found.compliance[-1] | found.by_range[-1])
        if (found.compliance | found.by_range).any():
            self._event |= _LIMIT_EVENT
        if self.settings["storing"] == "NEXT":
            self._stored.append(found)
            if sum(len(each.current) for each in self._stored) >= self.settings["buffer_size"]:
                self._event |= _BUFFER_FULL
                self.settings.put("storing", "NEV")
        if self.settings["clear_auto"]:
            self.settings["output"] = False

    def _fetch(self) -> bytes:
        if self._last is None:
            raise ScpiError(-230, "Data corrupt or stale")
        return self._formatted(self._last)

    def _read(self) -> bytes:
        self._initiate()
        return self._fetch()

    def _configure(self, name: str) -> None:
        self.settings.put("concurrent", False)
        self._functions = {name}
        for count in ("arm_count", "trigger_count"):
            self.settings.put(count, 1)

    def _measure_once(self, name: str) -> bytes:
        self._configure(name)
        return self._read()

    def _take_event(self) -> bytes:
        event, self._event = self._event, 0
        return b"%d" % event

    def _columns(self, found: Measured) -> dict[str, FloatArray]:
        """What each element says of each point; a function that is off says not-a-number, but for what is sourced."""
        settings = self.settings
        nothing = np.full(len(found.current), _NO_NUMBER)
        volts = settings["source"] == "VOLT"
        voltage = found.voltage if "VOLT" in self._functions else found.programmed if volts else nothing
        current = found.current if "CURR" in self._functions else nothing if volts else found.programmed
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(found.current == 0, 9.9e37, found.voltage / found.current)
        status = _VOLT_SOURCE if volts else _CURRENT_SOURCE
        for name, bit in (("VOLT", _VOLTS), ("CURR", _AMPERES), ("RES", _OHMS)):
            status |= bit * (name in self._functions)
        status |= _FRONT * (settings["terminals"] == "FRON") | _FOUR_WIRES * settings["four_wires"]
        return {
            "VOLT": voltage,
            "CURR": current,
            "RES": ratio if "RES" in self._functions else nothing,
            "TIME": found.time,
            "STAT": status + _COMPLIANCE * found.compliance + _BY_RANGE * found.by_range,
        }

    def _formatted(self, found: Measured) -> bytes:
        columns = self._columns(found)
        return self.text(np.stack([columns[name] for name in self._elements], axis=1).ravel())

    def _statistics(self) -> bytes:
        if not self._stored:
            raise ScpiError(-230, "Data corrupt or stale")
        columns = [self._columns(found) for found in self._stored]
        shown = [name for name in self._elements if name in ("VOLT", "CURR", "RES")]
        values = np.stack([np.concatenate([each[name] for each in columns]) for name in shown])
        of: dict[str, Any] = {"MEAN": np.mean, "SDEV": np.std, "MAX": np.max, "MIN": np.min, "PKPK": np.ptp}
        return self.text(of[self.settings["statistic"]](values, axis=1))
