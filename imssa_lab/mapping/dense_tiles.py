"""A dense layer as tiles of differential pairs: which inputs and outputs a tile holds, and its lines on an array.

Every tile has word lines of its own and is read by itself: the others stand at 0 V then, so tiles may share bit
lines. What tiles of the same outputs give is added digitally. A share of all lines stays free, for rows and columns
that leave damaged ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.matrix_lines import MatrixLines
from imssa_lab.s4d.dense_layer import DenseLayer

_FREE = 4
"""One line in so many stays free."""


@dataclass(frozen=True, eq=False)
class DenseBlock(FrozenArrays):
    """Weights of a tile.

    Attributes:
        weights: (inputs, outputs), each in [-1, 1]: what the cells hold.
        column_scale: (outputs,), the digital factor of every column.
        input_scale: an input at full DAC scale.
    """

    weights: FloatArray
    column_scale: FloatArray
    input_scale: float


@dataclass(frozen=True, eq=False)
class PlacedTile(FrozenArrays):
    """A dense layer, or a part of one, on its array.

    Attributes:
        layer: name of the dense layer; inputs, outputs: (r,), (c,), those of it that this tile holds.
        word_lines: (r,), that of every row; pairs: (c,), pair of bit lines of every column.
        row_signs, column_signs: (r,), (c,), 1 or -1: what the digital side multiplies inputs and outputs by.
    """

    layer: str
    inputs: NDArray[np.intp]
    outputs: NDArray[np.intp]
    array: int
    word_lines: NDArray[np.intp]
    pairs: NDArray[np.intp]
    row_signs: FloatArray
    column_signs: FloatArray
    block: DenseBlock

    @property
    def name(self) -> str:
        """Layer, inputs and outputs, in words."""
        return (
            f"{self.layer}, inputs {self.inputs[0]}-{self.inputs[-1]}, outputs {self.outputs[0]}-{self.outputs[-1]}"
        )

    @property
    def weights(self) -> FloatArray:
        """What the cells hold, rows and columns as in the block, signs turned as they are on the array."""
        return np.asarray(self.row_signs[:, None] * self.block.weights * self.column_signs)

    @property
    def bit_lines(self) -> NDArray[np.intp]:
        """Its bit lines, two for every column, (2 c,)."""
        return MatrixLines(self.word_lines, self.pairs).bit_lines

    @property
    def cells(self) -> tuple[NDArray[np.intp], ...]:
        """Index of its cells in a map of the array."""
        return np.ix_(self.word_lines, self.bit_lines)


def dense_block(layer: DenseLayer, inputs: NDArray[np.intp], outputs: NDArray[np.intp]) -> DenseBlock:
    """The block of some inputs (r,) and outputs (c,) of a layer; columns are divided by their largest magnitude."""
    weights = layer.weight[np.ix_(outputs, inputs)].T
    scale = np.abs(weights).max(axis=0)
    scale[scale == 0.0] = 1.0
    return DenseBlock(weights / scale, scale, layer.full_scale)


def tiles_of(layers: Iterable[DenseLayer], shape: tuple[int, int], first: int) -> tuple[PlacedTile, ...]:
    """All tiles of some dense layers on arrays of one shape, from array number `first` on, as if no cell were bad.

    A layer is cut into equal parts that leave lines free; the tallest tiles are placed first, each on the first array
    that has word lines for it.
    """
    rows, pairs = (max(1, count - count // _FREE) for count in (shape[0], shape[1] // 2))
    parts = [
        (layer, inputs, outputs)
        for layer in layers
        for inputs in _even(layer.weight.shape[1], rows)
        for outputs in _even(layer.weight.shape[0], pairs)
    ]
    taken: list[int] = []
    placed: list[PlacedTile] = []
    for layer, inputs, outputs in sorted(parts, key=lambda part: -len(part[1])):
        index = next((i for i, used in enumerate(taken) if used + len(inputs) <= rows), len(taken))
        if index == len(taken):
            taken.append(0)
        lines = taken[index] + np.arange(len(inputs))
        taken[index] += len(inputs)
        block = dense_block(layer, inputs, outputs)
        columns, signs = np.arange(len(outputs)), (np.ones(len(inputs)), np.ones(len(outputs)))
        placed.append(PlacedTile(layer.name, inputs, outputs, first + index, lines, columns, *signs, block))
    return tuple(placed)


def _even(count: int, most: int) -> list[NDArray[np.intp]]:
    """So many numbers in as few parts of at most `most` as it takes."""
    return np.array_split(np.arange(count), -(-count // most))
