"""Fluctuators in time: many small random processes of which only those that change cost anything.

Each is refreshed at Poisson times, at its own rate, and then drawn anew from its own stationary law. With a Gaussian
law that is a process with Gaussian marginals and the autocorrelation exp(-rate |t|), one Lorentzian of a 1/f
spectrum; with two states, 1 with probability p, it is a telegraph signal with exponential dwell times of mean
1/(rate p) in state 0 and 1/(rate (1 - p)) in state 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract import jit
from imssa_lab.contract.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.fast import compiled_noise

IntArray = NDArray[np.intp]
_BLOCK = 256


@dataclass(frozen=True)
class Changes(FrozenArrays):
    """Refreshes in the order of time: `which` fluctuator, its level `before` and `after`, `at` which instant."""

    which: IntArray
    before: FloatArray
    after: FloatArray
    at: IntArray


class Fluctuators:
    """States of independent fluctuators at a device time that only moves forward.

    Times are those of a sequence of instants, and how these are grouped into calls changes no bit.

    Args:
        rates: refreshes per second, (f,).
        occupancy: probability of state 1 of a two-state fluctuator, NaN for a Gaussian one, (f,).
        rng: a stream that nothing else draws from.

    Attributes:
        occupancy: as given.
        level: zero mean: standard normal, or state minus occupancy, (f,).
    """

    def __init__(self, rates: FloatArray, occupancy: FloatArray, rng: np.random.Generator) -> None:
        self._rates, self.occupancy, self._rng = rates, occupancy, rng
        self._compiled = jit.AVAILABLE
        self._distinct, self._kinds = np.unique(rates, return_inverse=True)
        self._cumulative = np.cumsum(rates)
        self._total = float(self._cumulative[-1]) if rates.size else 0.0
        # Beyond this gap it is cheaper to ask every fluctuator whether it was refreshed.
        self._long_gap = 0.25 * rates.size / self._total if rates.size else np.inf
        self._now, self._next = 0.0, 0
        self.level: FloatArray = self._draw(np.arange(rates.size))
        self._plan(self._now)

    def advance(self, now: float) -> Changes:
        """Go to the time `now`, s: what changed; after a long gap each fluctuator once, in their own order."""
        gap = now - self._now
        if gap > self._long_gap:
            self._now = now
            return self._jump(gap)
        return self.follow(np.array([now]))

    def is_quick(self, times: FloatArray) -> bool:
        """Whether `follow` serves these instants: no gap is so long that `advance` would be the law."""
        return bool(np.diff(times, prepend=self._now).max() <= self._long_gap)

    def follow(self, times: FloatArray) -> Changes:
        """Go through the instants `times` (n,), s; which levels change, and at which of the instants."""
        until = float(times[-1])
        self._now = until
        if not self._total or self._times[self._next] > until:
            none = np.zeros(0)
            return Changes(none.astype(np.intp), none, none, none.astype(np.intp))
        parts: list[tuple[FloatArray, IntArray, FloatArray]] = []
        while True:
            end = int(self._times.searchsorted(until, side="right"))
            taken = slice(self._next, end)
            parts.append((self._times[taken], self._which[taken], self._values[taken]))
            self._next = end
            if end < _BLOCK:
                break
            self._plan(float(self._times[-1]))
        when, which, after = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return Changes(which, self._replace(which, after), after, times.searchsorted(when, side="left"))

    def _replace(self, which: IntArray, after: FloatArray) -> FloatArray:
        """Give levels their new values in this order; those before."""
        if self._compiled:
            before = np.empty(which.size)
            compiled_noise.replace(which, after, self.level, before)
            return before
        order = np.argsort(which, kind="stable")
        again = np.flatnonzero(which[order[1:]] == which[order[:-1]])
        before = self.level[which]
        before[order[again + 1]] = after[order[again]]
        last = np.ones(which.size, dtype=bool)
        last[order[again]] = False
        self.level[which[last]] = after[last]
        return before

    def _jump(self, gap: float) -> Changes:
        chances = -np.expm1(-gap * self._distinct)
        which = np.flatnonzero(self._rng.random(self._rates.size) < chances[self._kinds])
        before, after = self.level[which], self._draw(which)
        self.level[which] = after
        self._plan(self._now)
        return Changes(which, before, after, np.zeros_like(which))

    def _plan(self, start: float) -> None:
        """Draw the next refreshes after `start`; those planned before may be forgotten: a Poisson process does."""
        if not self._total:
            return
        gaps = self._rng.standard_exponential(_BLOCK) / self._total
        gaps[0] += start
        self._times = np.add.accumulate(gaps)
        lot = self._rng.random(_BLOCK) * self._total
        self._which = np.minimum(self._cumulative.searchsorted(lot, side="right"), self._rates.size - 1)
        self._values = self._draw(self._which)
        self._next = 0

    def _draw(self, which: IntArray) -> FloatArray:
        occupancy = self.occupancy[which]
        gaussian = np.isnan(occupancy)
        levels = self._rng.standard_normal(which.size)
        if not gaussian.all():
            states = self._rng.random(which.size) < occupancy
            levels = np.where(gaussian, levels, states - occupancy)
        return levels
