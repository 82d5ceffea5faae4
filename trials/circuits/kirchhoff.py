"""Currents of a crossbar by Kirchhoff's current law alone: node by node, dense, in extended precision, slow.

Written for comparison: it shares nothing with the twin's solvers. Every node of the circuit is a name, every wire,
cell and terminal a resistor between two of them; nodes without resistance between them are one. The nodal equations
are solved by Gaussian elimination in numpy's longest float.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray

_Node = Hashable


@dataclass(frozen=True)
class Crossbar:
    """A crossbar in plain numbers.

    Attributes:
        conductance: of the cells, S, (rows, cols); access: Ohm in series with each.
        word, bit: Ohm of each segment of the lines, (rows,) and (cols,).
        left, right: True for word lines with a driver there, (rows,), through r_in Ohm.
        bottom, top: True for bit lines connected there, (cols,), through r_out Ohm.
    """

    conductance: FloatArray
    word: FloatArray
    bit: FloatArray
    left: BoolArray
    right: BoolArray
    bottom: BoolArray
    top: BoolArray
    r_in: float = 0.0
    r_out: float = 0.0
    access: float = 0.0

    def currents(self, drive: Sequence[float | None], bias: Sequence[float | None]) -> tuple[FloatArray, FloatArray]:
        """Currents into the word lines (rows,) and out of the bit lines (cols,), A.

        Args:
            drive: V of every word line's driver, which is at one or both of its ends, None where it is off (its ends
                stay connected to each other); bias: of every bit line's amplifier, likewise.
        """
        rows, cols = self.conductance.shape
        net = _Net()
        for i, j in np.ndindex(rows, cols):
            if self.conductance[i, j] > 0:
                net.resistor(("w", i, j), ("b", i, j), 1 / float(self.conductance[i, j]) + self.access)
        for i in range(rows):
            for j in range(cols - 1):
                net.resistor(("w", i, j), ("w", i, j + 1), float(self.word[i]))
            for there, j in ((self.left, 0), (self.right, cols - 1)):
                if there[i]:
                    net.resistor(("driver", i), ("w", i, j), float(self.word[i]) + self.r_in)
                    net.source(("driver", i), drive[i])
        for j in range(cols):
            for i in range(rows - 1):
                net.resistor(("b", i, j), ("b", i + 1, j), float(self.bit[j]))
            for there, i in ((self.top, 0), (self.bottom, rows - 1)):
                if there[j]:
                    net.resistor(("amplifier", j), ("b", i, j), float(self.bit[j]) + self.r_out)
                    net.source(("amplifier", j), bias[j])
        cells = net.solved()
        into = np.zeros((rows, cols))
        for (_, i, j), (_, _, _), current in cells:
            into[i, j] = current
        return into.sum(axis=1), into.sum(axis=0)


@dataclass
class _Net:
    """Resistors between named nodes, and the voltages of some of them."""

    resistors: list[tuple[Any, Any, float]] = field(default_factory=list)
    joined: dict[_Node, _Node] = field(default_factory=dict)
    held: dict[_Node, float] = field(default_factory=dict)

    def resistor(self, a: _Node, b: _Node, ohm: float) -> None:
        if ohm == 0:
            if self.one(a) != self.one(b):
                self.joined[self.one(a)] = self.one(b)
        else:
            self.resistors.append((a, b, ohm))

    def source(self, node: _Node, volt: float | None) -> None:
        if volt is not None:
            self.held[node] = volt

    def one(self, node: _Node) -> _Node:
        """The name that a node shares with all that no resistance parts from it."""
        while node in self.joined:
            node = self.joined[node]
        return node

    def solved(self) -> Iterator[tuple[Any, Any, float]]:
        """Both nodes and the current of every cell, A."""
        held = {self.one(node): volt for node, volt in self.held.items()}
        reached = set(held)
        ways: dict[_Node, set[_Node]] = {}
        for a, b, _ in self.resistors:
            ways.setdefault(self.one(a), set()).add(self.one(b))
            ways.setdefault(self.one(b), set()).add(self.one(a))
        front = list(reached)
        while front:
            front = [node for at in front for node in ways.get(at, ()) if node not in reached]
            reached.update(front)
            front = list(dict.fromkeys(front))
        free = {node: at for at, node in enumerate(sorted(reached - set(held), key=repr))}
        matrix = np.zeros((len(free), len(free)), dtype=np.longdouble)
        right = np.zeros(len(free), dtype=np.longdouble)
        for a, b, ohm in self.resistors:
            for here, there in ((self.one(a), self.one(b)), (self.one(b), self.one(a))):
                if here in free:
                    matrix[free[here], free[here]] += 1 / np.longdouble(ohm)
                    if there in free:
                        matrix[free[here], free[there]] -= 1 / np.longdouble(ohm)
                    else:
                        right[free[here]] += np.longdouble(held[there]) / np.longdouble(ohm)
        volts = dict(zip(free, _eliminated(matrix, right), strict=True))
        volts.update({node: np.longdouble(volt) for node, volt in held.items()})
        for a, b, ohm in self.resistors:
            if a[0] == "w" and b[0] == "b":
                across = volts.get(self.one(a), np.longdouble(0)) - volts.get(self.one(b), np.longdouble(0))
                yield a, b, float(across / np.longdouble(ohm))


def _eliminated(matrix: Any, right: Any) -> Any:
    """The solution of matrix @ x = right by Gaussian elimination with pivots; both are used up."""
    count = len(right)
    for k in range(count):
        pivot = k + int(np.argmax(np.abs(matrix[k:, k])))
        matrix[[k, pivot]], right[[k, pivot]] = matrix[[pivot, k]], right[[pivot, k]]
        factor = matrix[k + 1 :, k] / matrix[k, k]
        matrix[k + 1 :, k:] -= factor[:, None] * matrix[k, k:]
        right[k + 1 :] -= factor * right[k]
    solution = np.zeros_like(right)
    for k in range(count - 1, -1, -1):
        solution[k] = (right[k] - matrix[k, k + 1 :] @ solution[k + 1 :]) / matrix[k, k]
    return solution
