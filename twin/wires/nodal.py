"""Exact solution of a crossbar with wires, node by node: slow, for cells of any law; reference of `wire_resistance`.

The unknown is the voltage across every cell. Given those, Kirchhoff's current law gives the current of every wire
segment by plain sums, Ohm's law the drops, and the voltage law one equation a cell,

    F = v + r_access I(v) + drop on the word line + drop on the bit line - V = 0.

V is the voltage between the ends of the two lines. The voltage of a line that floats is unknown too, and its cells
bring it no current, S = 0. A line with two ends divides its current between them as its resistances say.

Newton steps solve the linearised circuit for its 2 rows cols nodes by sparse LU. Linear cells need one step; the
second one only takes away rounding. Nothing is divided by a resistance of zero: such nodes are one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import LimitError, NotConverged
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.wires.line_ends import Lines, adrift, along, by_bit_line, by_row, dissipated, drop
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
        drive: V, at the drivers, (n, rows); of a word line that floats its voltage at column 0.
        cell_voltage: V, across the cells without their transistors, (n, rows, cols).
        cell_current: A, (n, rows, cols).
        wires: what it was solved for.
        residual: largest violation of the voltage law of each vector, relative to its largest voltage, (n,).
        bias: V, at the ends of the bit lines, (n, cols); of one that floats its voltage in the last row.
    """

    drive: FloatArray
    cell_voltage: FloatArray
    cell_current: FloatArray
    wires: Wires
    residual: FloatArray
    bias: FloatArray

    @property
    def current(self) -> FloatArray:
        """Bit-line currents out of all of their ends, A, (n, cols)."""
        return np.asarray(self.cell_current.sum(axis=1))

    @property
    def word_current(self) -> FloatArray:
        """Current to the right in the word-line segment that enters each node from the left, A, (n, rows, cols)."""
        return self._along[0][:, :, :-1]

    @property
    def bit_current(self) -> FloatArray:
        """Current downward in the bit-line segment that leaves each node to below, A, (n, rows, cols)."""
        return by_row(self._along[1][:, :, :-1])

    @property
    def far_current(self) -> tuple[FloatArray, FloatArray]:
        """Currents out of the right ends of word lines (n, rows) and the top ends of bit lines (n, cols), A."""
        word, bit = self._along
        return word[:, :, -1], -bit[:, :, -1]

    @property
    def word_voltage(self) -> FloatArray:
        """Voltage of the word-line nodes, V, (n, rows, cols)."""
        return self.drive[:, :, None] - drop(self.cell_current, self._net.word)

    @property
    def bit_voltage(self) -> FloatArray:
        """Voltage of the bit-line nodes, V, (n, rows, cols)."""
        return self.bias[:, None] + by_row(drop(by_bit_line(self.cell_current), self._net.bit))

    @property
    def supplied(self) -> FloatArray:
        """Power supplied by all that is connected to the lines, W, (n,)."""
        word, bit = self._along
        from_words = (self.drive * (word[:, :, 0] - word[:, :, -1])).sum(axis=1)
        return np.asarray(from_words - (self.bias * (bit[:, :, 0] - bit[:, :, -1])).sum(axis=1))

    @property
    def dissipated(self) -> FloatArray:
        """Power dissipated in wires, transistors and cells, W, (n,)."""
        cells = self.wires.r_access * self.cell_current**2 + self.cell_current * self.cell_voltage
        lines = ((self._net.word, self._along[0]), (self._net.bit, self._along[1]))
        return np.asarray(cells.sum(axis=(1, 2)) + sum(dissipated(one, current) for one, current in lines))

    @property
    def _net(self) -> _Net:
        return _Net.of(self.wires, self.cell_current.shape[1:])

    @property
    def _along(self) -> tuple[FloatArray, FloatArray]:
        net = self._net
        return along(self.cell_current, net.word), along(by_bit_line(self.cell_current), net.bit)


class _Net(NamedTuple):
    """Word lines and bit lines of an array, and the resistance of a transistor, Ohm."""

    word: Lines
    bit: Lines
    access: float

    @classmethod
    def of(cls, wires: Wires, shape: tuple[int, ...]) -> _Net:
        rows, cols = shape
        return cls(wires.word_lines((rows, cols)), wires.bit_lines((rows, cols)), wires.r_access)


