"""Reads of single cells of a passive array, whose other lines are at a part of the read voltage or at nothing.

The selected word line is at the read voltage, the selected bit line at virtual ground, and its current is read. With
the other lines at shares of the voltage, all currents are sums of those for 1 V on one line. With the other lines at
nothing, what is read is the conductance between two ends of the array: the current that finds a way through all cells
(sneak paths) is part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.wires.nodal import solve
from twin.wires.wire_resistance import Wires

_SHARES = {"V/2": (1 / 2, 1 / 2), "V/3": (1 / 3, 2 / 3)}
"""Of the read voltage, on word lines and on bit lines that are not selected."""


class SelectedCells:
    """Reads of the cells of one array, kept until a conductance changes."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._conductance = np.zeros((0, 0))
        self._reads: SelectedReads | None = None

    def reads(self, conductance: FloatArray) -> SelectedReads:
        """Reads of cells with these conductances, S, (rows, cols).

        Raises:
            LimitError, ConfigError: as `SelectedReads.of`.
        """
        if self._reads is None or not np.array_equal(conductance, self._conductance):
            self._reads, self._conductance = SelectedReads.of(conductance, self._wires), conductance.copy()
        return self._reads


@dataclass(frozen=True)
class SelectedReads(FrozenArrays):
    """What reads of single cells give, through the wires and beside all other cells.

    Attributes:
        cells: S, (rows, cols), current of the selected bit line for 1 V on the selected word line.
        across: voltage across every cell for 1 V on one line and 0 V on all others that are connected,
            (rows + cols, rows, cols), word lines first.
        levels: voltages of all lines, the selected ones among them, (rows, cols, rows + cols), by the selected cell;
            empty where they are shares of the read voltage.
        shares: of the read voltage, on word lines and bit lines that are not selected.
    """

    cells: FloatArray
    across: FloatArray
    levels: FloatArray
    shares: tuple[float, float]

    @classmethod
    def of(cls, conductance: FloatArray, wires: Wires) -> SelectedReads:
        """Reads of cells with these conductances, S, (rows, cols), by the wires' own selection.

        Raises:
            LimitError, ConfigError: as `twin.wires.nodal.solve`.
        """
        rows, cols = conductance.shape
        unit = np.eye(rows + cols)
        solved = solve(conductance, wires, unit[:, :rows], unit[:, rows:])
        across, current = solved.cell_voltage, solved.current
        if wires.selection == "float":
            levels = _levels(conductance, wires, np.hstack([-solved.cell_current.sum(axis=2), current]))
            cells = np.einsum("ijt,tj->ij", levels, current)
            return cls(cells, across, levels, (0.0, 0.0))
        word, bit = shares = _SHARES[wires.selection]
        others = word * current[:rows].sum(axis=0) + bit * current[rows:].sum(axis=0)
        cells = (1 - word) * current[:rows] + others - bit * np.diagonal(current[rows:])
        return cls(cells, across, np.zeros((0, cols, rows + cols)), shares)

    def after(self, change: FloatArray) -> FloatArray:
        """What the reads give after small changes of the cells, S, to first order, both (n, rows, cols).

        By the adjoint network: a cell acts with the voltage across it, times that for 1 V on the selected bit line.
        """
        return np.stack([self._after(one) for one in change]) if len(change) else np.zeros(change.shape)

    def _after(self, change: FloatArray) -> FloatArray:
        rows, cols = change.shape
        flat = self.across.reshape(rows + cols, -1)
        moved = flat @ (change.ravel() * flat).T  # between every two lines, S
        if len(self.levels):
            return np.asarray(
                self.cells + np.einsum("ijs,st,ijt->ij", self.levels, moved, self.levels, optimize=True)
            )
        word, bit = self.shares
        out = -moved[:, rows:]
        others = word * out[:rows].sum(axis=0) + bit * out[rows:].sum(axis=0)
        return np.asarray(self.cells + (1 - word) * out[:rows] + others - bit * np.diagonal(out[rows:]))


def _levels(conductance: FloatArray, wires: Wires, into: FloatArray) -> FloatArray:
    """Voltages of all lines for 1 V on the selected word line, 0 V on the selected bit line, others at nothing.

    Args:
        into: current that goes out of each line for 1 V on one, A, (rows + cols, rows + cols), symmetric.

    Returns:
        (rows, cols, rows + cols), by the selected cell; 0 V everywhere where no way leads from one line to the other.
    """
    rows, cols = conductance.shape
    levels = np.zeros((rows, cols, rows + cols))
    held = np.concatenate([wires.word_lines((rows, cols)).held, wires.bit_lines((rows, cols)).held])
    group = _groups(conductance, wires)
    for col in np.flatnonzero(held[rows:]):
        system, far = -into.copy(), ~held | (group != group[rows + col])
        far[rows + col] = True  # its own voltage is 0, and so are all from which no way leads to it
        system[far], system[:, far] = 0.0, 0.0
        system[far, far] = 1.0
        inverse = np.linalg.inv(system)
        for row in np.flatnonzero(~far[:rows]):
            levels[row, col] = np.where(far, 0.0, inverse[:, row] / inverse[row, row])
    return levels


def _groups(conductance: FloatArray, wires: Wires) -> NDArray[np.int32]:
    """Lines that cells connect, over any number of other lines, have one number, (rows + cols,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, cols = conductance.shape
    row, col = np.nonzero(conductance)
    ways = coo_array((np.ones(len(row)), (row, rows + col)), shape=(rows + cols, rows + cols))
    return np.asarray(connected_components(ways, directed=False)[1])
