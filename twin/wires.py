"""Resistance of word lines and bit lines: the profile section and the effective matrix of an array of linear cells.

Word line i is driven at column 0 through r_in and one segment; bit line j leaves below the last row through one
segment and r_out into virtual ground, and a positive voltage drives a positive current into it. `twin.nodal` solves
the same circuit node by node, for cells of any law; this file is the fast way for linear ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from pydantic import Field, model_validator
from scipy.linalg.lapack import dpotrf, dpotrs

from imssa_lab.errors import ImssaError, LimitError
from imssa_lab.hal import FloatArray
from twin.section import Section


class Wires(Section):
    """Series resistances of the array while it is read; zero means that there is none.

    Programming pulses reach their cells in full: what a line loses of them is part of the cells' fitted response.
    """

    r_word: float = Field(ge=0, allow_inf_nan=False, description="Ohm per segment of a word line")
    r_bit: float = Field(ge=0, allow_inf_nan=False, description="Ohm per segment of a bit line")
    r_in: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, of a word-line driver")
    r_out: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, from a bit line to virtual ground")
    r_access: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, of a cell's open transistor")
    selector: Literal["transistor", "none"] = Field(
        default="transistor", description="1T1R reads a cell by itself; a passive array through all its neighbours"
    )

    @model_validator(mode="after")
    def _passive_has_no_transistor(self) -> Wires:
        if self.selector == "none" and self.r_access > 0:
            raise ValueError("wires: r_access belongs to a transistor; leave it out where selector is 'none'")
        return self


class CellLaw(Protocol):
    """Cells whose current is a function of the voltage across them, with dI/dV >= 0."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, cols)."""

    def current(self, voltage: FloatArray) -> FloatArray:
        """Current in A at these voltages across the cells, V, both (n, rows, cols)."""

    def slope(self, voltage: FloatArray) -> FloatArray:
        """DI/dV in S, (n, rows, cols), at these voltages."""


def effective_matrix(cells: FloatArray | CellLaw, wires: Wires) -> FloatArray:
    """The matrix that linear cells and their wires compute together: I = V @ effective_matrix.

    Rows are eliminated one after the other from the top. What lies above a bit-line node row is a Norton equivalent:
    an admittance Y (cols, cols) and a current P V. A segment r below it makes of both (I + r Y)^-1 of themselves, one
    Cholesky factor a row; the next word line, with its closed form of `WordLines`, adds to them. Nothing is divided
    by a wire resistance, so zero is exact.

    Args:
        cells: conductances in S, (rows, cols), finite and not negative.
        wires: the resistances.

    Returns:
        S, (rows, cols), with G[i, j] the current of bit line j for 1 V on word line i and 0 V on all others.

    Raises:
        ImssaError: the cells have a law of their own; `twin.nodal.solve` takes those.
        LimitError: a conductance is negative or not finite, or a word line lets nothing through.
    """
    if not isinstance(cells, np.ndarray):
        raise ImssaError(
            "effective matrix asked for cells with an I-V law; only linear cells (an array of S) have one: "
            "use twin.nodal.solve"
        )
    rows, cols = check_conductance(cells).shape
    if cols > rows:
        # Reciprocity: drive bit lines, sense word lines. Blocks have the shorter side, the work is rows * cols^3.
        return np.ascontiguousarray(effective_matrix(_turned(cells), turned(wires)).T[::-1, ::-1])
    lines = WordLines.of(with_access(cells, wires), wires)
    above = np.zeros((cols, cols + rows), order="F")
    for row in range(rows):
        if row > 0:
            _descend(above[:, : cols + row], wires.r_bit)
        above[:, :cols] += lines.admittance(row)
        above[:, cols + row] = lines.forward[row]
    _descend(above, wires.r_bit + wires.r_out)
    return np.ascontiguousarray(above[:, cols:].T)