def solve(cells: FloatArray | CellLaw, wires: Wires, drive: FloatArray, bias: FloatArray | None = None) -> Solution:
    """All voltages and currents of the array, to a residual of the voltage law of 1e-12 of the drive.

    Of 1e-290 V for drives below that, where floating point runs out of digits.

    All vectors share the factor of the circuit at zero volt for as long as that brings the residual down fourfold a
    step, usually down to rounding; a vector that stops above 1e-12 gets Newton steps of its own, halved where they
    overshoot.

    Args:
        cells: conductances in S, (rows, cols), or a law.
        wires: the resistances and what the lines are connected to.
        drive: voltages at the word-line drivers, V, (n, rows); lines that float take no notice of theirs.
        bias: voltages at the ends of the bit lines, V, (n, cols); None: virtual ground.

    Raises:
        ConfigError: resistances or open lines of the wires are not of this array's lines.
        LimitError: shapes that do not fit, voltages that are not finite, a conductance or a slope of the law that
            is negative or not finite.
        NotConverged: the residual was not reached; names vector and residual.
    """
    law: CellLaw = LinearCells(check_conductance(cells)) if isinstance(cells, np.ndarray) else cells
    rows, cols = law.shape
    net = _Net.of(wires, (rows, cols))
    bias = np.zeros((len(drive), cols)) if bias is None else bias
    for name, given, count in (("drive", drive, rows), ("bias", bias, cols)):
        if given.shape != (len(drive), count) or not np.isfinite(given).all():
            raise LimitError(f"wires: {name} must be finite, of shape (n, {count}) in V, got {given.shape}")
    words, bits = np.where(net.word.held, drive, 0.0), np.where(net.bit.held, bias, 0.0)
    scale = np.maximum(np.maximum(np.abs(words).max(axis=1), np.abs(bits).max(axis=1)), _LEAST_SCALE)
    state = _Parts(np.zeros((len(drive), rows, cols)), words, bits)
    rest = _rest(law, net, state)
    shared = _Circuit(law.slope(np.zeros((1, rows, cols)))[0], net)
    left = shared.size(rest) / scale
    going = ~(left <= _ROUNDING)
    while going.any():
        tried = state.of(going).moved(shared.step(rest.of(going)))
        rest_tried = _rest(law, net, tried)
        left_tried = shared.size(rest_tried) / scale[going]
        better = left_tried < left[going] / 4
        chosen = np.flatnonzero(going)
        state.put(chosen[better], tried.of(better))
        rest.put(chosen[better], rest_tried.of(better))
        left[chosen[better]] = left_tried[better]
        going[chosen[~better]] = False
        going &= left > _ROUNDING
    for n in np.flatnonzero(~(left <= _TOLERANCE)):
        one, left[n] = _newton(law, net, state.of(slice(n, n + 1)), scale[n], int(n))
        state.put(slice(n, n + 1), one)
    return Solution(state.words, state.cells, law.current(state.cells), wires, left, state.bits)


class _Parts(NamedTuple):
    """What n vectors have of cells (n, rows, cols), of word lines (n, rows) and of bit lines (n, cols).

    As a state: voltages across the cells and at the ends of the lines, V, those of floating lines unknown. As its
    rest: what the voltage law misses around every cell, V, and the current that cells get from floating lines, A.
    """

    cells: FloatArray
    words: FloatArray
    bits: FloatArray

    def of(self, which: BoolArray | slice) -> _Parts:
        return _Parts(*(part[which] for part in self))

    def put(self, which: NDArray[np.intp] | slice, other: _Parts) -> None:
        for mine, given in zip(self, other, strict=True):
            mine[which] = given

    def moved(self, step: _Parts, share: float = 1.0) -> _Parts:
        return _Parts(*(mine + given * share for mine, given in zip(self, step, strict=True)))


def _rest(law: CellLaw, net: _Net, state: _Parts) -> _Parts:
    current = law.current(state.cells)
    drops = drop(current, net.word) + by_row(drop(by_bit_line(current), net.bit))
    target = state.words[:, :, None] - state.bits[:, None]
    return _Parts(
        np.asarray(state.cells + net.access * current + drops - target),
        np.where(net.word.held, 0.0, current.sum(axis=2)),
        np.where(net.bit.held, 0.0, current.sum(axis=1)),
    )


def _newton(law: CellLaw, net: _Net, state: _Parts, scale: float, vector: int) -> tuple[_Parts, float]:
    """Newton steps of one vector's own, each halved until it helps; its state and residual."""
    rest = _rest(law, net, state)
    circuit = _Circuit(law.slope(state.cells)[0], net)
    left = float(circuit.size(rest)[0] / scale)
    for _ in range(_STEPS):
        if left <= _TOLERANCE:
            return state, left
        step = circuit.step(rest)
        for halving in range(_HALVINGS):
            tried = state.moved(step, 0.5**halving)
            rest_tried = _rest(law, net, tried)
            left_tried = float(circuit.size(rest_tried)[0] / scale)
            if left_tried < left:
                break
        else:
            break
        state, rest = tried, rest_tried
        circuit = _Circuit(law.slope(state.cells)[0], net)
        left = float(circuit.size(rest)[0] / scale)
    if left <= _TOLERANCE:
        return state, left
    raise NotConverged(
        f"wires: vector {vector} stopped at a residual of {left:.1e} of its drive voltage, {_TOLERANCE:g} is "
        "promised; the cells' current must rise with voltage, and slope() must be its derivative"
    )


