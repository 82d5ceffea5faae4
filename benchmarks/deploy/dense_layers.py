"""Whole networks on arrays of the board as measured: encoder and mixing beside the kernels, programmed by pulses."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.measured_board import BOARD
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.mapping import arrays_needed
from imssa_lab.s4d.inference import dense_inputs
from protocols.dense_runner import DenseRunner
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.dense_level import LEVEL, correct_dense, verify_dense
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.verification import LevelResult
from twin import DigitalTwin

TASKS = ("fsdd-order", "digits-first")
LOSS, MEDIAN, POOLED = 2.0, 0.10, 0.15
"""Points that may be lost against software; NRMSE of a dense layer's median output, and over all its outputs."""
_CALIBRATION, _TESTS = 64, 200


@dataclass(frozen=True)
class Whole:
    """A deployment with its dense layers on arrays; permuted: their level with inputs on other word lines."""

    name: str
    result: Deployment
    permuted: LevelResult

    @property
    def lost(self) -> float:
        """Points of accuracy against software."""
        return 100 * (self.result.software_accuracy - self.result.accuracy)

    def errors(self, kind: str) -> dict[str, float]:
        """By dense layer, "median" or "pooled"."""
        level = next(each for each in self.result.levels if each.level == LEVEL)
        return {name: value for name, value in level.figures.items() if name.endswith(kind)}


def dense(bars: Bars, bench: Bench) -> None:
    """Every chip with every model, dense layers on arrays of their own; one chip programmed naively beside them."""
    for task in TASKS:
        found = []
        for seed in range(bench.seeds):
            for chip in range(1, bench.chips + 1):
                found.append(_deployed(bench, task, seed, chip))
                print(f"     {_words(found[-1])}", flush=True)
        naive = _deployed(bench, task, 0, 1, mending=False)
        print(f"     naive: {_words(naive)}", flush=True)
        lost = [each.lost for each in found]
        note = "/".join(f"{each:.1f}" for each in lost)
        what = f"{task}, ternary, encoder and mixing on arrays too, {BOARD}"
        bars.check(f"{what}: points lost", statistics.mean(lost), "<=", LOSS, note)
        for kind, most in (("median", MEDIAN), ("pooled", POOLED)):
            worst = [max(each.errors(kind).values()) for each in found]
            note = "/".join(f"{each:.3f}" for each in worst)
            words = "its median output" if kind == "median" else "all its outputs"
            bars.check(f"{task}: NRMSE of the worst dense layer, {words}, worst chip", max(worst), "<=", most, note)
        passed = sum(each.permuted.passed for each in found)
        note = f"NRMSE {min(each.permuted.measured for each in found):.2f} and more"
        bars.check(f"{task}: chips that pass with permuted rows", passed, "==", 0, note)


def _deployed(bench: Bench, task: str, seed: int, chip: int, *, mending: bool = True) -> Whole:
    bundle, sequences = trained(task, "ternary", seed, bench.folder)
    needed = arrays_needed(bundle, (64, 64), "all")
    arrays = [DigitalTwin(BOARD, seed=1000 * chip + index) for index in range(needed)]
    judged = sequences.first(_CALIBRATION, _TESTS)
    result = deploy(bundle, arrays, judged, DeploymentChoices(mending=mending, layers="all"))
    rng = np.random.default_rng([seed, chip])
    turned = tuple(replace(tile, word_lines=rng.permutation(tile.word_lines)) for tile in result.mapping.tiles)
    runner = DenseRunner(arrays, replace(result.mapping, tiles=turned))
    inputs, half = dense_inputs(bundle, judged.calibration_inputs), len(judged.calibration_inputs) // 2
    correct_dense(bundle, runner, {name: x[:half] for name, x in inputs.items()})
    permuted, _ = verify_dense(bundle, runner, {name: x[half:] for name, x in inputs.items()}, result.bounds)
    return Whole(f"{task}, model {seed}, chip {chip}", result, permuted)


def _words(whole: Whole) -> str:
    result = whole.result
    medians, pooled = (
        "/".join(f"{each:.3f}" for each in whole.errors(kind).values()) for kind in ("median", "pooled")
    )
    failed = [level.level for level in result.levels if not level.passed]
    return (
        f"{whole.name}: software {100 * result.software_accuracy:.1f}, arrays {100 * result.accuracy:.1f}; NRMSE by "
        f"layer, median {medians}, pooled {pooled}; {result.mapping.arrays} arrays, {result.pulses} pulses, "
        f"{result.seconds / 3600:.2f} h; levels failed: {', '.join(failed) or 'none'}"
    )
