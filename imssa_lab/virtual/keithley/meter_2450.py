"""A 2450 in its SCPI mode, with the commands that people's drivers send it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.virtual.keithley.terminal_wiring import Wiring
from imssa_lab.virtual.keithley.virtual_meter import LARGEST, Measured, Meter
from imssa_lab.virtual.scpi_message import ScpiError, boolean, number

_NAMES = ("defbuffer1", "defbuffer2")
_ELEMENTS = {
    name: "".join(letter for letter in name if not letter.islower())
    for name in (
        "DATE FORMatted FRACtional READing RELative SEConds SOURce SOURFORMatted SOURSTATus SOURUNIT STATus TIME "
        "TSTamp UNIT"
    ).split()
}
_PER_POINT = 420e-6
"""s beside delay and integration, as fast sweeps have it: about 1,700 points a second at .01 cycles."""
_AUTO_DELAY = 1e-3
_SHORTEST_DELAY = 50e-6
_LIMITED, _FOUR_WIRES, _OUTPUT_ON, _READ_BACK, _FRONT = 32, 64, 128, 8, 8


@dataclass(frozen=True)
class _Sweep(FrozenArrays):
    levels: FloatArray
    delay: float
    aborts: bool
    buffer: str


class Meter2450(Meter):
    """As `Meter`."""

    limit_pattern = "SOURce:VOLTage:ILIMit[:LEVel]"
    voltage_limit_pattern = "SOURce:CURRent:VLIMit[:LEVel]"

    def __init__(
        self, wiring: Wiring, model: str = "2450", gates: bool = False, cables: str = "FRON", line: float = 50.0
    ) -> None:
        identity = f"KEITHLEY INSTRUMENTS,MODEL {model},{'2' if gates else '1'},1.7.12b"
        super().__init__(wiring, model, identity, "No error;0;0 0", gates, cables, line)
        self.language = self._next_language = "SCPI"
        self._buffers: dict[str, list[dict[str, str]]] = {name: [] for name in _NAMES}
        self._sizes = dict.fromkeys(_NAMES, 100_000)
        self._sweep: _Sweep | None = None
        self._tripped = False
        self._add_commands()

    def _add_commands(self) -> None:
        tree, settings = self._tree, self.settings
        settings.word("SENSe:FUNCtion[:ON]", "function", ("CURRent:DC", "VOLTage:DC", "RESistance"), quoted=True)
        tree.add("SENSe:FUNCtion[:ON]", self._set_function, 1)
        for name, full in (("CURR", "CURRent"), ("VOLT", "VOLTage"), ("RES", "RESistance")):
            settings.number(f"SENSe:{full}[:DC]:NPLCycles", f"cycles {name}", 0.01, 10.0, 1.0)
            settings.flag(f"SENSe:{full}[:DC]:AZERo[:STATe]", f"auto_zero {name}", True)
            settings.flag(f"SENSe:{full}[:DC]:RSENse", f"four_wires {name}", False)
            settings.flag(f"SENSe:{full}[:DC]:AVERage[:STATe]", f"average {name}", False)
            settings.number(f"SENSe:{full}[:DC]:AVERage:COUNt", f"average_count {name}", 1, 100, 10, True)
            settings.word(f"SENSe:{full}[:DC]:AVERage:TCONtrol", f"average_kind {name}", ("REPeat", "MOVing"))
            for user in "1", "2", "3", "4", "5":
                settings.number(f"SENSe:{full}[:DC]:DELay:USER{user}", f"sense_delay{user} {name}", 0, 1e4, 0.0)
        for name, full in (("CURR", "CURRent"), ("VOLT", "VOLTage")):
            settings.number(f"SOURce:{full}:DELay", f"delay {name}", 0.0, 1e4, 0.0)
            settings.flag(f"SOURce:{full}:DELay:AUTO", f"auto_delay {name}", True)
            settings.flag(f"SOURce:{full}:READ:BACK", f"read_back {name}", True)
            settings.word(f"OUTPut:{full}:SMODe", f"off_state {name}", ("NORMal", "HIMPedance", "ZERO", "GUARd"))
            for user in "1", "2", "3", "4", "5":
                settings.number(f"SOURce:{full}:DELay:USER{user}", f"source_delay{user} {name}", 0, 1e4, 0.0)
            tree.add(f"SOURce:SWEep:{full}:LINear", self._set_linear, 3, 9)
        settings.number("SENSe:COUNt", "count", 1, 300_000, 1, True)
        settings.word("FORMat[:DATA]", "format", ("ASCii", "REAL", "SREal"))
        tree.add("SOURce:SWEep:VOLTage:LIST", self._set_sweep, 1, 6)
        tree.add("SOURce:VOLTage:ILIMit[:LEVel]:TRIPped?", lambda: b"%d" % self._tripped)
        tree.add("SOURce:CURRent:VLIMit[:LEVel]:TRIPped?", lambda: b"%d" % self._tripped)
        tree.add("SENSe:AZERo:ONCE", lambda: None)
        tree.add("*LANG", self._set_language, 1)
        tree.add("*LANG?", lambda: self.language.encode())
        tree.add("INITiate[:IMMediate]", self._initiate)
        tree.add("READ?", self._read, 0, 10)
        tree.add("MEASure?", self._read, 0, 10)
        for name in ("VOLTage", "CURRent", "RESistance"):
            tree.add(f"MEASure:{name}[:DC]?", lambda *rest, name=name: self._read_function(name, *rest), 0, 10)
        tree.add("FETCh?", self._fetch, 0, 10)
        tree.add("TRACe:TRIGger", lambda *name: self._take(self._named(name)), 0, 1)
        tree.add("TRACe:MAKE", self._make, 2, 3)
        tree.add("TRACe:DELete", self._delete, 1)
        tree.add("TRACe:CLEar", lambda *name: self._buffers[self._named(name)].clear(), 0, 1)
        tree.add("TRACe:DATA?", self._data, 2, 12)
        tree.add("TRACe:ACTual?", lambda *name: b"%d" % len(self._buffers[self._named(name)]), 0, 1)
        tree.add("TRACe:POINts", self._resize, 1, 2)
        tree.add("TRACe:POINts?", lambda *name: b"%d" % self._sizes[self._named(name)], 0, 1)
        for word, of in (("AVERage", np.mean), ("MAXimum", np.max), ("MINimum", np.min), ("STDDev", np.std)):
            tree.add(f"TRACe:STATistics:{word}?", lambda *name, of=of: self._statistic(of, name), 0, 1)
        tree.add("STATus:CLEar", self.status.clear)
        tree.add("SYSTem:CLEar", self.status.clear)

    def reset(self) -> None:
        """As `Meter`."""
        super().reset()
        for name in _NAMES:
            self._buffers[name].clear()
        self._sweep, self._tripped = None, False

    def _changed(self, name: str) -> None:
        if name.startswith("delay "):
            self.settings.put(f"auto_{name}", False)
        super()._changed(name)

    def restart(self) -> None:
        """As `Meter`; a new language takes effect."""
        super().restart()
        self.language = self._next_language

    def execute(self, message: bytes) -> bytes:
        """As `WireInstrument`; what is set to another language knows no word of this one."""
        if self.language != "SCPI" and not message.strip().upper().startswith(b"*"):
            self.status.error(-285, "TSP Syntax error")
            return b""
        return super().execute(message)

    def _set_language(self, word: bytes) -> None:
        name = word.decode("ascii", "replace").strip().upper()
        if name not in ("SCPI", "TSP", "SCPI2400"):
            raise ScpiError(-224, f"Illegal parameter value; {name[:20]}")
        self._next_language = name

    def _set_function(self, word: bytes) -> None:
        text = word.decode("ascii", "replace").strip().strip("\"'").upper().removesuffix(":DC")
        names = {"CURRENT": "CURR:DC", "VOLTAGE": "VOLT:DC", "RESISTANCE": "RES"}
        chosen = next((name for full, name in names.items() if text in (full, name.removesuffix(":DC"))), None)
        if chosen is None:
            raise ScpiError(-151, f"Invalid string data; {text[:20]}")
        self.settings["function"] = chosen

    # ---- sweeps

    @staticmethod
    def _delay_of(argument: bytes, automatic: float) -> float:
        value = number(argument, -1.0, 1e4, 0.0)
        if value == -1.0:
            return automatic
        if value < 0 or 0 < value < _SHORTEST_DELAY:
            raise ScpiError(-222, f"Parameter data out of range; delay {value:g} s, 0 or 50 us to 10 ks")
        return value

    def _set_sweep(
        self,
        start: bytes,
        delay: bytes = b"0",
        count: bytes = b"1",
        aborts: bytes = b"ON",
        buffer: bytes = b"'defbuffer1'",
        saved: bytes = b"",
    ) -> None:
        first = int(number(start, 1, len(self.levels)))
        levels = np.tile(self.levels[first - 1 :], int(number(count, 1, 268435455)))
        self._sweep = _Sweep(levels, self._delay_of(delay, _AUTO_DELAY), boolean(aborts), self._named((buffer,)))

    def _set_linear(
        self,
        start: bytes,
        stop: bytes,
        points: bytes,
        delay: bytes = b"-1",
        count: bytes = b"1",
        ranging: bytes = b"BEST",
        aborts: bytes = b"ON",
        dual: bytes = b"OFF",
        buffer: bytes = b"'defbuffer1'",
    ) -> None:
        first, last = (number(each, -LARGEST, LARGEST) for each in (start, stop))
        up = np.linspace(first, last, int(number(points, 2, 1e6)))
        once = np.concatenate([up, up[-2::-1]]) if boolean(dual) else up
        levels = np.tile(once, int(number(count, 1, 268435455)))
        self._sweep = _Sweep(levels, self._delay_of(delay, _AUTO_DELAY), boolean(aborts), self._named((buffer,)))

    def _initiate(self) -> None:
        """The trigger model of a sweep: output on, the levels, output off."""
        sweep = self._sweep
        if sweep is None:
            raise ScpiError(-221, "Settings conflict; no trigger model is loaded")
        self._buffers[sweep.buffer].clear()
        self.settings["output"] = True
        for start in range(len(sweep.levels)) if sweep.aborts else (0,):
            levels = sweep.levels[start : start + 1] if sweep.aborts else sweep.levels
            found = self._points(levels, sweep.delay)
            self._store(found, sweep.buffer)
            if sweep.aborts and self._tripped:
                break
        self.settings["output"] = False

    # ---- measuring

    def _of(self, name: str) -> str:
        return f"{name} {self.settings['function'].removesuffix(':DC')}"

    def point_seconds(self, delay: float) -> float:
        """How long each level lasts, s."""
        settings = self.settings
        source = settings["source"]
        settling = _AUTO_DELAY if settings[f"auto_delay {source}"] else settings[f"delay {source}"]
        phases = 3 if settings[self._of("auto_zero")] else 1
        averages = settings[self._of("average_count")] if settings[self._of("average")] else 1
        back = 2 if settings[f"read_back {source}"] else 1
        converting = back * phases * averages * settings[self._of("cycles")] / self.line
        return float(_PER_POINT + delay + settling + converting)

    def _points(self, levels: FloatArray, delay: float = 0.0) -> Measured:
        found = self.measure(levels, np.full(len(levels), self.point_seconds(delay)))
        self._tripped = bool((found.compliance | found.by_range)[-1])
        return found

    def _take(self, buffer: str) -> None:
        if not self.on:
            raise ScpiError(5081, "Output is off; readings need it on")
        settings = self.settings
        level = settings["level"] if settings["source"] == "VOLT" else settings["current"]
        self._store(self._points(np.full(settings["count"], level)), buffer)

    def _read(self, *rest: bytes) -> bytes:
        names = rest[:1] if rest and rest[0].strip()[:1] in (b"'", b'"') else ()
        self._take(self._named(names))
        return self._fetch(*rest)

    def _read_function(self, name: str, *rest: bytes) -> bytes:
        self._set_function(name.encode())
        return self._read(*rest)

    def _fetch(self, *rest: bytes) -> bytes:
        named = bool(rest) and rest[0].strip()[:1] in (b"'", b'"')
        entries = self._buffers[self._named(rest[:1] if named else ())]
        if not entries:
            raise ScpiError(-230, "Data corrupt or stale")
        return ",".join(entries[-1][each] for each in self._chosen(rest[int(named) :])).encode()

    # ---- buffers

    def _named(self, name: tuple[bytes, ...]) -> str:
        text = name[0].decode("ascii", "replace").strip().strip("\"'") if name else _NAMES[0]
        if text not in self._buffers:
            raise ScpiError(-224, f"Illegal parameter value; no buffer {text[:20]}")
        return text

    def _make(self, name: bytes, size: bytes, style: bytes = b"") -> None:
        text = name.decode("ascii", "replace").strip().strip("\"'")
        self._sizes[text] = int(number(size, 10, 11_000_020))
        self._buffers[text] = []

    def _delete(self, name: bytes) -> None:
        del self._buffers[self._named((name,))]

    def _resize(self, size: bytes, *name: bytes) -> None:
        self._sizes[self._named(name)] = int(number(size, 10, 11_000_020))

    def _store(self, found: Measured, buffer: str) -> None:
        settings = self.settings
        name = settings["function"].removesuffix(":DC")
        volts = settings["source"] == "VOLT"
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(found.current == 0, 9.9e37, found.voltage / found.current)
        reading = {"CURR": found.current, "VOLT": found.voltage, "RES": ratio}[name]
        status = _OUTPUT_ON | _FOUR_WIRES * settings[self._of("four_wires")]
        status |= _READ_BACK * settings[f"read_back {settings['source']}"]
        unit, sourced = {"CURR": "Amp DC", "VOLT": "Volt DC", "RES": "Ohm"}[name], "Volt DC" if volts else "Amp DC"
        front = _FRONT * (settings["terminals"] == "FRON")
        rows = self._buffers[buffer]
        first = rows[0]["SEC"] if rows else f"{found.time[0]:.6f}"
        for at in range(len(reading)):
            limited = bool(found.compliance[at] | found.by_range[at])
            value = found.programmed[at] if not settings[f"read_back {settings['source']}"] else found.voltage[at]
            time = f"{found.time[at]:.6f}"
            rows.append(
                {
                    "READ": f"{reading[at]:.6E}",
                    "FORM": f"{reading[at]:.6E} {unit[0]}",
                    "SOUR": f"{value:.6E}",
                    "SOURFORM": f"{value:.6E} {sourced[0]}",
                    "SOURSTAT": f"{status | _LIMITED * limited}",
                    "SOURUNIT": sourced,
                    "STAT": f"{front}",
                    "REL": f"{float(time) - float(first):.6f}",
                    "SEC": time,
                    "FRAC": f"{float(time) % 1:.6f}",
                    "DATE": "01/01/2020",
                    "TIME": "00:00:00",
                    "TST": f"01/01/2020 00:00:{float(time) % 60:09.6f}",
                    "UNIT": unit,
                }
            )

    def _chosen(self, words: tuple[bytes, ...]) -> list[str]:
        chosen = []
        for word in words:
            text = word.decode("ascii", "replace").strip().upper()
            short = next((short for full, short in _ELEMENTS.items() if text in (full.upper(), short)), None)
            if short is None:
                raise ScpiError(-141, f"Invalid character data; {text[:20]}")
            chosen.append(short)
        return chosen or ["READ"]

    def _data(self, start: bytes, end: bytes, *rest: bytes) -> bytes:
        entries = self._buffers[self._named(rest[:1])]
        first, last = (int(number(each, 1, max(len(entries), 1))) for each in (start, end))
        chosen = self._chosen(rest[1:])
        return ",".join(row[each] for row in entries[first - 1 : last] for each in chosen).encode()

    def _statistic(self, of: object, name: tuple[bytes, ...]) -> bytes:
        assert callable(of)
        values = [float(row["READ"]) for row in self._buffers[self._named(name)]]
        if not values:
            raise ScpiError(-230, "Data corrupt or stale")
        return self.text(np.array([of(values)]))
