"""Resistance of word lines and bit lines: the profile section and the effective matrix of an array of linear cells.

Word line i is driven at its ends, where it has any, through r_in and one segment; bit line j leaves at its ends
through one segment and r_out into virtual ground, and a positive voltage drives a positive current into it. Both
drivers of a line have one voltage, and what leaves at both ends of a bit line is one current. `nodal.py` solves the
same circuit node by node, for cells of any law; this file is the fast way for linear ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError, ImssaError, LimitError
from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section
from twin.wires.elimination import Elimination, Responses, WordLines
from twin.wires.line_ends import Lines

_Ohm = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_OfLines = _Ohm | tuple[_Ohm, ...]


class Wires(Section):
    """Series resistances of the array while it is read, zero for none, and what its lines are connected to.

    Pulses reach their cells in full, as if what lines lose of them were part of the cells' response, but where the
    profile has a section `line_drop`.
    """

    r_word: _OfLines = Field(description="Ohm per segment of a word line; a list: one number for each word line")
    r_bit: _OfLines = Field(description="Ohm per segment of a bit line; a list: one number for each bit line")
    r_in: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, of a word-line driver")
    r_out: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, from a bit line to virtual ground")
    r_access: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Ohm, of a cell's open transistor")
    selector: Literal["transistor", "none"] = Field(
        default="transistor", description="1T1R reads a cell alone; a passive array through all its neighbours"
    )
    drive: Literal["left", "right", "both"] = Field(
        default="left", description="ends of the word lines with a driver; left is beside column 0"
    )
    sense: Literal["bottom", "top", "both"] = Field(
        default="bottom", description="ends of the bit lines at virtual ground; bottom is below the last row"
    )
    selection: Literal["ground", "float", "V/2", "V/3"] = Field(
        default="ground",
        description="lines that are not selected while a passive array reads one cell: at 0 V, at nothing, all at "
        "half of the read voltage, or word lines at a third and bit lines at two thirds of it",
    )
    open_word: tuple[int, ...] = Field(
        default=(), description="word lines without a driver: they float; -1 is the last one"
    )
    open_bit: tuple[int, ...] = Field(
        default=(), description="bit lines connected to nothing: they float, and their current is 0; -1 is the last"
    )

    @model_validator(mode="after")
    def _passive_has_no_transistor(self) -> Wires:
        if self.selector == "none" and self.r_access > 0:
            raise ValueError("wires: r_access belongs to a transistor; leave it out where selector is 'none'")
        if self.selector == "transistor" and self.selection != "ground":
            raise ValueError(
                f"wires: selection = '{self.selection}' is for passive arrays; a transistor reads its cell alone. "
                "Leave selection out, or write selector = 'none'"
            )
        return self

    def word_lines(self, shape: tuple[int, int]) -> Lines:
        """The word lines of an array of (rows, cols).

        Raises:
            ConfigError: resistances, or open lines, of another number of word lines; all of them open.
        """
        near, far = self.drive in ("left", "both"), self.drive in ("right", "both")
        return _lines("word", shape[0], self.r_word, self.r_in, (near, far), self.open_word)

    def bit_lines(self, shape: tuple[int, int]) -> Lines:
        """The bit lines of an array of (rows, cols).

        Raises:
            ConfigError: resistances, or open lines, of another number of bit lines; all of them open.
        """
        near, far = self.sense in ("bottom", "both"), self.sense in ("top", "both")
        return _lines("bit", shape[1], self.r_bit, self.r_out, (near, far), self.open_bit)


def _lines(
    kind: str,
    count: int,
    segment: float | tuple[float, ...],
    end: float,
    ends: tuple[bool, bool],
    opened: tuple[int, ...],
) -> Lines:
    if isinstance(segment, tuple) and len(segment) != count:
        raise ConfigError(
            f"wires: r_{kind} has {len(segment)} resistances, but the array has {count} {kind} lines; give one for "
            "each line, or one number for all"
        )
    if any(not -count <= line < count for line in opened) or len({line % count for line in opened}) != len(opened):
        raise ConfigError(
            f"wires: open_{kind} = {list(opened)}, but {kind} lines of this array are 0 to {count - 1}, each at most "
            "once"
        )
    if len(opened) == count:
        raise ConfigError(
            f"wires: open_{kind} leaves none of the {count} {kind} lines connected; leave one out of it"
        )
    closed = np.ones(count, dtype=np.bool_)
    closed[list(opened)] = False
    near, far = (np.where(closed & there, end, np.inf) for there in ends)
    return Lines(np.full(count, segment, dtype=np.float64), near, far)


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

    By block elimination, see `twin.wires.elimination.Elimination`; one for each end of the bit lines that is sensed.

    Args:
        cells: conductances in S, (rows, cols), finite and not negative.
        wires: the resistances and what the lines are connected to.

    Returns:
        S, (rows, cols), with G[i, j] the current of bit line j for 1 V on word line i and 0 V on all others that are
        driven.

    Raises:
        ImssaError: the cells have a law of their own; `twin.wires.nodal.solve` takes those.
        LimitError: a conductance is negative or not finite, or a word line lets nothing through.
        ConfigError: resistances or open lines of the wires are not of this array's lines.
    """
    if not isinstance(cells, np.ndarray):
        raise ImssaError(
            "effective matrix asked for cells with an I-V law; only linear cells (an array of S) have one: "
            "use twin.wires.nodal.solve"
        )
    rows, cols = check_conductance(cells).shape
    if cols > rows:
        # Reciprocity: drive bit lines, sense word lines. Blocks have the shorter side, the work is rows * cols^3.
        return _turned(effective_matrix(_turned(cells), turned(wires)))
    return _eliminated(cells, wires)[0]


