"""The trained network in numpy, with the recurrent kernels left open: software runs them, or arrays do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import PRIOR_STEPS, SMALLEST_SD, STATE_HEADROOM, KernelBundle, LayerKernels, Levelling

Kernels = Callable[[int, FloatArray], FloatArray]
"""`kernels(layer_index, u)`: outputs (n, steps, H) of one layer's kernels for inputs u of the same shape."""


def run_kernels(layer: LayerKernels, inputs: FloatArray) -> FloatArray:
    """Recurrence of all kernels of a layer: (n, steps, H) -> (n, steps, H), from a zero state.

    Exact but for the converters of state and output that the model was trained for.
    """
    outputs = np.empty(inputs.shape)
    for step, (_, _, y) in enumerate(_recurrence(layer, inputs)):
        outputs[:, step] = y
    return quantise(outputs, layer.output_range, layer.output_bits)


def kernel_ranges(layer: LayerKernels, inputs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Largest |x|, |x[k+1] - x[k]| and |y| of every kernel, each (H,), for inputs (n, steps, H), exactly."""
    state, increment, output = np.zeros((3, len(layer.d)))
    for x, following, y in _recurrence(layer, inputs):
        state = np.maximum(state, np.abs(following).max(axis=(0, 2, 3)))
        increment = np.maximum(increment, np.abs(following - x).max(axis=(0, 2, 3)))
        output = np.maximum(output, np.abs(y).max(axis=0))
    return state, increment, output


def _recurrence(layer: LayerKernels, inputs: FloatArray) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """State before and after each step, (n, H, N, 2), and the output, (n, H)."""
    m = layer.transition
    x = np.zeros((len(inputs), *layer.b.shape))
    full_scale = STATE_HEADROOM * layer.state_range[:, None, None]
    for u in np.moveaxis(inputs, 1, 0):
        seen = quantise(x, full_scale, layer.state_bits)
        y = (layer.c * seen).sum(axis=(-2, -1)) + layer.d * u
        # Written out, because numpy's products of many 2x2 matrices are slow.
        following = m[..., 0] * seen[..., :1] + m[..., 1] * seen[..., 1:] + layer.b * u[..., None, None]
        if layer.form == "delta" and layer.state_bits is not None:
            following += x - seen
        yield x, following, y
        x = following


def quantise(values: FloatArray, full_scale: float | FloatArray, bits: int | None) -> FloatArray:
    """Symmetric uniform quantiser: 2^(bits-1) - 1 levels each side of zero up to `full_scale`, saturating.

    Same shape as `values`; `bits` None passes them unchanged.
    """
    if bits is None:
        return values
    top = 2 ** (bits - 1) - 1
    step = np.maximum(full_scale, 1e-12) / top
    return np.asarray(step * np.clip(np.rint(values / step), -top, top))


def levelled(sequences: FloatArray, how: Levelling) -> FloatArray:
    """Sequences (n, steps, inputs) as `imssa_lab.s4d.bundle.Levelling` says, same shape."""
    if how == "none":
        return sequences
    if how == "sequence":
        spread = np.maximum(sequences.std(axis=1, keepdims=True), SMALLEST_SD)
        return np.asarray((sequences - sequences.mean(axis=1, keepdims=True)) / spread)
    steps = np.arange(1.0, sequences.shape[1] + 1)[:, None] + PRIOR_STEPS
    mean = sequences.cumsum(axis=1) / steps
    power = (PRIOR_STEPS + (sequences**2).cumsum(axis=1)) / steps
    return np.asarray((sequences - mean) / np.sqrt(power - mean**2))


def run_network(bundle: KernelBundle, inputs: ArrayLike, kernels: Kernels | None = None) -> FloatArray:
    """Logits (n, classes) for input sequences (n, steps, inputs), in float64.

    Args:
        kernels: runs the kernels of a layer, on arrays for instance; None for exact software.

    Raises:
        ConfigError: inputs, or what `kernels` returned, of the wrong shape or not finite.
    """
    return _forward(bundle, inputs, kernels)[0]


def layer_inputs(bundle: KernelBundle, inputs: ArrayLike) -> list[FloatArray]:
    """What the kernels of each layer get to see in exact software, (n, steps, H) per layer, for calibration.

    Raises:
        ConfigError: inputs of the wrong shape or not finite.
    """
    return _forward(bundle, inputs, None)[1]


def _forward(bundle: KernelBundle, inputs: ArrayLike, kernels: Kernels | None) -> tuple[FloatArray, list[FloatArray]]:
    bits = bundle.activation_bits
    sequences = np.asarray(inputs, dtype=np.float64)
    if sequences.ndim != 3 or sequences.shape[2] != bundle.inputs or 0 in sequences.shape:
        raise ConfigError(
            f"inputs must have shape (n, steps, {bundle.inputs}) for this bundle, got {sequences.shape}"
        )
    if not np.isfinite(sequences).all():
        raise ConfigError("inputs must be finite; mend the NaN or infinite values, they would spread to every step")
    x = (
        quantise(levelled(sequences, bundle.levelling), bundle.encoder_range, bits) @ bundle.encoder_weight.T
        + bundle.encoder_bias
    )
    seen = []
    for index, layer in enumerate(bundle.layers):
        u = quantise(x, bundle.layer_ranges[index], bits)
        seen.append(u)
        y = run_kernels(layer, u) if kernels is None else kernels(index, u)
        if y.shape != u.shape or not np.isfinite(y).all():
            raise ConfigError(f"kernels of layer {index} must return finite outputs {u.shape}, got shape {y.shape}")
        x = quantise(np.maximum(layer.norm_scale * y + layer.norm_shift, 0.0), layer.activation_range, bits)
        if layer.mix_weight is not None and layer.mix_bias is not None:
            x = x @ layer.mix_weight.T + layer.mix_bias + u
    pooled = quantise(x.mean(axis=1) if bundle.pooling == "mean" else x.max(axis=1), bundle.head_range, bits)
    return pooled @ bundle.head_weight.T + bundle.head_bias, seen
