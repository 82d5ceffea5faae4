"""What converters of the recurrence cost a net: of the state and of the increments, rounded alone or trained for."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.bars import Bars
from benchmarks.s4d.shortened import shortened
from benchmarks.s4d.three_level_nets import SEEDS
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import TrainedModel, train, train_float, train_quantised
from imssa_lab.s4d.train.training import quantise as quantise_model

TASKS = ("fsdd-order", "fsdd-t10")
PRECISIONS = ("ternary", "three-level")
STATE_BITS = (4, 6, 8)
JUDGED = "state 4"
INCREMENT_BITS = (10, 8, 6, 5, 4)
INCREMENTS = ("increment 10", "increment 8")
MOST = 1.0
"""Points that a converter may cost."""
DIRECT_TASK, DIRECT = "fsdd-order", "4bit, state=7, form=direct"


def converters(bars: Bars, only: Sequence[str] | None) -> None:
    """Losses in points in the delta form by rounding alone, and trained for; the direct form trained for."""
    if bars.smoke:
        task = load_task("digits-first", SEEDS[0], pairs_train=128, pairs_validation=32, pairs_test=32)
        small = losses(task, "digits-first", "three-level", SEEDS[0], epochs=1)
        small.lost_when_trained(8)
        trained_for(task, "digits-first", SEEDS[0], epochs=1)
        return
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
    start = train_float(task, shortened(training_recipe(name, rounded, seed), epochs))
    alone = train_quantised(start, task, unrounded)
    found = {
        "without the converter": alone.test_accuracy,
        "rounded alone": quantise_model(alone, task, rounded).test_accuracy,
        "trained for": train_quantised(start, task, rounded).test_accuracy,
    }
    print(f"      {name} {DIRECT} {seed}: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in found.items()), flush=True)
    return found


def judge(bars: Bars, name: str, precision: str, found: Sequence[Rounded]) -> None:
    """The bars of one task and precision; increments are trained for where rounding them alone costs too much."""
    each = {what: [rounded.lost[what] for rounded in found] for what in found[0].lost}
    for other, lost in each.items():
        print(f"      {name}, {precision}, {other} bits: {statistics.mean(lost):.2f} points lost", flush=True)
    for what in (JUDGED, *INCREMENTS):
        lost, how = each[what], "rounded alone"
        if what != JUDGED and statistics.mean(lost) > MOST:
            lost = [rounded.lost_when_trained(int(what.split()[1])) for rounded in found]
            how = f"trained for; rounded alone {statistics.mean(each[what]):.2f}"
        shown = "/".join(f"{loss:.1f}" for loss in lost)
        bars.check(
            f"{name}, {precision}, points lost by {what} bits", statistics.mean(lost), "<=", MOST, f"{shown}, {how}"
        )


@dataclass(frozen=True)
class Rounded:
    """A net without converters in its recurrence, and what each costs it when it is only rounded.

    Attributes:
        lost: points of test accuracy by converter in words; stages: epochs of each stage, None for the recipe's.
    """

    task: Task
    name: str
    model: TrainedModel
    lost: dict[str, float]
    epochs: int | None

    def lost_when_trained(self, bits: int) -> float:
        """Points that a converter of increments costs a net that was trained with it, from the same float net.

        Its best epoch by validation counts, as recipes with such a converter say.
        """
        precision = self.model.precision.model_copy(update={"increment": bits})
        config = shortened(training_recipe(self.name, precision, self.model.config.seed), self.epochs)
        assert self.model.start is not None
        trained = train_quantised(replace(self.model.start, config=config), self.task, precision)
        return 100 * (self.model.test_accuracy - trained.test_accuracy)


def losses(task: Task, name: str, precision: str, seed: int, epochs: int | None = None) -> Rounded:
    """Points of test accuracy that each converter costs one net by rounding alone."""
    torch.set_num_threads(1)
    words = Precision.parse(precision)
    model = train(task, shortened(training_recipe(name, words, seed), epochs))
    found = {}
    for part, widths in (("state", STATE_BITS), ("increment", INCREMENT_BITS)):
        for bits in widths:
            rounded = quantise_model(model, task, words.model_copy(update={part: bits}))
            found[f"{part} {bits}"] = 100 * (model.test_accuracy - rounded.test_accuracy)
    lost = ", ".join(f"{what} {each:.2f}" for what, each in found.items())
    print(f"      {name} {precision} {seed}: {100 * model.test_accuracy:.1f} %, lost {lost}", flush=True)
    return Rounded(task, name, model, found, epochs)
