"""An OpenMENA shield and its Arduino Due without their wire: the firmware around a twin, from its published source.

Written from github ali20480/OpenMiMA, `memristor_rev.ino` at ddb0459, and from nothing of our driver. Where that
source leaves open what happens (fewer than nine numbers for a pulse, codes beyond a converter), nothing happens here.
The gates of the twin's transistors are tied to one voltage, as the board has none.
"""

from __future__ import annotations

import re

import numpy as np

from imssa_lab.contract.array_types import FloatArray, PulseKind, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin

TIED_GATE = 3.0
GAIN = 8000.0
"""V/A of the column amplifiers."""
_LINES, _REPEATS, _TOP = 8, 20, 4095
_READING, _PULSING = 1.045, 15e-3
"""s: what the pauses of the firmware come to, for one vector and for one pulse."""
_GROUND = 0.75
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


class OpenMenaBoard:
    """The board without its wire.

    Args:
        bench: 8 x 8, without converters of its own (`meter_profile`).
        paced: whether answers take the time of the firmware's pauses.
    """

    kind = "OpenMENA"
    incomplete_after = 1.0
    """s; the firmware takes what it has for a line then, here it is dropped."""
    watchdog = 0.0

    def __init__(self, bench: BenchTwin, paced: bool = False, gain: float = GAIN) -> None:
        if bench.info.shape != (_LINES, _LINES):
            raise ValueError(f"OpenMENA has 8 x 8 cells, not {bench.info.rows} x {bench.info.cols}")
        self.bench, self.paced, self._gain = bench, paced, gain
        self._line = b""
        self._split = b""
        self._word = np.full(_LINES, int(0.8 * _TOP / 1.5))  # as it starts
        self._bit = 0

    @property
    def unfinished(self) -> bool:
        """Whether part of a line waits for the rest."""
        return bool(self._line or self._split)

    def transfers(self, data: bytes) -> list[bytes]:
        """One line each."""
        *whole, self._split = (self._split + data).split(b"\n")
        return [line + b"\n" for line in whole]

    def forget(self) -> None:
        """Drop part of a line."""
        self._line = self._split = b""

    def make_safe(self) -> None:
        """The power goes: switches open."""
        self.bench.ground()

    def fail(self) -> None:
        """The board has no way to report a fault of its own."""

    def receive(self, data: bytes) -> list[bytes]:
        """What it prints for the lines that are complete with these bytes."""
        *lines, self._line = (self._line + data).split(b"\n")
        said = []
        for line in lines:
            said += self._command(line.decode("latin-1").strip())
        return ["".join(f"{each}\r\n" for each in said).encode()] if said else []

    def _command(self, line: str) -> list[str]:
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and name == "INFEREMULTIPLE":
            return self._infer(fields)
        if colon and name == "WEIGHTMODIF":
            return self._pulse(fields)
        if colon and name == "SETVOLTAGES":
            return self._set(fields)
        return []  # what it does not know it passes over

    def _infer(self, fields: list[str]) -> list[str]:
        count = _integer(fields[0]) if fields else 0
        if count <= 0:
            return ["Error: INFEREMULTIPLE requires N > 0"]
        values = [min(max(_integer(field), 0), _TOP) for field in fields[1 : 1 + _LINES * count]]
        if len(values) != _LINES * count:
            return [f"Error: Expected {_LINES * count} DAC values after N."]
        codes = np.array(values).reshape(count, _LINES)
        printed = [f"Running inference for {count} input vectors...", "INFEREMULTIPLE ADC Averages:"]
        for vector in codes:
            self._word = vector.copy()
            printed.append("".join(f"{mean:.2f}\t" for mean in self._means()))
        return [*printed, "INFEREMULTIPLE complete."]

    def _means(self) -> FloatArray:
        """Means of the converters' codes behind all bit lines at the virtual ground, (8,)."""
        volts = self._word * 1.5 / _TOP - _GROUND
        self.bench.connect()
        currents = self.bench.currents_at(np.tile(volts, (_REPEATS, 1)))
        self.bench.ground()
        self.bench.wait(_READING)
        codes = np.floor(self._gain * currents / 3.3 * _TOP)
        return np.asarray(np.clip(codes, 0, _TOP).mean(axis=0))

    def _pulse(self, fields: list[str]) -> list[str]:
        if len(fields) < 9:
            return []
        row, col, sign, pulses = (_integer(field) for field in fields[:4])
        if not (0 <= row < _LINES and 0 <= col < _LINES and sign in (-1, 1) and pulses > 0):
            return ["Invalid arguments. Indices 0–7, sign 1/-1, pulses > 0"]
        levels = [_decimal(field) for field in fields[4:8]]
        width = int(_decimal(fields[8]))
        word, bit = levels[:2] if sign == 1 else levels[2:]
        codes = _code(word, 1.5), _code((bit - 0.545) / 0.665, 3.3)
        if not (all(0 <= code <= _TOP for code in codes) and width > 0):
            return []
        self._word[row], self._bit = codes
        across = codes[0] * 1.5 / _TOP - (0.545 + 0.665 * 3.3 * codes[1] / _TOP)
        chosen = np.zeros((_LINES, _LINES), np.bool_)
        chosen[row, col] = True
        kind = PulseKind.SET if across > 0 else PulseKind.RESET
        self.bench.connect()
        for _ in range(pulses):
            if across:
                self.bench.see(Pulses.on(chosen, kind, abs(across), TIED_GATE, 1e-6 * width))
        self.bench.ground()
        self.bench.wait(_PULSING)
        return []

    def _set(self, fields: list[str]) -> list[str]:
        if len(fields) < 9:
            return ["Error: SETVOLTAGES requires 9 floats: v0 ... v7 due_voltage"]
        volts = [_decimal(field) for field in fields[:9]]
        self._word = np.array([min(max(_code(volt, 1.5), 0), _TOP) for volt in volts[:8]])
        behind = (volts[8] - 0.545) / 0.665
        self._bit = min(max(_code(behind, 3.3), 0), _TOP)
        said = "".join(f"AD5593R DAC{index}: {volt:.3f} V\t" for index, volt in enumerate(volts[:8]))
        return ["Voltages updated:", f"{said}Due DAC1: {behind:.3f} V"]


def _code(volts: float, reference: float) -> int:
    """As the firmware does it, in single precision and cut off."""
    return int(np.float32(volts) * np.float32(_TOP) / np.float32(reference))


def _integer(text: str) -> int:
    """As `String.toInt`: digits from the start, 0 where there are none."""
    found = _INTEGER.match(text)
    return int(found[0]) if found else 0


def _decimal(text: str) -> float:
    """As `String.toFloat`."""
    found = _DECIMAL.match(text)
    return float(found[0]) if found else 0.0
