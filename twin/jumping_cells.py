"""How single cells move on while their marginal law widens: most stand still, a few jump.

A cell is displaced by D(z), with z standard normal at every time. From one moment to a slightly later one, each cell

1. jumps with a probability that does not depend on where it is: z becomes m z + sqrt(1 - m^2) N, N standard normal;
2. else keeps its displacement, as far as the later law has room for it: with probability min(1, f_after/f_before) of
   the densities at this place; the others take up what the later law has in excess, (f_after - f_before)+ (the
   maximal coupling of two laws; Thorisson, "Coupling, Stationarity, and Regeneration", Springer 2000, chapter 1).
   With a `reach`, z is cut into bands of this width, at random places for each cell, and the rule holds within each
   band for itself: so that a cell without room finds another place near by, as measured tails widen outwards;
3. then wanders by a small step, in S, accepted by Metropolis' rule (J. Chem. Phys. 21:1087, 1953).

Each of the three leaves z standard normal, so that marginals are exactly those of the law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
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
        reach: width of the bands of z within which cells find their places, (n,), 0: anywhere; None: all anywhere.
    """

    jumps: FloatArray
    wander: FloatArray
    memory: float
    reach: FloatArray | None = None

    def moved(self, z: FloatArray, before: FloatArray, after: FloatArray, rng: np.random.Generator) -> FloatArray:
        """z of all cells at the later moment, (n,), from `before` and `after`, the parameters (6, n) of D."""
        same, room = _same_place(z, before, after)
        band = None
        if self.reach is not None:
            band = _bands(z, self.reach, rng)
            room = np.where(_within(same, band), room, -np.inf)
        jumped = rng.random(z.size) < -np.expm1(-self.jumps)
        fresh = self.memory * z + np.sqrt(1.0 - self.memory**2) * rng.standard_normal(z.size)
        parted = np.flatnonzero(~jumped & (np.log(rng.random(z.size)) >= room))
        new = np.where(jumped, fresh, same)
        own = None if band is None else band[:, parted]
        new[parted] = _excess(before[:, parted], after[:, parted], own, rng)
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


def _bands(z: FloatArray, reach: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Ends of the band of each cell's z, (2, n): of width `reach` and at a random place; endless where that is 0."""
    width = np.where(reach > 0, reach, 1.0)
    offset = rng.random(z.size)
    low = (np.floor(z / width - offset) + offset) * width
    return np.stack([np.where(reach > 0, low, -np.inf), np.where(reach > 0, low + width, np.inf)])


def _within(z: FloatArray, band: FloatArray) -> BoolArray:
    return np.asarray((band[0] <= z) & (z < band[1]))


def _excess(before: FloatArray, after: FloatArray, band: FloatArray | None, rng: np.random.Generator) -> FloatArray:
    """z of cells with these parameters (6, n), from what the later law has in excess, (n,), by rejection.

    Each within its `band` (2, n) of z, in which both laws hold the same share of the cells.
    """
    found = np.full(before.shape[1], np.nan)
    waiting = np.arange(found.size)
    while waiting.size:
        whose = np.repeat(waiting, _PROPOSALS)
        if band is None:
            tried = rng.standard_normal((waiting.size, _PROPOSALS))
            room = log_room(tried.ravel(), after[:, whose], before[:, whose])
        else:
            tried = _normal_between(band[:, waiting], rng)
            back, room = _same_place(tried.ravel(), after[:, whose], before[:, whose])
            room = np.where(_within(back, band[:, whose]), room, -np.inf)
        excess = -np.expm1(np.minimum(room, 0.0))
        good = (rng.random(whose.size) < excess).reshape(tried.shape)
        some = good.any(axis=1)
        found[waiting[some]] = tried[some, good[some].argmax(axis=1)]
        waiting = waiting[~some]
    return found


def _normal_between(band: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Standard normal numbers within each band (2, n), (n, proposals); upper tails are drawn as lower ones."""
    from scipy.special import ndtr, ndtri  # as late as in `relaxation.tailed`

    side = np.where(band[0] > -band[1], -1.0, 1.0)
    low, high = ndtr(np.sort(side * band, axis=0))
    share = rng.random((side.size, _PROPOSALS))
    return np.asarray(side[:, np.newaxis] * ndtri(low[:, np.newaxis] + (high - low)[:, np.newaxis] * share))
