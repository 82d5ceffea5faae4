"""What compiled reads know of one chip, in one piece of memory: its tables, its converters and room to work in.

To hand an array over to compiled code takes as long as to add up hundreds of numbers, and there are twenty of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import FloatArray
from imssa_lab.contract.jit import views
from twin.fast.aligned import aligned

_PARTS = 17
(
    NUMBERS,
    KNOWN,
    SHARES,
    SLICES,
    WHITE,
    SHOT,
    THERMAL,
    COLUMNS,
    FAULTS,
    RANGES,
    CELL_RANGES,
    MISSING,
    UNITS,
    WEIGHTS,
    SAG,
    MOMENT,
    ROOM,
) = range(_PARTS)
"""The parts: see `Tables`, `Digits` and `compiled_reads`."""
_LINE = 8
"""Numbers in a line of the processor's cache; a part begins with one."""


class ChipMemory:
    """One array for all parts, which are matrices of fixed shapes.

    Args:
        shapes: (rows, cols) of each part.

    Attributes:
        whole: all numbers, (size,). places: where each part begins, its rows and its columns, (parts, 3).
    """

    def __init__(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        lines = [-(-rows * cols // _LINE) for rows, cols in (shapes[part] for part in range(_PARTS))]
        begins = _LINE * np.cumsum([0, *lines])
        self.whole = aligned(np.zeros(begins[-1]))
        self.places: NDArray[np.intp] = np.array(
            [(begins[part], *shapes[part]) for part in range(_PARTS)], dtype=np.intp
        )

    def part(self, number: int) -> FloatArray:
        """A part to read and to write, (rows, cols)."""
        begin, rows, cols = (int(each) for each in self.places[number])
        return self.whole[begin : begin + rows * cols].reshape(rows, cols)


@views
def part_of(whole: FloatArray, places: NDArray[np.intp], number: int) -> FloatArray:
    """`ChipMemory.part`, compiled: (rows, cols), of `whole` (size,) and `places` (parts, 3)."""
    begin, rows, cols = places[number, 0], places[number, 1], places[number, 2]
    return whole[begin : begin + rows * cols].reshape((rows, cols))
