"""make measure-deploy: programming and deployment (hours; models are trained first, which needs speech data)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.deploy import (
    aging,
    chip_in_the_loop,
    dense_layers,
    deployed_tasks,
    inference_costs,
    measured_board,
    packings,
    planted_faults,
    programmers,
    studies_by_pulses,
)
from benchmarks.deploy.kills import kills
from benchmarks.deploy.level_controls import levels
from benchmarks.deploy.trained_bundles import BUNDLES
from benchmarks.parts import Part, measure


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="models a task")
    parser.add_argument("--chips", type=int, default=3, help="chips a model")
    parser.add_argument("--origin-chips", type=int, default=10, help="chips of the part origin")
    parser.add_argument("--models", type=int, default=5, help="models of the part packing that software is judged on")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--planted", type=int, default=200, help="deployments of the part planted")
    parser.add_argument("--bundles", type=Path, default=BUNDLES, help="where trained bundles are kept")


def _programmers(bars: Bars, given: argparse.Namespace) -> None:
    if bars.smoke:
        bars.left_out("programmers on three full arrays")
        return
    programmers.measure(bars)


def _kernels(bars: Bars, given: argparse.Namespace) -> None:
    if bars.smoke:
        bars.left_out("kernels that run for 3200 steps")
        return
    deployed_tasks.kernel_errors(bars, _bench(bars, given))


def _bench(bars: Bars, given: argparse.Namespace) -> deployed_tasks.Bench:
    if bars.smoke:
        return deployed_tasks.Bench(1, 1, None)
    return deployed_tasks.Bench(given.seeds, given.chips, given.bundles)


def _losses(task: str) -> Part:
    def run(bars: Bars, given: argparse.Namespace) -> None:
        deployed_tasks.losses(bars, _bench(bars, given), task)

    return _written(run)


def _written(run: Callable[[Bars, argparse.Namespace], None]) -> Part:
    chips = "chips and models 0 up to --chips and --seeds"
    return Part(run, "supert-a0-easy, healthy", "written with Gaussian errors", "twin in process", chips)


_MEASURED = ("supert-a0", "pulses", "twin in process")


def _board(task: str) -> Part:
    def run(bars: Bars, given: argparse.Namespace) -> None:
        measured_board.board(bars, _bench(bars, given), task)

    return Part(run, *_MEASURED, "models 0 up to --seeds, chips 1 up to --chips")


def _loop(task: str) -> Part:
    def run(bars: Bars, given: argparse.Namespace) -> None:
        chip_in_the_loop.corrections(bars, _bench(bars, given), task)

    return Part(run, *_MEASURED, "model 0, chips 1 up to --chips")


_EASY = "supert-a0-easy without faults"
PARTS = {
    "programmers": Part(_programmers, f"{_EASY}, supert-a0", "pulses", "twin in process", "1, 2, 3"),
    "levels": Part(
        lambda bars, given: levels(bars, bars.size(given.bundles, smoke=None)),
        "supert-a0-easy, healthy",
        "pulses",
        "twin in process",
        "model 0, chips from 70",
    ),
    "planted": Part(
        lambda bars, given: planted_faults.planted(
            bars, _bench(bars, given), bars.size(given.planted, smoke=planted_faults.GROUP)
        ),
        *_MEASURED,
        "models 0 up to --seeds, chips from 100",
    ),
    "kills": Part(
        lambda bars, given: kills(bars, bars.size(given.kills, smoke=1)),
        _EASY,
        "pulses",
        "driver of the superT A0, virtual board",
        "1, 3, 17",
    ),
    "stuck": _written(lambda bars, given: deployed_tasks.stuck(bars, _bench(bars, given))),
    "order": _losses("fsdd-order"),
    "t10": _losses("fsdd-t10"),
    "first10": _losses("fsdd-first10"),
    "kernels": _written(_kernels),
    "board-write": Part(lambda bars, given: measured_board.write_verify(bars), *_MEASURED, "0"),
    "board-demo": _board("digits-first"),
    "board-order": _board("fsdd-order"),
    "board-t10": _board("fsdd-t10"),
    "board-driver": Part(
        lambda bars, given: measured_board.through_the_driver(bars, _bench(bars, given), "fsdd-order"),
        "supert-a0",
        "pulses",
        "driver of the superT A0, virtual board",
        "model 0, chip 1",
    ),
    "dense": Part(
        lambda bars, given: dense_layers.dense(bars, _bench(bars, given)),
        *_MEASURED,
        "models 0 up to --seeds, chips 1 up to --chips",
    ),
    "loop-order": _loop("fsdd-order"),
    "loop-demo": _loop("digits-first"),
    "loop-stuck": Part(
        lambda bars, given: chip_in_the_loop.stuck(bars, _bench(bars, given)),
        "supert-a0-easy with a [programming] law, 10 % stuck",
        "written by the law",
        "twin in process",
        "model 0, chips 1 up to --chips",
    ),
    "board-stuck": Part(
        lambda bars, given: studies_by_pulses.stuck(bars, _bench(bars, given)),
        *_MEASURED,
        "model 0, chips 1 up to --chips",
    ),
    "origin": Part(
        lambda bars, given: studies_by_pulses.origin(bars, given.origin_chips),
        *_MEASURED,
        "model 0, chips 0 up to --origin-chips",
    ),
    "fitted": Part(
        lambda bars, given: measured_board.fitted(bars, _bench(bars, given)),
        "supert-a0-easy with a [programming] law, 5 % stuck",
        "written by the law",
        "twin in process",
        "model 0, chips 0 up to --chips",
    ),
    "packing": Part(
        lambda bars, given: packings.packings(bars, _bench(bars, given), bars.size(given.models, smoke=1)),
        *_MEASURED,
        "models 0 up to --models in software; on boards 0 up to --seeds, boards 1 up to --chips",
    ),
    "costs": Part(
        lambda bars, given: inference_costs.costs(bars, _bench(bars, given)),
        "supert-a0",
        "at their targets; a recorded deployment by pulses",
        "twin in process",
        "model 0",
    ),
    "aging": Part(
        lambda bars, given: aging.aging(bars, _bench(bars, given)),
        "wan-2022, hfox-cmo, pcm-joshi",
        "written by their laws",
        "twin in process",
        "model 0, chips 0 up to --chips",
    ),
}

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(measure(__doc__, PARTS, options=_options))
