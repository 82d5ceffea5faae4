"""Bars of mapping and deployment: what faults and programming errors cost models and kernels.

Programming errors come from a programmer that leaves Gaussian ones; see `imssa_lab.studies.written_chips`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.mapping import arrays_needed
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels
from imssa_lab.s4d.output_correction import nrmse
from imssa_lab.studies.written_chips import chips, deploy_statistical, healthy_profile
from protocols.deployment.deployment import Deployment
from protocols.recurrence import KernelRunner

LOSS = {"4bit": 1.0, "ternary": 2.0}
STUCK_LOSS = {"fsdd-t10": 2.0, "fsdd-order": 2.0, "fsdd-first10": 4.0}
NRMSE = {"4bit": {1: 0.07, 3: 0.14, 5: 0.22}, "ternary": {1: 0.04, 3: 0.07, 5: 0.11}}
AVERAGES = 4
"""Reads of every step where errors of kernels are measured."""
_LONG = 3200


@dataclass(frozen=True)
class Bench:
    """Models and chips: every bundle of `seeds` on `chips` chips each."""

    seeds: int
    chips: int
    folder: Path | None

    def one(
        self,
        task: str,
        precision: str,
        seed: int,
        chip: int,
        sigma: float,
        stuck: float = 0.0,
        *,
        mending: bool = True,
        tests: int = 200,
        averages: int = 1,
    ) -> Deployment:
        """One trained bundle on one chip; `sigma` in S, `stuck` a fraction."""
        bundle, sequences = trained(task, precision, seed, self.folder)
        return deploy_statistical(
            bundle,
            sequences,
            chip=chip,
            stuck=stuck,
            sigma=sigma,
            mending=mending,
            tests=tests,
            seed=seed,
            averages=averages,
        )

    def lost(
        self, task: str, precision: str, sigma: float, stuck: float = 0.0, *, mending: bool = True
    ) -> list[float]:
        """Points of accuracy lost against software, of every bundle on every chip."""
        found = [
            self.one(task, precision, seed, chip, sigma, stuck, mending=mending)
            for seed in range(self.seeds)
            for chip in range(self.chips)
        ]
        return [100 * (result.software_accuracy - result.accuracy) for result in found]


def stuck(bars: Bars, bench: Bench) -> None:
    """Share of the excess MVM error by stuck cells that mending removes, at a sigma of 1 uS."""
    removed = []
    for chip in range(bench.chips):
        bare, naive, mended = (
            bench.one("fsdd-order", "4bit", 0, chip, 1e-6, fraction, mending=mending, tests=16).levels[1].measured
            for fraction, mending in ((0.0, False), (0.02, False), (0.02, True))
        )
        removed.append(1 - (mended - bare) / (naive - bare))
    note = "/".join(f"{share:.2f}" for share in removed)
    bars.check("2 % stuck: excess MVM error removed", statistics.mean(removed), ">=", 0.8, note)


def losses(bars: Bars, bench: Bench, task: str) -> None:
    """Accuracy lost at a sigma of 3 uS, with and without stuck cells; naive programming beside it."""
    for precision, limit in LOSS.items():
        _check(bars, f"{task}, {precision}, sigma 3 uS", bench.lost(task, precision, 3e-6), limit)
        lost = bench.lost(task, precision, 3e-6, 0.01)
        _check(bars, f"{task}, {precision}, sigma 3 uS, 1 % stuck", lost, STUCK_LOSS[task])
    naive = bench.lost(task, "4bit", 3e-6, 0.01, mending=False)
    print(f"     {task}, 4bit, the same, naive programming: points lost: {_words(naive)}", flush=True)
    if task == "fsdd-order":
        for precision in LOSS:
            lost = bench.lost(task, precision, 3e-6, 0.05)
            naive = bench.lost(task, precision, 3e-6, 0.05, mending=False)
            _check(bars, f"{task}, {precision}, sigma 3 uS, 5 % stuck", lost, 4.0)
            several = 3 * max(statistics.mean(lost), 1.0)
            each = "/".join(f"{value:.1f}" for value in naive)
            bars.check("the same, naive programming: points lost", statistics.mean(naive), ">=", several, each)


def _check(bars: Bars, what: str, lost: list[float], limit: float) -> None:
    bars.check(f"{what}: points lost", statistics.mean(lost), "<=", limit, "/".join(f"{each:.1f}" for each in lost))


def _words(lost: list[float]) -> str:
    return f"{statistics.mean(lost):.1f}: " + "/".join(f"{each:.1f}" for each in lost)


def kernel_errors(bars: Bars, bench: Bench) -> None:
    """Medians over the kernels of all bundles and chips; and of long runs, on one chip of each bundle."""
    task = "fsdd-t10"
    for precision, limits in NRMSE.items():
        for sigma, limit in limits.items():
            results = {
                (seed, chip): bench.one(task, precision, seed, chip, 1e-6 * sigma, tests=1, averages=AVERAGES)
                for seed in range(bench.seeds)
                for chip in range(bench.chips)
            }
            median = _median([result.kernel_nrmse for result in results.values()])
            what = f"{task}, {precision}, sigma {sigma} uS, {AVERAGES} reads a step: kernel NRMSE"
            each = "/".join(f"{np.median(result.kernel_nrmse):.3f}" for result in results.values())
            bars.check(what, median, "<=", limit, each)
            pairs = [_long_run(bench, task, precision, seed, 1e-6 * sigma) for seed in range(bench.seeds)]
            short, long = (_median([pair[index] for pair in pairs]) for index in (0, 1))
            note = f"{long:.3f} over {short:.3f}"
            bars.check(f"the same at {_LONG} steps, over that at 100 on the same chips", long / short, "<=", 2, note)


def _median(errors: Sequence[FloatArray]) -> float:
    return float(np.median(np.concatenate(errors)))


def _long_run(bench: Bench, task: str, precision: str, seed: int, sigma: float) -> tuple[FloatArray, FloatArray]:
    """NRMSE of every kernel on single words, and on words without a pause for `_LONG` steps, second half."""
    bundle, sequences = trained(task, precision, seed, bench.folder)
    arrays = chips(arrays_needed(bundle, (64, 64)), 0, 0.0, healthy_profile())
    result = deploy_statistical(
        bundle, sequences, chip=0, stuck=0.0, sigma=sigma, mending=True, tests=1, seed=seed, arrays=arrays
    )
    runner = KernelRunner(arrays, result.mapping, averages=AVERAGES)
    words = sequences.calibration_inputs[:64]
    for layer, values in enumerate(layer_inputs(bundle, words[:32])):
        exact = run_kernels(bundle.layers[layer], values)
        runner.recalibrate(layer, runner.raw(layer, values), exact)
    count = -(-_LONG // words.shape[1])
    long = np.concatenate(list(words[32 : 32 + count]))[None, :_LONG]
    return _errors(bundle, runner, words[32:], 0), _errors(bundle, runner, long, _LONG // 2)


def _errors(bundle: KernelBundle, runner: KernelRunner, inputs: FloatArray, start: int) -> FloatArray:
    found = []
    for layer, values in enumerate(layer_inputs(bundle, inputs)):
        exact = run_kernels(bundle.layers[layer], values)
        found.append(nrmse(runner(layer, values)[:, start:], exact[:, start:]))
    return np.concatenate(found)
