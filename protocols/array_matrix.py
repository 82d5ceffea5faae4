"""One signed matrix on one array: programmed as differential pairs, calibrated, compared with software."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from imssa_lab.contract.checks import containers
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Programmer
from imssa_lab.contract.notebook import facts_html
from imssa_lab.contract.programming_report import ProgrammingReport
from imssa_lab.mapping import compensate, to_pairs
from imssa_lab.mapping.matrix_lines import MatrixLines, chosen_lines
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.probes import probe_voltages
from protocols.recurrence import read_signed

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

_CHECKED = 64
"""Vectors of a check."""
_AVERAGES = 4
_OUTSIDE = 0.2
"""A cell further outside the window than this share of it is taken for stuck before any pulse."""


@dataclass(frozen=True)
class MatrixCheck(FrozenArrays):
    """Products on the array against products in software, by vectors that nothing was fitted to.

    Attributes:
        raw, calibrated: rms error of each output over the rms of all exact outputs, (m,), without and with the
            column calibration.
        unprogrammed: the same of a matrix of zeros, 1 over all outputs: what no product at all would have.
        vectors: how many.
    """

    raw: FloatArray
    calibrated: FloatArray
    unprogrammed: FloatArray
    vectors: int

    def __str__(self) -> str:
        raw, calibrated, nothing = (_rms(each) for each in (self.raw, self.calibrated, self.unprogrammed))
        return (
            f"error against software, rms over {len(self.raw)} outputs and {self.vectors} vectors: "
            f"{100 * calibrated:.1f} % with column calibration, {100 * raw:.1f} % without; "
            f"{100 * nothing:.0f} % for a matrix of zeros"
        )


class ArrayMatrix:
    """A matrix (m, n) that an array holds; `matrix @ x` is one product on the array.

    Word line `word_lines[i]` takes element i of x, the bit lines 2 p and 2 p + 1 of pair `pairs[j]` give element j of
    the product. Each vector is scaled so that its largest element drives the read limit, and the result scaled back.

    Attributes:
        weights: the matrix in software, (m, n); scale: weight of a pair that differs by the whole window.
        word_lines: (n,); pairs: (m,); report: the last programming of these cells.
    """

    def __init__(
        self, array: CrossbarArray, weights: FloatArray, scale: float, lines: MatrixLines, report: ProgrammingReport
    ) -> None:
        self.array, self.weights, self.scale, self.report = array, weights, scale, report
        self.word_lines, self.pairs = lines

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, (m, n)."""
        rows, cols = self.weights.shape
        return rows, cols

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """Type of the products."""
        return np.dtype(np.float64)

    @property
    def T(self) -> NoReturn:  # noqa: N802 - the name that matrices have
        """Refused: this array drives word lines and reads bit lines, not the other way round.

        Raises:
            LimitError: always; program the transposed matrix instead.
        """
        raise LimitError(
            f"{self.array.info.name}: the transposed product drives bit lines, which this array cannot; "
            "program the transposed matrix by put_matrix(weights.T, ...)"
        )

    def __matmul__(self, x: ArrayLike) -> FloatArray:
        """The product of the matrix with x, (n,) or (n, k), on the array; (m,) or (m, k).

        Raises:
            LimitError: another shape, or values that are not finite; nothing was driven.
        """
        vectors = containers.floats(x, f"{self.array.info.name}: x", (), "1")
        if vectors.ndim not in (1, 2) or len(vectors) != self.shape[1]:
            raise LimitError(
                f"{self.array.info.name}: x has shape {vectors.shape}; needed is ({self.shape[1]},) or "
                f"({self.shape[1]}, k)"
            )
        if not np.isfinite(vectors).all():
            raise LimitError(f"{self.array.info.name}: x must be finite")
        products = self._products(np.atleast_2d(vectors.T))
        return products[0] if vectors.ndim == 1 else products.T

    def _products(self, x: FloatArray) -> FloatArray:
        """(k, m) of (k, n)."""
        info = self.array.info
        largest = np.abs(x).max(axis=1, keepdims=True, initial=0.0)
        largest[largest == 0] = 1.0
        voltages = np.zeros((len(x), info.rows))
        voltages[:, self.word_lines] = info.limits.read_voltage * (x / largest)
        current = read_signed(self.array, voltages)
        difference = current[:, 2 * self.pairs] - current[:, 2 * self.pairs + 1]
        per_ampere = self.scale / (info.limits.read_voltage * info.window.span)
        return np.asarray(difference * per_ampere * largest)

    def check(self, vectors: int = _CHECKED) -> MatrixCheck:
        """Compare products with software, with and without the column calibration of the array.

        Args:
            vectors: how many, spread evenly over the inputs.
        """
        x = probe_voltages(vectors, self.shape[1], 1.0)
        exact = x @ self.weights.T
        whole = _rms(exact) or 1.0
        calibrated = self._products(x)
        carried = self.array.calibration
        self.array.set_calibration(None)
        try:
            raw = self._products(x)
        finally:
            self.array.set_calibration(carried)

        def error(got: FloatArray) -> FloatArray:
            return np.asarray(np.sqrt(np.mean((got - exact) ** 2, axis=0)) / whole)

        return MatrixCheck(error(raw), error(calibrated), error(0 * exact), vectors)

    def as_linear_operator(self) -> LinearOperator:
        """The matrix for the solvers of SciPy that need products with it alone (scipy.sparse.linalg)."""
        from scipy.sparse.linalg import LinearOperator

        def refuse(y: FloatArray) -> FloatArray:
            return self.T

        return LinearOperator(self.shape, matvec=self.__matmul__, matmat=self.__matmul__, rmatvec=refuse, dtype=float)

    def __repr__(self) -> str:
        return f"ArrayMatrix {self.shape[0]} x {self.shape[1]} on {self.array.info.name}: {self.report}"

    def _repr_html_(self) -> str:
        """For notebooks."""
        facts = [("shape", f"{self.shape[0]} x {self.shape[1]}"), ("array", self.array.info.name)]
        return facts_html("matrix on an array", [*facts, ("programming", str(self.report))])


