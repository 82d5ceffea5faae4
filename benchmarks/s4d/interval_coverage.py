"""How often intervals of an accuracy or an NRMSE hold the truth, by simulation; beside them those of sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.bars import Bars
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.s4d.bundle import wilson_interval
from imssa_lab.s4d.intervals import accuracy_interval
from imssa_lab.s4d.scores import scored

SETTINGS = (
    ("fsdd-order", 60, 300, 3.5, 1.5, 1.5),
    ("fsdd-first10", 300, 600, 4.5, 2.0, 1.0),
    ("digits-first", 359, 1000, 6.0, 3.0, 0.5),
)
"""Task, recordings, pairs, log odds of a right answer, and their sd by the first and by the second recording."""


_MEMORY, _REACH = 0.8, 21
"""Of the series: its correlation from step to step, and window and horizon together, steps."""
_OWN, _ERROR, _SPREAD = 0.5, 0.3, 0.3
"""Of values: sd of what a recording adds to its values, sd of the errors, and sd of the logarithm of the factor that
a recording has on its errors; the rest of the values has sd 1."""


def coverage(bars: Bars) -> None:
    """Accuracies of pairs, and explained variances of values."""
    of_accuracies(bars)
    of_values(bars)


def of_values(bars: Bars) -> None:
    """Recordings of several sequences each, pairs of recordings, and windows of a series that overlap."""
    trials = bars.size(2000, 20)
    rng = np.random.default_rng(0)

    def devices() -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
        units = np.repeat(np.arange(40), 8)
        return (*_values(rng, units[:, None], 40), units)

    def pairs() -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
        units = rng.integers(60, size=(300, 2))
        return (*_values(rng, units, 60), units)

    def windows() -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
        series = lfilter([1.0], [1.0, -_MEMORY], rng.standard_normal(1200))[200:]
        starts = np.arange(len(series) - _REACH + 1)
        said = 0.9 * _MEMORY * series[starts + _REACH - 2]
        return (
            said[:, None],
            series[starts + _REACH - 1][:, None],
            np.stack([starts, starts + _REACH - 1], 1) // _REACH,
        )

    power = float(np.exp(2 * _SPREAD**2))
    truths = {
        "values, 40 recordings of 8": (devices, 1 - _ERROR**2 * power / (1 + _OWN**2), 93, 97),
        "values, 300 pairs of 60 recordings": (pairs, 1 - _ERROR**2 * power**2 / (1 + 2 * _OWN**2), 90, 97),
        "values, windows of 20 + 1 in 1,000 steps": (windows, _MEMORY**2 * (1 - 0.01), 90, 97),
    }
    for what, (draw, truth, least, most) in truths.items():
        ours = alone = 0
        for _ in range(trials):
            said, wanted, units = draw()
            found, naive = scored(said, wanted, units), scored(said, wanted)
            ours += found.low <= truth <= found.high
            alone += naive.low <= truth <= naive.high
        note = f"explained {truth:.3f}; counting sequences {100 * alone / trials:.1f}"
        bars.check(f"{what}, coverage, %", 100 * ours / trials, ">=", least, note)
        bars.check(f"{what}, coverage, %", 100 * ours / trials, "<=", most)


def _values(rng: np.random.Generator, units: NDArray[np.intp], count: int) -> tuple[FloatArray, FloatArray]:
    """What was said and what was right, (n, 1) each, of sequences that are made of these recordings (n, k)."""
    n = len(units)
    own, bad = _OWN * rng.standard_normal(count), np.exp(_SPREAD * rng.standard_normal(count))
    wanted = own[units].sum(axis=1) + rng.standard_normal(n)
    return (wanted + _ERROR * bad[units].prod(axis=1) * rng.standard_normal(n))[:, None], wanted[:, None]


def of_accuracies(bars: Bars) -> None:
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
