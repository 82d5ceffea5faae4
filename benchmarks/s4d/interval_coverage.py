"""How often intervals of an accuracy hold the truth, by simulation: ours, and Wilson's, which counts sequences."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from imssa_lab.s4d.bundle import wilson_interval
from imssa_lab.s4d.intervals import accuracy_interval

SETTINGS = (
    ("fsdd-order", 60, 300, 3.5, 1.5, 1.5),
    ("fsdd-first10", 300, 600, 4.5, 2.0, 1.0),
    ("digits-first", 359, 1000, 6.0, 3.0, 0.5),
)
"""Task, recordings, pairs, log odds of a right answer, and their sd by the first and by the second recording."""


def coverage(bars: Bars) -> None:
    """Pairs drawn from recordings with replacement, some of which are hard; the truth is from a million others."""
    trials = bars.size(2000, 20)
    for task, recordings, pairs, odds, first, second in SETTINGS:
        rng = np.random.default_rng(0)
        fresh = rng.standard_normal((2, 10**6))
        truth = float((1 / (1 + np.exp(-(odds + first * fresh[0] + second * fresh[1])))).mean())
        ours = wilsons = 0
        for _ in range(trials):
            units = rng.integers(recordings, size=(pairs, 2))
            hard = rng.standard_normal((2, recordings))
            chance = odds + first * hard[0][units[:, 0]] + second * hard[1][units[:, 1]]
            right = rng.random(pairs) < 1 / (1 + np.exp(-chance))
            found = accuracy_interval(right, units)
            ours += found.low <= truth <= found.high
            low, high = wilson_interval(int(right.sum()), pairs)
            wilsons += low <= truth <= high
        note = (
            f"{recordings} recordings, {pairs} pairs, truth {100 * truth:.1f}; Wilson's {100 * wilsons / trials:.1f}"
        )
        bars.check(f"{task}, coverage, %", 100 * ours / trials, ">=", 93, note)
        bars.check(f"{task}, coverage, %", 100 * ours / trials, "<=", 97)