def _eliminated(cells: FloatArray, wires: Wires, *, keep: bool = False) -> tuple[FloatArray, Elimination | None]:
    """The effective matrix, S, (rows, cols), and its elimination where it came from one alone."""
    shape = _shape(cells)
    alone, word, bit = with_access(cells, wires), wires.word_lines(shape), wires.bit_lines(shape).joined()
    if not bit.has_far.any():
        near = Elimination(alone, word, bit, keep=keep)
        return near.matrix, near
    far = Elimination(alone[::-1], word.reversed(), bit.flipped()).matrix[::-1]
    matrix = np.where(bit.has_far, far, 0.0)
    if bit.has_near.any():
        matrix += Elimination(alone, word, bit).matrix
    return matrix, None


def _shape(cells: FloatArray) -> tuple[int, int]:
    return cells.shape[0], cells.shape[1]


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
    """The wires of the array with word lines and bit lines exchanged; the last line of each kind comes first."""
    ends = {"left": "bottom", "right": "top", "both": "both"}
    return wires.model_copy(
        update={
            "r_word": _last_first(wires.r_bit),
            "r_bit": _last_first(wires.r_word),
            "r_in": wires.r_out,
            "r_out": wires.r_in,
            "drive": next(drive for drive, sense in ends.items() if sense == wires.sense),
            "sense": ends[wires.drive],
            "open_word": tuple(-1 - line for line in wires.open_bit),
            "open_bit": tuple(-1 - line for line in wires.open_word),
        }
    )


def _last_first(resistance: float | tuple[float, ...]) -> float | tuple[float, ...]:
    return resistance[::-1] if isinstance(resistance, tuple) else resistance


def _turned(conductance: FloatArray) -> FloatArray:
    """Transposed, so that the driven end of the array comes where the sensed end was; its own inverse."""
    return np.ascontiguousarray(conductance.T[::-1, ::-1])


def sensitivity(conductance: FloatArray, wires: Wires) -> FloatArray:
    """Effect of a small change of a cell on an output, relative to an array without wires, (rows, cols).

    The share alpha of the drive voltage that reaches the cell with its bit line at ground, times the share beta of
    its current that reaches the end of its bit line with all word lines at ground, times (1 - a)(1 - b) / (1 - a b)^2
    for what the cell's own current does to both; a and b are its conductance times the resistance of its two nodes
    to ground. Exact for one cell. An approximation for more: voltages that the other driven word lines raise on the
    bit line are left out.

    Raises:
        LimitError: as `effective_matrix`.
    """
    alone = with_access(check_conductance(conductance), wires)
    shape = _shape(conductance)
    word = WordLines.of(alone, wires.word_lines(shape))
    bit = WordLines.of(_turned(alone), wires.bit_lines(shape).reversed())
    alpha, beta = word.attenuation, bit.attenuation.T[::-1, ::-1]
    a, b = word.to_ground, bit.to_ground.T[::-1, ::-1]
    own = (1.0 - a) * (1.0 - b) / (1.0 - a * b) ** 2
    access = 1.0 / (1.0 + wires.r_access * conductance)
    return np.asarray(alpha * beta * own * access**2)


