"""`DeploymentChoices`: the settings of a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imssa_lab.contract.hal import CrossbarArray, Programmer
from imssa_lab.mapping import Mapping, Packing
from imssa_lab.s4d.dense_layer import Layers
from protocols.dense_runner import DenseRunner
from protocols.deployment.verification import Bounds
from protocols.recurrence import KernelRunner, check_reads
from protocols.wrappers.budget import Budget


@dataclass(frozen=True)
class DeploymentChoices:
    """The settings of a deployment.

    Attributes:
        bounds: what counts as good.
        programmer: brings cells to their targets; None for each chip's own recipe.
        tuner: a programmer that works on products, tried where products or kernels fail.
        budget: of pulses and device time; once it is spent, what there is is measured and reported.
        mending: arrange kernels around faults and try remedies; False programs and verifies, for comparison.
        corrections: calibrate the columns and correct the kernels' outputs, digitally; False leaves both as they
            come, for comparison.
        vectors, averages: see `KernelRunner`.
        packing: of the kernels, see `Layout`; None for `fitting_packing` of the arrays that are given. A deployment
            that is resumed keeps its own.
        layers: what arrays compute: the kernels, or dense layers too, on arrays of their own.

    Raises:
        ConfigError: more averages than vectors.
    """

    bounds: Bounds = field(default_factory=Bounds)
    programmer: Programmer | None = None
    tuner: Programmer | None = None
    budget: Budget = field(default_factory=Budget)
    mending: bool = True
    corrections: bool = True
    vectors: int | None = None
    averages: int = 1
    packing: Packing | None = None
    layers: Layers = "kernels"

    def __post_init__(self) -> None:
        check_reads(self.vectors, self.averages)

    def runner(self, arrays: Sequence[CrossbarArray], mapping: Mapping) -> KernelRunner:
        """The kernels of `mapping` in closed loop on `arrays`."""
        return KernelRunner(arrays, mapping, vectors=self.vectors, averages=self.averages)

    def dense_runner(self, arrays: Sequence[CrossbarArray], mapping: Mapping) -> DenseRunner:
        """The dense layers of `mapping` on `arrays`."""
        return DenseRunner(arrays, mapping, vectors=self.vectors, averages=self.averages)
