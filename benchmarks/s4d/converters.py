"""What converters of the recurrence cost a net that never trained for them: of the state, and of the increments."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bars import Bars
from benchmarks.s4d.three_level_nets import SEEDS
from imssa_lab.s4d.bundle import STATE_HEADROOM, KernelBundle, LayerKernels
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import quantise, run_network
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import train

TASKS = ("fsdd-order", "fsdd-t10")
STATE_BITS = 4
INCREMENT_BITS = (10, 8)
_HEADROOM = 1.3
"""Full scale of the increments' converter, as a multiple of the largest increment on training data."""
Floats = NDArray[np.float64]


def converters(bars: Bars, only: Sequence[str] | None) -> None:
    """Losses in points by rounding alone, in the delta form, of three-level nets."""
    if bars.smoke:
        task = load_task("digits-first", SEEDS[0], pairs_train=128, pairs_validation=32, pairs_test=32)
        losses(task, "digits-first", SEEDS[0], epochs=1)
        return
    os.environ.setdefault("IMSSA_DATA", str(Path(__file__).resolve().parents[3] / "shared" / "data"))
    for name in TASKS:
        if only is None or name in only:
            judge(bars, name, [losses(load_task(name, seed), name, seed) for seed in SEEDS])


def judge(bars: Bars, name: str, found: Sequence[dict[str, float]]) -> None:
    """The bars of one task; what the increments cost is a figure without one."""
    each = {what: [loss[what] for loss in found] for what in found[0]}
    state = f"state {STATE_BITS}"
    shown = "/".join(f"{loss:.1f}" for loss in each[state])
    bars.check(f"{name}, points lost by a state of {STATE_BITS} bits", statistics.mean(each[state]), "<=", 1, shown)
    for bits in INCREMENT_BITS:
        lost = each[f"increments {bits}"]
        print(f"      {name}, increments of {bits} bits: {statistics.mean(lost):.2f} points lost", flush=True)


def losses(task: Task, name: str, seed: int, epochs: int | None = None) -> dict[str, float]:
    """Points of test accuracy that each converter costs one net."""
    torch.set_num_threads(1)
    config = training_recipe(name, Precision.parse("three-level"), seed)
    if epochs is not None:
        stages = {part: getattr(config, part).model_copy(update={"epochs": epochs}) for part in ("full", "quantised")}
        config = config.model_copy(update=stages)
    bundle = to_bundle(train(task, config), task)
    inputs, classes = task.test[0].astype(np.float64), task.test[1]

    def points(given: KernelBundle, bits: int | None = None) -> float:
        def kernels(layer: int, u: Floats) -> Floats:
            return run_rounded(given.layers[layer], u, bits)

        return 100 * float(np.mean(run_network(given, inputs, kernels).argmax(axis=1) == classes))

    rounded = replace(bundle, layers=tuple(replace(layer, state_bits=STATE_BITS) for layer in bundle.layers))
    exact = points(bundle)
    found = {f"state {STATE_BITS}": exact - points(rounded)}
    found |= {f"increments {bits}": exact - points(bundle, bits) for bits in INCREMENT_BITS}
    print(
        f"      {name} {seed}: {exact:.1f} %, lost " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True
    )
    return found


def run_rounded(layer: LayerKernels, inputs: Floats, increment_bits: int | None) -> Floats:
    """The delta recurrence with a state of `layer.state_bits` at the inputs and increments of some bits, None: exact.

    What is rounded off an increment adds up in the accumulators, since nothing measures the state itself.
    """
    m = layer.transition - np.eye(2)
    x = np.zeros((len(inputs), *layer.b.shape))
    state_scale = STATE_HEADROOM * layer.state_range[:, None, None]
    increment_scale = _HEADROOM * layer.increment_range[:, None, None]
    outputs = np.empty(inputs.shape)
    for step, u in enumerate(np.moveaxis(inputs, 1, 0)):
        seen = quantise(x, state_scale, layer.state_bits)
        outputs[:, step] = (layer.c * seen).sum(axis=(-2, -1)) + layer.d * u
        change = np.einsum("hnij,bhnj->bhni", m, seen) + layer.b * u[..., None, None]
        x = x + quantise(change, increment_scale, increment_bits)
    return outputs
