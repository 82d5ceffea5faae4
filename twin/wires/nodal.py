"""Exact solution of a crossbar with wires, node by node: slow, for cells of any law; reference of `wire_resistance`.

The unknown is the voltage across every cell. Given those, Kirchhoff's current law gives the current of every wire
segment by plain sums, Ohm's law the drops, and the voltage law one equation a cell,

    F = v + r_access I(v) + drop on the word line + drop on the bit line - V = 0.

Newton steps solve the linearised circuit for its 2 rows cols nodes by sparse LU. Linear cells need one step; the
second one only takes away rounding. Nothing is divided by a resistance of zero: such nodes are one node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import LimitError, NotConverged
from imssa_lab.contract.hal import FloatArray
from twin.wires.wire_resistance import CellLaw, Wires, check_conductance

_GROUND = -1
_TOLERANCE = 1e-12
_ROUNDING = 1e-15
# V: a residual of 1e-12 of less than this would be among the subnormal numbers, which lack the digits.
_LEAST_SCALE = 1e-290
_STEPS = 60
_HALVINGS = 40


@dataclass(frozen=True)
class LinearCells(FrozenArrays):
    """I = G v, conductance in S, (rows, cols)."""

    conductance: FloatArray

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, cols)."""
        return self.conductance.shape

    def current(self, voltage: FloatArray) -> FloatArray:
        """Current in A at these voltages, V."""
        return self.conductance * voltage

    def slope(self, voltage: FloatArray) -> FloatArray:
        """G, S, whatever the voltage."""
        return np.broadcast_to(self.conductance, voltage.shape)


