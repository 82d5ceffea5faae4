"""The trained network in numpy, with kernels and dense layers left open: software runs them, or arrays do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, expit

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import (
    INCREMENT_HEADROOM,
    PRIOR_STEPS,
    SMALLEST_SD,
    STATE_HEADROOM,
    KernelBundle,
    Levelling,
    Pooling,
)
from imssa_lab.s4d.dense_layer import ENCODER, HEAD, mixing
from imssa_lab.s4d.layer_kernels import Activation, LayerKernels

Kernels = Callable[[int, FloatArray], FloatArray]
"""`kernels(layer_index, u)`: outputs (n, steps, K) of one layer's K kernels for inputs u of the same shape."""

Product = Callable[[FloatArray], FloatArray]
"""Products (..., outputs) of one dense layer, without its bias, for inputs (..., inputs)."""

Dense = Mapping[str, Product]
"""By name of a dense layer, see `KernelBundle.dense_layers`, what computes it; software computes the others."""

SOFTWARE: Dense = MappingProxyType({})
"""Software computes all of them."""


def run_kernels(layer: LayerKernels, inputs: FloatArray) -> FloatArray:
    """Recurrence of all kernels of a layer: (n, steps, K) -> (n, steps, K), from a zero state.

    Exact but for the converters of state, increments and output that the model was trained for.
    """
    outputs = np.empty(inputs.shape)
    for step, (_, _, y) in enumerate(_recurrence(layer, inputs)):
        outputs[:, step] = y
    return quantise(outputs, layer.output_range, layer.output_bits)


