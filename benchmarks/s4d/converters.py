"""What converters of the recurrence cost a net: of the state and of the increments, rounded alone or trained for."""

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
from imssa_lab.s4d.bundle import STATE_HEADROOM, KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import quantise, run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.settings import TrainingConfig
from imssa_lab.s4d.train.training import quantise as quantise_model
from imssa_lab.s4d.train.training import train, train_float, train_quantised

TASKS = ("fsdd-order", "fsdd-t10")
PRECISIONS = ("ternary", "three-level")
STATE_BITS = (4, 6, 8)
JUDGED = "state 4"
INCREMENT_BITS = (10, 8)
DIRECT_TASK, DIRECT = "fsdd-order", "4bit, state=7, form=direct"
_HEADROOM = 1.3
"""Full scale of an increment's converter, as a multiple of the largest of its column on training data: the column's
digital gain is undone after the converter."""
_CALIBRATION = 128
Floats = NDArray[np.float64]


def converters(bars: Bars, only: Sequence[str] | None) -> None:
    """Losses in points by rounding alone, in the delta form."""
    if bars.smoke:
        task = load_task("digits-first", SEEDS[0], pairs_train=128, pairs_validation=32, pairs_test=32)
        losses(task, "digits-first", "three-level", SEEDS[0], epochs=1)
        trained_for(task, "digits-first", SEEDS[0], epochs=1)
        return
    os.environ.setdefault("IMSSA_DATA", str(Path(__file__).resolve().parents[3] / "shared" / "data"))
    for name in TASKS:
        if only is None or name in only:
            for precision in PRECISIONS:
                judge(bars, name, precision, [losses(load_task(name, seed), name, precision, seed) for seed in SEEDS])
    if only is None or DIRECT_TASK in only:
        found = [trained_for(load_task(DIRECT_TASK, seed), DIRECT_TASK, seed) for seed in SEEDS]
        each = [100 * accuracies["trained for"] for accuracies in found]
        shown = "/".join(f"{value:.1f}" for value in each)
        bars.check(f"{DIRECT_TASK}, {DIRECT}, trained for, %", statistics.mean(each), ">=", 95, shown)


def trained_for(task: Task, name: str, seed: int, epochs: int | None = None) -> dict[str, float]:
    """Test accuracy of a net of direct form: its state rounded alone, and trained for."""
    torch.set_num_threads(1)
    rounded = Precision.parse(DIRECT)
    unrounded = rounded.model_copy(update={"state": "float"})
    start = train_float(task, _shortened(training_recipe(name, rounded, seed), epochs))
    alone = train_quantised(start, task, unrounded)
    found = {
        "without the converter": alone.test_accuracy,
        "rounded alone": quantise_model(alone, task, rounded).test_accuracy,
        "trained for": train_quantised(start, task, rounded).test_accuracy,
    }
    print(f"      {name} {DIRECT} {seed}: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in found.items()), flush=True)
    return found


def judge(bars: Bars, name: str, precision: str, found: Sequence[dict[str, float]]) -> None:
    """The bar of one task and precision; what else is rounded is a figure without one."""
    each = {what: [loss[what] for loss in found] for what in found[0]}
    shown = "/".join(f"{loss:.1f}" for loss in each[JUDGED])
    what = f"{name}, {precision}, points lost by {JUDGED} bits"
    bars.check(what, statistics.mean(each[JUDGED]), "<=", 1, shown)
    for other, lost in each.items():
        print(f"      {name}, {precision}, {other} bits: {statistics.mean(lost):.2f} points lost", flush=True)


def losses(task: Task, name: str, precision: str, seed: int, epochs: int | None = None) -> dict[str, float]:
    """Points of test accuracy that each converter costs one net."""
    torch.set_num_threads(1)
    config = _shortened(training_recipe(name, Precision.parse(precision), seed), epochs)
    bundle = to_bundle(train(task, config), task)
    inputs, classes = task.test[0].astype(np.float64), task.test[1]

    largest: dict[int, Floats] = {}

    def watched(layer: int, u: Floats) -> Floats:
        outputs, largest[layer] = run_rounded(bundle.layers[layer], u, None, None)
        return outputs

    run_network(bundle, task.train[0][:_CALIBRATION].astype(np.float64), watched)

    def points(given: KernelBundle, bits: int | None = None) -> float:
        def kernels(layer: int, u: Floats) -> Floats:
            return run_rounded(given.layers[layer], u, bits, _HEADROOM * largest[layer])[0]

        return 100 * float(np.mean(run_network(given, inputs, kernels).argmax(axis=1) == classes))

    exact, found = points(bundle), {}
    for bits in STATE_BITS:
        rounded = tuple(replace(layer, state_bits=bits) for layer in bundle.layers)
        found[f"state {bits}"] = exact - points(replace(bundle, layers=rounded))
    found |= {f"increments {bits}": exact - points(bundle, bits) for bits in INCREMENT_BITS}
    lost = ", ".join(f"{what} {each:.2f}" for what, each in found.items())
    print(f"      {name} {precision} {seed}: {exact:.1f} %, lost {lost}", flush=True)
    return found


def _shortened(config: TrainingConfig, epochs: int | None) -> TrainingConfig:
    if epochs is None:
        return config
    stages = {part: getattr(config, part).model_copy(update={"epochs": epochs}) for part in ("full", "quantised")}
    return config.model_copy(update=stages)


def run_rounded(
    layer: LayerKernels, inputs: Floats, increment_bits: int | None, full_scale: Floats | None
) -> tuple[Floats, Floats]:
    """Outputs and the largest increment of every column, (H, N, 2).

    The delta recurrence with a state of `layer.state_bits` at the inputs and increments of some bits, None: exact.

    What is rounded off an increment adds up in the accumulators, since nothing measures the state itself.
    """
    m = layer.transition - np.eye(2)
    x = np.zeros((len(inputs), *layer.b.shape))
    state_scale = STATE_HEADROOM * layer.state_range[:, None, None]
    largest = np.zeros(layer.b.shape)
    outputs = np.empty(inputs.shape)
    for step, u in enumerate(np.moveaxis(inputs, 1, 0)):
        seen = quantise(x, state_scale, layer.state_bits)
        outputs[:, step] = (layer.c * seen).sum(axis=(-2, -1)) + layer.d * u
        change = np.einsum("hnij,bhnj->bhni", m, seen) + layer.b * u[..., None, None]
        largest = np.maximum(largest, np.abs(change).max(axis=0))
        x = x + (change if full_scale is None else quantise(change, full_scale, increment_bits))
    return outputs, largest
