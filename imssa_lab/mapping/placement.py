"""Where the kernels and dense layers of a bundle go: word lines and bit lines of one or several arrays.

Their `Layout` says which places kernels have. A read drives the word lines of one bank and leaves the others at 0 V.
Dense layers have arrays of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import BoolArray, FloatArray, Window
from imssa_lab.mapping.blocks import Form, KernelBlock, kernel_block
from imssa_lab.mapping.dense_tiles import PlacedTile, tiles_of
from imssa_lab.mapping.layout import Layout, Packing
from imssa_lab.mapping.pairs import from_pairs, to_pairs
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import Layers


@dataclass(frozen=True, eq=False)
class PlacedKernel(FrozenArrays):
    """A kernel, or a part of one, on its array.

    Attributes:
        slot: number of its place on the array.
        word_lines: (size,), that of every row of the block; pairs: (size,), pair of bit lines of every column.
        row_signs, column_signs: (size,), 1 or -1: what the digital side multiplies inputs and outputs by.
    """

    layer: int
    channel: int
    array: int
    bank: int
    slot: int
    word_lines: NDArray[np.intp]
    pairs: NDArray[np.intp]
    row_signs: FloatArray
    column_signs: FloatArray
    block: KernelBlock

    @property
    def name(self) -> str:
        """Layer, channel and, of a part, its states, in words."""
        return f"layer {self.layer}, channel {self.channel}, states {self.block.states[0]}-{self.block.states[-1]}"

    @property
    def weights(self) -> FloatArray:
        """What the cells hold, rows and columns as in the block, signs turned as they are on the array."""
        return np.asarray(self.row_signs[:, None] * self.block.weights * self.column_signs)

    @property
    def bit_lines(self) -> NDArray[np.intp]:
        """Its bit lines, two for every logical column, (2 size,)."""
        return np.stack([2 * self.pairs, 2 * self.pairs + 1], axis=-1).ravel()

    @property
    def cells(self) -> tuple[NDArray[np.intp], ...]:
        """Index of its cells in a map of the array."""
        return np.ix_(self.word_lines, self.bit_lines)


@dataclass(frozen=True)
class Mapping:
    """All kernels of a bundle on arrays of one shape and one conductance window.

    `abandoned` lists the places (array, slot) that kernels had to leave; `tiles` those of dense layers, if any.
    """

    kernels: tuple[PlacedKernel, ...]
    shape: tuple[int, int]
    window: Window
    abandoned: tuple[tuple[int, int], ...] = ()
    tiles: tuple[PlacedTile, ...] = ()
    packing: Packing = "time"

    @property
    def arrays(self) -> int:
        """How many arrays it takes."""
        return 1 + max(*(kernel.array for kernel in self.kernels), *(tile.array for tile in self.tiles), 0)

    @property
    def block_size(self) -> int:
        """Rows of the largest block, so of every place."""
        return max(kernel.block.size for kernel in self.kernels)

    @property
    def layout(self) -> Layout:
        """The places of each array."""
        return Layout(self.packing, self.block_size, self.shape)

    def on(self, array: int) -> list[PlacedKernel]:
        """The kernels of one array."""
        return [kernel for kernel in self.kernels if kernel.array == array]

    def banks(self, array: int) -> list[list[PlacedKernel]]:
        """The kernels of one array, by bank: those of one are read together."""
        kernels = self.on(array)
        return [[k for k in kernels if k.bank == bank] for bank in sorted({k.bank for k in kernels})]

    def target(self, array: int) -> tuple[FloatArray, BoolArray]:
        """Target conductances (S, NaN where nothing is programmed) and mask of one array, (rows, cols).

        Cells that join the word lines of one kernel to the bit lines of another of its bank have the bottom of the
        window as target: most are there already and get no pulse, and a cell stuck at another value is found.
        """
        target = np.full(self.shape, np.nan)
        for bank in self.banks(array):
            rows = np.concatenate([kernel.word_lines for kernel in bank])
            columns = np.concatenate([kernel.bit_lines for kernel in bank])
            target[np.ix_(rows, columns)] = self.window.low
        for placed in self._weights_on(array):
            target[placed.cells] = to_pairs(placed.weights, self.window)
        return target, np.isfinite(target)

    def tiles_on(self, array: int) -> list[PlacedTile]:
        """The tiles of dense layers on one array."""
        return [tile for tile in self.tiles if tile.array == array]

    def _weights_on(self, array: int) -> list[PlacedKernel | PlacedTile]:
        return [*self.on(array), *self.tiles_on(array)]

    def kernel_cells(self, array: int) -> BoolArray:
        """Cells of one array that hold a weight, (rows, cols); others with a target lie between kernels."""
        chosen = np.zeros(self.shape, dtype=np.bool_)
        for placed in self._weights_on(array):
            chosen[placed.cells] = True
        return chosen

    def implemented(self, kernel: PlacedKernel | PlacedTile, conductance: FloatArray) -> FloatArray:
        """The weights of the block that a measured map of its array (rows, cols), S, really implements."""
        held = from_pairs(conductance[kernel.cells], self.window)
        return np.asarray(kernel.row_signs[:, None] * held * kernel.column_signs)

    def free_places(self, available: int) -> list[tuple[int, int]]:
        """Places (array, slot) on `available` arrays that no kernel has or had to leave."""
        taken = {(kernel.array, kernel.slot) for kernel in self.kernels} | set(self.abandoned)
        return [
            (array, slot)
            for array in range(available)
            for slot in range(self.layout.places)
            if (array, slot) not in taken and not self.tiles_on(array)
        ]

    def replaced(self, moved: Sequence[tuple[PlacedKernel, Sequence[PlacedKernel]]]) -> Mapping:
        """The mapping with kernels in new places: (as it was, what takes over from it) for each.

        A place that is left counts as abandoned.
        """
        news = {id(old): tuple(new) for old, new in moved}
        kernels = tuple(k for kernel in self.kernels for k in news.get(id(kernel), (kernel,)))
        used = {(kernel.array, kernel.slot) for kernel in kernels}
        left = {(old.array, old.slot) for old, _ in moved} | set(self.abandoned)
        return replace(self, kernels=kernels, abandoned=tuple(sorted(left - used)))


def kernels_per_array(block_size: int, shape: tuple[int, int], packing: Packing = "time") -> int:
    """How many kernels of `block_size` rows fit on one array of this shape."""
    return Layout(packing, block_size, shape).places


def place(layer: int, channel: int, block: KernelBlock, array: int, slot: int, layout: Layout) -> PlacedKernel:
    """A block in place number `slot` of an array, on its first lines."""
    word_lines, pairs = layout.lines(slot)
    return PlacedKernel(
        layer,
        channel,
        array,
        layout.bank(slot),
        slot,
        word_lines[: block.size],
        pairs[: block.size],
        np.ones(block.size),
        np.ones(block.size),
        block,
    )


def blocks_of(
    bundle: KernelBundle, shape: tuple[int, int], forms: Sequence[Sequence[Form]] | Form = "delta"
) -> list[tuple[int, int, KernelBlock]]:
    """(layer, channel, block) of every kernel; one too large for an array comes in parts.

    Args:
        forms: one for all, or one for every channel of every layer.

    Raises:
        DeploymentError: not even one state fits.
    """
    most = (min(shape[0], shape[1] // 2) - 1) // 2
    if most < 1:
        raise DeploymentError(
            f"a kernel of one state needs 3 word lines and 6 bit lines, the array has {shape[0]} and {shape[1]}; "
            "use larger arrays"
        )
    parts = [_parts(layer.b.shape[1], most) for layer in bundle.layers]
    return [
        (index, channel, kernel_block(layer, channel, form, [int(state) for state in part]))
        for index, layer in enumerate(bundle.layers)
        for channel in range(len(layer.d))
        for form in [forms if isinstance(forms, str) else forms[index][channel]]
        for part in parts[index]
    ]


def _parts(states: int, most: int) -> list[NDArray[np.intp]]:
    """The states of a kernel in as few parts of at most `most` as it takes."""
    return np.array_split(np.arange(states), -(-states // most))


def most_channels(states: int, layers: int, arrays: int, shape: tuple[int, int], packing: Packing = "time") -> int:
    """How many channels of `states` complex states, in each of some layers, fit on `arrays` of a shape; 0 if none."""
    most = (min(shape[0], shape[1] // 2) - 1) // 2
    if most < 1:
        return 0
    parts = _parts(states, most)
    places = arrays * kernels_per_array(2 * max(len(part) for part in parts) + 1, shape, packing)
    return places // (len(parts) * layers)


def arrays_needed(
    bundle: KernelBundle, shape: tuple[int, int], layers: Layers = "kernels", packing: Packing = "time"
) -> int:
    """How many arrays of this shape the kernels of a bundle take, and its dense layers where they are asked for.

    Raises:
        DeploymentError: not even one state fits.
    """
    blocks = blocks_of(bundle, shape)
    each = kernels_per_array(max(block.size for _, _, block in blocks), shape, packing)
    needed = -(-len(blocks) // each)
    return max([needed, *(1 + tile.array for tile in tiles_of(bundle.on_arrays(layers), shape, needed))])


def fitting_packing(
    bundle: KernelBundle, shape: tuple[int, int], available: int, layers: Layers = "kernels"
) -> Packing:
    """For time where so many arrays suffice for that, else for area, if they suffice for it; else for time.

    Raises:
        DeploymentError: not even one state fits.
    """
    if arrays_needed(bundle, shape, layers) <= available:
        return "time"
    return "area" if arrays_needed(bundle, shape, layers, "area") <= available else "time"


def map_bundle(
    bundle: KernelBundle,
    shape: tuple[int, int],
    window: Window,
    available: int,
    form: Sequence[Sequence[Form]] | Form = "delta",
    layers: Layers = "kernels",
    packing: Packing = "time",
) -> Mapping:
    """Place all kernels of a bundle, in order, as if no cell were damaged; then its dense layers, if asked for.

    Args:
        shape: word lines and bit lines of each array.
        available: how many such arrays there are.
        form: one for all, or one for every channel of every layer.
        packing: what the places save, see `Layout`.

    Raises:
        DeploymentError: a kernel is larger than an array, or there are too few arrays.
    """
    blocks = blocks_of(bundle, shape, form)
    layout = Layout(packing, max(block.size for _, _, block in blocks), shape)
    needed = -(-len(blocks) // layout.places)
    tiles = tiles_of(bundle.on_arrays(layers), shape, needed)
    whole = max([needed, *(1 + tile.array for tile in tiles)])
    if whole > available:
        dense = f" and dense layers {whole - needed}" if tiles else ""
        closer = arrays_needed(bundle, shape, layers, "area")
        instead = f"pack kernels for area, which needs {closer}, " if closer <= available else ""
        raise DeploymentError(
            f"{len(blocks)} kernels, packed for {packing}, need {needed} arrays of {shape[0]}x{shape[1]}{dense}, "
            f"{available} given; {instead}add arrays or train with fewer channels"
        )
    placed = (
        place(layer, channel, block, *divmod(index, layout.places), layout)
        for index, (layer, channel, block) in enumerate(blocks)
    )
    return Mapping(tuple(placed), shape, window, tiles=tiles, packing=packing)
