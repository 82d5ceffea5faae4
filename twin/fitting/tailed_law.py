"""Maximum likelihood for the quantile law `twin.relaxation.tailed`, its parameters piecewise linear in level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.relaxation import EDGE, divisible, normal_scores, tail_terms

NAMES = ("shift", "core", "down", "down_share", "up", "up_share")
GAUSSIAN, TAILED = 2, 6
"""How many of the parameters each model has."""

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_ROUGHNESS = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
"""Prior against kinks in level; weak beside a hundred cells a knot, decisive where a knot has almost none."""

_STEPS, _GAIN = 80, 1e-3
"""The optimum is reached when a step gains less than this in ln likelihood, which is nothing beside chance."""

_SCALE_RANGE, _SHARE_RANGE = (0.01, 100.0), (1e-3, 2.0)
"""Bounds of scales, in units of the spread of the data, and of shares."""


class Slopes(NamedTuple):
    """D(z), its first two derivatives by z, and the derivatives of D and dD/dz by each parameter, (6, n)."""

    value: FloatArray
    by_z: FloatArray
    by_zz: FloatArray
    by_p: FloatArray
    by_zp: FloatArray


def slopes(z: FloatArray, p: FloatArray) -> Slopes:
    """All that the likelihood needs of the law at normal scores z (n,) for parameters p (6, n)."""
    shift, core, down, down_share, up, up_share = p
    h, g, left, right, s, r = tail_terms(z, down_share, up_share)
    s_z, h_z = -EDGE * s * (1 - s) * h, -h * (z + h)
    r_z, g_z = EDGE * r * (1 - r) * g, g * (g - z)
    one = np.ones_like(z)
    by_p = [one, z, -left, -down * s / down_share, right, up * r / up_share]
    by_zp = [
        np.zeros_like(z),
        one,
        s * h,
        down * EDGE * s * (1 - s) / down_share * h,
        r * g,
        up * EDGE * r * (1 - r) / up_share * g,
    ]
    return Slopes(
        shift + core * z - down * left + up * right,
        core + down * s * h + up * r * g,
        down * (s_z * h + s * h_z) + up * (r_z * g + r * g_z),
        np.stack(by_p),
        np.stack(by_zp),
    )


def log_density(displaced: FloatArray, p: FloatArray) -> FloatArray:
    """ln of the density of `displaced` (n,), per unit of it, for parameters p (6, n)."""
    z = normal_scores(displaced, p)
    return np.asarray(-0.5 * z**2 - _HALF_LOG_2PI - np.log(slopes(z, p).by_z))


@dataclass(frozen=True)
class LevelLaw(FrozenArrays):
    """The law of one time, as fitted.

    Attributes:
        knots: S, levels at which parameters are given, rising.
        table: (6, knots), parameters in SI units in the order of `NAMES`; a Gaussian has tails of zero.
        low, high: (6, knots), ends of the 90 % bootstrap interval of each.
        free: how many of the six parameters were fitted.
        converged: whether the optimiser said so.
    """

    knots: FloatArray
    table: FloatArray
    low: FloatArray
    high: FloatArray
    error: FloatArray
    free: int
    converged: bool

    def parameters(self, level: FloatArray) -> FloatArray:
        """(6, n) for levels (n,) in S."""
        return np.stack([np.interp(level, self.knots, row) for row in self.table])

    def probability(self, level: FloatArray, displaced: FloatArray) -> FloatArray:
        """Where in its own law each displacement lies, between 0 and 1: uniform if the law is right."""
        return np.asarray(ndtr(self.scores(level, displaced)))

    def scores(self, level: FloatArray, displaced: FloatArray) -> FloatArray:
        """The normal score of each displacement."""
        return normal_scores(displaced, divisible(self.parameters(level)))

    def log_likelihood(self, level: FloatArray, displaced: FloatArray) -> float:
        """Mean ln density of the displacements, per S."""
        return float(np.mean(log_density(displaced, divisible(self.parameters(level)))))


def knots_for(level: FloatArray, cells_per_knot: int = 120, most: int = 14) -> FloatArray:
    """Knots for levels (n,) in S: the levels themselves where they are few, else denser towards zero."""
    distinct = np.unique(level)
    count = int(np.clip(level.size // cells_per_knot, 1, most))
    if distinct.size <= count:
        return np.asarray(distinct)
    if count == 1:
        return np.array([np.median(level)])
    low, high = np.quantile(level, [0.002, 0.998])
    return np.asarray(np.linspace(np.sqrt(low), np.sqrt(high), count) ** 2)


def fit_levels(
    level: FloatArray,
    displaced: FloatArray,
    knots: FloatArray,
    rng: np.random.Generator,
    *,
    free: int = TAILED,
    replicates: int = 200,
) -> LevelLaw:
    """Fit the law to displacements (n,) of cells at levels (n,), S; one displacement a cell.

    Penalised maximum likelihood; the intervals are those of a one-step bootstrap over cells: each replicate weighs
    the cells again (exponential weights) and takes one Newton step from the optimum.

    Raises:
        DataError: the displacements do not spread, so there is nothing to fit.
    """
    unit = 0.5 * float(np.diff(np.quantile(displaced, [0.1587, 0.8413]))[0]) or float(np.std(displaced))
    if not unit > 0:
        raise DataError(f"all {displaced.size} values are the same; a spread cannot be fitted to them")
    problem = _Problem(hats(level, knots), displaced / unit, free)
    best, converged = problem.solve()
    draws = problem.bootstrap(best, replicates, rng)
    scale = np.array([unit, unit, unit, 1.0, unit, 1.0])[:, np.newaxis]
    tables = np.stack([problem.table(x) for x in draws]) * scale
    table = problem.table(best) * scale
    low, high = np.quantile(tables, [0.05, 0.95], axis=0)
    return LevelLaw(knots, table, low, high, tables.std(axis=0), free, converged)


def hats(level: FloatArray, knots: FloatArray) -> FloatArray:
    """Weights of linear interpolation, (n, knots); constant outside the knots."""
    return np.stack([np.interp(level, knots, row) for row in np.eye(knots.size)], axis=1)


class _Problem:
    """Minus the penalised log-likelihood in shift and ln of the other parameters, flattened from (free, knots)."""

    def __init__(self, weights: FloatArray, displaced: FloatArray, free: int) -> None:
        self._weights, self._y, self._free = weights, displaced, free
        self._z: FloatArray | None = None
        knots = weights.shape[1]
        second = np.diff(np.eye(knots), 2, axis=0) if knots > 2 else np.zeros((0, knots))
        self._stiffness = np.kron(np.diag(_ROUGHNESS[:free]), second.T @ second)
        scale, share = np.log(_SCALE_RANGE), np.log(_SHARE_RANGE)
        ends = np.array([[-np.inf, np.inf], scale, scale, share, scale, share])[:free]
        self._low, self._high = np.repeat(ends, knots, axis=0).T

    def start(self) -> FloatArray:
        first = np.array([np.median(self._y), np.log(0.5), np.log(2.0), np.log(0.1), np.log(2.0), np.log(0.1)])
        if self._free == GAUSSIAN:
            first[1] = np.log(np.std(self._y))
        return np.repeat(first[: self._free], self._weights.shape[1])

    def table(self, x: FloatArray) -> FloatArray:
        """(6, knots) natural parameters."""
        table = np.zeros((TAILED, self._weights.shape[1]))
        table[: self._free] = x.reshape(self._free, -1)
        table[1 : self._free] = np.exp(table[1 : self._free])
        return table

    def solve(self) -> tuple[FloatArray, bool]:
        """The optimum and whether it was reached: Levenberg's steps on the outer product of the scores."""
        x, damping = self.start(), 1e-2
        loss, gradient, curvature = self._loss(x)
        for _ in range(_STEPS):
            stuck = ((x <= self._low) & (gradient > 0)) | ((x >= self._high) & (gradient < 0))
            free = np.flatnonzero(~stuck)
            within = curvature[np.ix_(free, free)]
            damped = within + damping * np.diag(np.diag(within) + 1e-9)
            step = np.zeros_like(x)
            step[free] = -np.linalg.solve(damped, gradient[free])
            trial = np.clip(x + np.clip(step, -1.0, 1.0), self._low, self._high)
            tried, slope, bend = self._loss(trial)
            if tried > loss:
                damping *= 5.0
                if damping > 1e8:
                    return x, True  # no step helps: this is the optimum to the last digit
                continue
            gained, damping = loss - tried, max(damping / 5.0, 1e-7)
            x, loss, gradient, curvature = trial, tried, slope, bend
            if gained < _GAIN:
                return x, True
        return x, False

    def bootstrap(self, x: FloatArray, replicates: int, rng: np.random.Generator) -> FloatArray:
        """One-step bootstrap replicates of x, (replicates, size)."""
        _, by_cell, table = self._likelihood(x)
        scores = self._scores(by_cell, table)
        curvature = self._curvature(scores, table)
        curvature += 1e-9 * np.trace(curvature) / len(curvature) * np.eye(len(curvature))
        weights = rng.exponential(size=(replicates, self._y.size)) - 1.0
        steps = np.linalg.solve(curvature, (weights @ scores).T).T
        return np.clip(x + steps, self._low, self._high)

    def _loss(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Loss, gradient and (approximate) curvature."""
        value, by_cell, table = self._likelihood(x)
        scores = self._scores(by_cell, table)
        bends = self._stiffness @ x
        loss = 0.5 * float(x @ bends) - float(value.sum())
        return loss, bends - scores.sum(axis=0), self._curvature(scores, table)

    def _curvature(self, scores: FloatArray, table: FloatArray) -> FloatArray:
        """Fisher's information of a Gaussian, of the tailed law the outer product of the scores; with the penalty."""
        if self._free == TAILED:
            return np.asarray(scores.T @ scores + self._stiffness)
        sd = table[1] @ self._weights.T
        weighted = self._weights / sd[:, np.newaxis]
        relative = weighted * table[1]
        zero = np.zeros((sd.size, self._weights.shape[1]))
        both = np.vstack([np.hstack([weighted, zero]), np.sqrt(2) * np.hstack([zero, relative])])
        return np.asarray(both.T @ both + self._stiffness)

    def _scores(self, by_cell: FloatArray, table: FloatArray) -> FloatArray:
        """Derivatives of each cell's ln density by x, (n, size)."""
        chain = np.vstack([np.ones_like(table[:1]), table[1 : self._free]])
        parts = [by_cell[i][:, np.newaxis] * (self._weights * chain[i]) for i in range(self._free)]
        return np.concatenate(parts, axis=1)

    def _likelihood(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """ln density of every cell, its derivatives by the natural parameters (6, n), and these at the knots."""
        table = self.table(x)
        p = divisible(table @ self._weights.T)
        z = self._z = normal_scores(self._y, p, self._z)
        at = slopes(z, p)
        z_p = -at.by_p / at.by_z
        by_cell = -z * z_p - (at.by_zp + at.by_zz * z_p) / at.by_z
        return -0.5 * z**2 - np.log(at.by_z), by_cell, table
