"""The level of dense layers: their corrected outputs on real inputs against exact products, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.output_correction import dense_correction, dense_errors
from protocols.dense_runner import DenseRunner
from protocols.deployment.verification import Bounds, LevelResult

LEVEL = "dense"


def correct_dense(bundle: KernelBundle, runner: DenseRunner, inputs: Mapping[str, FloatArray]) -> None:
    """Fit gain and offset of every output of the runner to exact products.

    Args:
        inputs: by layer, (..., inputs of the layer), as the exact network sees them.
    """
    for name, weight in _on_arrays(bundle, runner).items():
        given = inputs[name]
        runner.gain[name], runner.offset[name] = dense_correction(runner.raw(name, given), given @ weight.T)


def verify_dense(
    bundle: KernelBundle, runner: DenseRunner, inputs: Mapping[str, FloatArray], bounds: Bounds
) -> tuple[LevelResult, dict[str, FloatArray]]:
    """Every dense layer on arrays, on real inputs; the worst layer is judged.

    Args:
        inputs: by layer, (..., inputs of the layer), as the exact network sees them; not those that outputs were
            corrected by.

    Returns:
        The result, and by layer the NRMSE of every output, (outputs,), NaN of outputs that always give the same.
    """
    by_output: dict[str, FloatArray] = {}
    figures: dict[str, float] = {}
    pooled, medians = [], []
    for name, weight in _on_arrays(bundle, runner).items():
        whole, by_output[name] = dense_errors(runner(name, inputs[name]), inputs[name] @ weight.T)
        median = float(np.nanmedian(by_output[name]))
        figures |= {f"{name.replace(' ', '_')}_pooled": whole, f"{name.replace(' ', '_')}_median": median}
        pooled.append(whole)
        medians.append(median)
    worst, median = max(pooled), max(medians)
    most, most_median = bounds.number("dense"), bounds.number("dense_median")
    passed = worst <= most and median <= most_median
    words = (
        f"NRMSE of the worst of {len(pooled)} dense layers over all its outputs (and of its median output, at most "
        f"{most_median:.3g}: {median:.3g}), at most"
    )
    return LevelResult(LEVEL, worst, most, passed, words, figures), by_output


def _on_arrays(bundle: KernelBundle, runner: DenseRunner) -> dict[str, FloatArray]:
    """Weights of the dense layers that arrays compute, by name."""
    return {layer.name: layer.weight for layer in bundle.dense_layers() if layer.name in runner.layers}