def kernel_ranges(layer: LayerKernels, inputs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Largest |x|, |x[k+1] - x[k]| and |y| of every kernel, each (K,), for inputs (n, steps, K), exactly."""
    state, increment, output = np.zeros((3, len(layer.d)))
    for x, following, y in _recurrence(layer, inputs):
        state = np.maximum(state, np.abs(following).max(axis=(0, 2, 3)))
        increment = np.maximum(increment, np.abs(following - x).max(axis=(0, 2, 3)))
        output = np.maximum(output, np.abs(y).max(axis=0))
    return state, increment, output


def _recurrence(layer: LayerKernels, inputs: FloatArray) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """State before and after each step, (n, K, N, 2), and the output, (n, K)."""
    m = layer.transition
    x = np.zeros((len(inputs), *layer.b.shape))
    ranges = layer.state_range[:, None] if layer.each_state_range is None else layer.each_state_range
    full_scale = STATE_HEADROOM * ranges[..., None]
    for u in np.moveaxis(inputs, 1, 0):
        seen = quantise(x, full_scale, layer.state_bits)
        y = (layer.c * seen).sum(axis=(-2, -1)) + layer.d * u
        # Written out, because numpy's products of many 2x2 matrices are slow.
        following = m[..., 0] * seen[..., :1] + m[..., 1] * seen[..., 1:] + layer.b * u[..., None, None]
        if layer.form == "delta" and layer.state_bits is not None:
            following += x - seen
        if layer.column_range is not None:  # what is rounded off adds up in x
            following = x + quantise(following - x, INCREMENT_HEADROOM * layer.column_range, layer.increment_bits)
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


def run_network(
    bundle: KernelBundle, inputs: ArrayLike, kernels: Kernels | None = None, dense: Dense = SOFTWARE
) -> FloatArray:
    """Logits (n, classes), or values (n, values), for input sequences (n, steps, inputs), in float64.

    Args:
        kernels: runs the kernels of a layer, on arrays for instance; None for exact software.
        dense: the same for dense layers.

    Raises:
        ConfigError: inputs, or what `kernels` or `dense` returned, of the wrong shape or not finite.
    """
    return _forward(bundle, inputs, kernels, dense)[0]


def layer_inputs(bundle: KernelBundle, inputs: ArrayLike) -> list[FloatArray]:
    """What the kernels of each layer get to see in exact software, (n, steps, K) per layer, for calibration.

    Raises:
        ConfigError: inputs of the wrong shape or not finite.
    """
    return _forward(bundle, inputs, None, SOFTWARE)[1]


def dense_inputs(bundle: KernelBundle, inputs: ArrayLike) -> dict[str, FloatArray]:
    """What each dense layer gets to see in exact software, by name: (n, steps, its inputs), the head (n, its inputs).

    Raises:
        ConfigError: inputs of the wrong shape or not finite.
    """
    seen: dict[str, FloatArray] = {}

    def watched(name: str, weight: FloatArray) -> Product:
        def product(x: FloatArray) -> FloatArray:
            seen[name] = x
            return x @ weight.T

        return product

    _forward(bundle, inputs, None, {each.name: watched(each.name, each.weight) for each in bundle.dense_layers()})
    return seen


def _product(name: str, weight: FloatArray, x: FloatArray, dense: Dense) -> FloatArray:
    if name not in dense:
        return x @ weight.T
    y = dense[name](x)
    wanted = (*x.shape[:-1], len(weight))
    if y.shape != wanted or not np.isfinite(y).all():
        raise ConfigError(f"{name} must return finite products {wanted}, got shape {y.shape}")
    return y


def _forward(
    bundle: KernelBundle, inputs: ArrayLike, kernels: Kernels | None, dense: Dense
) -> tuple[FloatArray, list[FloatArray]]:
    bits = bundle.activation_bits
    sequences = np.asarray(inputs, dtype=np.float64)
    if sequences.ndim != 3 or sequences.shape[2] != bundle.inputs or 0 in sequences.shape:
        raise ConfigError(
            f"inputs must have shape (n, steps, {bundle.inputs}) for this bundle, got {sequences.shape}"
        )
    if not np.isfinite(sequences).all():
        raise ConfigError("inputs must be finite; mend the NaN or infinite values, they would spread to every step")
    first = quantise(levelled(sequences, bundle.levelling), bundle.encoder_range, bits)
    x = _product(ENCODER, bundle.encoder_weight, first, dense) + bundle.encoder_bias
    seen = []
    for index, layer in enumerate(bundle.layers):
        u = quantise(_normed(layer, x, "before"), bundle.layer_ranges[index], bits)
        given = _both_ways(layer, u)
        seen.append(given)
        y = run_kernels(layer, given) if kernels is None else kernels(index, given)
        if y.shape != given.shape or not np.isfinite(y).all():
            raise ConfigError(
                f"kernels of layer {index} must return finite outputs {given.shape}, got shape {y.shape}"
            )
        z = layer.norm_scale * _one_way(layer, y) + layer.norm_shift
        z = quantise(_ACTIVATIONS[layer.activation](z), layer.activation_range, bits)
        if layer.mix_weight is not None and layer.mix_bias is not None:
            mixed = _product(mixing(index), layer.mix_weight, z, dense) + layer.mix_bias
            if layer.gate == "glu":
                mixed = mixed[..., : layer.features] * expit(mixed[..., layer.features :])
            z = mixed + (x if layer.layer_norm == "before" else u)
        x = _normed(layer, z, "after")
    pooled = quantise(_POOLED[bundle.pooling](x), bundle.head_range, bits)
    return _product(HEAD, bundle.head_weight, pooled, dense) + bundle.head_bias, seen


def _both_ways(layer: LayerKernels, u: FloatArray) -> FloatArray:
    """What the kernels of a layer get, (n, steps, K), of its inputs (n, steps, H)."""
    return np.concatenate([u, u[:, ::-1]], axis=-1) if layer.bidirectional else u


def _one_way(layer: LayerKernels, y: FloatArray) -> FloatArray:
    """The sum of both directions, (n, steps, H), of what the kernels give, (n, steps, K)."""
    return y[..., : layer.features] + y[:, ::-1, layer.features :] if layer.bidirectional else y


def _normed(layer: LayerKernels, x: FloatArray, place: str) -> FloatArray:
    """The layer norm of x (n, steps, H), if the layer has one in that place."""
    if layer.layer_norm != place:
        return x
    less = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((less**2).mean(axis=-1, keepdims=True) + layer.layer_norm_eps)
    return np.asarray(layer.layer_norm_scale * (less / spread) + layer.layer_norm_shift)


_POOLED: dict[Pooling, Callable[[FloatArray], FloatArray]] = {
    "mean": lambda x: np.asarray(x.mean(axis=1)),
    "max": lambda x: np.asarray(x.max(axis=1)),
    "last": lambda x: x[:, -1],
}

_ACTIVATIONS: dict[Activation, Callable[[FloatArray], FloatArray]] = {
    "relu": lambda y: np.maximum(y, 0.0),
    "gelu": lambda y: np.asarray(0.5 * y * (1.0 + erf(y / np.sqrt(2.0)))),
}
