"""From the matrices of a kernel bundle to target conductances, and back from measured ones."""

from imssa_lab.mapping.blocks import Form, KernelBlock, kernel_block
from imssa_lab.mapping.pairs import compensate, from_pairs, to_pairs
from imssa_lab.mapping.placement import Mapping, PlacedKernel, kernels_per_array, map_bundle

__all__ = [
    "Form",
    "KernelBlock",
    "Mapping",
    "PlacedKernel",
    "compensate",
    "from_pairs",
    "kernel_block",
    "kernels_per_array",
    "map_bundle",
    "to_pairs",
]