def _descend(above: FloatArray, resistance: float) -> None:
    """Put a resistance into every bit line below the Norton equivalent [Y, P], in place."""
    if resistance == 0:
        return
    cols = above.shape[0]
    system = resistance * above[:, :cols]
    system.flat[:: cols + 1] += 1.0
    factor, failed = dpotrf(system, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise ImssaError("effective matrix: the elimination met a matrix that is not positive; use twin.nodal.solve")
    above[:] = dpotrs(factor, above, lower=1, overwrite_b=1)[0]


@dataclass(frozen=True)
class WordLines:
    """All word lines seen from their bit-line nodes: c = forward * V - admittance @ b, for each of them.

    The inverse of a ladder is u_min(j,k) v_max(j,k) / w: u is the voltage along the line as seen from the driver, v
    from its open end, and w what they share everywhere. All are sums of products of what is not negative, so nothing
    cancels. Shapes (rows, cols).

    Attributes:
        toward: g u; own: the diagonal of the admittances, S.
        forward: g v / w, bit-line current for 1 V at the driver while all bit lines are at 0 V, S.
        attenuation: voltage of the word nodes in that same state, for 1 V.
    """

    toward: FloatArray
    own: FloatArray
    forward: FloatArray
    attenuation: FloatArray

    @classmethod
    def of(cls, conductance: FloatArray, wires: Wires) -> WordLines:
        """The word lines of an array with these conductances, S, (rows, cols).

        Raises:
            LimitError: a conductance is negative or not finite, or a word line attenuates beyond all numbers.
        """
        g = np.asfortranarray(check_conductance(conductance), dtype=np.float64)
        cols = g.shape[1]
        u, entering = np.empty_like(g), np.empty_like(g)
        u[:, 0], entering[:, 0] = wires.r_word + wires.r_in, 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(1, cols):
                entering[:, j] = entering[:, j - 1] + g[:, j - 1] * u[:, j - 1]
                u[:, j] = u[:, j - 1] + wires.r_word * entering[:, j]
            v, leaving = np.empty_like(g), np.empty_like(g)
            v[:, -1], leaving[:, -1] = 1.0, 0.0
            for j in range(cols - 2, -1, -1):
                leaving[:, j] = leaving[:, j + 1] + g[:, j + 1] * v[:, j + 1]
                v[:, j] = v[:, j + 1] + wires.r_word * leaving[:, j]
            shared = v[:, :1] + (wires.r_word + wires.r_in) * (leaving[:, :1] + g[:, :1] * v[:, :1])
            attenuation = v / shared
            own = g * (entering * attenuation + u * (leaving / shared))
        if not (np.isfinite(own).all() and np.isfinite(u).all()):
            raise LimitError(
                f"wires: a word line of {cols} cells up to {g.max():g} S with {wires.r_word:g} Ohm a segment lets "
                "nothing through; check the units, or use twin.nodal.solve"
            )
        return cls(*(np.ascontiguousarray(part) for part in (g * u, own, g * attenuation, attenuation)))

    def admittance(self, row: int) -> FloatArray:
        """What the bit-line nodes of a row see of its word line with the driver at 0 V, S, (cols, cols)."""
        lower = np.tril(np.multiply.outer(self.forward[row], self.toward[row]), -1)
        matrix = -(lower + lower.T)
        np.fill_diagonal(matrix, self.own[row])
        return np.asarray(matrix)


def check_conductance(conductance: FloatArray) -> FloatArray:
    """The same conductances.

    Raises:
        LimitError: not of shape (rows, cols), or one is negative or not finite.
    """
    if conductance.ndim != 2 or not conductance.size:
        raise LimitError(f"wires: conductances must have shape (rows, cols), got {conductance.shape}")
    bad = ~(np.isfinite(conductance) & (conductance >= 0))
    if bad.any():
        row, col = np.argwhere(bad)[0]
        raise LimitError(
            f"wires: conductance {conductance[row, col]:g} S of word line {row}, bit line {col}; "
            f"it must be finite and not negative ({np.count_nonzero(bad)} such cells)"
        )
    return conductance


def with_access(conductance: FloatArray, wires: Wires) -> FloatArray:
    """Cells and their transistors in series, S, (rows, cols)."""
    return conductance / (1.0 + wires.r_access * conductance) if wires.r_access else conductance


def turned(wires: Wires) -> Wires:
    """The wires of the array with word lines and bit lines exchanged."""
    return wires.model_copy(
        update={"r_word": wires.r_bit, "r_bit": wires.r_word, "r_in": wires.r_out, "r_out": wires.r_in}
    )


def _turned(conductance: FloatArray) -> FloatArray:
    """Transposed, so that the driven end of the array comes where the sensed end was."""
    return np.ascontiguousarray(conductance.T[::-1, ::-1])


def sensitivity(conductance: FloatArray, wires: Wires) -> FloatArray:
    """How much of a small change of a cell an output feels, relative to an array without wires, (rows, cols).

    The share alpha of the drive voltage that reaches the cell with its bit line at ground, times the share beta of
    its current that reaches the end of its bit line with all word lines at ground, times (1 - a)(1 - b) / (1 - a b)^2
    for what the cell's own current does to both; a and b are its conductance times the resistance of its two nodes
    to ground. Exact for one cell. An approximation for more: voltages that the other driven word lines raise on the
    bit line are left out.

    Raises:
        LimitError: as `effective_matrix`.
    """
    alone = with_access(conductance, wires)
    word, bit = WordLines.of(alone, wires), WordLines.of(_turned(alone), turned(wires))
    alpha, beta = word.attenuation, bit.attenuation.T[::-1, ::-1]
    a, b = word.toward * alpha, (bit.toward * bit.attenuation).T[::-1, ::-1]
    own = (1.0 - a) * (1.0 - b) / (1.0 - a * b) ** 2
    access = 1.0 / (1.0 + wires.r_access * conductance)
    return np.asarray(alpha * beta * own * access**2)


def cell_paths(shape: tuple[int, int], wires: Wires) -> FloatArray:
    """Resistance in series with a cell whose neighbours are all switched off, Ohm, (rows, cols).

    Its transistor, r_in, j + 1 segments of word line, rows - i segments of bit line, r_out.
    """
    rows, cols = shape
    along = wires.r_in + wires.r_word * np.arange(1, cols + 1)
    down = wires.r_out + wires.r_bit * np.arange(rows, 0, -1)
    return np.asarray(wires.r_access + along + down[:, None])


class WiredCells:
    """The view of one array's cells, worked out anew when a conductance has changed."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._conductance = np.zeros((0, 0))
        self._view: WiredView | None = None

    def view(self, conductance: FloatArray) -> WiredView:
        """What is seen of cells with these conductances, S, (rows, cols).

        Raises:
            LimitError: as `effective_matrix`.
        """
        if self._view is None or not np.array_equal(conductance, self._conductance):
            self._view, self._conductance = WiredView.of(conductance, self._wires), conductance.copy()
        return self._view


@dataclass(frozen=True)
class WiredView:
    """What stands at the ends of the lines sees of the cells through the wires, in one programming state.

    Products are exact. Small fluctuations of cells are approximated: each reaches an output weakened by
    `sensitivity`, and that by the product of its mean over the word line and over the bit line, so that they can be
    drawn per output as without wires, for voltages `word_share` as large, the currents then `bit_share` as large.
    With 64 x 64 cells of 2 to 150 uS and 1 to 2.5 Ohm a segment the standard deviation of an output is off by less
    than 1 % (rms), by 1.5 % where kernels lie in blocks on a background of 2 uS, and for drives of one sign 6 to 7 %
    too large. Wires add no noise of their own.

    Attributes:
        matrix: the effective matrix, S, (rows, cols).
        word_share: (rows,); bit_share: (cols,).
        cells: what a read of single cells takes for their conductance, S, (rows, cols): with a transistor a cell is
            alone with its path; in a passive array all other lines are at 0 V and the read gives the matrix.
        cell_share: how much of a small change of a cell such a read shows, (rows, cols).
    """

    matrix: FloatArray
    word_share: FloatArray
    bit_share: FloatArray
    cells: FloatArray
    cell_share: FloatArray

    @classmethod
    def of(cls, conductance: FloatArray, wires: Wires) -> WiredView:
        """The view of cells with these conductances, S, (rows, cols).

        Raises:
            LimitError: as `effective_matrix`.
        """
        matrix, share = effective_matrix(conductance, wires), sensitivity(conductance, wires)
        word_share, bit_share = share.mean(axis=1), share.mean(axis=0) / share.mean()
        if wires.selector == "none":
            return cls(matrix, word_share, bit_share, matrix, share)
        loss = 1.0 / (1.0 + cell_paths((conductance.shape[0], conductance.shape[1]), wires) * conductance)
        return cls(matrix, word_share, bit_share, conductance * loss, loss**2)
