"""Arrays of all topologies with what Kirchhoff's current law says of them: ends, lists of resistances, open lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from trials.circuits.kirchhoff import Crossbar
from twin.wires.wire_resistance import Wires

LEVELS: dict[str, tuple[float | None, float | None]] = {
    "ground": (0.0, 0.0),
    "float": (None, None),
    "V/2": (1 / 2, 1 / 2),
    "V/3": (1 / 3, 2 / 3),
}
"""Shares of the read voltage on word lines and bit lines that are not selected; None for nothing."""
_DRIVE = ("left", "right", "both")
_SENSE = ("bottom", "top", "both")


@dataclass(frozen=True)
class Topology:
    """An array with wires, as the twin knows it and in plain numbers.

    Attributes:
        conductance: S, (rows, cols), some cells open; wires: its lines.
        drive: V on the word lines, (rows,); bias: V on the bit lines, (cols,).
        crossbar: the same array for the dense solution.
    """

    conductance: FloatArray
    wires: Wires
    drive: FloatArray
    bias: FloatArray
    crossbar: Crossbar

    def __str__(self) -> str:
        w = self.wires
        lists = "list" if isinstance(w.r_word, tuple) or isinstance(w.r_bit, tuple) else "one"
        return f"{w.drive}-{w.sense}-{w.selection}-{lists}-{len(w.open_word)}-{len(w.open_bit)}"

    @property
    def matrix(self) -> FloatArray:
        """Currents of the bit lines for 1 V on each word line, S, (rows, cols)."""
        rows, cols = self.conductance.shape
        return np.array([self.crossbar.currents(one.tolist(), [0.0] * cols)[1] for one in np.eye(rows)])

    @property
    def scale(self) -> float:
        """S, largest conductance that a bit line can show."""
        return max(float(self.conductance.sum(axis=0).max()), 1e-12)

    def reads(self, conductance: FloatArray) -> FloatArray:
        """What reads of single cells of such conductances give by the selection of the wires, S, (rows, cols)."""
        crossbar, (word, bit) = replace(self.crossbar, conductance=conductance), LEVELS[self.wires.selection]
        rows, cols = conductance.shape
        reads = np.zeros((rows, cols))
        for i, j in np.ndindex(rows, cols):
            drive, bias = [word] * rows, [bit] * cols
            drive[i], bias[j] = 1.0, 0.0
            reads[i, j] = crossbar.currents(drive, bias)[1][j]
        return reads


def topologies(count: int, largest: int = 7) -> Iterator[Topology]:
    """So many arrays of up to `largest` lines a side: all ends and selections in turn, the rest drawn, seeds 0 on."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        rows, cols = (int(side) for side in rng.integers(2, largest + 1, 2))
        given: dict[str, Any] = {
            "drive": _DRIVE[seed % 3],
            "sense": _SENSE[seed // 3 % 3],
            "selection": tuple(LEVELS)[seed % 4],
            "r_word": _resistance(rng, rows if rng.random() < 0.5 else None),
            "r_bit": _resistance(rng, cols if rng.random() < 0.5 else None),
            "r_in": _resistance(rng, None),
            "r_out": _resistance(rng, None),
        }
        given["selector"] = "transistor" if given["selection"] == "ground" else "none"
        if given["selector"] == "transistor":
            given["r_access"] = _resistance(rng, None)
        if seed % 2:
            given["open_word"], given["open_bit"] = _some(rng, rows), _some(rng, cols)
        conductance = np.exp(rng.uniform(np.log(1e-6), np.log(1e-3), (rows, cols)))
        conductance[rng.random((rows, cols)) < 0.15] = 0.0
        drive, bias = rng.uniform(-0.2, 0.2, rows), rng.uniform(-0.2, 0.2, cols)
        wires = Wires(**given)
        yield Topology(conductance, wires, drive, bias, _crossbar(conductance, wires))


def _resistance(rng: np.random.Generator, lines: int | None) -> float | tuple[float, ...]:
    """Ohm, log-uniform, three in ten of them 0: one number, or one for each of so many lines."""
    size = 1 if lines is None else lines
    ohm = np.exp(rng.uniform(np.log(1e-2), np.log(200.0), size)) * (rng.random(size) > 0.3)
    return float(ohm[0]) if lines is None else tuple(ohm.tolist())


def _some(rng: np.random.Generator, lines: int) -> tuple[int, ...]:
    """Some of so many lines, at least one of them left out, some counted from the last one."""
    chosen = rng.choice(lines, int(rng.integers(0, lines)), replace=False)
    return tuple(int(line) - lines * int(rng.integers(0, 2)) for line in chosen)


def _crossbar(conductance: FloatArray, wires: Wires) -> Crossbar:
    rows, cols = conductance.shape

    def connected(lines: int, opened: tuple[int, ...], there: bool) -> BoolArray:
        return np.array([there and line not in opened and line - lines not in opened for line in range(lines)])

    return Crossbar(
        conductance,
        np.broadcast_to(np.array(wires.r_word, dtype=float), (rows,)),
        np.broadcast_to(np.array(wires.r_bit, dtype=float), (cols,)),
        connected(rows, wires.open_word, wires.drive in ("left", "both")),
        connected(rows, wires.open_word, wires.drive in ("right", "both")),
        connected(cols, wires.open_bit, wires.sense in ("bottom", "both")),
        connected(cols, wires.open_bit, wires.sense in ("top", "both")),
        wires.r_in,
        wires.r_out,
        wires.r_access,
    )
