"""make measure-s4d: models, quantisation and tasks on the Free Spoken Digit Dataset (hours; needs speech data).

The data are looked for where IMSSA_DATA says, else in ../shared/data. All accuracies are of the test set, after the
last epoch. `ARGS="--tasks fsdd-t10"` measures one task.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import get_args

import torch

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.s4d.converters import converters
from benchmarks.s4d.hardened_nets import BOARD, CHIPS, hardening
from benchmarks.s4d.hardened_nets import SEED as HARDENED_SEED
from benchmarks.s4d.held_out import SEEDS as HELD_OUT_SEEDS
from benchmarks.s4d.held_out import held_out as leave_one_out
from benchmarks.s4d.imported_models import SEED as IMPORTED_SEED
from benchmarks.s4d.imported_models import imports
from benchmarks.s4d.interval_coverage import coverage
from benchmarks.s4d.settings_search import SEEDS as SEARCHED_SEEDS
from benchmarks.s4d.settings_search import settings
from benchmarks.s4d.three_level_nets import FLOORS as THREE_LEVELS
from benchmarks.s4d.three_level_nets import SEEDS as NEW_SEEDS
from benchmarks.s4d.three_level_nets import three_levels
from imssa_lab.mapping.placement import kernels_per_array
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Discretisation, Initialisation, Poles
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import kernel_cells
from imssa_lab.s4d.tasks import load_task
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import quantise, train_float, train_null, train_quantised, without_state

SEEDS = NEW_SEEDS
SPEAKERS = ("george", "jackson", "lucas")
HELD_OUT = tuple(zip(SEEDS, SPEAKERS, strict=False))
SMALL = {"channels": 10, "states": 2}
_WORKERS = 2

TASKS: Mapping[str, Sequence[str]] = {
    "fsdd-order": ("4bit", "ternary"),
    "fsdd-first10": ("4bit", "ternary"),
    "fsdd-t10": ("8bit", "4bit", "ternary"),
    "fsdd-t2-raw": ("4bit", "ternary"),
}
FLOORS: Mapping[str, Mapping[str, float]] = {
    "fsdd-order": {"float": 99, "4bit": 99, "ternary": 97.5},
    "fsdd-first10": {"float": 98, "4bit": 98.5, "ternary": 96},
    "fsdd-t10": {"float": 99, "8bit": 99, "4bit": 99, "ternary": 98},
    "fsdd-t2-raw": {"float": 99, "4bit": 98, "ternary": 97},
}
MINUTES = {"fsdd-order": 1, "fsdd-first10": 5, "fsdd-t10": 3}
Figures = dict[str, float]


def tasks(bars: Bars, only: Sequence[str] | None) -> None:
    """Train and judge the named tasks, or all."""
    tasks = [task for task in TASKS if only is None or task in only]
    if bars.smoke:
        bars.left_out("trainings on speech data")
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs: list[tuple[str, int, str | None]] = [(task, seed, None) for task, seed in itertools.product(tasks, SEEDS)]
    jobs += [("small", seed, None) for seed in SEEDS if "fsdd-order" in tasks]
    jobs += [(task, seed, speaker) for task in tasks for seed, speaker in HELD_OUT]
    with ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn")) as pool:
        results = {}
        for job, figures in zip(jobs, pool.map(trained_figures, *zip(*jobs, strict=True)), strict=True):
            results[job] = figures
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            print(f"      {' '.join(str(part) for part in job if part is not None)}: {shown}", flush=True)
    for task in tasks:
        accuracies(bars, task, [results[task, seed, None] for seed in SEEDS])
    if "fsdd-order" in tasks:
        size(bars, [results["small", seed, None] for seed in SEEDS])
    for task in tasks:
        held_out(task, [results[task, seed, speaker] for seed, speaker in HELD_OUT])


def modes(bars: Bars) -> None:
    """Convolution against recurrence for every initialisation, discretisation and quantiser."""
    words = [
        f"{name}, form={form}"
        for name in ("2bit", "4bit", "8bit", "ternary")
        for form in ("delta", "direct", "state")
    ]
    words += ["float", "4bit, step=learned"]
    worst, count = 0.0, 0
    for start, method, word in itertools.product(get_args(Initialisation), get_args(Discretisation), words):
        rng = torch.Generator().manual_seed(0)
        layer = S4DLayer(Poles(16, 4, rng, initialisation=start, discretisation=method), rng)
        layer.set_precision(Precision.parse(word))
        u = torch.randn(8, 200, 16, generator=rng)
        with torch.no_grad():
            worst = max(worst, float((layer.eval()(u) - layer.recur(u)[0]).abs().max()))
        count += 1
    bars.check("convolution against recurrence", worst, "<=", 1e-5, f"largest difference of {count} kinds of layer")


def trained_figures(task_name: str, seed: int, speaker: str | None) -> Figures:
    """All figures of one task with one seed; of a held-out speaker, float and ternary alone."""
    torch.set_num_threads(1)
    name = "fsdd-order" if task_name == "small" else task_name
    task = load_task(name, seed, **({} if speaker is None else {"speaker": speaker}))
    config = training_recipe(name, Precision(), seed).model_copy(update=SMALL if task_name == "small" else {})
    started = time.process_time()
    start = train_float(task, config)
    figures = {"float": start.test_accuracy, "seconds": time.process_time() - started}
    words = TASKS[name] if task_name != "small" and speaker is None else ("ternary",)
    for word in words:
        precision = Precision.parse(word)
        started = time.process_time()
        model = train_quantised(start, task, precision, stage=training_recipe(name, precision, seed).quantised)
        if word == "ternary":
            figures["seconds"] += time.process_time() - started
            figures["no state"] = accuracy(without_state(model.network), task.test)
        figures[word] = model.test_accuracy
        figures[f"{word} rounded"] = quantise(start, task, precision).test_accuracy
    if task_name in ("fsdd-order", "fsdd-first10") and speaker is None:
        figures["null"] = train_null(task, config).test_accuracy
    return figures


def accuracies(bars: Bars, task: str, results: Sequence[Figures]) -> None:
    """The bars of one task."""
    for word, floor in FLOORS[task].items():
        bars.check(f"{task}, {word}, %", _mean(results, word), ">=", floor, _each(results, word))
    if "null" in results[0]:
        bars.check(f"{task}, memoryless net, %", _mean(results, "null"), "<=", 55, _each(results, "null"))
    if task == "fsdd-t10":
        bars.check(f"{task}, C := 0 at test, %", _mean(results, "no state"), "<=", 20, _each(results, "no state"))
        gain = _mean(results, "4bit") - _mean(results, "4bit rounded")
        bars.check(f"{task}, 4-bit QAT over PTQ, points", gain, ">=", 10, f"PTQ {_each(results, '4bit rounded')}")
    if task in MINUTES:
        slowest = max(result["seconds"] for result in results)
        note = "slowest seed, float + ternary, one core"
        bars.check(f"{task}, processor minutes", slowest / 60, "<=", MINUTES[task], note)


def size(bars: Bars, results: Sequence[Figures]) -> None:
    """The smallest all-ternary ORDER model that we found."""
    channels, states = SMALL["channels"], SMALL["states"]
    arrays = -(-channels // kernels_per_array(2 * states + 1, (64, 64)))
    note = f"{_each(results, 'ternary')}; H{channels} N{states}, {kernel_cells(channels, states, 1)} cells"
    bars.check("small all-ternary fsdd-order, %", _mean(results, "ternary"), ">=", 95, note)
    bars.check("arrays of 64x64 that it takes", arrays, "<=", 1)


def held_out(task: str, results: Sequence[Figures]) -> None:
    """A speaker whom training never heard: reported, no bar."""
    print(
        f"      {task}, held-out speaker ({'/'.join(SPEAKERS)}): float {_each(results, 'float')}, "
        f"ternary {_each(results, 'ternary')} %",
        flush=True,
    )


def _mean(results: Sequence[Figures], name: str) -> float:
    return 100 * statistics.mean(result[name] for result in results)


def _each(results: Sequence[Figures], name: str) -> str:
    values = [100 * result[name] for result in results]
    return f"{'/'.join(f'{value:.1f}' for value in values)}, sd {statistics.stdev(values):.1f}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", choices=sorted({*TASKS, *THREE_LEVELS}), help="these tasks alone")


PARTS = {
    "modes": Part(lambda bars, given: modes(bars), "none", "none", "none: torch", "0"),
    "coverage": Part(lambda bars, given: coverage(bars), "none", "none", "none: simulated outcomes", "0"),
    "imports": Part(
        lambda bars, given: imports(bars),
        "ideal",
        "targets",
        "in process",
        str(IMPORTED_SEED),
    ),
    "three-levels": Part(
        lambda bars, given: three_levels(bars, given.tasks),
        "supert-a0-easy (its window and input converter)",
        "targets, then targets with Gaussian errors of 2.2 % of full scale",
        "none: the closed loop in numpy",
        ", ".join(map(str, NEW_SEEDS)),
    ),
    "converters": Part(
        lambda bars, given: converters(bars, given.tasks),
        "none",
        "none",
        "none: the recurrence in torch",
        ", ".join(map(str, NEW_SEEDS)),
    ),
    "hardening": Part(
        lambda bars, given: hardening(bars),
        BOARD,
        "pulses",
        "twin in process",
        f"{HARDENED_SEED}; chips {', '.join(map(str, CHIPS))}",
    ),
    "held-out": Part(
        lambda bars, given: leave_one_out(bars, given.tasks),
        "none",
        "none",
        "none: models in torch",
        ", ".join(map(str, HELD_OUT_SEEDS)),
    ),
    "settings": Part(
        lambda bars, given: settings(bars, given.tasks),
        "none",
        "none",
        "none: models in torch",
        ", ".join(map(str, SEARCHED_SEEDS)),
    ),
    "tasks": Part(
        lambda bars, given: tasks(bars, given.tasks),
        "none",
        "none",
        "none: models in torch",
        ", ".join(map(str, SEEDS)),
    ),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS, options=_options))
