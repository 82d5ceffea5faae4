"""The state of a write-verify loop: the position of every cell on its two ladders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind, Pulses
from protocols.programmers.bias_removal import Aim
from protocols.programmers.ladder import Ladder

_PROGRESS = 0.75
"""Share of the smallest error so far below which a cell counts as having come closer."""


@dataclass(frozen=True)
class Rules:
    """How cells climb.

    Attributes:
        inner, outer: S, a cell is let go within inner and taken up again beyond outer.
        retries: pulses at the top before a cell is given up; budget: pulses a cell may get, None for any number.
        step_back: rungs below the last one from which a cell that comes back climbs again; None: from the start.
        centre: aim so that letting cells go leaves no bias.
        patience: pulses without progress after which a cell is given up, None for any number; progress is to be read
            a quarter closer to the target than ever before.
        returns: times that a cell may come back to a list after it was let go, None for any number.
    """

    inner: float
    outer: float
    retries: int
    budget: int | None
    step_back: int | None
    centre: bool
    patience: int | None = None
    returns: int | None = None


class Climb:
    """Lists, rungs and pulses of all cells, (rows, cols).

    Args:
        ladders: of SET and RESET.
        begin: gate voltage from which each cell's SET ladder starts, V; None for the bottom.
    """

    def __init__(
        self, rules: Rules, ladders: tuple[Ladder, Ladder], mask: BoolArray, begin: FloatArray | None = None
    ) -> None:
        self._rules, self._mask = rules, mask
        self._ladders = {ladder.kind: ladder for ladder in ladders}
        self._idle = {kind: np.full(mask.shape, -1, dtype=np.intp) for kind in self._ladders}
        if begin is not None:
            self._idle[PulseKind.SET] = self._ladders[PulseKind.SET].first_at(begin) - 1
        self._rung = {kind: idle.copy() for kind, idle in self._idle.items()}
        self._aim = {kind: Aim() for kind in self._ladders}
        self._before = np.full(mask.shape, np.nan)
        self._last: dict[PulseKind, BoolArray] = {kind: np.zeros_like(mask) for kind in self._ladders}
        self._retries = np.zeros(mask.shape, dtype=np.int32)
        self._best, self._idle_pulses = np.full(mask.shape, np.inf), np.zeros(mask.shape, dtype=np.int32)
        self._returns = np.zeros(mask.shape, dtype=np.int32)
        self.to_set, self.to_reset = mask.copy(), mask.copy()
        self.given_up = np.zeros_like(mask)
        self.pulses = np.zeros(mask.shape, dtype=np.int32)

    @property
    def spent(self) -> BoolArray:
        """Cells whose pulse budget is used up."""
        return np.zeros_like(self._mask) if self._rules.budget is None else self.pulses >= self._rules.budget

    @property
    def open(self) -> BoolArray:
        """Cells that are still verified: all but those given up."""
        return self._mask & ~self.given_up

    @property
    def listed(self) -> BoolArray:
        """Cells that need a pulse at this step."""
        return (self.to_set | self.to_reset) & ~self.given_up

    def limit(self) -> FloatArray:
        """Half width of the window that each cell is judged by now, S."""
        return np.where(self.to_set | self.to_reset, self._rules.inner, self._rules.outer)

    def verify(self, error: FloatArray, doubt: FloatArray | float, looked: BoolArray | None = None) -> None:
        """Renew both lists from measured - target (S), accepting in a window narrower by `doubt` (S).

        Args:
            looked: cells that were read, None for all that are open; the others stay as they are.
        """
        rules, renew = self._rules, self.open if looked is None else self.open & looked
        inner = rules.inner - np.minimum(doubt, rules.inner / 2)
        if rules.centre:
            self._learn(error)
        # a window that was made narrower by doubt is not shifted past its middle
        from_below = np.maximum(inner - self._aim[PulseKind.SET].shift, 0.0)
        from_above = np.maximum(inner - self._aim[PulseKind.RESET].shift, 0.0)
        before = self.to_set, self.to_reset
        self.to_set = renew & ((error < -rules.outer) | (before[0] & (error < -from_below))) | before[0] & ~renew
        self.to_reset = renew & ((error > rules.outer) | (before[1] & (error > from_above))) | before[1] & ~renew
        self._leave(PulseKind.SET, before[0] & ~self.to_set)
        self._leave(PulseKind.RESET, before[1] & ~self.to_reset)
        self._retries.put(np.flatnonzero((before[0] | before[1]) & ~self.to_set & ~self.to_reset), 0)
        self._before = error
        self._count(error, before, renew)

    def _count(self, error: FloatArray, before: tuple[BoolArray, BoolArray], renew: BoolArray) -> None:
        """Progress of the cells that were read, and how often they came back to a list."""
        rules, off = self._rules, np.abs(error)
        if rules.patience is not None:
            closer = renew & (off < _PROGRESS * self._best)
            self._best = np.where(closer, off, self._best)
            self._idle_pulses.put(np.flatnonzero(closer), 0)
        if rules.returns is not None:
            back = (self.to_set | self.to_reset) & ~(before[0] | before[1])
            self._returns += back
            self.given_up |= back & (self._returns > rules.returns)

    def _learn(self, error: FloatArray) -> None:
        for kind, sign in ((PulseKind.SET, 1.0), (PulseKind.RESET, -1.0)):
            edge = -self._rules.inner + self._aim[kind].shift
            crossed = self._last[kind] & (sign * self._before < edge) & (sign * error >= edge)
            self._aim[kind].learn(sign * error[crossed] - edge, self._rules.inner)

    def _leave(self, kind: PulseKind, leaving: BoolArray) -> None:
        cells = np.flatnonzero(leaving)
        rung, idle = self._rung[kind].take(cells), self._idle[kind].take(cells)
        if self._rules.step_back is not None:
            idle = np.where(rung > idle, np.maximum(rung - self._rules.step_back, 0) - 1, idle)
            self._idle[kind].put(cells, idle)
        self._rung[kind].put(cells, idle)

    def next_pulses(self) -> list[Pulses]:
        """One rung up for every listed cell; the batches to send, SET first."""
        batches = []
        for kind, wanted in ((PulseKind.SET, self.to_set), (PulseKind.RESET, self.to_reset)):
            ladder, rung = self._ladders[kind], self._rung[kind]
            chosen = wanted & ~self.given_up & ~self.spent
            climbing = np.flatnonzero(chosen)
            at_top = climbing[rung.take(climbing) == ladder.top]
            retries = self._retries.take(at_top) + 1
            self._retries.put(at_top, retries)
            given_up = at_top[retries > self._rules.retries]
            self.given_up.put(given_up, True)
            chosen.put(given_up, False)
            if self._rules.patience is not None:
                self.given_up |= chosen & (self._idle_pulses >= self._rules.patience)
                chosen &= ~self.given_up
                self._idle_pulses += chosen
            climbing = np.flatnonzero(chosen)
            rung.put(climbing, np.minimum(rung.take(climbing) + 1, ladder.top))
            self.pulses.put(climbing, self.pulses.take(climbing) + 1)
            self._last[kind] = chosen
            if climbing.size:
                batches.append(ladder.pulses(chosen, rung))
        return batches
