"""Word lines in closed form, and the block elimination of an array of linear cells, for `wire_resistance`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ImssaError, LimitError
from imssa_lab.contract.hal import FloatArray
from twin.wires.line_ends import Lines, adrift

_LARGEST = 256 * 2**20
"""Bytes of admittances that are kept for updates, at most; 256 x 256 cells take half of it."""
_ROUNDING = 1e-11
"""Estimated error of an update, of the largest element, beyond which the matrix is computed again."""
_Cell = tuple[int, int]


@dataclass(frozen=True)
class WordLines(FrozenArrays):
    """All word lines seen from their bit-line nodes: c = forward * V - admittance @ b, for each of them.

    The inverse of a ladder is u_min(j,k) v_max(j,k) / w: u is the voltage along the line as seen from the near end, v
    from the far one, and w what they share everywhere. All are sums of products of what is not negative, so nothing
    cancels. Shapes (rows, cols).

    Attributes:
        conductance: g of the cells, S; behind: u, Ohm.
        own: the diagonal of the admittances, S.
        ahead: v / w, voltage of the word nodes for 1 V at the near end while all else is at 0 V.
        attenuation: the same for 1 V at all drivers of the line; they have one voltage.
    """

    conductance: FloatArray
    behind: FloatArray
    own: FloatArray
    ahead: FloatArray
    attenuation: FloatArray

    @classmethod
    def of(cls, conductance: FloatArray, lines: Lines) -> WordLines:
        """The word lines of an array with these conductances, S, (rows, cols), finite and not negative.

        Raises:
            LimitError: a word line attenuates beyond all numbers.
        """
        g = np.array(conductance.T, dtype=np.float64, order="C")
        cols, rows = g.shape
        lines = lines.joined()
        # u and v obey one recurrence, from either end: one step goes along all lines in both directions.
        along, segment = np.concatenate([g, g[::-1]], axis=1), np.tile(lines.segment, 2)
        level, slope = np.empty_like(along), np.empty_like(along)
        ends = np.concatenate([lines.near, lines.far])
        slope[0] = np.isfinite(ends)
        level[0] = np.where(np.isfinite(ends), segment + ends, 1.0)
        u, entering, v, leaving = level[:, :rows], slope[:, :rows], level[::-1, rows:], slope[::-1, rows:]
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(1, cols):
                np.add(slope[j - 1], along[j - 1] * level[j - 1], out=slope[j])
                np.add(level[j - 1], segment * slope[j], out=level[j])
            shared = entering[0] * v[0] + u[0] * (leaving[0] + g[0] * v[0])
            shared[shared == 0] = 1.0  # it floats and all of its cells are open: any finite voltage will do
            ahead = v / shared
            own = g * (entering * ahead + u * (leaving / shared))
            attenuation = np.where(lines.has_near, ahead, 0.0)
            attenuation[:, lines.has_far] += (u / shared)[:, lines.has_far]
        if not (np.isfinite(own).all() and np.isfinite(u).all()):
            raise LimitError(
                f"wires: a word line of {cols} cells up to {g.max():g} S with {segment.max():g} Ohm a segment lets "
                "no current through; check the units, or use twin.wires.nodal.solve"
            )
        return cls(*(np.ascontiguousarray(part.T) for part in (g, u, own, ahead, attenuation)))

    @property
    def toward(self) -> FloatArray:
        """What g u is, without unit."""
        return self.conductance * self.behind

    @property
    def to_ground(self) -> FloatArray:
        """Conductance of a cell times the resistance of its word node to ground, without unit."""
        return self.toward * self.ahead

    @property
    def admittance_below(self) -> FloatArray:
        """g v / w, S: with `toward`, the admittances below the diagonal."""
        return self.conductance * self.ahead

    @property
    def forward(self) -> FloatArray:
        """Bit-line current for 1 V at the drivers while all bit lines are at 0 V, S."""
        return self.conductance * self.attenuation

    def between(self, row: int, col: int) -> FloatArray:
        """Voltage of the word nodes of a row for 1 A into the one at `col`, all bit lines at 0 V, Ohm, (cols,)."""
        behind, ahead = self.behind[row], self.ahead[row]
        return np.concatenate([behind[:col] * ahead[col], behind[col] * ahead[col:]])


class Elimination:
    """An array of linear cells, its rows eliminated one after the other from the top.

    What lies above a bit-line node row is a Norton equivalent: an admittance Y (cols, cols) and a current P V. A
    segment r below it makes of both (I + r Y)^-1 of themselves, one Cholesky factor a row; the next word line, with
    its closed form, adds to them. Nothing is divided by a wire resistance, so zero is exact. What is connected to
    the top ends of bit lines is a Y before the first row; bit lines that are open at the bottom are eliminated last.

    Kept, the admittances give the voltages for a current through any cell, and with those the matrix after some
    cells have changed (Woodbury): from the same elimination every time, so that no error builds up.

    Args:
        cells: conductances in S, (rows, cols), finite and not negative; with cols <= rows the work is least.
        word, bit: the lines.
        keep: what `after` needs, 8 rows cols^2 bytes, unless that is more than 256 MiB, or bit lines differ from each
            other or float.

    Attributes:
        matrix: S, (rows, cols), current out of the near ends of the bit lines for 1 V on a word line.

    Raises:
        LimitError: as `WordLines.of`.
        ImssaError: rounding has spoilt the elimination.
    """

    def __init__(self, cells: FloatArray, word: Lines, bit: Lines, *, keep: bool = False) -> None:
        rows, cols = cells.shape
        self._lines = WordLines.of(cells, word)
        bit = _with_reference(cells, word, bit.joined())
        below = np.tile(bit.segment, (rows, 1))
        below[-1] += bit.near
        alike = bool((below == below[:, :1]).all() and np.isfinite(below).all())
        self._below = below[:, 0]
        fits = keep and alike and 8 * rows * cols**2 <= _LARGEST
        self._admittance = np.empty((rows, cols, cols)) if fits else None
        self._seen: dict[_Cell, _Response] = {}
        forward, toward, behind = self._lines.forward, self._lines.toward, self._lines.admittance_below
        above = np.zeros((cols, cols + rows), order="F")
        above[:, :cols].flat[:: cols + 1] = 1.0 / (bit.segment + bit.far)
        for row in range(rows):
            lower = np.tril(np.multiply.outer(behind[row], toward[row]), -1)
            above[:, :cols] -= lower + lower.T
            above[:, :cols].flat[:: cols + 1] += self._lines.own[row]
            above[:, cols + row] = forward[row]
            now = above[:, : cols + row + 1]
            if alike:
                _descend(now, float(below[row, 0]))
            else:
                _descend_apart(now, below[row])
            if self._admittance is not None:
                self._admittance[row] = above[:, :cols].T
        self.matrix: FloatArray = np.ascontiguousarray(above[:, cols:].T)

    @property
    def responses(self) -> Responses:
        """The responses to single cells; with it, a new elimination of the same array continues in the same way."""
        rows, cols = self._lines.conductance.shape
        seen = list(self._seen.values())
        return Responses(
            np.array([one.cell for one in seen], dtype=np.intp).reshape(-1, 2),
            np.array([one.bits for one in seen]).reshape(-1, rows, cols),
            np.array([one.driven for one in seen]).reshape(-1, rows),
            np.array([one.sensed for one in seen]).reshape(-1, cols),
        )

    @responses.setter
    def responses(self, given: Responses) -> None:
        cells = [(int(row), int(col)) for row, col in given.cells]
        self._seen = {
            cell: _Response(cell, *parts)
            for cell, *parts in zip(cells, given.bits, given.driven, given.sensed, strict=True)
        }

    def after(self, cells: FloatArray) -> FloatArray | None:
        """The matrix of the same array with other conductances `cells`, S, (rows, cols).

        None where a full computation is as cheap (more changed cells than a quarter of the bit lines), where rounding
        may exceed 1e-11 of the largest element, or where nothing was kept.
        """
        base = self._lines.conductance
        if self._admittance is None or cells.shape != base.shape:
            return None
        changed = [(int(row), int(col)) for row, col in np.argwhere(cells != base)]
        if len(changed) > max(1, base.shape[1] // 4):
            return None
        if not changed:
            return self.matrix
        new = self._responses([cell for cell in changed if cell not in self._seen], self._admittance)
        self._seen = {cell: self._seen.get(cell) or new[cell] for cell in changed}
        seen = list(self._seen.values())
        change = np.array([[cells[cell] - base[cell]] for cell in changed])
        influence = change * np.array([self._across(cell, seen) for cell in changed])
        try:
            inverse = np.linalg.inv(np.eye(len(seen)) + influence)
        except np.linalg.LinAlgError:
            return None
        driven, sensed = (np.array(part) for part in zip(*((one.driven, one.sensed) for one in seen), strict=True))
        update = driven.T @ inverse @ (change * sensed)
        matrix = self.matrix + update
        growth = np.linalg.norm(inverse, 1) * (1.0 + np.linalg.norm(influence, 1))
        error = np.finfo(np.float64).eps * growth * np.abs(update).max()
        return matrix if error <= _ROUNDING * np.abs(matrix).max() else None

    def _responses(self, cells: list[_Cell], admittance: FloatArray) -> dict[_Cell, _Response]:
        """What 1 A through each of these cells does."""
        if not cells:
            return {}
        rows = len(admittance)
        norton = np.zeros((rows, admittance.shape[1], len(cells)))
        for index, (row, col) in enumerate(cells):
            norton[row, :, index] = self._source(row, col)
        for row in range(1 + min(row for row, _ in cells), rows):
            norton[row] += self._descended(norton[row - 1], row - 1, admittance)
        sensed = -self._descended(norton[-1], rows - 1, admittance)
        bits = np.zeros((rows + 1, *norton.shape[1:]))
        for row in range(rows - 1, -1, -1):
            bits[row] = self._descended(bits[row + 1] + self._below[row] * norton[row], row, admittance)
        driven = np.einsum("rc,rck->kr", self._lines.forward, bits[:-1])
        responses = {}
        for index, (row, col) in enumerate(cells):
            driven[index, row] += self._lines.attenuation[row, col]
            responses[row, col] = _Response((row, col), bits[:-1, :, index].copy(), driven[index], sensed[:, index])
        return responses

    def _descended(self, values: FloatArray, row: int, admittance: FloatArray) -> FloatArray:
        """(I + r Y)^-1 of values (cols, k) in a row, by what is kept, (I + r Y)^-1 Y."""
        return np.asarray(values - admittance[row] @ (self._below[row] * values))

    def _source(self, row: int, col: int) -> FloatArray:
        """Current into the bit-line nodes of a row for 1 A through a cell of it, bit lines at 0 V, A, (cols,)."""
        source: FloatArray = self._lines.conductance[row] * self._lines.between(row, col)
        source[col] -= 1.0
        return source

    def _across(self, cell: _Cell, seen: list[_Response]) -> FloatArray:
        """Voltage across a cell for 1 A through the cells of these responses, one at a time, V, (responses,)."""
        row, col = cell
        between = self._lines.between(row, col)
        own = [between[response.cell[1]] if response.cell[0] == row else 0.0 for response in seen]
        rest = np.array([response.bits[row] for response in seen]) @ self._source(row, col)
        return np.asarray(rest + own, dtype=np.float64)


class Responses(NamedTuple):
    """Responses to single cells computed since an elimination.

    Attributes:
        cells: row and column of each, (k, 2).
        bits: (k, rows, cols), driven: (k, rows), sensed: (k, cols), V and A for 1 A, see `Elimination`.
    """

    cells: NDArray[np.intp]
    bits: FloatArray
    driven: FloatArray
    sensed: FloatArray


@dataclass(frozen=True)
class _Response(FrozenArrays):
    """What 1 A through a cell, from its word line to its bit line, does; by reciprocity also what drives it.

    Attributes:
        cell: which; bits: voltages of all bit-line nodes, (rows, cols).
        driven: voltage across the cell for 1 V on each word line, (rows,).
        sensed: current that the bit lines lose, (cols,).
    """

    cell: _Cell
    bits: FloatArray
    driven: FloatArray
    sensed: FloatArray


def _descend(above: FloatArray, resistance: float) -> None:
    """Put a resistance into every bit line below the Norton equivalent [Y, P], in place."""
    if resistance == 0:
        return
    from scipy.linalg.lapack import dpotrf, dpotrs  # loaded by the first array that is read

    cols = above.shape[0]
    system = resistance * above[:, :cols]
    system.flat[:: cols + 1] += 1.0
    factor, failed = dpotrf(system, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise ImssaError(
            "effective matrix: the elimination met a matrix that is not positive; use twin.wires.nodal.solve"
        )
    above[:] = dpotrs(factor, above, lower=1, overwrite_b=1)[0]


def _descend_apart(above: FloatArray, resistance: FloatArray) -> None:
    """The same for a resistance of its own in every bit line, (cols,), Ohm, in place: inf where nothing leads on.

    Then what flows below is (I + Y R)^-1 of what flows above; lines that end here are eliminated before.
    """
    cols, ends = above.shape[0], np.isinf(resistance)
    if ends.any():
        inner = np.linalg.solve(above[np.ix_(ends, ends)], above[ends])
        above[~ends] -= above[np.ix_(~ends, ends)] @ inner
        above[ends], above[:, :cols][:, ends] = 0.0, 0.0
    system = above[:, :cols] * np.where(ends, 0.0, resistance)
    system.flat[:: cols + 1] += 1.0
    above[:] = np.linalg.solve(system, above)


def _with_reference(cells: FloatArray, word: Lines, bit: Lines) -> Lines:
    """Bit lines from which no current reaches any end get one: none flows in it, but voltages are defined."""
    if bit.held.all():
        return bit
    _, lost = adrift(cells > 0, word, bit)
    return replace(bit, near=np.where(lost, 0.0, bit.near))
