"""What the data allow: how far statistics of steps differ between halves of the measured cells by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from imssa_lab.contract.hal import FloatArray
from twin.fitting.levels import half_of
from twin.fitting.tables.measured_tables import Table

BARS = {"robust": ("robust sd", 0.2), "kurtosis": ("kurtosis", 1 / 3), "far": ("99.9 % quantile", 0.15)}
"""Statistics of steps, their names, and how far off each may be, relative."""

_HALVINGS = 1000


@dataclass(frozen=True)
class Floor:
    """Of the steps from one time to the next, in the order of `BARS`.

    Attributes:
        halves: how far the fitted half is off the unused one, relative.
        half_misses: chance that one random half of the cells, taken as the law of the other, misses the bar.
        law_misses: chance that the law of all cells misses it, judged on as many cells as a half has.
        half_holds, law_holds: chance that no statistic misses.
    """

    halves: tuple[float, ...]
    half_misses: tuple[float, ...]
    law_misses: tuple[float, ...]
    half_holds: float
    law_holds: float


def of(table: Table, times: tuple[float, float]) -> Floor:
    """Of steps between these times, s; the halves are the judge's, those of `half_of` with the benchmark's seed."""
    rows = table.take(table["time"] > 0)
    unused = ~half_of(rows["cell"], np.random.default_rng(0))
    first, second = (np.flatnonzero(rows["time"] == time) for time in times)
    _, left, right = np.intersect1d(rows["cell"][first], rows["cell"][second], return_indices=True)
    step = rows["conductance"][second[right]] - rows["conductance"][first[left]]
    judged = unused[first[left]]
    rng, whole, allowed = np.random.default_rng(0), _statistics(step), np.array([most for _, most in BARS.values()])
    halves, laws = [], []
    for _ in range(_HALVINGS):
        order = rng.permutation(step.size)
        one, other = (_statistics(step[part]) for part in np.array_split(order, 2))
        halves.append(np.abs(one / other - 1) > allowed)
        laws.append(np.abs(whole / _statistics(rng.choice(step, step.size // 2)) - 1) > allowed)
    off = np.abs(_statistics(step[~judged]) / _statistics(step[judged]) - 1)
    missed = [np.array(of_all) for of_all in (halves, laws)]
    shares = [tuple(float(x) for x in one.mean(axis=0)) for one in missed]
    together = [float(np.mean(~one.any(axis=1))) for one in missed]
    return Floor(tuple(float(x) for x in off), shares[0], shares[1], together[0], together[1])


def _statistics(step: FloatArray) -> FloatArray:
    spread = float(np.subtract(*np.quantile(step, [0.75, 0.25])))
    return np.array([spread, float(stats.kurtosis(step)), float(np.quantile(np.abs(step), 0.999))])
