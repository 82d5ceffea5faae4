"""From the matrices of a kernel bundle to target conductances, and back from measured ones."""

from imssa_lab.mapping.bank_assignment import between, reads_a_step, separate
from imssa_lab.mapping.blocks import Form, KernelBlock, kernel_block
from imssa_lab.mapping.dense_tiles import DenseBlock, PlacedTile, dense_block
from imssa_lab.mapping.kernel_assignment import reassign, split
from imssa_lab.mapping.layout import Layout, Packing
from imssa_lab.mapping.line_assignment import Arrangement, arrange
from imssa_lab.mapping.magnitudes import Needs, magnitudes, needs
from imssa_lab.mapping.pairs import compensate, from_pairs, to_pairs
from imssa_lab.mapping.placement import (
    Mapping,
    PlacedKernel,
    arrays_needed,
    fitting_packing,
    kernels_per_array,
    map_bundle,
)
from imssa_lab.mapping.reach import Reach, shortfall

__all__ = [
    "Arrangement",
    "DenseBlock",
    "Form",
    "KernelBlock",
    "Layout",
    "Mapping",
    "Needs",
    "Packing",
    "PlacedKernel",
    "PlacedTile",
    "Reach",
    "arrange",
    "arrays_needed",
    "between",
    "compensate",
    "dense_block",
    "fitting_packing",
    "from_pairs",
    "kernel_block",
    "kernels_per_array",
    "magnitudes",
    "map_bundle",
    "needs",
    "reads_a_step",
    "reassign",
    "separate",
    "shortfall",
    "split",
    "to_pairs",
]