def put_matrix(
    weights: ArrayLike, array: CrossbarArray, programmer: Programmer | None = None, rounds: int = 3
) -> ArrayMatrix:
    """Program a signed matrix into an array as differential pairs around its faults, and calibrate its columns.

    Lines with the fewest cells that are known to be bad are chosen: first those outside the window, then, as
    programming finds them, those that a re-read sees out of tolerance. The partner of a cell that stays out is
    programmed so that the pair keeps its difference as far as the window allows. Other cells are left alone.

    Args:
        weights: (m, n) with m <= cols / 2 and n <= rows; the largest magnitude takes the whole window.
        programmer: the loop; None for the chip's own recipe.
        rounds: how often lines may be chosen; every further choice programs the matrix again.

    Raises:
        LimitError: a matrix that does not fit, is not finite, or holds zeros alone; nothing was pulsed.
    """
    info = array.info
    wanted = containers.floats(weights, f"{info.name}: weights", ("output", "input"), "1")
    if wanted.ndim != 2 or not (0 < wanted.shape[0] <= info.cols // 2 and 0 < wanted.shape[1] <= info.rows):
        raise LimitError(
            f"{info.name}: a matrix of shape {wanted.shape} does not fit; at most ({info.cols // 2}, {info.rows}), "
            "as every output takes two bit lines"
        )
    scale = float(np.abs(wanted).max())
    if not (np.isfinite(scale) and scale > 0):
        raise LimitError(f"{info.name}: weights must be finite, and one of them not zero")
    pairs = to_pairs(wanted.T / scale, info.window)
    found = array.read_conductances(averages=_AVERAGES)
    beyond = _OUTSIDE * info.window.span
    bad = np.asarray((found < info.window.low - beyond) | (found > info.window.high + beyond))
    lines = chosen_lines(bad, wanted.shape)
    for left in reversed(range(rounds)):
        target = np.full(info.shape, np.nan)
        target[np.ix_(lines.word_lines, lines.bit_lines)] = pairs
        report = array.program_conductances(target, np.isfinite(target), programmer)
        bad |= report.selected & (np.abs(report.error) > report.tolerance)
        better = chosen_lines(bad, wanted.shape)
        if not left or lines.damaged(bad) <= better.damaged(bad):
            break
        lines = better
    mended = compensate(target, bad, report.achieved, info.window)
    again = np.isfinite(target) & (mended != target)
    if again.any():
        report = _joined(report, array.program_conductances(mended, again, programmer), again)
    calibrate_columns(array)
    return ArrayMatrix(array, wanted, scale, lines, report)


def _joined(first: ProgrammingReport, second: ProgrammingReport, again: BoolArray) -> ProgrammingReport:
    """One report of two, where the second one programmed the cells of `again` to other targets."""
    return ProgrammingReport(
        target=np.where(again, second.target, first.target),
        achieved=np.where(again, second.achieved, first.achieved),
        pulses=first.pulses + second.pulses,
        outcome=np.where(again, second.outcome, first.outcome),
        tolerance=first.tolerance,
        seconds=first.seconds + second.seconds,
        reads=first.reads + second.reads,
    )


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
