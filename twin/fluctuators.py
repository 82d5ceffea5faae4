"""Fluctuators in time: many small random processes of which only those that change cost anything.

Each is refreshed at Poisson times, at its own rate, and then drawn again from its own stationary law. With a Gaussian
law that is a process with Gaussian marginals and the autocorrelation exp(-rate |t|), one Lorentzian of a 1/f
spectrum; with two states, 1 with probability p, it is a telegraph signal with exponential dwell times of mean
1/(rate p) in state 0 and 1/(rate (1 - p)) in state 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract import jit
from imssa_lab.contract.hal import FloatArray
from twin.fast import compiled_noise

IntArray = NDArray[np.intp]
_BLOCK = 2048
_PARTS = 1024
"""Of the sum of all rates, for the compiled plan."""


class Changes(NamedTuple):
    """Refreshes in the order of time: `which` fluctuator, its level `before` and `after`, `at` which instant."""

    which: IntArray
    before: FloatArray
    after: FloatArray
    at: IntArray


class Refreshes(NamedTuple):
    """Refreshes to come, in the order of time.

    Attributes:
        when: s; which: fluctuator; value: its level from then on; all (refreshes,).
    """

    when: FloatArray
    which: IntArray
    value: FloatArray


class Fluctuators:
    """States of independent fluctuators at a device time that only moves forward.

    Times are those of a sequence of instants, and how these are grouped into calls changes no bit.

    Args:
        rates: refreshes per second, (f,).
        occupancy: probability of state 1 of a two-state fluctuator, NaN for a Gaussian one, (f,).
        rng: a stream that nothing else draws from.

    Attributes:
        occupancy: as given.
        level: zero mean: standard normal, or state minus occupancy, (f,); first drawn when it is first asked for.
        now: device time, s. planned, next: refreshes to come, from this one on.
        long_gap: s; beyond it `advance` asks every fluctuator.
    """

    KEPT = ("level", "now", "next", "planned", "_since", "_rng")
    DEVICES = ("_rates",)

    def __init__(self, rates: FloatArray, occupancy: FloatArray, rng: np.random.Generator) -> None:
        self._rates, self.occupancy, self._stream = rates, occupancy, rng
        self._compiled = jit.AVAILABLE
        two_states = np.flatnonzero(~np.isnan(occupancy))
        self._gaussian = int(two_states[0]) if two_states.size else occupancy.size
        self._distinct, self._kinds, counts = np.unique(rates, return_inverse=True, return_counts=True)
        self._members = np.argsort(self._kinds, kind="stable")  # of one rate after those of the other
        self._begins = np.concatenate([[0], np.cumsum(counts)])
        self._up_to = np.cumsum(counts * self._distinct)
        self._total = float(self._up_to[-1]) if rates.size else 0.0
        self._begins_in = self._up_to.searchsorted(self._total / _PARTS * np.arange(_PARTS), side="right")
        # Beyond this gap it is cheaper to ask every fluctuator whether it was refreshed.
        self.long_gap = 0.25 * rates.size / self._total if self._total else np.inf
        self.now, self.next = 0.0, 0
        self._forget()

    @cached_property
    def level(self) -> FloatArray:
        """See above. A session that reads nothing needs none, nor the compiled loop that draws it."""
        return self._draw(np.arange(self._rates.size), self._stream)

    @cached_property
    def _rng(self) -> np.random.Generator:
        """The stream behind the first levels, which come first in it."""
        _ = self.level
        return self._stream

    def advance(self, now: float) -> Changes:
        """Go to the time `now`, s: what changed; after a long gap each fluctuator once, in their own order."""
        gap = now - self.now
        if gap > self.long_gap:
            self.now = now
            return self._jump(gap)
        return self.follow(np.array([now]))

    def is_quick(self, times: FloatArray) -> bool:
        """Whether `follow` serves these instants: no gap is so long that `advance` would be the law."""
        return bool(np.diff(times, prepend=self.now).max() <= self.long_gap)

    def follow(self, times: FloatArray) -> Changes:
        """Go through the instants `times` (n,), s; which levels change, and at which of the instants."""
        until = float(times[-1])
        self.plan_until(until)
        self.now = until
        end = int(self.planned.when.searchsorted(until, side="right"))
        taken = slice(self.next, end)
        when, which, after = self.planned.when[taken], self.planned.which[taken], self.planned.value[taken]
        self.next = end
        return Changes(which, self._replace(which, after), after, times.searchsorted(when, side="left"))

    def plan_until(self, until: float) -> None:
        """Have all refreshes up to `until` (s) in `planned`, from `next` on, and one after it."""
        while self._total and (not self.planned.when.size or self.planned.when[-1] <= until):
            self._plan(float(self.planned.when[-1]) if self.planned.when.size else self._since)

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
        if self._compiled:
            which = np.empty(self._rates.size + 1, dtype=np.intp)
            which = which[: compiled_noise.jump(self._rng, self._kinds, chances, which)]
        else:
            which = np.flatnonzero(self._rng.random(self._rates.size) < chances[self._kinds])
        before, after = self.level[which], self._draw(which, self._rng)
        self.level[which] = after
        self._forget()
        return Changes(which, before, after, np.zeros_like(which))

    def _forget(self) -> None:
        """Plan from now on when it is needed: a Poisson process may do that."""
        self.planned = Refreshes(np.zeros(0), np.zeros(0, dtype=np.intp), np.zeros(0))
        self.next, self._since = 0, self.now

    def _plan(self, start: float) -> None:
        """Add the next refreshes after `start` to those that are still to come."""
        fresh = self._planned_compiled(start) if self._compiled else self._planned(start)
        left_over = (part[self.next :] for part in self.planned)
        self.planned = Refreshes(*(np.concatenate(pair) for pair in zip(left_over, fresh, strict=True)))
        self.next = 0

    def _planned(self, start: float) -> Refreshes:
        """The next refreshes.

        A rate is chosen first and then one of its fluctuators: few rates are found much faster than many fluctuators.
        """
        gaps = self._rng.standard_exponential(_BLOCK) / self._total
        gaps[0] += start
        lot = self._rng.random(_BLOCK) * self._total
        kind = np.minimum(self._up_to.searchsorted(lot, side="right"), self._distinct.size - 1)
        left = self._up_to[kind] - lot
        last = self._begins[kind + 1] - 1
        which = self._members[np.maximum(last - (left / self._distinct[kind]).astype(np.intp), self._begins[kind])]
        return Refreshes(np.add.accumulate(gaps), which, self._draw(which, self._rng))

    def _planned_compiled(self, start: float) -> Refreshes:
        made = Refreshes(np.empty(_BLOCK), np.empty(_BLOCK, dtype=np.intp), np.empty(_BLOCK))
        rates = (self._distinct, self._up_to, self._begins_in)
        kinds = rates, self._members, self._begins
        compiled_noise.plan(self._rng, start, *kinds, self.occupancy, self._gaussian, *made)
        return made

    def _draw(self, which: IntArray, stream: np.random.Generator) -> FloatArray:
        if self._compiled:
            levels = np.empty(which.size)
            compiled_noise.draw_levels(stream, which, self.occupancy, self._gaussian, levels)
            return levels
        occupancy = self.occupancy[which]
        gaussian = np.isnan(occupancy)
        levels = stream.standard_normal(which.size)
        if not gaussian.all():
            states = stream.random(which.size) < occupancy
            levels = np.where(gaussian, levels, states - occupancy)
        return levels
