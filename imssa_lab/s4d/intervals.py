"""Confidence intervals of scores, from how many independent recordings a test set is made of."""

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
    numbers, independent = _numbered(hits, units)
    count, share = len(hits), float(hits.mean())
    trials = float(independent)
    if 0.0 < share < 1.0 and independent > 1:
        together = _variance(hits - share, numbers, independent) * independent / (independent - 1)
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


def ratio_interval(squared: ArrayLike, values: ArrayLike, units: ArrayLike | None = None) -> tuple[float, Interval]:
    """Mean squared error over variance, averaged over outputs, and its 95 % interval on new recordings of the kind.

    On a logarithmic scale, because a ratio of squares is skewed, by the t distribution of the units. Its variance is
    that of the jackknife, which leaves out one unit at a time (Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans, 1982, chapter 3). Where sequences are made of k units, it is that of the linearised ratio, with
    the products of all residuals of sequences that share a unit, as in `accuracy_interval`, and counts as many as
    there can be without a common unit. Simulated: errors that are log-normally larger on some units (sd of the
    logarithm 0.3) leave the truth inside 94 % of the intervals of single units, and 92 to 93 % of those of pairs.

    Args:
        squared, values: (n, outputs), squared errors, and the values that were wanted.
        units: as for `accuracy_interval`; of a single one nothing is known: the interval is from zero to infinity.

    Raises:
        ConfigError: nothing was counted, not as many units as sequences, or a value that is the same in all of them.
    """
    from scipy.special import stdtrit

    errors, wanted = (np.asarray(each, dtype=np.float64) for each in (squared, values))
    numbers, independent = _numbered(errors[:, 0], units)
    count = len(errors)
    apart = wanted - wanted.mean(axis=0)
    variance = (apart**2).mean(axis=0)
    check_varied(wanted)
    share = errors.mean(axis=0) / variance
    ratio = float(share.mean())
    if ratio == 0.0 and independent > 1:
        return ratio, Interval(0.0, 0.0, independent)
    spread, freedom = np.inf, independent - 1.0
    if independent > 1 and numbers.shape[1] == 1:
        spread = _left_out(errors, apart, numbers[:, 0], independent)
    elif independent > 1:
        moves = ((errors - share * apart**2) / variance).mean(axis=1)
        apiece = max(2.0, independent / numbers.shape[1])
        together = _variance(moves, numbers, independent) * apiece / (apiece - 1)
        spread = float(np.sqrt(max(together, float(moves @ moves) / count**2))) / ratio
        freedom = apiece - 1
    wide = float(stdtrit(freedom, (1.0 + _LEVEL) / 2)) * spread if np.isfinite(spread) else np.inf
    return ratio, Interval(float(ratio * np.exp(-wide)), float(ratio * np.exp(wide)), independent)


def check_varied(values: NDArray[np.float64]) -> None:
    """ConfigError where one of values (n, outputs) is the same in all sequences."""
    if (constant := np.flatnonzero(np.ptp(values, axis=0) == 0)).size:
        raise ConfigError(
            f"values {constant.tolist()} are the same in all {len(values)} sequences: there is no variance to "
            "explain; give more sequences, or leave these values out"
        )


def _left_out(
    errors: NDArray[np.float64], apart: NDArray[np.float64], numbers: NDArray[np.intp], independent: int
) -> float:
    """Standard error of the log ratio by the jackknife; infinite where a ratio without one unit is not defined."""
    parts = [np.zeros((independent, errors.shape[1])) for _ in range(3)]
    for part, values in zip(parts, (errors, apart, apart**2), strict=True):
        np.add.at(part, numbers, values)
    counts = np.bincount(numbers, minlength=independent)[:, None].astype(np.float64)
    error, first, second = (part.sum(axis=0) - part for part in parts)
    rest = second - first**2 / np.maximum(counts.sum() - counts, 1.0)
    if not (rest > 0).all() or not (error.sum(axis=1) > 0).all():
        return float("inf")
    logs = np.log((error / rest).mean(axis=1))
    return float(np.sqrt((independent - 1) / independent * ((logs - logs.mean()) ** 2).sum()))


def _numbered(outcomes: NDArray[np.float64], units: ArrayLike | None) -> tuple[NDArray[np.intp], int]:
    """Numbers (n, k) of the units of n outcomes, from zero, and how many units there are."""
    count = len(outcomes)
    if outcomes.ndim != 1 or not count:
        raise ConfigError(f"interval: {outcomes.shape} outcomes; give one for each of one sequence or more")
    names = np.arange(count) if units is None else np.asarray(units)
    if len(names) != count:
        raise ConfigError(f"interval: {count} outcomes, units of {len(names)} sequences; give as many")
    which, numbers = np.unique(names, return_inverse=True)
    return numbers.reshape(count, -1), len(which)


def _variance(residual: NDArray[np.float64], numbers: NDArray[np.intp], independent: int) -> float:
    """Variance of the mean of residuals (n,), of which those that share a number in (n, k) are correlated."""
    from scipy.sparse import coo_array

    count, each = numbers.shape
    at = (np.repeat(np.arange(count), each), numbers.ravel())
    member = coo_array((np.ones(count * each), at), shape=(count, independent)).tocsr()
    shared = member @ member.T
    shared.data[:] = 1.0  # two that share both recordings count once
    return float(residual @ (shared @ residual)) / float(count * count)
