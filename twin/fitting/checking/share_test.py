"""Exact test of two shares, with more power than Fisher's where a share is near zero."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imssa_lab.contract.hal import FloatArray

_PLACES, _NEARBY, _AT_ONCE = 200, 100, 2_000_000


def share_chance(first: int, of_first: int, second: int, of_second: int) -> float:
    """Chance that two samples of cells with one share differ by as much as `first` and `second`, at the worst share.

    The unconditional test with the pooled z (Suissa and Shuster, J. R. Statist. Soc. A 148:317, 1985). Fisher's test
    fixes the sum of both counts; where few cells count at all, as stuck ones do, its steps are coarse.

    Args:
        first, second: cells that count, of `of_first` and `of_second`, 1.
    """
    pooled = (first + second) / (of_first + of_second)
    if pooled in (0.0, 1.0):
        return 1.0
    both = 1.0 / of_first + 1.0 / of_second
    z = (first / of_first - second / of_second) ** 2 / (pooled * (1.0 - pooled) * both)
    low, high = _as_far(z * (1.0 - 1e-9), of_first, of_second, both)
    everywhere = np.sin(0.5 * np.pi * np.linspace(0.0, 1.0, _PLACES + 2)[1:-1]) ** 2
    nearby = pooled * np.geomspace(0.2, 5.0, _NEARBY)
    shares = np.concatenate([everywhere, nearby[nearby < 1.0]])
    counts, worst = np.arange(of_first + 1), 0.0
    for some in np.array_split(shares[:, np.newaxis], -(-shares.size * counts.size // _AT_ONCE)):
        outside = stats.binom.cdf(low, of_second, some) + stats.binom.sf(high - 1, of_second, some)
        worst = max(worst, float(np.max(np.sum(stats.binom.pmf(counts, of_first, some) * outside, axis=1))))
    return min(worst, 1.0)


def _as_far(z: float, of_first: int, of_second: int, both: float) -> tuple[FloatArray, FloatArray]:
    """For each count of the first sample, the counts of the second that are as far: up to `low` and from `high` on.

    They are the integers outside the roots of (x/n - y/m)^2 = z p (1 - p) (1/n + 1/m), p = (x + y) / (n + m).
    """
    x, total = np.arange(of_first + 1) / of_first, of_first + of_second
    weight = z * both
    # in v = y / m, with p = f x + g v
    f, g = of_first / total, of_second / total
    square = 1.0 + weight * g**2
    linear = -2.0 * x - weight * g * (1.0 - 2.0 * f * x)
    constant = x**2 - weight * f * x * (1.0 - f * x)
    root = np.sqrt(np.maximum(linear**2 - 4.0 * square * constant, 0.0))
    low, high = (-linear - root) / (2.0 * square), (-linear + root) / (2.0 * square)
    found = np.floor(low * of_second + 1e-9), np.ceil(high * of_second - 1e-9)
    found[0][0], found[1][-1] = -1.0, of_second + 1.0  # none of both, and all of both, are no difference
    return found
