"""Parallel lines and what is at their two ends: the topology of an array, for all that computes with wires."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray


@dataclass(frozen=True)
class Lines(FrozenArrays):
    """All word lines, or all bit lines, of an array; a line without any end floats.

    The near end of a word line is the left one, beside column 0; that of a bit line is the bottom one, below the last
    row. An end that is there adds one segment of its own beyond the outermost node.

    Attributes:
        segment: Ohm of each segment, (lines,).
        near, far: Ohm of the driver or of the way to virtual ground, inf where the end is open, (lines,).
    """

    segment: FloatArray
    near: FloatArray
    far: FloatArray

    @property
    def has_near(self) -> BoolArray:
        """True where something is connected to the near end, (lines,)."""
        return np.isfinite(self.near)

    @property
    def has_far(self) -> BoolArray:
        """True where something is connected to the far end, (lines,)."""
        return np.isfinite(self.far)

    @property
    def held(self) -> BoolArray:
        """True for lines that do not float, (lines,)."""
        return self.has_near | self.has_far

    def flipped(self) -> Lines:
        """The same lines, seen from their far ends."""
        return replace(self, near=self.far, far=self.near)

    def reversed(self) -> Lines:
        """The same lines, the last one first."""
        return Lines(self.segment[::-1], self.near[::-1], self.far[::-1])

    def joined(self) -> Lines:
        """Lines without resistance are one node: what is at their far ends moves to the near ones, in parallel."""
        one = (self.segment == 0) & self.has_far
        if not one.any():
            return self
        near = np.where(one, in_parallel(self.near, self.far), self.near)
        return replace(self, near=near, far=np.where(one, np.inf, self.far))

    def paths(self, length: int) -> FloatArray:
        """Ohm from each node to the ends of its line while no cell conducts, (lines, length), inf on a floating one.

        Two ends are in parallel.
        """
        steps = np.arange(1, length + 1)
        near = self.near[:, None] + self.segment[:, None] * steps
        if not self.has_far.any():
            return near
        return in_parallel(near, self.far[:, None] + self.segment[:, None] * steps[::-1])

    def far_shares(self, length: int) -> FloatArray:
        """Which part of the current of a node flows through the far end if nothing else does, (lines, length)."""
        steps = np.arange(1, length + 1)
        both = self.has_near & self.has_far
        near, segment = np.where(both, self.near, 0.0)[:, None], self.segment[:, None]
        whole = near + np.where(both, self.far, 0.0)[:, None] + segment * (length + 1)
        shares = np.divide(near + segment * steps, whole, out=np.full((len(near), length), 0.5), where=whole > 0)
        return np.where(both, shares.T, self.has_far & ~self.has_near).T


def in_parallel(one: FloatArray, other: FloatArray) -> FloatArray:
    """Two resistances in parallel, Ohm, of one shape; inf is an open one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        both = one * (other / (one + other))
    return np.where(np.isinf(one), other, np.where(np.isinf(other) | (one == 0), one, both))


def adrift(conducts: BoolArray, word: Lines, bit: Lines) -> tuple[BoolArray, BoolArray]:
    """Lines from which no current can reach an end, over any number of cells and lines: nothing moves their voltage.

    Args:
        conducts: True for cells that are not open, (rows, cols).

    Returns:
        True for such word lines (rows,) and bit lines (cols,).
    """
    words, bits = word.held, bit.held
    while not (words.all() and bits.all()):
        more_words = words | (conducts & bits).any(axis=1)
        more_bits = bits | (conducts & more_words[:, None]).any(axis=0)
        if np.array_equal(more_words, words) and np.array_equal(more_bits, bits):
            break
        words, bits = more_words, more_bits
    return ~words, ~bits


def by_bit_line(cells: FloatArray) -> FloatArray:
    """Values of the cells (n, rows, cols) by bit line, each from its bottom up, (n, cols, rows)."""
    return cells.transpose(0, 2, 1)[:, :, ::-1]


def by_row(bits: FloatArray) -> FloatArray:
    """`by_bit_line` undone, (n, rows, cols) of (n, cols, rows)."""
    return bits[:, :, ::-1].transpose(0, 2, 1)


def along(current: FloatArray, lines: Lines) -> FloatArray:
    """Currents of all segments, away from the near end, A, (n, lines, length + 1), the end segments among them.

    Args:
        current: A, that leave the line at its nodes, (n, lines, length), counted from the near end.
    """
    onward = np.cumsum(current[:, :, ::-1], axis=2)[:, :, ::-1]
    if not lines.has_far.any():
        return np.concatenate([onward, np.zeros((*onward.shape[:2], 1))], axis=2)
    far = (current * lines.far_shares(current.shape[2])).sum(axis=2, keepdims=True)
    return np.concatenate([onward - far, -far], axis=2)


def drop(current: FloatArray, lines: Lines) -> FloatArray:
    """Voltage lost from the ends of the lines, or from the first node of a floating one, to every node, V.

    Args:
        current: as in `along`, in sum 0 on a floating line.

    Returns:
        (n, lines, length).
    """
    flowing, near, segment = along(current, lines), np.where(lines.has_near, lines.near, 0.0), lines.segment[:, None]
    lost = near[:, None] * flowing[:, :, :1] + segment * np.cumsum(flowing[:, :, :-1], axis=2)
    only_far = lines.has_far & ~lines.has_near
    if only_far.any():
        back = -flowing[:, only_far, :0:-1]
        from_far = lines.far[only_far, None] * back[:, :, :1] + segment[only_far] * np.cumsum(back, axis=2)
        lost[:, only_far] = from_far[:, :, ::-1]
    return lost


def dissipated(lines: Lines, flowing: FloatArray) -> FloatArray:
    """Power that segments and ends burn with these currents of `along`, W, (n,)."""
    near, far = (np.where(np.isfinite(end), end, 0.0) for end in (lines.near, lines.far))
    squares = flowing**2
    ends = near * squares[:, :, 0] + far * squares[:, :, -1]
    return np.asarray(((lines.segment[:, None] * squares).sum(axis=2) + ends).sum(axis=1))
