"""Bars of accuracy over time: what a deployed chip keeps, and what recalibration of its outputs brings back."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.studies.aged_chips import UNITS, DriftModel, aged_trial
from imssa_lab.studies.drift_summary import DriftStudy, drift_study
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import StudyTrial
from twin import TwinProfile

DAY, MONTH = UNITS["d"], UNITS["month"]
_TESTS = 400


def _aged(bars: Bars, bench: Bench, task: str, profile: str, *times: float) -> DriftStudy:
    bundle, sequences = trained(task, "ternary", 0, bench.folder)
    tests = min(bars.size(_TESTS, smoke=16), len(sequences.test_labels))
    shared = DriftModel(StudyModel(bundle, sequences, tests, TwinProfile.load(profile)), times)
    found = [aged_trial(shared, StudyTrial(None, None, "ours", chip)) for chip in range(bench.chips)]
    rows = {name: np.array([each.rows[name] for each in found]) for name in found[0].rows}
    study = drift_study(shared, np.array([each.figures for each in found]), rows)
    print(f"     {study.name}, {tests} tests: software {100 * study.software:.1f} %")
    for name in ("deployed", "recalibrated", "kept", "nrmse", "cells"):
        print(f"     {name}: {'; '.join(_words(values) for values in rows[name].T)}", flush=True)
    print(f"     re-programmed after the last: {_words(study.refreshed)}; products {study.products}", flush=True)
    return study


def aging(bars: Bars, bench: Bench) -> None:
    """The demo and ORDER on published laws of relaxation."""
    demo = _aged(bars, bench, "digits-first", "wan-2022", 1.0, DAY)
    _lost(bars, "digits-first, wan-2022, 1 day, as deployed", demo, "deployed", ">=", 3.0)
    _lost(bars, "the same, outputs recalibrated", demo, "recalibrated", "<=", 1.0)
    order = _aged(bars, bench, "fsdd-order", "hfox-cmo", 1.0, DAY, MONTH)
    _lost(bars, "fsdd-order, hfox-cmo, a month, as deployed", order, "deployed", "<=", 2.0)
    calm = _aged(bars, bench, "fsdd-order", "wan-2022", 1.0, DAY)
    lost = _aged(bars, bench, "fsdd-order", "pcm-joshi", DAY)
    for study in (demo, order, calm, lost):
        kept = study.rows["kept"] > 0
        cost = 100 * (study.rows["deployed"] - study.rows["recalibrated"])[kept]
        below = 100 * (study.software - study.rows["recalibrated"])[kept]
        note = (
            f"kept {int(kept.sum())} of {kept.size}; then at most {below.max(initial=0.0):.1f} points below software"
        )
        what = f"{study.name}: points that a recalibration which was kept costs, at most"
        bars.check(what, float(cost.max(initial=0.0)), "<=", 1.0, note)
    bars.check("fsdd-order, pcm-joshi: chips that fail at level cells", lost.failed_cells, "==", bench.chips)


def _lost(bars: Bars, what: str, study: DriftStudy, arm: str, comparison: str, limit: float) -> None:
    """Points against software at the last time, mean over the chips."""
    points = np.round(100 * (study.software - study.rows[arm][:, -1]), 9)  # 0.9875 - 0.9775 is above 0.01
    bars.check(f"{what}: points lost", float(points.mean()), comparison, limit, "/".join(f"{p:.1f}" for p in points))


def _words(values: FloatArray) -> str:
    return "/".join(f"{value:.3f}" for value in values)
