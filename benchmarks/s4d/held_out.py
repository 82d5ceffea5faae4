"""Speakers never heard: every one of six left out in turn, beside a GRU and a linear model of equal size."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.bars import Bars
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.baselines import KINDS, train_baseline
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.settings import TrainingConfig
from imssa_lab.s4d.train.training import train_float

TASKS = ("fsdd-first10", "fsdd-t10")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SEED = 101
OVER_LINEAR = 10.0
GEORGE = 70.0


def held_out(bars: Bars, only: Sequence[str] | None) -> None:
    """Means of six, in float; maximum over time and inputs levelled by sequence, chosen before on george alone."""
    if bars.smoke:
        task = load_task("digits-first", SEED, pairs_train=128, pairs_validation=32, pairs_test=32)
        trained(task, config_for("digits-first", epochs=1))
        return
    os.environ.setdefault("IMSSA_DATA", str(Path(__file__).resolve().parents[3] / "shared" / "data"))
    for name in TASKS:
        if only is None or name in only:
            one_task(bars, name)


def one_task(bars: Bars, name: str) -> None:
    """The bars of one task."""
    found: list[dict[str, float]] = []
    for speaker in SPEAKERS:
        found.append(trained(load_task(name, SEED, speaker=speaker), config_for(name)))
        shown = ", ".join(f"{kind} {value:.1f}" for kind, value in found[-1].items())
        print(f"      {name}, {speaker} held out: {shown} %", flush=True)
    means = {kind: statistics.mean(row[kind] for row in found) for kind in found[0]}
    bars.check(f"{name}, held out, S4D, %", means["s4d"], ">=", means["gru"], "the GRU's mean of six")
    gain = means["s4d"] - means["linear"]
    bars.check(
        f"{name}, held out, over the linear model, points", gain, ">=", OVER_LINEAR, f"{means['linear']:.1f} %"
    )
    if name == "fsdd-first10":
        bars.check(f"{name}, george held out, %", found[0]["s4d"], ">=", GEORGE)


def config_for(name: str, epochs: int | None = None) -> TrainingConfig:
    """The task's recipe in float, with the head and the inputs that speakers differ least for."""
    config = training_recipe(name, Precision(), SEED)
    config = config.model_copy(update={"pooling": "max", "levelling": "sequence"})
    if epochs is None:
        return config
    return config.model_copy(update={"full": config.full.model_copy(update={"epochs": epochs})})


def trained(task: Task, config: TrainingConfig) -> dict[str, float]:
    """Test accuracies in percent, by kind of model."""
    torch.set_num_threads(1)
    model = train_float(task, config)
    size = sum(weight.numel() for weight in model.network.parameters())
    found = {"s4d": 100 * model.test_accuracy}
    for kind in KINDS:
        found[kind] = 100 * train_baseline(kind, task, config, size).test.value
    return found
