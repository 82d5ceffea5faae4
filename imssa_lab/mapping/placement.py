"""Where the kernels of a bundle go: word lines and bit lines of one or several arrays.

Kernels stand on a diagonal: each has word lines of its own. Those that share bit lines belong to different
banks; a read drives the word lines of one bank and leaves the others at 0 V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imssa_lab.errors import DeploymentError
from imssa_lab.hal import BoolArray, FloatArray, Window
from imssa_lab.mapping.blocks import Form, KernelBlock, kernel_block
from imssa_lab.mapping.pairs import from_pairs, to_pairs
from imssa_lab.s4d.bundle import KernelBundle


@dataclass(frozen=True, eq=False)
class PlacedKernel:
    """A kernel on its array: `row` is its first word line, `col` its first bit line."""

    layer: int
    channel: int
    array: int
    bank: int
    row: int
    col: int
    block: KernelBlock

    @property
    def rows(self) -> slice:
        """Its word lines."""
        return slice(self.row, self.row + self.block.size)

    @property
    def cols(self) -> slice:
        """Its bit lines, two for every logical column."""
        return slice(self.col, self.col + 2 * self.block.size)


@dataclass(frozen=True)
class Mapping:
    """All kernels of a bundle on arrays of one shape and one conductance window.

    `abandoned` lists the places (array, first word line) that kernels had to leave.
    """

    kernels: tuple[PlacedKernel, ...]
    shape: tuple[int, int]
    window: Window
    abandoned: tuple[tuple[int, int], ...] = ()

    @property
    def arrays(self) -> int:
        """How many arrays it takes."""
        return 1 + max(kernel.array for kernel in self.kernels)

    def on(self, array: int) -> list[PlacedKernel]:
        """The kernels of one array."""
        return [kernel for kernel in self.kernels if kernel.array == array]

    def target(self, array: int) -> tuple[FloatArray, BoolArray]:
        """Target conductances (S, NaN where nothing is programmed) and mask of one array, (rows, cols).

        Cells that join the word lines of one kernel to the bit lines of another of its bank have the bottom of the
        window as target: most stand there already and get no pulse, and one that is stuck elsewhere is found.
        """
        target = np.full(self.shape, np.nan)
        for rows, cols in self._crossings(array):
            target[rows, cols] = self.window.low
        for kernel in self.on(array):
            target[kernel.rows, kernel.cols] = to_pairs(kernel.block.weights, self.window)
        return target, np.isfinite(target)

    def _crossings(self, array: int) -> list[tuple[slice, slice]]:
        kernels = self.on(array)
        return [(one.rows, other.cols) for one in kernels for other in kernels if one.bank == other.bank]

    def relocate(self, damaged: Sequence[PlacedKernel], available: int) -> Mapping:
        """The mapping with `damaged` kernels in free places, as far as there are any on `available` arrays.

        The place that a kernel leaves is not used again.
        """
        size = max(kernel.block.size for kernel in self.kernels)
        taken = {(kernel.array, kernel.row) for kernel in self.kernels} | set(self.abandoned)
        places = [
            (array, slot)
            for array in range(available)
            for slot in range(kernels_per_array(size, self.shape))
            if (array, slot * size) not in taken
        ]
        moves = dict(zip(damaged, places, strict=False))
        kernels = tuple(
            _place(kernel.layer, kernel.channel, kernel.block, size, *moves[kernel], self.shape[1])
            if kernel in moves
            else kernel
            for kernel in self.kernels
        )
        left = tuple((kernel.array, kernel.row) for kernel in moves)
        return Mapping(kernels, self.shape, self.window, (*self.abandoned, *left))

    def implemented(self, kernel: PlacedKernel, conductance: FloatArray) -> FloatArray:
        """The weights of the block that a measured map of its array (rows, cols), S, really implements."""
        return from_pairs(conductance[kernel.rows, kernel.cols], self.window)


def kernels_per_array(block_size: int, shape: tuple[int, int]) -> int:
    """How many kernels of `block_size` rows fit on one array of this shape."""
    return shape[0] // block_size if 2 * block_size <= shape[1] else 0


def map_bundle(
    bundle: KernelBundle, shape: tuple[int, int], window: Window, available: int, form: Form = "delta"
) -> Mapping:
    """Place all kernels of a bundle.

    Args:
        shape: word lines and bit lines of each array.
        available: how many such arrays there are.

    Raises:
        DeploymentError: a kernel is larger than an array, or there are too few arrays.
    """
    blocks = [
        (layer_index, channel, kernel_block(layer, channel, form))
        for layer_index, layer in enumerate(bundle.layers)
        for channel in range(len(layer.d))
    ]
    size = max(block.size for _, _, block in blocks)
    per_array = kernels_per_array(size, shape)
    if per_array == 0:
        raise DeploymentError(
            f"a kernel of this bundle needs {size} word lines and {2 * size} bit lines, the array has {shape[0]} and "
            f"{shape[1]}; train with fewer states"
        )
    needed = -(-len(blocks) // per_array)
    if needed > available:
        raise DeploymentError(
            f"{len(blocks)} kernels need {needed} arrays of {shape[0]}x{shape[1]}, {available} given; "
            "add arrays or train with fewer channels"
        )
    placed = (
        _place(layer, channel, block, size, *divmod(index, per_array), shape[1])
        for index, (layer, channel, block) in enumerate(blocks)
    )
    return Mapping(tuple(placed), shape, window)


def _place(layer: int, channel: int, block: KernelBlock, size: int, array: int, slot: int, cols: int) -> PlacedKernel:
    """A kernel in place number `slot` of an array with so many bit lines: word lines one below the other."""
    bank, column = divmod(slot, cols // (2 * size))
    return PlacedKernel(layer, channel, array, bank, slot * size, 2 * size * column, block)