@dataclass(frozen=True)
class CubicCells(FrozenArrays):
    """I = G v (1 + b v^2): conductance in S, (rows, cols), and b in 1/V^2, of the same shape or one for all."""

    conductance: FloatArray
    b: FloatArray | float

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, cols)."""
        return self.conductance.shape

    def current(self, voltage: FloatArray) -> FloatArray:
        """Current in A at these voltages, V."""
        return np.asarray(self.conductance * voltage * (1.0 + self.b * voltage**2))

    def slope(self, voltage: FloatArray) -> FloatArray:
        """G (1 + 3 b v^2), S."""
        return np.asarray(self.conductance * (1.0 + 3.0 * self.b * voltage**2))


@dataclass(frozen=True)
class Solution(FrozenArrays):
    """Every voltage and current of the array for n drive vectors.

    Attributes:
        drive: V, (n, rows).
        cell_voltage: V, across the cells without their transistors, (n, rows, cols).
        cell_current: A, (n, rows, cols).
        wires: the resistances it was solved for.
        residual: largest violation of the voltage law of each vector, relative to its largest drive voltage, (n,).
    """

    drive: FloatArray
    cell_voltage: FloatArray
    cell_current: FloatArray
    wires: Wires
    residual: FloatArray

    @property
    def current(self) -> FloatArray:
        """Bit-line currents into virtual ground, A, (n, cols)."""
        return np.asarray(self.cell_current.sum(axis=1))

    @property
    def word_current(self) -> FloatArray:
        """Current of the word-line segment that enters each node, A, (n, rows, cols)."""
        return _word_current(self.cell_current)

    @property
    def bit_current(self) -> FloatArray:
        """Current of the bit-line segment that leaves each node, A, (n, rows, cols)."""
        return _bit_current(self.cell_current)

    @property
    def word_voltage(self) -> FloatArray:
        """Voltage of the word-line nodes, V, (n, rows, cols)."""
        return self.drive[:, :, None] - _word_drop(self.cell_current, self.wires)

    @property
    def bit_voltage(self) -> FloatArray:
        """Voltage of the bit-line nodes, V, (n, rows, cols)."""
        return _bit_drop(self.cell_current, self.wires)

    @property
    def supplied(self) -> FloatArray:
        """Power supplied by the drivers, W, (n,)."""
        return np.asarray((self.drive * self.word_current[:, :, 0]).sum(axis=1))

    @property
    def dissipated(self) -> FloatArray:
        """Power dissipated in wires, transistors and cells, W, (n,)."""
        w, along, down = self.wires, self.word_current**2, self.bit_current**2
        wires = w.r_word * along + w.r_bit * down + w.r_access * self.cell_current**2
        ends = w.r_in * along[:, :, 0].sum(axis=1) + w.r_out * down[:, -1].sum(axis=1)
        return np.asarray((wires + self.cell_current * self.cell_voltage).sum(axis=(1, 2)) + ends)


def solve(cells: FloatArray | CellLaw, wires: Wires, drive: FloatArray) -> Solution:
    """All voltages and currents of the array, to a residual of the voltage law of 1e-12 of the drive.

    Of 1e-290 V for drives below that, where floating point runs out of digits.

    All vectors share the factor of the circuit at zero volt for as long as that brings the residual down fourfold a
    step, usually down to rounding; a vector that stops above 1e-12 gets Newton steps of its own, halved where they
    overshoot.

    Args:
        cells: conductances in S, (rows, cols), or a law.
        wires: the resistances.
        drive: voltages at the word-line drivers, V, (n, rows).

    Raises:
        LimitError: shapes that do not fit, voltages that are not finite, a conductance or a slope of the law that
            is negative or not finite.
        NotConverged: the residual was not reached; names vector and residual.
    """
    law: CellLaw = LinearCells(check_conductance(cells)) if isinstance(cells, np.ndarray) else cells
    if drive.ndim != 2 or drive.shape[1] != law.shape[0] or not np.isfinite(drive).all():
        raise LimitError(f"wires: drive must be finite, of shape (n, {law.shape[0]}) in V, got {drive.shape}")
    target = np.broadcast_to(drive[:, :, None], (len(drive), *law.shape))
    scale = np.maximum(np.abs(drive).max(axis=1), _LEAST_SCALE)
    voltage = np.zeros(target.shape)
    rest = _residual(law, wires, target, voltage)
    left = np.abs(rest).max(axis=(1, 2)) / scale
    shared = _Circuit(law.slope(np.zeros((1, *law.shape)))[0], wires)
    going = ~(left <= _ROUNDING)
    while going.any():
        tried = voltage[going] + shared.step(rest[going])
        rest_tried = _residual(law, wires, target[going], tried)
        left_tried = np.abs(rest_tried).max(axis=(1, 2)) / scale[going]
        better = left_tried < left[going] / 4
        chosen = np.flatnonzero(going)
        voltage[chosen[better]], rest[chosen[better]] = tried[better], rest_tried[better]
        left[chosen[better]] = left_tried[better]
        going[chosen[~better]] = False
        going &= left > _ROUNDING
    for n in np.flatnonzero(~(left <= _TOLERANCE)):
        voltage[n], left[n] = _newton(law, wires, target[n : n + 1], voltage[n : n + 1], scale[n], int(n))
    return Solution(drive, voltage, law.current(voltage), wires, left)


def _newton(
    law: CellLaw, wires: Wires, target: FloatArray, voltage: FloatArray, scale: float, vector: int
) -> tuple[FloatArray, float]:
    """Newton steps of one vector's own, each halved until it helps; voltages (rows, cols) and residual."""
    rest = _residual(law, wires, target, voltage)
    left = float(np.abs(rest).max() / scale)
    for _ in range(_STEPS):
        if left <= _TOLERANCE:
            return voltage[0], left
        step = _Circuit(law.slope(voltage)[0], wires).step(rest)
        for halving in range(_HALVINGS):
            tried = voltage + step * 0.5**halving
            rest_tried = _residual(law, wires, target, tried)
            left_tried = float(np.abs(rest_tried).max() / scale)
            if left_tried < left:
                break
        else:
            break
        voltage, rest, left = tried, rest_tried, left_tried
    if left <= _TOLERANCE:
        return voltage[0], left
    raise NotConverged(
        f"wires: vector {vector} stopped at a residual of {left:.1e} of its drive voltage, {_TOLERANCE:g} is "
        "promised; the cells' current must rise with voltage, and slope() must be its derivative"
    )


def _residual(law: CellLaw, wires: Wires, target: FloatArray, voltage: FloatArray) -> FloatArray:
    """Violation of the voltage law around every cell, V, (n, rows, cols)."""
    current = law.current(voltage)
    drops = _word_drop(current, wires) + _bit_drop(current, wires)
    return np.asarray(voltage + wires.r_access * current + drops - target)


def _word_current(cell_current: FloatArray) -> FloatArray:
    return np.asarray(np.cumsum(cell_current[:, :, ::-1], axis=2)[:, :, ::-1])


