"""How much error a net tolerates: found in software at its export, kept in its bundle as bounds of deployments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.s4d.bundle import STATE_HEADROOM, KernelBundle
from imssa_lab.s4d.dense_layer import DenseLayer
from imssa_lab.s4d.inference import Product, dense_inputs, layer_inputs, run_kernels, run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.output_correction import (
    corrected_outputs,
    dense_correction,
    dense_errors,
    nrmse,
    output_correction,
)
from imssa_lab.s4d.scores import Wanted, answers, first_or_spread, score

LOSS = 0.02
"""Score that the tolerated errors may cost, as a fraction: as much as the task level of a deployment allows."""
_SMALLEST, _LARGEST, _HALVINGS = 0.02, 0.64, 6
"""Relative errors of products between which the tolerated one is looked for, and how often its bracket is halved."""
_DRAWS = 8
"""Nets with errors of one size; accuracy is their mean."""
_SEQUENCES = 200
DENSE_LOSS = LOSS / 2
"""The same for the dense layers alone: the errors of kernels come on top."""
_DENSE_DRAWS, _DENSE_HALVINGS, _DENSE_SEQUENCES = 4, 5, 200
_MOST_KERNELS = 0.95
"""Fraction of all kernels, at the tolerated error of products, whose own error is within the tolerated one."""


def tolerated_errors(
    bundle: KernelBundle, inputs: FloatArray, wanted: Wanted, seed: int = 0
) -> tuple[float, float, float] | None:
    """The largest relative error of products that costs at most `LOSS`, by bisection, and that of the kernels there.

    Every weight of a kernel, as the cells hold it, gets a Gaussian error, so that the products of each column have
    the same relative error; gain and offset of the outputs are then fitted, as a deployment does.

    Args:
        inputs: (n, steps, inputs), of recordings that decide nothing else, 4 or more.
        wanted: class numbers (n,), or values (n, values).

    Returns:
        Relative rms error of products, all of it in the cells of the kernel that is read; and the NRMSE on real input
        and that on an impulse which 95 % of the kernels keep then. None where even an error of 0.02 costs more.
    """
    some = first_or_spread(bundle.goal, len(inputs), _SEQUENCES)
    inputs, wanted = inputs[some], wanted[some]
    probes = [_Probe.of(layer, u) for layer, u in zip(bundle.layers, layer_inputs(bundle, inputs), strict=True)]
    software = score(answers(bundle.goal, run_network(bundle, inputs)), wanted)

    def tolerated(error: float) -> tuple[float, float, float] | None:
        # the same draws at every size, so that more error is more of the same
        trials = [_Trial.of(probes, error, np.random.default_rng([seed, draw])) for draw in range(_DRAWS)]
        if software - float(np.mean([score(trial.predicted(bundle, inputs), wanted) for trial in trials])) > LOSS:
            return None
        on_input, on_impulse = np.quantile(np.concatenate([trial.nrmse for trial in trials]), _MOST_KERNELS, axis=0)
        return error, float(on_input), float(on_impulse)

    return _largest(tolerated, _HALVINGS)


def tolerated_dense_errors(
    bundle: KernelBundle, inputs: FloatArray, wanted: Wanted, seed: int = 0
) -> tuple[float, float] | None:
    """The same of the dense layers that may stand on arrays: errors that cost at most `DENSE_LOSS`, kernels exact.

    Every weight gets a Gaussian error in proportion to the rms of the weights of its output; gain and offset of every
    output are then fitted, as a deployment does. All these layers have errors at once.

    Args:
        inputs: (n, steps, inputs), 4 or more; wanted: class numbers (n,), or values (n, values).

    Returns:
        NRMSE of the worst dense layer over all its outputs, and of the worst layer's median output, means of the
        draws. None where even an error of 0.02 costs more, or no dense layer may stand on arrays.
    """
    layers = bundle.on_arrays("all")
    if not layers:
        return None
    some = first_or_spread(bundle.goal, len(inputs), _DENSE_SEQUENCES)
    inputs, wanted = inputs[some], wanted[some]
    seen = dense_inputs(bundle, inputs)
    software = score(answers(bundle.goal, run_network(bundle, inputs)), wanted)

    def tolerated(error: float) -> tuple[float, float, float] | None:
        trials = [
            _with_dense_errors(layers, seen, error, np.random.default_rng([seed, draw]))
            for draw in range(_DENSE_DRAWS)
        ]
        scores = [
            score(answers(bundle.goal, run_network(bundle, inputs, None, products)), wanted) for products, _ in trials
        ]
        if software - float(np.mean(scores)) > DENSE_LOSS:
            return None
        pooled, median = np.mean([worst for _, worst in trials], axis=0)
        return error, float(pooled), float(median)

    found = _largest(tolerated, _DENSE_HALVINGS)
    return None if found is None else found[1:]


def _largest(
    tolerated: Callable[[float], tuple[float, float, float] | None], halvings: int
) -> tuple[float, float, float] | None:
    """What `tolerated` gives of the largest error that it accepts, by bisection; None if it refuses the smallest."""
    found, beyond = tolerated(_SMALLEST), _LARGEST
    for _ in range(halvings if found else 0):
        assert found is not None
        between = math.sqrt(found[0] * beyond)
        better = tolerated(between)
        found, beyond = (better, beyond) if better else (found, between)
    return found


def _with_dense_errors(
    layers: Sequence[DenseLayer], seen: Mapping[str, FloatArray], error: float, rng: np.random.Generator
) -> tuple[dict[str, Product], tuple[float, float]]:
    """Products of dense layers with errors, outputs corrected; the worst NRMSE, pooled and of a median output.

    Args:
        seen: by layer, (n, ..., inputs): its first half corrects the outputs, the second measures them.
    """
    products: dict[str, Product] = {}
    errors = []
    for layer in layers:
        sd = error * np.sqrt(np.mean(layer.weight**2, axis=1, keepdims=True))
        spoilt = layer.weight + sd * rng.standard_normal(layer.weight.shape)
        fit, judging = np.split(seen[layer.name], [len(seen[layer.name]) // 2])
        gain, offset = dense_correction(fit @ spoilt.T, fit @ layer.weight.T)
        products[layer.name] = partial(_corrected_product, spoilt, gain, offset)
        pooled, by_output = dense_errors(products[layer.name](judging), judging @ layer.weight.T)
        errors.append((pooled, float(np.nanmedian(by_output))))
    worst = np.max(errors, axis=0)
    return products, (float(worst[0]), float(worst[1]))


def _corrected_product(weight: FloatArray, gain: FloatArray, offset: FloatArray, x: FloatArray) -> FloatArray:
    return corrected_outputs(x @ weight.T, gain, offset)


def with_errors(layer: LayerKernels, error: float, rng: np.random.Generator) -> LayerKernels:
    """Kernels whose products have this relative rms error, by Gaussian errors of the weights of each column."""
    state, drive = STATE_HEADROOM * layer.state_range, np.full(len(layer.d), layer.input_range)
    if layer.common_scale:
        state = drive = np.maximum(state, drive)
    state, drive = state[:, None, None], drive[:, None, None]
    kept = 0.0 if layer.form == "direct" else np.eye(2)  # what the digital side adds, without error

    def spoilt(column: FloatArray) -> FloatArray:
        """Columns (H, ..., cells) with errors of one size within each."""
        sd = error * np.sqrt(np.mean(column**2, axis=-1, keepdims=True))
        return np.asarray(column + sd * rng.standard_normal(column.shape))

    columns = spoilt(np.concatenate([(layer.b * drive / state)[..., None], layer.transition - kept], axis=-1))
    channels = len(layer.d)
    output = spoilt(np.concatenate([(layer.c * state).reshape(channels, -1), layer.d[:, None] * drive[:, 0]], axis=1))
    return replace(
        layer,
        b=columns[..., 0] * state / drive,
        transition=columns[..., 1:] + kept,
        c=output[:, :-1].reshape(layer.c.shape) / state,
        d=output[:, -1] / drive[:, 0, 0],
    )


@dataclass(frozen=True)
class _Probe(FrozenArrays):
    """What the kernels of an exact layer are measured by, and what they give, all (n, steps, kernels).

    The impulse is one sequence, n = 1.
    """

    layer: LayerKernels
    inputs: FloatArray
    outputs: FloatArray
    impulse: FloatArray
    response: FloatArray

    @classmethod
    def of(cls, layer: LayerKernels, inputs: FloatArray) -> _Probe:
        """For inputs (n, steps, kernels), as the exact network sees them."""
        impulse = np.zeros((1, *inputs.shape[1:]))
        impulse[:, 0] = layer.input_range
        return cls(layer, inputs, run_kernels(layer, inputs), impulse, run_kernels(layer, impulse))


@dataclass(frozen=True)
class _Trial(FrozenArrays):
    """A net with errors: its layers, the correction of their outputs, and all kernels' NRMSE, (kernels, 2).

    The NRMSE is that on real input and that on an impulse.
    """

    layers: Sequence[LayerKernels]
    corrections: Sequence[tuple[FloatArray, FloatArray]]
    nrmse: FloatArray

    @classmethod
    def of(cls, probes: Sequence[_Probe], error: float, rng: np.random.Generator) -> _Trial:
        """One draw; half of the inputs correct the outputs, the other half measures the kernels."""
        layers = [with_errors(probe.layer, error, rng) for probe in probes]
        corrections, errors = [], []
        half = len(probes[0].inputs) // 2
        for index, (layer, probe) in enumerate(zip(layers, probes, strict=True)):
            got, ideal = _run(layer, probe.inputs), probe.outputs
            moves = np.ptp(got[:half], axis=(0, 1)) > 0
            gain, offset = np.ones(len(moves)), np.zeros(len(moves))
            gain[moves], offset[moves] = output_correction(index, got[:half, :, moves], ideal[:half, :, moves])
            corrections.append((gain, offset))
            on_impulse = nrmse(corrected_outputs(_run(layer, probe.impulse), gain, offset), probe.response)
            on_inputs = nrmse(corrected_outputs(got[half:], gain, offset), ideal[half:])
            errors.append(np.stack([on_inputs, on_impulse], axis=1))
        return cls(layers, corrections, np.concatenate(errors))

    def predicted(self, bundle: KernelBundle, inputs: FloatArray) -> Wanted:
        """Classes (n,), or values (n, values), of sequences (n, steps, inputs)."""

        def kernels(index: int, u: FloatArray) -> FloatArray:
            return corrected_outputs(_run(self.layers[index], u), *self.corrections[index])

        return answers(bundle.goal, run_network(bundle, inputs, kernels))


_SATURATED = 1e3
"""Outputs of a kernel that errors made unstable end here, in units of its range: no converter goes further."""


def _run(layer: LayerKernels, inputs: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = run_kernels(layer, inputs)
    most = _SATURATED * layer.output_range
    return np.clip(np.nan_to_num(outputs, nan=0.0, posinf=np.inf, neginf=-np.inf), -most, most)
