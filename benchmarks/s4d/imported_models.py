"""S4D classifiers from elsewhere: equal to the published equations, on ideal arrays too; wrong ones are named."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.bars import Bars
from imssa_lab.contract.errors import BundleError
from imssa_lab.mapping import arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.imports.imported_model import import_s4d
from imssa_lab.s4d.imports.s4d_checkpoint import read_s4d_checkpoint
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.training import TrainedModel, quantise, train_quantised
from protocols.recurrence import KernelRunner
from trials import published_s4d as published
from twin import DigitalTwin

SEED = 201
SLOW = (1e-3, 1e-1)
"""Steps that published models start from; their slowest poles lie beyond the usual largest radius."""
R_MAX = 0.99999
WORDS = ("8bit", "4bit")
_LEARNT = 1024
"""Training sequences of the source, all in every step."""
WRONG: dict[str, tuple[str, torch.Tensor | None, str]] = {
    "an input matrix of its own": ("s4_layers.0.kernel.B", torch.ones(4, 3, 2), "kernel.B: no such keys"),
    "a later layout of the step": ("s4_layers.0.kernel.inv_dt", torch.ones(4), "kernel.inv_dt: no such keys"),
    "a low-rank part": ("s4_layers.1.kernel.P", torch.ones(1, 4, 3, 2), "kernel.P: no such keys"),
    "batch norms": ("norms.0.running_mean", torch.ones(4), "a batch norm instead"),
    "a missing decoder": ("decoder.weight", None, "decoder.weight are missing"),
    "a wrong shape": ("s4_layers.0.D", torch.ones(5), "d must be finite and of shape (4,)"),
    "NaN": ("encoder.bias", torch.full((4,), torch.nan), "encoder_bias must be finite"),
    "poles on the unit circle": ("s4_layers.0.kernel.log_A_real", torch.full((4, 3), -30.0), "channel 0, state 0: 1"),
}
"""A change of a good checkpoint, key and value (None: taken away), and what its refusal must name."""


def imports(bars: Bars) -> None:
    """Every kind of block, random and trained."""
    torch.set_num_threads(1)
    sizes = bars.size({"channels": 64, "states": 32, "layers": 4}, {"channels": 4, "states": 3, "layers": 2})
    steps = bars.size(256, 16)
    inputs, classes = published.labelled(SEED, bars.size(48, 12), steps)
    task = Task("raised", (inputs, classes), (inputs, classes), (inputs, classes), ("a", "b", "c"), "none", "made up")
    worst = 0.0
    for before, both, last in itertools.product((False, True), repeat=3):
        state = published.fresh(SEED, both_ways=both, dt=SLOW, **sizes)
        worst = max(worst, _apart(state, before, task, last))
    size = f"{sizes['layers']} layers of {sizes['channels']} x {sizes['states']}, {steps} steps"
    what = f"{size}, one and both directions, mean and end"
    bars.check("random S4D against the equations, logits", worst, "<=", 1e-5, what)
    digits = load_task("digits-first", SEED, **bars.size({}, {"pairs_train": 96, "pairs_test": 32}))
    trained_ones(bars, digits)
    refused = sum(_refused(*change, task) for change in WRONG.values())
    bars.check("wrong and newer checkpoints refused by name", refused, "==", len(WRONG), ", ".join(WRONG))


def trained_ones(bars: Bars, task: Task) -> None:
    """Trained by the equations, imported, put on ideal arrays; rounded and trained on."""
    channels, states = bars.size((16, 4), (4, 2))
    inputs, classes = (torch.from_numpy(part[:_LEARNT]) for part in task.train)
    worst = on_arrays = 0.0
    for before, both in itertools.product((False, True), repeat=2):
        fresh = published.fresh(
            SEED, inputs=task.inputs, classes=len(task.labels), both_ways=both, channels=channels, states=states
        )
        state = published.trained(fresh, inputs, classes, before=before, steps=bars.size(150, 2))
        worst = max(worst, _apart(state, before, task))
        model = _model(state, before, task)
        bundle = to_bundle(model, task)
        on_arrays = max(on_arrays, _apart_on_arrays(bundle, task))
        found = [f"float {100 * model.test_accuracy:.1f}"]
        for words in WORDS:
            precision = Precision.parse(words)
            stage = model.config.quantised.model_copy(update={"epochs": bars.size(10, 1), "rate": 2e-3})
            rounded, tuned = quantise(model, task, precision), train_quantised(model, task, precision, stage=stage)
            found.append(
                f"{words} rounded {100 * rounded.test_accuracy:.1f}, trained on {100 * tuned.test_accuracy:.1f}"
            )
        kind = f"{'before' if before else 'after'}, {'both directions' if both else 'one direction'}"
        print(f"      {task.name}, layer norm {kind}: {'; '.join(found)} % of {len(task.test[1])}", flush=True)
    bars.check("trained S4D against the equations, logits", worst, "<=", 1e-5, task.name)
    what = "share of the largest logit; training sequences, whose ranges the bundle holds"
    bars.check("deployed on ideal arrays against software", on_arrays, "<=", 1e-6, what)


def _model(state: published.State, before: bool, task: Task, last: bool = False) -> TrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.pt"
        torch.save(state, path)
        norm: Literal["before", "after"] = "before" if before else "after"
        arrays = read_s4d_checkpoint(path, norm=norm, pooling="last" if last else "mean")
    return import_s4d(arrays, task, r_max=R_MAX)


def _apart(state: published.State, before: bool, task: Task, last: bool = False) -> float:
    """Largest difference of the logits, of the test sequences."""
    exact = published.logits(state, torch.from_numpy(task.test[0]), before=before, last=last).detach().numpy()
    bundle = to_bundle(_model(state, before, task, last), task)
    return float(np.abs(run_network(bundle, task.test[0]) - exact).max())


def _apart_on_arrays(bundle: KernelBundle, task: Task, shape: tuple[int, int] = (64, 64)) -> float:
    inputs = task.train[0][:64].astype(np.float64)
    arrays = [DigitalTwin("ideal", shape, seed=number) for number in range(arrays_needed(bundle, shape))]
    mapping = map_bundle(bundle, shape, arrays[0].info.window, len(arrays))
    for number, array in enumerate(arrays):
        array.program_conductances(*mapping.target(number))
    exact = run_network(bundle, inputs)
    got = run_network(bundle, inputs, KernelRunner(arrays, mapping))
    for array in arrays:
        array.close()
    return float(np.abs(got - exact).max() / np.abs(exact).max())


def _refused(key: str, value: torch.Tensor | None, named: str, task: Task) -> bool:
    """Whether a checkpoint with this change is refused, and says so."""
    state = published.fresh(SEED)
    state.pop(key, None)
    try:
        _model(state if value is None else state | {key: value}, False, task)
    except BundleError as error:
        return named in str(error)
    return False
