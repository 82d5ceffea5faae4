"""Goodness of fit on cells that took no part in it: their probabilities under the law must be uniform."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Group

FEWEST = 20
"""Cells of a group that is judged on its own."""


def judge(label: str, time: float | None, probability: FloatArray) -> Group:
    """Kolmogorov-Smirnov, Anderson-Darling and coverage of probabilities (n,) that should be uniform."""
    ks = stats.kstest(probability, "uniform")
    anderson = anderson_darling(probability)
    inside = float(np.mean((probability > 0.05) & (probability < 0.95)))
    return Group(
        label,
        time,
        probability.size,
        float(ks.statistic),
        float(ks.pvalue),
        anderson,
        anderson_p(anderson),
        inside,
    )


def anderson_darling(probability: FloatArray) -> float:
    """A^2 of probabilities (n,) against the uniform law; nothing of that law was fitted to them."""
    u = np.clip(np.sort(probability), 1e-12, 1 - 1e-12)
    odd = 2 * np.arange(1, u.size + 1) - 1
    return float(-u.size - np.mean(odd * (np.log(u) + np.log1p(-u[::-1]))))


def anderson_p(statistic: float) -> float:
    """Chance of a larger A^2 under a fully known law (Marsaglia and Marsaglia, J. Stat. Softw. 9(2), 2004)."""
    z = statistic
    if z <= 0:
        return 1.0
    if z < 2:
        poly = np.polyval([0.00168691, -0.011672, 0.0347962, -0.0649821, 0.247105, 2.00012], z)
        return float(1 - np.exp(-1.2337141 / z) / np.sqrt(z) * poly)
    poly = np.polyval([-0.0003146, 0.008056, -0.082433, 0.43424, -2.30695, 1.0776], z)
    return float(-np.expm1(-np.exp(poly)))


def banded(level: FloatArray, bands: int) -> FloatArray:
    """Number of the band (0 ... bands - 1) of each level (n,), cut into equal ranges of the levels' own values."""
    distinct = np.unique(level)
    index = np.searchsorted(distinct, level)
    return np.asarray(index * bands // distinct.size, dtype=np.float64)