def _bit_current(cell_current: FloatArray) -> FloatArray:
    return np.cumsum(cell_current, axis=1)


def _word_drop(cell_current: FloatArray, wires: Wires) -> FloatArray:
    """Voltage lost from the driver to every word-line node, V."""
    along = _word_current(cell_current)
    return np.asarray(wires.r_in * along[:, :, :1] + wires.r_word * np.cumsum(along, axis=2))


def _bit_drop(cell_current: FloatArray, wires: Wires) -> FloatArray:
    """Voltage of every bit-line node above virtual ground, V."""
    down = _bit_current(cell_current)
    return np.asarray(wires.r_out * down[:, -1:] + wires.r_bit * np.cumsum(down[:, ::-1], axis=1)[:, ::-1])


class _Circuit:
    """The array with linear cells of these slopes (S, (rows, cols)), factored; all line ends at ground."""

    def __init__(self, slope: FloatArray, wires: Wires) -> None:
        if not (np.isfinite(slope).all() and (slope >= 0).all()):
            raise LimitError(
                "wires: the slope dI/dV of a cell is negative or not finite; the circuit has no unique state"
            )
        rows, cols = slope.shape
        self._access = wires.r_access
        self._branch = slope / (1.0 + wires.r_access * slope)
        self._word, word_edges, count = _nodes(rows, cols, wires.r_word, wires.r_in, 0)
        flipped, bit_edges, count = _nodes(cols, rows, wires.r_bit, wires.r_out, count)
        self._bit = flipped[:, ::-1].T
        self._count = count
        if count:
            from scipy.sparse import coo_array  # the reference alone needs sparse matrices
            from scipy.sparse.linalg import splu

            edges = [*word_edges, *bit_edges, (self._word.ravel(), self._bit.ravel(), self._branch.ravel())]
            a, b, g = (np.concatenate(part) for part in zip(*edges, strict=True))
            inside_a, inside_b, both = a != _GROUND, b != _GROUND, (a != _GROUND) & (b != _GROUND)
            at = np.concatenate([a[inside_a], b[inside_b], a[both], b[both]])
            to = np.concatenate([a[inside_a], b[inside_b], b[both], a[both]])
            values = np.concatenate([g[inside_a], g[inside_b], -g[both], -g[both]])
            matrix = coo_array((values, (at, to)), shape=(count, count)).tocsc()
            self._factor = splu(
                matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )

    def step(self, rest: FloatArray) -> FloatArray:
        """Change of the cell voltages that takes away the residual `rest`, both (n, rows, cols), V."""
        across = self._across(rest)
        current = self._branch * (across - rest)
        return np.asarray(across - self._access * current - rest)

    def _across(self, rest: FloatArray) -> FloatArray:
        """Voltage between word-line and bit-line nodes with a source of `rest` in series with every cell."""
        if not self._count:
            return np.zeros(rest.shape)
        source = (self._branch * rest).reshape(len(rest), -1)
        sums = np.zeros((self._count + 1, len(rest)))  # the last entry is the ground
        np.add.at(sums, self._word.ravel(), source.T)
        np.add.at(sums, self._bit.ravel(), -source.T)
        nodes = np.zeros_like(sums)
        nodes[:-1] = self._factor.solve(sums[:-1])
        return np.asarray((nodes[self._word] - nodes[self._bit]).transpose(2, 0, 1))


_Edges = list[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]]


def _nodes(lines: int, length: int, segment: float, end: float, first: int) -> tuple[NDArray[np.int64], _Edges, int]:
    """Node numbers (lines, length) from the grounded end on, wire conductances between them, next free number."""
    ground = np.full(lines, _GROUND)
    if segment > 0:
        number = first + np.arange(lines * length).reshape(lines, length)
        inner = number[:, 1:].ravel()
        edges: _Edges = [
            (ground, number[:, 0], np.full(lines, 1.0 / (segment + end))),
            (number[:, :-1].ravel(), inner, np.full(inner.size, 1.0 / segment)),
        ]
        return number, edges, first + lines * length
    if end > 0:
        line = first + np.arange(lines)
        return np.repeat(line[:, None], length, axis=1), [(ground, line, np.full(lines, 1.0 / end))], first + lines
    return np.full((lines, length), _GROUND), [], first
