"""Confidence intervals of an accuracy, from how many independent recordings a test set is made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import ConfigError

_LEVEL = 0.95
_NORMAL = 1.959964


class Interval(NamedTuple):
    """A 95 % confidence interval of an accuracy: its ends, fractions, and how many independent units it rests on."""

    low: float
    high: float
    units: int


def accuracy_interval(right: ArrayLike, units: ArrayLike | None = None) -> Interval:
    """95 % interval of the accuracy on new recordings of the same kind.

    Sequences that share a recording are right or wrong together, so a thousand pairs drawn from sixty clips say less
    than a thousand clips. The variance of the mean counts the products of all residuals of sequences that share a
    unit (Fafchamps and Gubert, J. Dev. Econ. 83:326, 2007, for pairs; the usual cluster variance for one unit each);
    the effective number of trials that follows, brought down by the t distribution of the units, enters the exact
    binomial interval (Korn and Graubard, Surv. Methodol. 24:193, 1998). Where all are right, or all wrong, the
    variance is not known, and the units count as the trials.

    Args:
        right: (n,), whether each test sequence was classified rightly.
        units: (n, k) or (n,), numbers of the independent recordings that each sequence is made of; None: each
            sequence is a recording of its own.

    Raises:
        ConfigError: nothing was counted, or not as many units as sequences.
    """
    from scipy.special import betaincinv, stdtrit

    hits = np.asarray(right, dtype=np.float64)
    count = len(hits)
    if hits.ndim != 1 or not count:
        raise ConfigError(f"accuracy_interval: {hits.shape} outcomes; give one for each of one sequence or more")
    names = np.arange(count) if units is None else np.asarray(units)
    if len(names) != count:
        raise ConfigError(f"accuracy_interval: {count} outcomes, units of {len(names)} sequences; give as many")
    which, numbers = np.unique(names, return_inverse=True)
    independent = len(which)
    share = float(hits.mean())
    trials = float(independent)
    if 0.0 < share < 1.0 and independent > 1:
        together = _variance(hits - share, numbers.reshape(count, -1), independent) * independent / (independent - 1)
        alone = share * (1.0 - share) / count
        trials = share * (1.0 - share) / max(together, alone)
    if independent > 1:
        trials *= (_NORMAL / float(stdtrit(independent - 1, (1.0 + _LEVEL) / 2))) ** 2
    trials = max(trials, 1.0)
    found = share * trials
    tail = (1.0 - _LEVEL) / 2
    low = 0.0 if share == 0.0 else float(betaincinv(found, trials - found + 1, tail))
    high = 1.0 if share == 1.0 else float(betaincinv(found + 1, trials - found, 1.0 - tail))
    return Interval(low, high, independent)


def _variance(residual: NDArray[np.float64], numbers: NDArray[np.intp], independent: int) -> float:
    """Variance of the mean of residuals (n,), of which those that share a number in (n, k) are correlated."""
    from scipy.sparse import coo_array

    count, each = numbers.shape
    at = (np.repeat(np.arange(count), each), numbers.ravel())
    member = coo_array((np.ones(count * each), at), shape=(count, independent)).tocsr()
    shared = member @ member.T
    shared.data[:] = 1.0  # two that share both recordings count once
    return float(residual @ (shared @ residual)) / float(count * count)
