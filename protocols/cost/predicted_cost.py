"""Predicted cost of an inference on arrays of one kind, without a command to any of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.hal import ArrayInfo, CrossbarArray, FloatArray
from imssa_lab.mapping import Mapping, Packing, arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import Layers
from imssa_lab.s4d.inference import run_network
from protocols.cost.energy_figures import EnergyTable, NetworkEnergy, network_energy, reads_energy
from protocols.cost.inference_counts import InferenceCounts, inference_counts
from protocols.cost.read_counts import ReadCounts
from protocols.cost.reads_counted import ReadsCounted
from protocols.dense_runner import DenseRunner
from protocols.recurrence import KernelRunner
from protocols.wrappers.counting_array import CountingArray


@dataclass(frozen=True)
class InferenceCost:
    """One inference on arrays of one kind.

    Attributes:
        info: of that kind; mapping: where the kernels are; counts: of one inference, the same for any input.
        reads: of all arrays over so many `sequences`: drives and V^2 G depend on the input.
    """

    info: ArrayInfo
    mapping: Mapping
    counts: InferenceCounts
    reads: ReadCounts
    sequences: int

    @property
    def cells(self) -> int:
        """How many are to be programmed, those between kernels included."""
        return sum(int(self.mapping.target(index)[1].sum()) for index in range(self.mapping.arrays))

    @property
    def applied(self) -> float | None:
        """Time in s for which the read voltage is applied in a product of one bit; None if not stated."""
        return None if self.info.durations is None else self.info.durations.applied

    def energy(self, table: EnergyTable) -> NetworkEnergy:
        """J of one inference: bit lines that hold weights are converted, no others."""
        reads = reads_energy(self.reads, self.sequences * self.counts.conversions, self.applied, table)
        return network_energy(reads.times(1 / self.sequences), self.counts.multiply_adds, table, self.counts.dense)


def predicted_cost(
    bundle: KernelBundle,
    array: CrossbarArray,
    inputs: FloatArray,
    averages: int = 1,
    layers: Layers = "kernels",
    packing: Packing = "time",
) -> InferenceCost:
    """What inferences of `bundle` will cost on arrays like `array`, which is neither read nor driven.

    Kernels are as first planned, with every cell at its target, all other cells at the bottom of the window, and
    products are exact.

    Args:
        inputs: sequences that are run, (n, steps, inputs); averages: reads of every time step.
        layers: what arrays compute.
        packing: of the kernels, see `Layout`.

    Raises:
        DeploymentError: a kernel is larger than such an array; ConfigError: inputs of another shape.
    """
    info = array.info
    needed = arrays_needed(bundle, info.shape, layers, packing)
    mapping = map_bundle(bundle, info.shape, info.window, needed, layers=layers, packing=packing)
    counted = []
    for index in range(mapping.arrays):
        target, mask = mapping.target(index)
        held = CountingArray(array)
        held.program_conductances(target, mask)
        counted.append(ReadsCounted(held, np.where(mask, target, info.window.low)))
    dense = DenseRunner(counted, mapping, averages=averages)
    run_network(bundle, inputs, KernelRunner(counted, mapping, averages=averages), dense.products)
    reads = sum((each.counts for each in counted), ReadCounts())
    counts = inference_counts(bundle, mapping, info, inputs.shape[1], averages)
    return InferenceCost(info, mapping, counts, reads, len(inputs))