def cell_paths(shape: tuple[int, int], wires: Wires) -> FloatArray:
    """Resistance in series with a cell whose neighbours are all switched off, Ohm, (rows, cols).

    Its transistor, r_in, j + 1 segments of word line from the left, rows - i segments of bit line to the bottom,
    r_out; lines with two ends lead to both, in parallel. It is inf where a line floats.
    """
    return np.asarray(wires.r_access + pulse_paths(shape, wires))


def pulse_paths(shape: tuple[int, int], wires: Wires) -> FloatArray:
    """`cell_paths` without the transistor, which is part of the response to pulses, Ohm, (rows, cols)."""
    rows, cols = shape
    return np.asarray(wires.word_lines(shape).paths(cols) + wires.bit_lines(shape).paths(rows)[:, ::-1].T)


class Followed(NamedTuple):
    """Data for updates of an effective matrix.

    Attributes:
        base: conductances of the last elimination, S, (rows, cols); the others: the `Responses` since.
    """

    base: FloatArray
    cells: NDArray[np.intp]
    bits: FloatArray
    driven: FloatArray
    sensed: FloatArray


class WiredCells:
    """The view of one array's cells, kept until a conductance changes.

    Where few cells have changed since rows were last eliminated the effective matrix is updated, to rounding, and
    otherwise computed again (`Elimination.after`). Where bit lines differ, float or have a top end it is computed
    again after every change.
    """

    KEPT = ("followed",)

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._conductance = self._base = np.zeros((0, 0))
        self._view: WiredView | None = None
        self._eliminated: Elimination | None = None

    def view(self, conductance: FloatArray) -> WiredView:
        """The view of cells with these conductances, S, (rows, cols), at the ends of the lines.

        Raises:
            LimitError: as `effective_matrix`.
        """
        if self._view is None or not np.array_equal(conductance, self._conductance):
            self._view = WiredView.through(self._matrix(conductance), conductance, self._wires)
            self._conductance = conductance.copy()
        return self._view

    def _matrix(self, conductance: FloatArray) -> FloatArray:
        cells, wires, wide = self._upright(check_conductance(conductance))
        matrix = None if self._eliminated is None else self._eliminated.after(with_access(cells, wires))
        if matrix is None:
            matrix, self._eliminated = _eliminated(cells, wires, keep=True)
            if self._eliminated is not None:
                self._base = conductance.copy()
        return _turned(matrix) if wide else matrix

    def _upright(self, conductance: FloatArray) -> tuple[FloatArray, Wires, bool]:
        """The array, S, (rows, cols), and its wires with at least as many rows as columns; whether it was turned."""
        if conductance.shape[1] > conductance.shape[0]:
            return _turned(conductance), turned(self._wires), True
        return conductance, self._wires, False

    @property
    def followed(self) -> Followed:
        """Data from which the view of the next conductances is computed, to the last bit."""
        none = Responses(np.zeros((0, 2), dtype=np.intp), np.zeros((0, 0, 0)), np.zeros((0, 0)), np.zeros((0, 0)))
        return Followed(self._base, *(none if self._eliminated is None else self._eliminated.responses))

    @followed.setter
    def followed(self, given: Followed) -> None:
        if given.base.size:
            cells, wires, _ = self._upright(given.base)
            self._base, self._eliminated = given.base, _eliminated(cells, wires, keep=True)[1]
            if self._eliminated is not None:
                self._eliminated.responses = Responses(given.cells, given.bits, given.driven, given.sensed)


@dataclass(frozen=True)
class WiredView(FrozenArrays):
    """The cells as seen from the ends of the lines through the wires, in one programming state.

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
        return cls.through(effective_matrix(conductance, wires), conductance, wires)

    @classmethod
    def through(cls, matrix: FloatArray, conductance: FloatArray, wires: Wires) -> WiredView:
        """The view of cells with these conductances, S, (rows, cols), whose effective matrix is known.

        Raises:
            LimitError: as `sensitivity`.
        """
        share = sensitivity(conductance, wires)
        word_share, bit_share = share.mean(axis=1), share.mean(axis=0) / share.mean()
        if wires.selector == "none":
            return cls(matrix, word_share, bit_share, matrix, share)
        paths = cell_paths(_shape(conductance), wires)
        reached = np.isfinite(paths)
        loss = np.where(reached, 1.0 / (1.0 + np.where(reached, paths, 0.0) * conductance), 0.0)
        return cls(matrix, word_share, bit_share, conductance * loss, loss**2)
