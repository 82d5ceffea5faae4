"""Where the rows, columns and readings of a superT A0 sit: banks and bits of its registers, words of its FIFOs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray

SIDE, ARRAYS, FIFOS, DEPTH = 64, 3, 12, 16
_LINES = np.arange(SIDE)
_HALF = _LINES % 16 // 2
_ROW_BANK = np.array([2, 0, 1, 3])[_LINES // 16]
_ROW_BIT = np.where(_LINES < 32, _HALF, 7 - _HALF) + 8 * (_LINES % 2)
_COL_BANK = 2 * (_LINES // 32) + _LINES % 2
_COL_BIT = np.where(_LINES < 32, 15 - _LINES // 2, (_LINES - 32) // 2)
_PLACE_IN_FIFO = np.where(_LINES < 32, 8 * (_LINES // 16) + 7 - _HALF, 8 * (3 - _LINES // 16) + _HALF)


def rows_of(banks: NDArray[np.uint16]) -> BoolArray:
    """Rows that four banks of 16 bits select, (64,)."""
    return np.asarray(banks[_ROW_BANK] >> _ROW_BIT & 1, dtype=np.bool_)


def columns_of(banks: NDArray[np.uint16]) -> BoolArray:
    """Columns that four banks of 16 bits select, (64,)."""
    return np.asarray(banks[_COL_BANK] >> _COL_BIT & 1, dtype=np.bool_)


def bank_of_row(row: int) -> tuple[int, int]:
    """Bank and bit of a row."""
    return int(_ROW_BANK[row]), int(_ROW_BIT[row])


def bank_of_column(col: int) -> tuple[int, int]:
    """Bank and bit of a column."""
    return int(_COL_BANK[col]), int(_COL_BIT[col])


def places(array: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """FIFO and word in it of the columns of an array, (64,) each."""
    fifo = 2 * (2 - array) + (_LINES >= 32) + 6 * (_LINES % 2)
    return fifo, _PLACE_IN_FIFO
