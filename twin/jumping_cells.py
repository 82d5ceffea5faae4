"""How single cells move on while their marginal law widens: most stand still, a few jump.

A cell is displaced by D(z), with z standard normal at every time. From one moment to a slightly later one, each cell

1. jumps with a probability that does not depend on where it is: z becomes m z + sqrt(1 - m^2) N, N standard normal;
2. else keeps its displacement, as far as the later law has room for it: with probability min(1, f_after/f_before) of
   the densities at this place; the others take up what the later law has in excess, (f_after - f_before)+ (the
   maximal coupling of two laws; Thorisson, "Coupling, Stationarity, and Regeneration", Springer 2000, chapter 1);
3. then wanders by a small step, in S, accepted by Metropolis' rule (J. Chem. Phys. 21:1087, 1953).

Each of the three leaves z standard normal, so that marginals are exactly those of the law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.relaxation import normal_scores, placed

STRIDE = 0.5
"""Log-time between looks of a cell at its law, at fixed moments: so two waits in a row are as one of their sum."""

_FURTHEST = 8.5
_PROPOSALS = 32


@dataclass(frozen=True)
class Stride(FrozenArrays):
    """What happens to cells between two moments.

    Attributes:
        jumps: mean number of jumps of each cell, (n,). wander: S, sd of its small steps, (n,).
        memory: correlation of z across a jump.
    """

    jumps: FloatArray
    wander: FloatArray
    memory: float

    def moved(self, z: FloatArray, before: FloatArray, after: FloatArray, rng: np.random.Generator) -> FloatArray:
        """z of all cells at the later moment, (n,), from `before` and `after`, the parameters (6, n) of D."""
        same, room = _same_place(z, before, after)
        jumped = rng.random(z.size) < -np.expm1(-self.jumps)
        fresh = self.memory * z + np.sqrt(1.0 - self.memory**2) * rng.standard_normal(z.size)
        parted = np.flatnonzero(~jumped & (np.log(rng.random(z.size)) >= room))
        new = np.where(jumped, fresh, same)
        new[parted] = _excess(before[:, parted], after[:, parted], rng)
        here, density = _at(new, after)
        tried = normal_scores(here + self.wander * rng.standard_normal(z.size), after, new)
        _, there = _at(tried, after)
        taken = (np.log(rng.random(z.size)) < there - density) & (np.abs(tried) < _FURTHEST)
        return np.where(taken, tried, new)


def _at(z: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """D(z) in S, and ln of its density there but for a constant; both (n,)."""
    place, slope = placed(z, p)
    return place, -0.5 * z * z - np.log(slope)


def log_room(z: FloatArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """ln(f_after/f_before) at D(z) of the law before, (n,): what share of the cells there can stay, if below zero."""
    return _same_place(z, before, after)[1]


def _same_place(z: FloatArray, before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The score in the law after of D(z) of the law before, and `log_room` there; both (n,)."""
    place, density = _at(z, before)
    same = normal_scores(place, after, z)
    return same, np.asarray(_at(same, after)[1] - density)


def _excess(before: FloatArray, after: FloatArray, rng: np.random.Generator) -> FloatArray:
    """z of cells with these parameters (6, n), from what the later law has in excess, (n,), by rejection."""
    found = np.full(before.shape[1], np.nan)
    waiting = np.arange(found.size)
    while waiting.size:
        tried = rng.standard_normal((waiting.size, _PROPOSALS))
        whose = np.repeat(waiting, _PROPOSALS)
        excess = -np.expm1(np.minimum(log_room(tried.ravel(), after[:, whose], before[:, whose]), 0.0))
        good = (rng.random(whose.size) < excess).reshape(tried.shape)
        some = good.any(axis=1)
        found[waiting[some]] = tried[some, good[some].argmax(axis=1)]
        waiting = waiting[~some]
    return found
