"""Lines of an array for one matrix, around cells that are known to be bad."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import BoolArray, FloatArray


class MatrixLines(NamedTuple):
    """Word lines and pairs of bit lines that a matrix takes: (inputs,) and (outputs,)."""

    word_lines: NDArray[np.intp]
    pairs: NDArray[np.intp]

    @property
    def bit_lines(self) -> NDArray[np.intp]:
        """The bit lines of the pairs, in order, (2 outputs,)."""
        return np.stack([2 * self.pairs, 2 * self.pairs + 1], axis=1).ravel()

    def damaged(self, bad: BoolArray) -> int:
        """How many bad cells (rows, cols) these lines have where they cross."""
        return int(np.count_nonzero(bad[np.ix_(self.word_lines, self.bit_lines)]))


def chosen_lines(bad: BoolArray, shape: tuple[int, int]) -> MatrixLines:
    """Lines for a matrix of `shape` (outputs, inputs) that cross in few bad cells (rows, cols).

    Of all lines the one with most bad cells on those that are left is given up, again and again; of equal ones the
    last, so that a healthy array is filled from its first lines.
    """
    outputs, inputs = shape
    rows, pairs = np.arange(len(bad)), np.arange(bad.shape[1] // 2)
    while len(rows) > inputs or len(pairs) > outputs:
        crossing = bad[np.ix_(rows, MatrixLines(rows, pairs).bit_lines)]
        of_rows = crossing.mean(axis=1)
        of_pairs = crossing.reshape(len(rows), -1, 2).mean(axis=(0, 2))
        if len(pairs) == outputs or (len(rows) > inputs and of_rows.max() > of_pairs.max()):
            rows = np.delete(rows, _last_worst(of_rows))
        else:
            pairs = np.delete(pairs, _last_worst(of_pairs))
    return MatrixLines(rows, pairs)


def _last_worst(shares: FloatArray) -> int:
    return int(np.flatnonzero(shares == shares.max())[-1])
