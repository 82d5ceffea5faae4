"""The trained network in numpy, with the recurrent kernels left open: software runs them, or arrays do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.array_types import FloatArray
from imssa_lab.s4d.bundle import KernelBundle, LayerKernels

Kernels = Callable[[int, FloatArray], FloatArray]


def run_kernels(layer: LayerKernels, inputs: FloatArray) -> FloatArray:
    """Exact recurrence of all kernels of a layer: (n, steps, H) -> (n, steps, H), from a zero state."""
    state = np.zeros((len(inputs), *layer.b.shape))
    outputs = np.empty_like(inputs, dtype=np.float64)
    for step in range(inputs.shape[1]):
        u = inputs[:, step]
        outputs[:, step] = (layer.c * state).sum(axis=(-2, -1)) + layer.d * u
        state = np.matmul(layer.transition, state[..., None])[..., 0] + layer.b * u[..., None, None]
    return outputs


def quantise(values: FloatArray, full_scale: float, bits: int) -> FloatArray:
    """Symmetric uniform quantiser: 2^(bits-1) - 1 levels each side of zero up to `full_scale`, saturating."""
    top = 2 ** (bits - 1) - 1
    step = full_scale / top
    return np.asarray(step * np.clip(np.rint(values / step), -top, top))


def run_network(bundle: KernelBundle, inputs: FloatArray, kernels: Kernels | None = None) -> FloatArray:
    """Logits (n, classes) for input sequences (n, steps, inputs).

    Args:
        kernels: `kernels(layer_index, u)` gives the kernel outputs for u (n, steps, H); None for exact software.
    """
    return _forward(bundle, inputs, kernels)[0]


def layer_inputs(bundle: KernelBundle, inputs: FloatArray) -> list[FloatArray]:
    """What the kernels of each layer get to see in exact software, (n, steps, H) per layer."""
    return _forward(bundle, inputs, None)[1]


def _forward(
    bundle: KernelBundle, inputs: FloatArray, kernels: Kernels | None
) -> tuple[FloatArray, list[FloatArray]]:
    bits = bundle.activation_bits
    x = quantise(np.asarray(inputs, dtype=np.float64), bundle.encoder_range, bits)
    x = x @ bundle.encoder_weight.T + bundle.encoder_bias
    seen = []
    for index, layer in enumerate(bundle.layers):
        u = quantise(x, bundle.layer_ranges[index], bits)
        seen.append(u)
        y = run_kernels(layer, u) if kernels is None else kernels(index, u)
        x = quantise(np.maximum(layer.norm_scale * y + layer.norm_shift, 0.0), layer.activation_range, bits)
        if layer.mix_weight is not None and layer.mix_bias is not None:
            x = x @ layer.mix_weight.T + layer.mix_bias + u
    pooled = quantise(x.mean(axis=1), bundle.head_range, bits)
    return pooled @ bundle.head_weight.T + bundle.head_bias, seen
