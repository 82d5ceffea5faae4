"""What a bundle asks of arrays: how many, how many kernels, and how many conductance levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.blocks import KernelBlock
from imssa_lab.mapping.layout import Packing
from imssa_lab.mapping.placement import blocks_of, kernels_per_array
from imssa_lab.s4d.bundle import KernelBundle


@dataclass(frozen=True)
class Needs:
    """What a bundle takes up on arrays of one shape.

    Attributes:
        arrays: how many; kernels: blocks, a kernel in parts counts as its parts.
        magnitudes: for every array, how many different non-zero |weights| its cells are to hold, in the delta form.
    """

    arrays: int
    kernels: int
    magnitudes: tuple[int, ...]


def needs(bundle: KernelBundle, shape: tuple[int, int], packing: Packing = "time") -> Needs:
    """What the kernels of a bundle need, placed in order on arrays without faults.

    Raises:
        DeploymentError: not even one state fits on such an array.
    """
    blocks = [block for _, _, block in blocks_of(bundle, shape)]
    each = kernels_per_array(max(block.size for block in blocks), shape, packing)
    arrays = [blocks[first : first + each] for first in range(0, len(blocks), each)]
    return Needs(len(arrays), len(blocks), tuple(len(magnitudes(on_one)) for on_one in arrays))


def magnitudes(blocks: Iterable[KernelBlock]) -> FloatArray:
    """The different non-zero |weights| that cells are to hold, in units of the largest, ascending, (n,).

    A cell then has n + 1 targets, a differential pair 2n + 1. Nothing is rounded first: two that differ in the last
    bit are two.
    """
    weights = np.concatenate([np.abs(block.weights).ravel() for block in blocks])
    return np.unique(weights[weights > 0])
