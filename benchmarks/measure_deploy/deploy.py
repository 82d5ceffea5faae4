"""Bars of mapping and deployment: faults, programming errors, long runs, kills.

Programming errors come from a programmer that leaves Gaussian ones; see `imssa_lab.cli.statistical`.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.measure_deploy.bundles import trained
from imssa_lab.cli.statistical import deploy_statistical
from protocols.deploy import Deployment

BUNDLES = Path(tempfile.gettempdir()) / "imssa-measure-deploy"
"""Where trained bundles are kept between runs."""
TASKS = ("fsdd-t10", "fsdd-order", "fsdd-first10")
LOSS = {"4bit": 1.0, "ternary": 2.0}
NRMSE = {"4bit": {1: 0.07, 3: 0.14, 5: 0.22}, "ternary": {1: 0.04, 3: 0.07, 5: 0.11}}
STUCK_LOSS = {"fsdd-t10": 2.0, "fsdd-order": 2.0, "fsdd-first10": 4.0}


def one(
    task: str,
    precision: str,
    seed: int,
    chip: int,
    sigma: float,
    stuck: float,
    *,
    mending: bool = True,
    folder: Path = BUNDLES,
    tests: int = 200,
    averages: int = 1,
) -> Deployment:
    """Deploy one trained bundle on one chip; `sigma` in S, `stuck` a fraction."""
    bundle, sequences = trained(task, precision, seed, folder)
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


def loss(result: Deployment) -> float:
    """Points of accuracy lost against software."""
    return 100 * (result.software_accuracy - result.accuracy)


def excess_removed(stuck: float = 0.02, folder: Path = BUNDLES) -> float:
    """Share of the excess MVM error by stuck cells that mending removes, at a sigma of 1 uS."""
    bare, naive, mended = (
        one("fsdd-order", "4bit", 0, 0, 1e-6, fraction, mending=mending, folder=folder, tests=16).levels[1].measured
        for fraction, mending in ((0.0, False), (stuck, False), (stuck, True))
    )
    return 1 - (mended - bare) / (naive - bare)


def measure(bars: Bars, seeds: int = 3, chip_count: int = 3, folder: Path = BUNDLES) -> None:
    """All bars of deployment; hours of processor time with three seeds and three chips."""
    bars.check("2 % stuck: excess MVM error removed", excess_removed(folder=folder), ">=", 0.8)
    places = [(seed, chip) for seed in range(seeds) for chip in range(chip_count)]
    for task in TASKS:
        for precision in LOSS:
            results = [one(task, precision, s, c, 3e-6, 0.0, folder=folder) for s, c in places]
            _losses(bars, f"{task}, {precision}, sigma 3 uS", results, LOSS[precision])
            results = [one(task, precision, s, c, 3e-6, 0.01, folder=folder) for s, c in places]
            _losses(bars, f"{task}, {precision}, sigma 3 uS, 1 % stuck", results, STUCK_LOSS[task])
    results = [one("fsdd-order", "4bit", s, c, 3e-6, 0.05, folder=folder) for s, c in places]
    _losses(bars, "fsdd-order, 4bit, sigma 3 uS, 5 % stuck", results, 4.0)
    naive = [one("fsdd-order", "4bit", s, c, 3e-6, 0.05, mending=False, folder=folder) for s, c in places]
    bars.check("the same, naive programming, points lost", _mean(naive), ">=", 3 * 4.0)
    for precision, limits in NRMSE.items():
        for sigma, limit in limits.items():
            found = [one("fsdd-t10", precision, s, c, 1e-6 * sigma, 0.0, folder=folder) for s, c in places]
            median = statistics.median(float(np.median(result.kernel_nrmse)) for result in found)
            bars.check(f"fsdd-t10, {precision}, sigma {sigma} uS: kernel NRMSE", median, "<=", limit)


def _losses(bars: Bars, what: str, results: list[Deployment], limit: float) -> None:
    each = "/".join(f"{loss(result):.1f}" for result in results)
    bars.check(f"{what}: points lost", _mean(results), "<=", limit, each)


def _mean(results: list[Deployment]) -> float:
    return statistics.mean(loss(result) for result in results)
