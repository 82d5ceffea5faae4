"""Settings of the recipes beside their neighbours, judged on validation recordings alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import torch

from benchmarks.bars import Bars
from benchmarks.s4d.shortened import shortened
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import load_task
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.settings import Stage
from imssa_lab.s4d.train.training import train_float, train_quantised

TASKS = ("fsdd-order", "fsdd-first10", "fsdd-t10", "digits-first")
SEEDS = (1, 2, 3)
"""No bar of accuracy is measured with these."""
FACTORS: Mapping[str, tuple[float, ...]] = {"rate": (0.5, 2.0), "pole_share": (0.4, 2.0), "epochs": (0.5, 1.5)}
BEHIND = 1.0
"""Points by which a recipe may be behind the best of its neighbours."""
OURS = "recipe"


def settings(bars: Bars, only: Sequence[str] | None) -> None:
    """Every task's quantised stage, one setting at a time."""
    if bars.smoke:
        options = {"pairs_train": 128, "pairs_validation": 32, "pairs_test": 32}
        judge(bars, "digits-first", SEEDS[:1], {"rate": (2.0,)}, 1, options)
        return
    for name in TASKS:
        if only is None or name in only:
            judge(bars, name, SEEDS, FACTORS)


def judge(
    bars: Bars,
    name: str,
    seeds: Sequence[int],
    factors: Mapping[str, Sequence[float]],
    epochs: int | None = None,
    options: Mapping[str, int] | None = None,
) -> None:
    """One task: mean validation accuracy of its recipe and each neighbour, from one float net a seed."""
    torch.set_num_threads(1)
    precision = Precision.parse("ternary")
    found: dict[str, list[float]] = {}
    for seed in seeds:
        task = load_task(name, seed, **(options or {}))
        config = shortened(training_recipe(name, precision, seed), epochs)
        start = train_float(task, config)
        for what, stage in neighbours(config.quantised, factors).items():
            model = train_quantised(start, task, precision, stage=stage)
            found.setdefault(what, []).append(100 * model.validation_accuracy)
            print(f"      {name} {seed}, {what}: validation {found[what][-1]:.1f} %", flush=True)
    means = {what: statistics.mean(values) for what, values in found.items()}
    best = max(means, key=lambda what: means[what])
    note = f"best: {best}, {means[best]:.1f} %; recipe {means[OURS]:.1f}; mean of seeds {', '.join(map(str, seeds))}"
    bars.check(
        f"{name}: points of validation behind the best neighbour", means[best] - means[OURS], "<=", BEHIND, note
    )


def neighbours(stage: Stage, factors: Mapping[str, Sequence[float]]) -> dict[str, Stage]:
    """The stage, and by name those with one setting multiplied by a factor."""
    found = {OURS: stage}
    for part, all_factors in factors.items():
        for factor in all_factors:
            value = factor * getattr(stage, part)
            value = max(1, round(value)) if part == "epochs" else value
            found[f"{part} {value:g}"] = stage.model_copy(update={part: value})
    return found