class _Circuit:
    """The array with linear cells of these slopes (S, (rows, cols)), factored; all line ends at ground."""

    def __init__(self, slope: FloatArray, net: _Net) -> None:
        if not (np.isfinite(slope).all() and (slope >= 0).all()):
            raise LimitError(
                "wires: the slope dI/dV of a cell is negative or not finite; the circuit has no unique state"
            )
        rows, cols = slope.shape
        self._access, self._floats = net.access, (~net.word.held, ~net.bit.held)
        self._branch = slope / (1.0 + net.access * slope)
        lost_words, lost_bits = adrift(slope > 0, net.word, net.bit)
        self._word, word_edges, count = _nodes(net.word, cols, 0, lost_words)
        from_below, bit_edges, count = _nodes(net.bit, rows, count, lost_bits)
        self._bit = from_below[:, ::-1].T
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

    def size(self, rest: _Parts) -> FloatArray:
        """Largest voltage that `rest` (n vectors) is worth, V, (n,): of a current, through the cells of its line."""
        size = np.abs(rest.cells).max(axis=(1, 2))
        for current, cells in ((rest.words, self._branch.sum(axis=1)), (rest.bits, self._branch.sum(axis=0))):
            lost = np.divide(np.abs(current), cells, out=np.zeros_like(current), where=cells > 0)
            size = np.maximum(size, lost.max(axis=1))
        return np.asarray(size)

    def step(self, rest: _Parts) -> _Parts:
        """Change of the state that takes away what is left, `rest`."""
        words, bits = self._ends(rest)
        across = words - bits
        current = self._branch * (across - rest.cells)
        cells = np.asarray(across - self._access * current - rest.cells)
        word_floats, bit_floats = self._floats
        return _Parts(cells, np.where(word_floats, words[:, :, 0], 0.0), np.where(bit_floats, bits[:, -1], 0.0))

    def _ends(self, rest: _Parts) -> tuple[FloatArray, FloatArray]:
        """Voltages of word-line and bit-line nodes with a source of `rest` in series with every cell."""
        if not self._count:
            return np.zeros(rest.cells.shape), np.zeros(rest.cells.shape)
        source = (self._branch * rest.cells).reshape(len(rest.cells), -1)
        sums = np.zeros((self._count + 1, len(rest.cells)))  # the last entry is the ground
        np.add.at(sums, self._word.ravel(), source.T)
        np.add.at(sums, self._bit.ravel(), -source.T)
        # What a floating line lacks comes in at its first node; elsewhere this is zero.
        np.add.at(sums, self._word[:, 0], -rest.words.T)
        np.add.at(sums, self._bit[-1], rest.bits.T)
        nodes = np.zeros_like(sums)
        nodes[:-1] = self._factor.solve(sums[:-1])
        return nodes[self._word].transpose(2, 0, 1), nodes[self._bit].transpose(2, 0, 1)


_Edges = list[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]]


def _nodes(lines: Lines, length: int, first: int, lost: BoolArray) -> tuple[NDArray[np.int64], _Edges, int]:
    """Node numbers (lines, length) from the near end on, wire conductances between them, next free number.

    A line without resistance is one node, or the ground where nothing lies between. Lines that are `lost`, (lines,),
    get a conductance to ground in which nothing flows.
    """
    wired = lines.segment > 0
    grounded = ~wired & ((lines.near == 0) | (lines.far == 0))
    size = np.where(wired, length, np.where(grounded, 0, 1))
    start = first + np.cumsum(size) - size
    number = start[:, None] + np.where(wired[:, None], np.arange(length), 0)
    number[grounded] = _GROUND
    edges: _Edges = []
    for end, node in ((lines.near, number[:, 0]), (lines.far, number[:, -1])):
        there = np.isfinite(end) & ~grounded
        edges.append((np.full(np.count_nonzero(there), _GROUND), node[there], 1.0 / (lines.segment + end)[there]))
        if end is lines.near:
            inner = number[wired, 1:].ravel()
            between = np.repeat(1.0 / lines.segment[wired], length - 1)
            edges.append((number[wired, :-1].ravel(), inner, between))
    edges.append((np.full(np.count_nonzero(lost), _GROUND), number[lost, 0], np.ones(np.count_nonzero(lost))))
    return number, edges, first + int(size.sum())
