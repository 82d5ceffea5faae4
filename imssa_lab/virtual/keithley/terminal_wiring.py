"""`Wiring`: what the electrodes see for the state of two meters and the relays between them and the chip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin

HIGH, LOW, GATE = 0, 1, 2
"""Rows of the matrix: the source's terminals, the gate source."""
GATE_OPENS = 0.3
"""V at a gate below which its transistor conducts nothing."""
_CHANNEL = 1e-3
"""S per V above that: what a transistor conducts. Assumed; at the gate of reads it is part of the cell."""
_READ_GATE = 5.0
_SHORT = 1e3  # S of a relay path that joins two terminals
_SHORTEST = 1e-3  # s that a level lasts which a command has set: no other comes sooner


@dataclass(frozen=True)
class Flow(FrozenArrays):
    """What the source found at some levels, arrays (n,).

    Attributes:
        voltage: V that stood between its terminals; current: A; limited: whether its limit was reached.
    """

    voltage: FloatArray
    current: FloatArray
    limited: BoolArray


class Wiring:
    """Which crosspoints are closed, what both sources put out, and what flows.

    Everything the electrodes see is in the journal of the bench, allowed or not: meters know no limits of cells.

    Args:
        open_lines: matrix columns without a contact to the chip.

    Attributes:
        closed: crosspoints, (row, column) from 0.
        level: V between the source's terminals while nothing else is asked of it; gate_level: V on the gate source.
        moved_at: source and gate level at every movement of relays, V.
    """

    def __init__(self, bench: BenchTwin, open_lines: frozenset[int] = frozenset()) -> None:
        self.bench = bench
        self.closed: set[tuple[int, int]] = set()
        self.level = 0.0
        self.gate_level = 0.0
        self.moved_at: list[tuple[float, float]] = []
        self._open_lines = open_lines

    def switch(self, closed: set[tuple[int, int]]) -> None:
        """Relays move; what is at the terminals is at the cells from then on."""
        if closed != self.closed:
            self.moved_at.append((self.level, self.gate_level))
            self.closed = closed
            self.stand()

    def put(self, level: float, limit: float) -> None:
        """A level, V, that stays between the source's terminals, with at most `limit` A."""
        if level != self.level:
            self.level = level
            self.stand(limit)

    def put_gate(self, level: float) -> None:
        """A level, V, that stays on the gate source."""
        if level != self.gate_level:
            self.gate_level = level
            self.stand()

    def stand(self, limit: float = np.inf) -> None:
        """The cells see what is at the terminals, for `_SHORTEST` at least."""
        if self.level:
            self.drive(np.array([self.level]), np.array([_SHORTEST]), limit)

    # ---- what the cells see

    def _lines(self, terminal: int) -> set[int]:
        return {column for row, column in self.closed if row == terminal and column not in self._open_lines}

    def seen(self) -> tuple[int, BoolArray, bool]:
        """Sign (+1 where word lines are high, -1 where bit lines are), cells between the terminals, and whether these
        are joined.
        """
        rows, cols = self.bench.info.shape
        high, low, gates = (self._lines(terminal) for terminal in (HIGH, LOW, GATE))
        between = np.zeros((rows, cols), dtype=np.bool_)
        sign = 1 if any(line < rows for line in high) else -1
        words, bits = (high, low) if sign > 0 else (low, high)
        if self.gate_level > GATE_OPENS:
            for word in words:
                if word < rows and rows + cols + word in gates:
                    between[word, [bit - rows for bit in bits if rows <= bit < rows + cols]] = True
        ends = [{column for row, column in self.closed if row == terminal} for terminal in (HIGH, LOW)]
        return sign, between, bool(ends[0] & ends[1])

    def conductance(self, cells: BoolArray) -> float:
        """S between the terminals through these cells, as far as their transistors let it."""
        excess = 1 / (_CHANNEL * (self.gate_level - GATE_OPENS)) - 1 / (_CHANNEL * (_READ_GATE - GATE_OPENS))
        return float((1 / (1 / self.bench.conducting[cells] + excess)).sum())

    def drive(self, levels: FloatArray, seconds: FloatArray, limit: float) -> Flow:
        """Levels (n,) in V one after another, each for its time (n,), s, the current held below `limit`, A.

        Those up to the read voltage are reads, with the noise of reads; those above are pulses of their time.
        """
        sign, cells, short = self.seen()
        count = len(levels)
        if short:
            current = np.clip(levels * _SHORT, -limit, limit)
            return Flow(current / _SHORT, current, np.abs(levels) * _SHORT > limit)
        if not cells.any():
            return Flow(levels.copy(), np.zeros(count), np.zeros(count, dtype=np.bool_))
        small = np.abs(levels) <= self.bench.info.limits.read_voltage * (1 + 1e-9)
        voltage, current, limited = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.bool_)
        start = 0
        while start < count:
            end = start + 1
            while end < count and small[start] and small[end]:
                end += 1
            part = slice(start, end)
            total = self.conductance(cells)
            limited[part] = np.abs(levels[part]) * total >= limit
            voltage[part] = np.where(limited[part], np.sign(levels[part]) * limit / total, levels[part])
            if small[start]:
                current[part] = self._read(sign, cells, voltage[part], total)
            else:
                self._pulse(sign, cells, float(voltage[start]), float(seconds[start]))
                current[part] = voltage[part] * self.conductance(cells)
            current[part] = np.where(limited[part], np.sign(levels[part]) * limit, current[part])
            start = end
        return Flow(voltage, current, limited)

    def _read(self, sign: int, cells: BoolArray, levels: FloatArray, total: float) -> FloatArray:
        driven = np.where(cells.any(axis=1), sign * levels[:, None], 0.0)
        if not levels.any():
            return np.zeros(len(levels))
        found = self.bench.read_mvm(driven, raw=True)[:, cells.any(axis=0)].sum(axis=1)
        return np.asarray(sign * found * total / self.bench.conducting[cells].sum())

    def _pulse(self, sign: int, cells: BoolArray, level: float, seconds: float) -> None:
        kind = PulseKind.SET if sign * level > 0 else PulseKind.RESET
        self.bench.see(Pulses.on(cells, kind, abs(level), self.gate_level, seconds))
