"""Test vectors that need no random generator, so that a replayed session asks for exactly the same."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import FloatArray


def probe_voltages(count: int, rows: int, limit: float) -> FloatArray:
    """`count` vectors of word-line voltages, evenly spread over [-limit, limit] V, (count, rows).

    Each word line takes an additive recurrence k sqrt(p) mod 1 with a prime p of its own (Niederreiter, Random
    Number Generation and Quasi-Monte Carlo Methods, SIAM 1992, section 3.1), so that word lines are uncorrelated.
    """
    steps = np.sqrt(_primes(rows))
    k = np.arange(1, count + 1)[:, None]
    return np.asarray(limit * (2.0 * np.mod(k * steps, 1.0) - 1.0))


def _primes(count: int) -> FloatArray:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return np.array(primes, dtype=np.float64)
