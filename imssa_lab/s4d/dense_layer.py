"""`DenseLayer`: a matrix of the network that is no recurrent kernel, and which of these arrays compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays

Layers = Literal["kernels", "all"]
"""What arrays compute: the recurrent kernels alone, or the dense layers too that the bundle does not keep digital."""

ENCODER, HEAD = "encoder", "head"


def mixing(layer: int) -> str:
    """Name of the mix of a layer."""
    return f"mixing of layer {layer}"


def every_step(name: str) -> bool:
    """Whether a dense layer works at every time step; the head works once a sequence."""
    return name != HEAD


@dataclass(frozen=True, eq=False)
class DenseLayer(FrozenArrays):
    """One matrix; its bias is added digitally.

    Attributes:
        name: "encoder", "mixing of layer 0" or "head".
        weight: (outputs, inputs), numbers of the net, without unit.
        full_scale: of the quantiser before it, so the largest input that the net was trained with.
    """

    name: str
    weight: FloatArray
    full_scale: float
