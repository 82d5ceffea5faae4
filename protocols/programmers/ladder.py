"""Pulse ladders: voltage inside gate, from weakest to strongest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind, Pulses

Ramp = tuple[float, float, float]
"""Start, stop, step in V; the stop is included."""


@dataclass(frozen=True)
class Ladder(FrozenArrays):
    """One entry of `voltage` and `gate` (V) per rung; `width` in s."""

    kind: PulseKind
    voltage: FloatArray
    gate: FloatArray
    width: float

    @classmethod
    def of(cls, kind: PulseKind, voltage: Ramp, gate: Ramp, width: float) -> Ladder:
        """All voltages at the first gate, then all at the next."""
        gates, voltages = np.meshgrid(ramp(*gate), ramp(*voltage), indexing="ij")
        return cls(kind, voltages.ravel(), gates.ravel(), width)

    @property
    def top(self) -> int:
        """The strongest rung."""
        return len(self.voltage) - 1

    def first_at(self, gate: FloatArray) -> NDArray[np.intp]:
        """The first rung whose gate voltage is at least `gate` (V), the top where there is none."""
        return np.minimum(np.searchsorted(self.gate, gate - 1e-9), self.top)

    def pulses(self, chosen: BoolArray, rung: NDArray[np.intp]) -> Pulses:
        """The batch that gives every chosen cell the pulse of its rung, (rows, cols)."""
        cells = np.flatnonzero(chosen)
        rungs = rung.take(cells)
        voltage, gate = np.full(chosen.shape, np.nan), np.full(chosen.shape, np.nan)
        voltage.put(cells, self.voltage[rungs])
        gate.put(cells, self.gate[rungs])
        return Pulses(self.kind, voltage, gate, self.width)


def ramp(start: float, stop: float, step: float) -> FloatArray:
    """start, start + step ... up to and including stop, in V, (steps,)."""
    return np.asarray(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), dtype=np.float64)
