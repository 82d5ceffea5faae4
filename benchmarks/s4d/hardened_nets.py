"""What hardening against the measured board is worth: errors of kernels on its twin, by pulses, with and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.bars import Bars
from benchmarks.s4d.shortened import shortened
from imssa_lab.cli.models.hardening import hardened
from imssa_lab.mapping import arrays_needed
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import TrainedModel, train_float, train_quantised
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from twin import DigitalTwin

BOARD = "supert-a0"
SEED = 101
CHIPS = (1, 2, 3)
LOWER = 20.0
"""By how many per cent a chip's median must be lower."""
_CALIBRATION, _TESTS = 64, 200
_BOUNDS = Bounds(mvm=0.12, kernel=0.35, impulse=0.7)
"""One set for both nets: a net that tolerates more would be mended less."""


@dataclass(frozen=True)
class Net:
    """A net that is trained twice: its task, and where its size is not that of the recipe."""

    task: str
    size: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, int] = field(default_factory=dict)


NETS = (
    Net("fsdd-order"),
    Net("digits-first", {"channels": 28, "states": 1, "layers": 2}),  # as `imssa demo` takes it, for three arrays
    Net("fsdd-t10"),
)
_SMALLEST = Net(
    "digits-first", {"channels": 3, "states": 1}, {"pairs_train": 128, "pairs_validation": 32, "pairs_test": 32}
)


def hardening(bars: Bars) -> None:
    """Every net with and without, from one float training, on every chip."""
    for net in bars.size(NETS, smoke=(_SMALLEST,)):
        judge(bars, net, bars.size(CHIPS, smoke=CHIPS[:1]), bars.size(None, smoke=1))


def judge(bars: Bars, net: Net, chips: tuple[int, ...], epochs: int | None) -> None:
    """The bar of one net; epochs: of each training, None for the recipe's."""
    torch.set_num_threads(1)
    task = load_task(net.task, SEED, **net.options)
    precision = Precision.parse("ternary")
    config = shortened(training_recipe(net.task, precision, SEED).model_copy(update=dict(net.size)), epochs)
    start = train_float(task, config)
    without = config.quantised.model_copy(update={"cell_errors": None})
    plain, hard = (
        train_quantised(start, task, precision, stage=stage) for stage in (without, hardened(config, BOARD).quantised)
    )
    before, after = (medians(model, task, chips) for model in (plain, hard))
    lower = [100 * (1 - ours / theirs) for ours, theirs in zip(after, before, strict=True)]
    note = (
        f"medians {_words(before)} without, {_words(after)} with it; software {100 * plain.test_accuracy:.1f} and "
        f"{100 * hard.test_accuracy:.1f} %, of the recipe's float net {100 * start.test_accuracy:.1f}; seed {SEED}, "
        f"chips {', '.join(map(str, chips))}: {'/'.join(f'{each:.0f}' for each in lower)} % lower"
    )
    bars.check(f"{net.task}: median NRMSE of the kernels lower by, %, worst chip", min(lower), ">=", LOWER, note)


def medians(model: TrainedModel, task: Task, chips: tuple[int, ...]) -> list[float]:
    """Median over the kernels of their NRMSE on real inputs, after a deployment by pulses, chip by chip."""
    bundle = to_bundle(model, task)
    sequences = Sequences(
        task.train[0][:_CALIBRATION].astype(np.float64),
        task.test[0][:_TESTS].astype(np.float64),
        task.test[1][:_TESTS],
        {},
    )
    found = []
    for chip in chips:
        arrays = [DigitalTwin(BOARD, seed=1000 * chip + each) for each in range(arrays_needed(bundle, (64, 64)))]
        result = deploy(bundle, arrays, sequences, DeploymentChoices(bounds=_BOUNDS))
        level = next(each for each in result.levels if each.level == "kernel")
        found.append(level.figures["input_median"])
        figures = {name: level.figures[name] for name in ("input_90th_percentile", "impulse_median")}
        print(
            f"      {task.name}, chip {chip}: median {found[-1]:.4f}, {figures}; {result.pulses} pulses; "
            f"{100 * result.accuracy:.1f} % of {100 * result.software_accuracy:.1f}",
            flush=True,
        )
    return found


def _words(values: list[float]) -> str:
    return "/".join(f"{value:.3f}" for value in values)
