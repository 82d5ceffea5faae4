"""One S4D kernel as a block of weights: rows [u, x], columns [next state or increment, y].

With u = U v_0 and x = X v_1.., W[u, x_n] = b_n U / X, W[x, x] = M (direct) or M - 1 (delta), W[x, y] = c X and
W[u, y] = D U; U = X where the layer asks for a common scale. Each column is divided by its largest magnitude, which
the digital side multiplies back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import STATE_HEADROOM
from imssa_lab.s4d.layer_kernels import LayerKernels

Form = Literal["delta", "direct"]


@dataclass(frozen=True)
class KernelBlock(FrozenArrays):
    """The logical block of one kernel, or of a part of it, with 2N real states.

    Attributes:
        weights: (2N + 1, 2N + 1), each in [-1, 1]: what the cells hold.
        column_scale: (2N + 1,), the digital factor of every column.
        input_scale: U, the kernel's input at full DAC scale.
        state_scale: X, the state at full DAC scale.
        form: "delta", where the array gives the increment of the state, or "direct", the next state.
        states: which of the kernel's complex states it holds; a kernel in parts is the sum of their outputs.
    """

    weights: FloatArray
    column_scale: FloatArray
    input_scale: float
    state_scale: float
    form: Form
    states: tuple[int, ...]

    @property
    def size(self) -> int:
        """Rows, and logical columns, of the block."""
        return len(self.weights)


def kernel_block(
    layer: LayerKernels, channel: int, form: Form = "delta", states: Sequence[int] | None = None
) -> KernelBlock:
    """The block of one channel of a layer, or of some of its complex states.

    The feed-through D goes with the part that holds state 0.
    """
    chosen = tuple(range(len(layer.b[channel])) if states is None else states)
    blocks = layer.transition[channel][list(chosen)]
    count = 2 * len(blocks)
    transition = np.zeros((count, count))
    for n, block in enumerate(blocks):
        transition[2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = block
    if form == "delta":
        transition -= np.eye(count)
    u_scale = float(layer.input_range)
    x_scale = STATE_HEADROOM * float(layer.state_range[channel])
    weights = np.zeros((count + 1, count + 1))
    gains = layer.b[channel][list(chosen)].ravel()
    if layer.common_scale:  # not multiplied and divided by one number: equal weights are to stay equal
        u_scale = x_scale = max(u_scale, x_scale)
        weights[0, :count] = gains
    else:
        weights[0, :count] = gains * u_scale / x_scale
    weights[1:, :count] = transition.T
    weights[1:, count] = layer.c[channel][list(chosen)].ravel() * x_scale
    weights[0, count] = layer.d[channel] * u_scale if 0 in chosen else 0.0
    column_scale = np.abs(weights).max(axis=0)
    column_scale[column_scale == 0.0] = 1.0
    return KernelBlock(weights / column_scale, column_scale, u_scale, x_scale, form, chosen)
