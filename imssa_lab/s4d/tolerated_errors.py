"""How much error a net tolerates: found in software at its export, kept in its bundle as bounds of deployments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.s4d.bundle import STATE_HEADROOM, KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.output_correction import corrected_outputs, nrmse, output_correction
from imssa_lab.s4d.scores import Wanted, answers, first_or_spread, score

LOSS = 0.02
"""Score that the tolerated errors may cost, as a fraction: as much as the task level of a deployment allows."""
_SMALLEST, _LARGEST, _HALVINGS = 0.02, 0.64, 6
"""Relative errors of products between which the tolerated one is looked for, and how often its bracket is halved."""
_DRAWS = 8
"""Nets with errors of one size; accuracy is their mean."""
_SEQUENCES = 200
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

    found, beyond = tolerated(_SMALLEST), _LARGEST
    for _ in range(_HALVINGS if found else 0):
        assert found is not None
        between = math.sqrt(found[0] * beyond)
        better = tolerated(between)
        found, beyond = (better, beyond) if better else (found, between)
    return found


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
